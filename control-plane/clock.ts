/** Time as the streams need it; `main.ts` gives the real one, tests a hand-wound one. */
export interface Clock {
  /** Monotonic, milliseconds, above 0: durations only, so that a step of the wall clock changes nothing. */
  nowMs(): number;
  /** Calls back once after `delayMs`; returns the way to call it off. */
  schedule(delayMs: number, callback: () => void): () => void;
}
