/** Time for everything in this folder; tests turn the hands themselves. */
export interface Timers {
  /** Wall clock, milliseconds since the epoch. */
  now(): number;
  /** Calls back once after `ms`; the answer cancels. A waiting timer does not keep the process alive. */
  after(ms: number, callback: () => void): () => void;
}
