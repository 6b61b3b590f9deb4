import type { Clock } from './timer-list.ts';

/** A clock that stands still until it is told to go on. */
export class ManualClock implements Clock {
  #nowMs = 0;
  #next = 1;
  readonly #scheduled = new Map<number, { atMs: number; callback: () => void }>();

  nowMs(): number {
    return this.#nowMs;
  }

  schedule(callback: () => void, delayMs: number): number {
    const handle = this.#next++;
    this.#scheduled.set(handle, { atMs: this.#nowMs + delayMs, callback });
    return handle;
  }

  cancel(handle: unknown): void {
    this.#scheduled.delete(handle as number);
  }

  /** Callbacks waiting. */
  get pending(): number {
    return this.#scheduled.size;
  }

  /** Milliseconds until the next callback; Infinity without one. */
  get nextInMs(): number {
    return Math.min(...[...this.#scheduled.values()].map(({ atMs }) => atMs - this.#nowMs));
  }

  /** Moves on and calls what has become due, in order. */
  advance(ms: number): void {
    const endMs = this.#nowMs + ms;
    for (;;) {
      const due = [...this.#scheduled].filter(([, { atMs }]) => atMs <= endMs);
      if (due.length === 0) break;
      due.sort(([, a], [, b]) => a.atMs - b.atMs);
      const [handle, { atMs, callback }] = due[0]!;
      this.#scheduled.delete(handle);
      this.#nowMs = Math.max(this.#nowMs, atMs);
      callback();
    }
    this.#nowMs = endMs;
  }
}
