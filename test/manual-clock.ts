import type { Clock } from '../proxy/tcp/timer-list.ts';

interface Scheduled {
  readonly callback: () => void;
  readonly atMs: number;
}

/** A monotonic clock that a test turns by hand. */
export class ManualClock implements Clock {
  #nowMs = 1_000;
  #scheduled: Scheduled[] = [];

  nowMs(): number {
    return this.#nowMs;
  }

  schedule(callback: () => void, delayMs: number): unknown {
    const entry = { callback, atMs: this.#nowMs + delayMs };
    this.#scheduled.push(entry);
    return entry;
  }

  cancel(handle: unknown): void {
    this.#scheduled = this.#scheduled.filter((entry) => entry !== handle);
  }

  /** Lets time pass; what falls due is called in its order. */
  advance(ms: number): void {
    const untilMs = this.#nowMs + ms;
    for (;;) {
      let next: Scheduled | null = null;
      for (const entry of this.#scheduled) {
        if (entry.atMs <= untilMs && (next === null || entry.atMs < next.atMs)) next = entry;
      }
      if (next === null) break;
      this.cancel(next);
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.callback();
    }
    this.#nowMs = untilMs;
  }
}
