/** Work that may pause wherever it yields: a message too large for one turn of the event loop. */
export type Steps<T> = Generator<undefined, T, undefined>;

/** All of it now. */
export function runToEnd<T>(steps: Steps<T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}
