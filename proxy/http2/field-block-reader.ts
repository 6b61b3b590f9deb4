import { Flag, type FrameHead } from './frame/frame-head.ts';
import { HeadersPayload } from './frame/headers.ts';
import { HeaderBlockBuffer } from './header-block-buffer.ts';
import type { HpackDecoder } from './hpack/hpack-decoder.ts';
import { HEADER_COMPRESSION, NO_VIOLATION, type Violation } from './violation.ts';

/**
 * HEADERS and the CONTINUATION frames behind it to one decoded field block (RFC 9113 §4.3). Nothing may
 * come between: while `open`, only CONTINUATION of `streamId`.
 */
export class FieldBlockReader {
  streamId = 0;
  endStream = false;
  /** What its priority says (RFC 7540 §5.3.1). */
  dependsOnItself = false;
  /** The decoder holds the fields of the latest block. */
  complete = false;
  readonly #decoder: HpackDecoder;
  readonly #payload = new HeadersPayload();
  readonly #fragments: HeaderBlockBuffer;

  /** `bytesMax`: of a block as it is coded, in several frames. */
  constructor(decoder: HpackDecoder, bytesMax: number) {
    this.#decoder = decoder;
    this.#fragments = new HeaderBlockBuffer(bytesMax);
  }

  /** A block has begun and not ended. */
  get open(): boolean {
    return this.#fragments.open;
  }

  headers(head: FrameHead, bytes: Buffer, start: number): Violation {
    const payload = this.#payload;
    const violation = payload.decode(head, bytes, start);
    if (violation !== NO_VIOLATION) return violation;
    this.streamId = head.streamId;
    this.endStream = (head.flags & Flag.EndStream) !== 0;
    this.dependsOnItself = payload.dependency === head.streamId;
    const { fragmentStart, fragmentEnd } = payload;
    if ((head.flags & Flag.EndHeaders) !== 0) {
      return this.#decode(bytes, fragmentStart, fragmentEnd);
    }
    this.#fragments.begin();
    return this.#add(head, bytes, fragmentStart, fragmentEnd);
  }

  continuation(head: FrameHead, bytes: Buffer, start: number): Violation {
    return this.#add(head, bytes, start, start + head.length);
  }

  #add(head: FrameHead, bytes: Buffer, start: number, end: number): Violation {
    this.complete = false;
    const violation = this.#fragments.add(bytes, start, end);
    if (violation !== NO_VIOLATION || (head.flags & Flag.EndHeaders) === 0) return violation;
    const whole = this.#fragments.take();
    return this.#decode(whole, 0, whole.length);
  }

  #decode(bytes: Buffer, start: number, end: number): Violation {
    this.complete = this.#decoder.decode(bytes, start, end);
    return this.complete ? NO_VIOLATION : HEADER_COMPRESSION;
  }
}
