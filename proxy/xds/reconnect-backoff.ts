/** Milliseconds. */
const BASE_MS = 500;
const MAX_MS = 30_000;

/**
 * Waits between attempts to reach the control plane: doubled from 0.5 s up to 30 s, of which a random half to
 * whole is waited, so that the sidecars of a restarted control plane do not return in one moment (A6.6, F9).
 */
export class ReconnectBackoff {
  readonly #random: () => number;
  #failures = 0;

  /** `random` answers from 0 (inclusive) to 1. */
  constructor(random: () => number) {
    this.#random = random;
  }

  nextMs(): number {
    const ceiling = Math.min(MAX_MS, BASE_MS * 2 ** Math.min(this.#failures, 16));
    this.#failures++;
    return Math.round(ceiling * (0.5 + this.#random() / 2));
  }

  /** After an attempt that led to an answer. */
  reset(): void {
    this.#failures = 0;
  }
}
