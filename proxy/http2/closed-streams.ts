/** Why a stream is closed, as far as late frames on it are judged by it (RFC 9113 §5.1). */
export const CloseCause = {
  /** Not among the latest: closed long ago, or never opened. */
  Unknown: 0,
  /** END_STREAM both ways: nothing may follow. */
  Ended: 1,
  /** The peer's RST_STREAM: nothing may follow. */
  ResetByPeer: 3,
  /** We sent RST_STREAM: what was on its way is ignored. */
  ResetByUs: 2,
} as const;
export type CloseCause = (typeof CloseCause)[keyof typeof CloseCause];

const REMEMBERED = 256;

/**
 * The latest streams that closed, in a ring. A frame on a closed stream is rare, so looking it up may
 * cost a search; remembering must not cost anything.
 */
export class ClosedStreams {
  readonly #ids = new Int32Array(REMEMBERED);
  readonly #causes = new Uint8Array(REMEMBERED);
  #next = 0;

  add(streamId: number, cause: CloseCause): void {
    this.#ids[this.#next] = streamId;
    this.#causes[this.#next] = cause;
    this.#next = (this.#next + 1) % REMEMBERED;
  }

  causeOf(streamId: number): CloseCause {
    const slot = this.#ids.lastIndexOf(streamId);
    return slot < 0 ? CloseCause.Unknown : (this.#causes[slot]! as CloseCause);
  }
}
