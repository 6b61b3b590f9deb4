/**
 * What all HTTP/2 peers of one role together may make us hold beyond the 64 KiB that each connection may
 * have in any case (D14): credit given out, and data that waits for slow readers.
 *
 * One connection may have a quarter of what is free (the dynamic threshold of shared switch buffers): one that is
 * alone gets a fifth of it all, each further one makes the shares of all smaller, and there is always something
 * left for the next. Shared by connections; what one has taken it gives back by the end of its life.
 */
export class ReceiveBudget {
  readonly bytesMax: number;
  usedBytes = 0;

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax;
  }

  /** The most that one connection may have now. */
  get shareBytes(): number {
    return Math.floor((this.bytesMax - this.usedBytes) / 4);
  }

  /** Little is left: new connections begin with small windows, and none grows. */
  get scarce(): boolean {
    return (this.bytesMax - this.usedBytes) * 8 < this.bytesMax;
  }

  /** Takes up to `bytes` for a connection that has `hasBytes`; answers how many it got. */
  take(bytes: number, hasBytes: number): number {
    const got = Math.max(0, Math.min(bytes, this.shareBytes - hasBytes));
    this.usedBytes += got;
    return got;
  }

  giveBack(bytes: number): void {
    this.usedBytes -= bytes;
  }
}

const PROCESS_BYTES_MAX = 128 * 1024 * 1024;

/**
 * The budgets of the process where nobody gives other ones, one for each role: clients come in any number and can use
 * theirs up; the connections to upstreams are ours and few, and a large share of each keeps one client from holding up
 * the others on the connection that they share.
 */
export const SERVER_RECEIVE_BUDGET = new ReceiveBudget(PROCESS_BYTES_MAX);
export const CLIENT_RECEIVE_BUDGET = new ReceiveBudget(PROCESS_BYTES_MAX);
