import { isForbiddenTrailerName } from '../http/field-name.ts';
import type { HeaderBlock } from '../http/header-block.ts';
import type { WriteBuffer } from '../http/write-buffer.ts';
import { BodyFraming } from './body.ts';
import { fieldBytes, writeFieldLine, writeHex } from './field-line.ts';
import { CR, LF } from './grammar.ts';

/** What became of a write. */
export const WriteResult = {
  /** Taken; write on. */
  Flowing: 0,
  /** Taken; the transport said at its latest write that it holds more than its high watermark. */
  Blocked: 1,
  /**
   * More or fewer bytes than the head announced. Nothing was written: the connection has to be
   * dropped, for the peer would read the next message out of this one (A2.6).
   */
  Broken: 2,
} as const;
export type WriteResult = (typeof WriteResult)[keyof typeof WriteResult];

/** Writes one message body after another in the framing that its head announced (RFC 9112 §6, §7). */
export class BodyWriter {
  framing: BodyFraming = BodyFraming.None;
  readonly #out: WriteBuffer;
  #remainingBytes = 0;

  constructor(out: WriteBuffer) {
    this.#out = out;
  }

  /** `lengthBytes` counts for `Length` only. */
  begin(framing: BodyFraming, lengthBytes: number): void {
    this.framing = framing;
    this.#remainingBytes = framing === BodyFraming.Length ? lengthBytes : 0;
  }

  /** `Tunnel` and `UntilClose` leave the half-close at `endStream` to the caller. */
  write(chunk: Buffer, endStream: boolean): WriteResult {
    const bytes = chunk.length;
    switch (this.framing) {
      case BodyFraming.None:
        // Content where none may be: for HEAD, 204 and 304 it is dropped, as Envoy does.
        return WriteResult.Flowing;
      case BodyFraming.Length: {
        const remaining = this.#remainingBytes - bytes;
        if (remaining < 0 || (endStream && remaining > 0)) return WriteResult.Broken;
        this.#remainingBytes = remaining;
        return this.#append(chunk);
      }
      case BodyFraming.Chunked: {
        if (bytes === 0) {
          if (endStream) this.#out.put(LAST_CHUNK);
          return this.#flowing();
        }
        this.#beginChunk(bytes);
        this.#out.append(chunk, 0, bytes);
        this.#out.put(endStream ? CRLF_LAST_CHUNK : CRLF);
        return this.#flowing();
      }
      case BodyFraming.UntilClose:
      case BodyFraming.Tunnel:
        return this.#append(chunk);
    }
  }

  /**
   * Ends the body with trailers where it is chunked; elsewhere it ends without. Fields that may not
   * stand in trailers (RFC 9110 §6.5.1) are left out.
   */
  writeTrailers(trailers: HeaderBlock): WriteResult {
    if (this.framing !== BodyFraming.Chunked) return this.write(NO_DATA, true);
    const out = this.#out;
    out.reserve(ZERO_CHUNK.length + fieldBytes(trailers) + CRLF.length);
    out.bytes.set(ZERO_CHUNK, out.at);
    let end = out.at + ZERO_CHUNK.length;
    for (let at = 0; at < trailers.length; at += 2) {
      const name = trailers[at]!;
      if (!isForbiddenTrailerName(name)) end = writeFieldLine(out, end, name, trailers[at + 1]!);
    }
    out.bytes.set(CRLF, end);
    out.at = end + CRLF.length;
    return this.#flowing();
  }

  #beginChunk(bytes: number): void {
    const out = this.#out;
    out.reserve(CHUNK_HEAD_BYTES_MAX);
    const end = writeHex(out.bytes, out.at, bytes);
    out.bytes[end] = CR;
    out.bytes[end + 1] = LF;
    out.at = end + 2;
  }

  #append(chunk: Buffer): WriteResult {
    if (chunk.length === 0) return WriteResult.Flowing;
    this.#out.append(chunk, 0, chunk.length);
    return this.#flowing();
  }

  #flowing(): WriteResult {
    return this.#out.blocked ? WriteResult.Blocked : WriteResult.Flowing;
  }
}

/** Eight digits and CRLF. */
const CHUNK_HEAD_BYTES_MAX = 10;
const CRLF = Buffer.from('\r\n');
const ZERO_CHUNK = Buffer.from('0\r\n');
const LAST_CHUNK = Buffer.from('0\r\n\r\n');
const CRLF_LAST_CHUNK = Buffer.from('\r\n0\r\n\r\n');
const NO_DATA = Buffer.alloc(0);
