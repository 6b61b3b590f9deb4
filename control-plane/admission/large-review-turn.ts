/**
 * Large reviews, one at a time, with as long a pause after each one as it took: whoever sends them keeps at most half
 * of the event loop from discovery, certificates and the lease.
 */
export class LargeReviewTurn {
  #last: Promise<void> = Promise.resolve();
  readonly #nowMs: () => number;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  run<T>(review: () => Promise<T>): Promise<T> {
    let tookMs = 0;
    const done = this.#last.then(() => {
      const startMs = this.#nowMs();
      try {
        return review();
      } finally {
        tookMs = this.#nowMs() - startMs;
      }
    });
    const pause = () => new Promise<void>((resolve) => setTimeout(resolve, tookMs));
    this.#last = done.then(pause, pause);
    return done;
  }
}
