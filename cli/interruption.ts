import { constants } from 'node:os';
import { CommandError } from './exit-code.ts';

/**
 * The signals that ask a command to end, taken over so that it can end what it started, in order. While one of these
 * is open no signal ends the process by itself.
 */
export class Interruption {
  /** Aborted by the first signal. */
  readonly #first = new AbortController();
  readonly #rejection = new Promise<never>((_resolve, reject) => {
    const { signal } = this.#first;
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
  #onEach: (signal: NodeJS.Signals) => void = () => {};
  readonly #listener = (signal: NodeJS.Signals): void => {
    this.#first.abort(new CommandError('interrupted', '', signalExitCode(signal)));
    this.#onEach(signal);
  };

  constructor() {
    this.#rejection.catch(() => {});
    for (const signal of SIGNALS) process.on(signal, this.#listener);
  }

  /** Its reason is the CommandError that ends the command as a signal would have. */
  get signal(): AbortSignal {
    return this.#first.signal;
  }

  /** Called with every signal, the first one too. */
  onEach(handler: (signal: NodeJS.Signals) => void): void {
    this.#onEach = handler;
  }

  /** What `work` gives, or rejects at the first signal; `work` is left to itself then. */
  during<T>(work: Promise<T>): Promise<T> {
    return Promise.race([work, this.#rejection]);
  }

  /** Resolves with the first signal. */
  wait(): Promise<void> {
    return this.#rejection.catch(() => {});
  }

  close(): void {
    for (const signal of SIGNALS) process.off(signal, this.#listener);
  }
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** 128 + n, as a shell shows it. */
export function signalExitCode(signal: NodeJS.Signals): number {
  return 128 + constants.signals[signal];
}
