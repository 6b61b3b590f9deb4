import type { HeaderBlock } from '../http/header-block.ts';
import type { HttpLimits } from '../http/limits.ts';
import { FieldSection } from './field-section.ts';
import { CR, FIELD_CONTENT, HEX_VALUE, LF, SEMICOLON } from './grammar.ts';
import { HeadParser, ParseResult, SectionKind } from './head-parser.ts';
import {
  BARE_CR,
  BARE_LF,
  CHUNK_EXTENSION_TOO_LONG,
  INVALID_CHUNK_END,
  INVALID_CHUNK_EXTENSION,
  INVALID_CHUNK_SIZE,
  NO_VIOLATION,
  type Violation,
} from './violation.ts';

/**
 *   SizeStart ─ Size ┬ SizeLf ┬ Data ─ DataCr ─ DataLf ─ SizeStart
 *                    │        └ Trailers (size 0) ─ done
 *                    └ Extension ─ SizeLf
 */
const State = {
  SizeStart: 0,
  Size: 1,
  Extension: 2,
  SizeLf: 3,
  Data: 4,
  DataCr: 5,
  DataLf: 6,
  Trailers: 7,
} as const;
type State = (typeof State)[keyof typeof State];

/** Hex digits of a chunk size: 2^52 - 1 at most, so that the number stays exact. */
const SIZE_DIGITS_MAX = 13;

/** Where decoded content goes. */
export interface ChunkedSink {
  /** `chunk` is a view of the input, and the receiver's to keep. */
  onBodyData(chunk: Buffer, endStream: boolean): void;
  onBodyTrailers(trailers: HeaderBlock): void;
}

/**
 * Chunked transfer coding, RFC 9112 §7.1. Holds no socket and no timer; throws nothing. A chunk-size
 * line is hex digits, then CRLF or an extension: no sign, no `0x`, no blank. Extensions are dropped.
 *
 * A data view is held back until the next one or the end of the input, so that the last one can say
 * `endStream` when the end has arrived with it.
 */
export class ChunkedDecoder {
  /** Offset just after the last byte taken by the latest `decode`. */
  consumed = 0;
  violation: Violation = NO_VIOLATION;

  readonly #limits: HttpLimits;
  #trailerParser: HeadParser | null = null;
  #state: State = State.SizeStart;
  /** The size while it is read, then the bytes still owed to the sink. */
  #chunkBytes = 0;
  #sizeDigits = 0;
  #extensionBytes = 0;
  #held: Buffer | null = null;

  constructor(limits: HttpLimits) {
    this.#limits = limits;
  }

  begin(): void {
    this.#state = State.SizeStart;
    this.#chunkBytes = 0;
    this.#sizeDigits = 0;
    this.#extensionBytes = 0;
    this.#held = null;
    this.violation = NO_VIOLATION;
  }

  /** Takes bytes from `start` on. `Complete`: the sink has been told of the end. */
  decode(bytes: Buffer, start: number, sink: ChunkedSink): ParseResult {
    const end = bytes.length;
    for (let at = start; at < end; ) {
      switch (this.#state) {
        case State.SizeStart:
          if (HEX_VALUE[bytes[at]!] === 255) return this.#fail(INVALID_CHUNK_SIZE, sink);
          this.#chunkBytes = 0;
          this.#sizeDigits = 0;
          this.#extensionBytes = 0;
          this.#state = State.Size;
          break;
        case State.Size: {
          const byte = bytes[at]!;
          const value = HEX_VALUE[byte]!;
          if (value !== 255) {
            if (this.#sizeDigits === SIZE_DIGITS_MAX) return this.#fail(INVALID_CHUNK_SIZE, sink);
            this.#sizeDigits++;
            this.#chunkBytes = this.#chunkBytes * 16 + value;
          } else if (byte === CR) {
            this.#state = State.SizeLf;
          } else if (byte === SEMICOLON) {
            this.#state = State.Extension;
          } else {
            return this.#fail(byte === LF ? BARE_LF : INVALID_CHUNK_SIZE, sink);
          }
          at++;
          break;
        }
        case State.Extension: {
          const byte = bytes[at]!;
          if (byte === CR) {
            this.#state = State.SizeLf;
          } else if (FIELD_CONTENT[byte] === 1) {
            this.#extensionBytes++;
            if (this.#extensionBytes > this.#limits.chunkExtensionBytesMax) {
              return this.#fail(CHUNK_EXTENSION_TOO_LONG, sink);
            }
          } else {
            return this.#fail(byte === LF ? BARE_LF : INVALID_CHUNK_EXTENSION, sink);
          }
          at++;
          break;
        }
        case State.SizeLf:
          if (bytes[at] !== LF) return this.#fail(BARE_CR, sink);
          at++;
          if (this.#chunkBytes === 0) {
            this.#trailers().begin(SectionKind.Trailers);
            this.#state = State.Trailers;
          } else {
            this.#state = State.Data;
          }
          break;
        case State.Data: {
          const dataEnd = Math.min(end, at + this.#chunkBytes);
          if (this.#held !== null) sink.onBodyData(this.#held, false);
          this.#held = bytes.subarray(at, dataEnd);
          this.#chunkBytes -= dataEnd - at;
          at = dataEnd;
          if (this.#chunkBytes === 0) this.#state = State.DataCr;
          break;
        }
        case State.DataCr:
          if (bytes[at] !== CR) return this.#fail(INVALID_CHUNK_END, sink);
          at++;
          this.#state = State.DataLf;
          break;
        case State.DataLf:
          if (bytes[at] !== LF) return this.#fail(INVALID_CHUNK_END, sink);
          at++;
          this.#state = State.SizeStart;
          break;
        case State.Trailers: {
          const parser = this.#trailers();
          const result = parser.parse(bytes, at);
          if (result === ParseResult.NeedMore) {
            at = end;
            break;
          }
          if (result === ParseResult.Failed) return this.#fail(parser.violation, sink);
          this.consumed = parser.consumed;
          return this.#finish(parser, sink);
        }
      }
    }
    this.consumed = end;
    this.#release(sink);
    return ParseResult.NeedMore;
  }

  #finish(parser: HeadParser, sink: ChunkedSink): ParseResult {
    const held = this.#held;
    this.#held = null;
    if (parser.fieldCount === 0) {
      parser.begin(SectionKind.Trailers);
      sink.onBodyData(held ?? NO_DATA, true);
      return ParseResult.Complete;
    }
    const fields = new FieldSection();
    const violation = fields.readTrailers(parser);
    parser.begin(SectionKind.Trailers);
    this.#held = held;
    if (violation !== NO_VIOLATION) return this.#fail(violation, sink);
    this.#release(sink);
    sink.onBodyTrailers(fields.headers);
    return ParseResult.Complete;
  }

  /** Made at the first last-chunk: most connections never see one. */
  #trailers(): HeadParser {
    this.#trailerParser ??= new HeadParser(SectionKind.Trailers, this.#limits);
    return this.#trailerParser;
  }

  #release(sink: ChunkedSink): void {
    const held = this.#held;
    if (held === null) return;
    this.#held = null;
    sink.onBodyData(held, false);
  }

  #fail(violation: Violation, sink: ChunkedSink): ParseResult {
    this.#release(sink);
    this.violation = violation;
    return ParseResult.Failed;
  }
}

const NO_DATA = Buffer.alloc(0);
