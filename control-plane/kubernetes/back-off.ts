/** Waits between attempts: doubled from `baseMs` to `maxMs`, each drawn from its upper half, so that many clients spread. */
export class BackOff {
  readonly #baseMs: number;
  readonly #maxMs: number;
  readonly #random: () => number;
  #attempts = 0;

  constructor(baseMs: number, maxMs: number, random: () => number) {
    this.#baseMs = baseMs;
    this.#maxMs = maxMs;
    this.#random = random;
  }

  /** Milliseconds to wait now; at least `atLeastMs`, which a server asked for. */
  next(atLeastMs = 0): number {
    const fullMs = Math.min(this.#maxMs, this.#baseMs * 2 ** Math.min(this.#attempts, 30));
    this.#attempts++;
    return Math.max(atLeastMs, fullMs * (0.5 + this.#random() / 2));
  }

  reset(): void {
    this.#attempts = 0;
  }
}
