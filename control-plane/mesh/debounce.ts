import type { Clock } from '../clock.ts';

export interface DebounceOptions {
  /** Milliseconds without a change before the change is taken up. Istio's default 100. */
  readonly quietMs: number;
  /** Milliseconds after which it is taken up though changes go on. Istio's default 10 000. */
  readonly maxMs: number;
}

export const DEBOUNCE_DEFAULTS: DebounceOptions = { quietMs: 100, maxMs: 10_000 };

/** Joins a burst of changes into one (F14). */
export class Debounce {
  readonly #clock: Clock;
  readonly #options: DebounceOptions;
  readonly #fire: () => void;
  #firstAtMs = 0;
  #cancel: (() => void) | null = null;

  constructor(clock: Clock, options: DebounceOptions, fire: () => void) {
    this.#clock = clock;
    this.#options = options;
    this.#fire = fire;
  }

  trigger(): void {
    const nowMs = this.#clock.nowMs();
    if (this.#cancel === null) this.#firstAtMs = nowMs;
    this.#cancel?.();
    const lastMs = this.#firstAtMs + this.#options.maxMs;
    const delayMs = Math.max(0, Math.min(this.#options.quietMs, lastMs - nowMs));
    this.#cancel = this.#clock.schedule(delayMs, () => {
      this.#cancel = null;
      this.#fire();
    });
  }

  /** What was not taken up yet never is. */
  close(): void {
    this.#cancel?.();
    this.#cancel = null;
  }
}
