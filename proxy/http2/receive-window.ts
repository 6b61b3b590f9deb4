/** 2^31 - 1: what no window may exceed (RFC 9113 §6.9.1). */
export const WINDOW_BYTES_MAX = 0x7fff_ffff;
/** What both sides begin with, for streams and connection (RFC 9113 §6.9.2). */
export const INITIAL_WINDOW_BYTES = 65_535;

/**
 * What we let the peer send, of one stream or of the connection (RFC 9113 §5.2). Credit is given
 * back for what its reader has taken, in steps of half a window, so that a slow reader stops its writer.
 */
export class ReceiveWindow {
  /** The size aimed at. */
  sizeBytes: number;
  /** What the peer may still send. Negative after the window was made smaller. */
  availableBytes: number;
  /** And so much more, as long as it may count with a larger window that it was told before. */
  slackBytes = 0;
  /** Taken by the reader and not given back yet. */
  #takenBytes = 0;

  constructor(sizeBytes: number) {
    this.sizeBytes = sizeBytes;
    this.availableBytes = sizeBytes;
  }

  /** A DATA frame of this length has come. False: more than was allowed. */
  receive(bytes: number): boolean {
    this.availableBytes -= bytes;
    return this.availableBytes + this.slackBytes >= 0;
  }

  /** The reader has taken bytes; answers the increment to announce now, or 0. */
  release(bytes: number): number {
    this.#takenBytes += bytes;
    if (this.#takenBytes * 2 < this.sizeBytes) return 0;
    return this.#announce();
  }

  /** Makes the window larger; answers the increment to announce (a stream's comes by SETTINGS: ignore it). */
  grow(sizeBytes: number): number {
    const more = sizeBytes - this.sizeBytes;
    if (more <= 0) return 0;
    this.sizeBytes = sizeBytes;
    this.availableBytes += more;
    return more;
  }

  /** Makes a stream's window smaller, by SETTINGS, which the peer has to see first. */
  shrink(sizeBytes: number): void {
    const less = this.sizeBytes - sizeBytes;
    if (less <= 0) return;
    this.sizeBytes = sizeBytes;
    this.availableBytes -= less;
  }

  #announce(): number {
    const increment = this.#takenBytes;
    this.#takenBytes = 0;
    this.availableBytes += increment;
    return increment;
  }
}
