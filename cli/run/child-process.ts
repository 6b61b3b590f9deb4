import { type ChildProcess, spawn } from 'node:child_process';

/** A process that was started here: ended by its own id, awaited, never left behind. */
export class Child {
  readonly process: ChildProcess;
  /** Resolves once it has ended. `code` is 128 + n where signal n ended it. */
  readonly ended: Promise<{ readonly code: number; readonly signal: NodeJS.Signals | null }>;
  #hasEnded = false;

  private constructor(process: ChildProcess) {
    this.process = process;
    this.ended = new Promise((resolve) => {
      process.once('error', () => {
        this.#hasEnded = true;
        resolve({ code: 127, signal: null });
      });
      process.once('exit', (code, signal) => {
        this.#hasEnded = true;
        resolve({ code: code ?? 128 + signalNumber(signal), signal });
      });
    });
  }

  static start(
    command: string,
    args: readonly string[],
    options: {
      readonly env?: NodeJS.ProcessEnv;
      readonly stdio: 'inherit' | readonly ('ignore' | 'inherit' | number)[];
    },
  ): Child {
    return new Child(
      spawn(command, args, {
        stdio: options.stdio === 'inherit' ? 'inherit' : [...options.stdio],
        env: options.env ?? process.env,
      }),
    );
  }

  get pid(): number {
    return this.process.pid ?? -1;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  kill(signal: NodeJS.Signals): void {
    if (!this.#hasEnded) this.process.kill(signal);
  }

  /** SIGTERM, then SIGKILL after `graceMs`. */
  async stop(graceMs: number): Promise<void> {
    if (this.#hasEnded) return;
    this.kill('SIGTERM');
    const timer = setTimeout(() => this.kill('SIGKILL'), graceMs);
    await this.ended;
    clearTimeout(timer);
  }
}

function signalNumber(signal: NodeJS.Signals | null): number {
  switch (signal) {
    case 'SIGHUP':
      return 1;
    case 'SIGINT':
      return 2;
    case 'SIGKILL':
      return 9;
    default:
      return 15;
  }
}
