import type { Timers } from './timers.ts';

/** Names that were asked for at one time. */
interface Batch {
  waiting: number;
  cancel: () => void;
}

/**
 * Names of one type that were asked for and have not come, each for `waitMs` at most. What is asked for at one time
 * shares one timer: a mesh asks for the endpoints of ten thousand services at once.
 */
export class ExpectedNames {
  readonly #batches = new Map<string, Batch>();
  readonly #timers: Timers;
  readonly #waitMs: number;
  readonly #onMissing: (names: readonly string[]) => void;

  constructor(timers: Timers, waitMs: number, onMissing: (names: readonly string[]) => void) {
    this.#timers = timers;
    this.#waitMs = waitMs;
    this.#onMissing = onMissing;
  }

  /** A name that is waited for already keeps its time. */
  add(names: Iterable<string>): void {
    const batch: Batch = { waiting: 0, cancel: () => {} };
    for (const name of names) {
      if (this.#batches.has(name)) continue;
      this.#batches.set(name, batch);
      batch.waiting++;
    }
    if (batch.waiting === 0) return;
    batch.cancel = this.#timers.after(this.#waitMs, () => {
      const missing: string[] = [];
      for (const [name, of] of this.#batches) if (of === batch) missing.push(name);
      for (const name of missing) this.#batches.delete(name);
      this.#onMissing(missing);
    });
  }

  arrived(name: string): void {
    const batch = this.#batches.get(name);
    if (batch === undefined) return;
    this.#batches.delete(name);
    batch.waiting--;
    if (batch.waiting === 0) batch.cancel();
  }

  close(): void {
    for (const batch of this.#batches.values()) batch.cancel();
    this.#batches.clear();
  }
}
