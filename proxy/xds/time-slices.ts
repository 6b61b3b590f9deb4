import type { Steps } from '../../proto/steps.ts';

/**
 * Milliseconds of one turn of the event loop that taking a configuration may use. It holds up every request, and one
 * request some four times: it comes, goes on, is answered, and the answer leaves.
 */
const SLICE_MS = 2;

/** Where the turns of the event loop come from; a test may count them. */
export interface EventLoop {
  /** Monotonic milliseconds. */
  now(): number;
  /** Resolves in a later turn, after what is readable has been read. */
  nextTurn(): Promise<void>;
}

export const EVENT_LOOP: EventLoop = {
  now: () => performance.now(),
  nextTurn: () => new Promise((resolve) => setImmediate(resolve)),
};

/**
 * Long work cut into slices of some milliseconds, so that a mesh of ten thousand services is taken between requests
 * and not in place of them.
 *
 * ```ts
 * const slices = new TimeSlices();
 * for (const resource of resources) {
 *   if (slices.isOver) await slices.next();
 *   …
 * }
 * ```
 */
export class TimeSlices {
  readonly #loop: EventLoop;
  #endMs: number;

  constructor(loop: EventLoop = EVENT_LOOP) {
    this.#loop = loop;
    this.#endMs = loop.now() + SLICE_MS;
  }

  /** This turn has had enough: `await next()` before more is done. */
  get isOver(): boolean {
    return this.#loop.now() >= this.#endMs;
  }

  async next(): Promise<void> {
    await this.#loop.nextTurn();
    this.#endMs = this.#loop.now() + SLICE_MS;
  }

  /** Goes through all steps of one piece of work. Rejects with what a step throws. */
  async run<T>(steps: Steps<T>): Promise<T> {
    for (;;) {
      const step = steps.next();
      if (step.done === true) return step.value;
      if (this.isOver) await this.next();
    }
  }
}
