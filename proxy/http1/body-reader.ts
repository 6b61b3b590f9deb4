import type { HttpLimits } from '../http/limits.ts';
import { BodyFraming } from './body.ts';
import { ChunkedDecoder, type ChunkedSink } from './chunked.ts';
import { ParseResult } from './head-parser.ts';
import { NO_VIOLATION, type Violation } from './violation.ts';

/**
 * Reads one message body after another off a connection, whatever its framing (RFC 9112 §6, §7).
 * Content is handed on as views of what arrived.
 */
export class BodyReader {
  /** Offset just after the last byte taken by the latest `read`. */
  consumed = 0;
  violation: Violation = NO_VIOLATION;
  framing: BodyFraming = BodyFraming.None;

  readonly #limits: HttpLimits;
  #remainingBytes = 0;
  #chunked: ChunkedDecoder | null = null;

  constructor(limits: HttpLimits) {
    this.#limits = limits;
  }

  /** `lengthBytes` counts for `Length` only, where it is above 0. */
  begin(framing: BodyFraming, lengthBytes: number): void {
    this.framing = framing;
    this.#remainingBytes = lengthBytes;
    if (framing === BodyFraming.Chunked) {
      this.#chunked ??= new ChunkedDecoder(this.#limits);
      this.#chunked.begin();
    }
  }

  /** Bytes of a `Length` body that have not arrived; -1 for any other framing. */
  get remainingBytes(): number {
    return this.framing === BodyFraming.Length ? this.#remainingBytes : -1;
  }

  /** Takes bytes from `start` on. `Complete`: the sink has been told of the end of the body. */
  read(bytes: Buffer, start: number, sink: ChunkedSink): ParseResult {
    if (this.framing === BodyFraming.Chunked) {
      const decoder = this.#chunked!;
      const result = decoder.decode(bytes, start, sink);
      this.consumed = decoder.consumed;
      this.violation = decoder.violation;
      return result;
    }
    if (this.framing !== BodyFraming.Length) {
      this.consumed = bytes.length;
      sink.onBodyData(start === 0 ? bytes : bytes.subarray(start), false);
      return ParseResult.NeedMore;
    }
    const available = bytes.length - start;
    const taken = Math.min(available, this.#remainingBytes);
    this.#remainingBytes -= taken;
    this.consumed = start + taken;
    const complete = this.#remainingBytes === 0;
    const whole = start === 0 && taken === bytes.length;
    sink.onBodyData(whole ? bytes : bytes.subarray(start, start + taken), complete);
    return complete ? ParseResult.Complete : ParseResult.NeedMore;
  }
}
