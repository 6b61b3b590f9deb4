import type { StoreEvent } from './object-store.ts';

/** What goes wrong with the server, switched by a test while it runs. All off at first. */
export interface Faults {
  /** Milliseconds that every answer waits. */
  slowMs: number;
  /** Requests for objects get this HTTP status instead of an answer; 0 = off. */
  status: 0 | 410 | 429 | 500 | 503;
  /** Seconds of `Retry-After` beside 429. */
  retryAfterS: number;
  /** The status holds for requests that this likes. */
  statusFor: (verb: string, plural: string) => boolean;
  /**
   * Watches send nothing: neither events nor bookmarks. What they missed is only in the history: a watch that kept something back
   * stays silent until its end.
   */
  silent: boolean;
  /** Each event is sent twice. */
  duplicate: boolean;
  /** Events that this likes are never sent, as if they had been lost: a missed DELETE. */
  lose: (event: StoreEvent) => boolean;
  /** Lists are answered as of this revision, older than the present: a replica that is behind; 0 = off. */
  staleRevision: number;
  /** Objects of a page at most, whatever the client asks; 0 = off. */
  pageMax: number;
}

export function noFaults(): Faults {
  return {
    slowMs: 0,
    status: 0,
    retryAfterS: 0,
    statusFor: () => true,
    silent: false,
    duplicate: false,
    lose: () => false,
    staleRevision: 0,
    pageMax: 0,
  };
}
