import type { Random } from './load-balancer.ts';

/**
 * Earliest deadline first over entries 0 … n−1: an entry of weight w comes up every 1/w of virtual
 * time, so that over any stretch its share is exact to within one turn. A binary heap in flat
 * arrays; a pick is O(log n) and allocates nothing.
 */
export class EdfSchedule {
  readonly #deadlines: Float64Array;
  /** Heap of entries, the earliest at 0. */
  readonly #heap: Int32Array;

  /** Entries start at a random phase: many proxies that start together do not pick the same first. */
  constructor(weights: readonly number[], random: Random) {
    this.#deadlines = new Float64Array(weights.length);
    this.#heap = new Int32Array(weights.length);
    for (let entry = 0; entry < weights.length; entry++) {
      this.#deadlines[entry] = random() / weights[entry]!;
      this.#heap[entry] = entry;
    }
    for (let at = (weights.length >> 1) - 1; at >= 0; at--) this.#sink(at);
  }

  /** The entry whose turn it is. It has to be scheduled again with `again`. */
  earliest(): number {
    return this.#heap[0]!;
  }

  /** Schedules the earliest entry for its next turn. */
  again(weight: number): void {
    this.#deadlines[this.#heap[0]!]! += 1 / weight;
    this.#sink(0);
  }

  #sink(start: number): void {
    const heap = this.#heap;
    const deadlines = this.#deadlines;
    const size = heap.length;
    let at = start;
    const entry = heap[at]!;
    const deadline = deadlines[entry]!;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= size) break;
      if (child + 1 < size && deadlines[heap[child + 1]!]! < deadlines[heap[child]!]!) child++;
      if (deadlines[heap[child]!]! >= deadline) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = entry;
  }
}
