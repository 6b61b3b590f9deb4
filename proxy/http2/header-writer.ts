import { parseContentLength } from '../http/content-length.ts';
import { isForbiddenTrailerName } from '../http/field-name.ts';
import type { HeaderBlock } from '../http/header-block.ts';
import type { RequestHead, ResponseHead } from '../http/message.ts';
import type { WriteBuffer } from '../http/write-buffer.ts';
import { encodeContinuationHead } from './frame/continuation.ts';
import { FRAME_HEAD_BYTES, MAX_FRAME_BYTES } from './frame/frame-head.ts';
import { encodeHeadersHead } from './frame/headers.ts';
import { isPath } from './grammar.ts';
import { FieldKind } from './hpack/field-kind.ts';
import {
  BLOCK_PREFIX_BYTES_MAX,
  fieldBytesMax,
  HpackEncoder,
  type NameSlot,
} from './hpack/hpack-encoder.ts';

/**
 * Writes field sections as HEADERS and, where one frame does not hold them, CONTINUATION. Names and
 * values are taken as they are, except that what belongs to an HTTP/1.1 connection is left out
 * (RFC 9113 §8.2.2), `te` but for `trailers` too, and `host` is `:authority`.
 *
 * A section is encoded straight into the write buffer, behind room for the frame head.
 */
export class HeaderWriter {
  readonly encoder = new HpackEncoder();
  /** What `content-length` of the head written last says; -1: nothing. */
  contentLength = -1;
  /** Bytes of the section written last, as it is coded. */
  blockBytes = 0;

  readonly #out: WriteBuffer;
  readonly #method: NameSlot = this.encoder.slot(':method');
  readonly #scheme: NameSlot = this.encoder.slot(':scheme');
  readonly #authority: NameSlot = this.encoder.slot(':authority');
  readonly #path: NameSlot = this.encoder.slot(':path');
  readonly #protocol: NameSlot = this.encoder.slot(':protocol');
  readonly #status: NameSlot = this.encoder.slot(':status');

  constructor(out: WriteBuffer) {
    this.#out = out;
  }

  /**
   * False, and nothing is written: `content-length` is invalid or cannot be true, or the target would
   * not be read back as one. Those are judged first: the tables must not run ahead of what is sent.
   */
  writeRequest(streamId: number, head: RequestHead, endStream: boolean): boolean {
    const { upgrade, authority } = head;
    if (!this.#judgeLength(head.headers)) return false;
    if (endStream && upgrade === '' && this.contentLength > 0) return false;
    if (upgrade !== '' && this.contentLength > 0) return false;
    const connect = upgrade === 'connect';
    if (connect ? authority === '' : !isPath(head.path) && head.path !== '*') return false;
    const pseudoBytes =
      fieldBytesMax(':method', head.method) +
      fieldBytesMax(':scheme', head.scheme) +
      fieldBytesMax(':authority', authority) +
      fieldBytesMax(':path', head.path) +
      fieldBytesMax(':protocol', upgrade);
    const start = this.#begin(head.headers, pseudoBytes);
    const { encoder } = this;
    const { bytes } = this.#out;
    let at = encoder.begin(bytes, start + FRAME_HEAD_BYTES);
    at = encoder.field(bytes, at, this.#method, upgrade === '' ? head.method : 'CONNECT');
    if (!connect) at = encoder.field(bytes, at, this.#scheme, head.scheme);
    if (authority !== '') at = encoder.field(bytes, at, this.#authority, authority);
    if (!connect) at = encoder.field(bytes, at, this.#path, head.path);
    if (!connect && upgrade !== '') at = encoder.field(bytes, at, this.#protocol, upgrade);
    at = this.#fields(
      bytes,
      at,
      head.headers,
      head.neverIndexed,
      upgrade === '',
      upgrade === '' ? '' : KEY,
    );
    this.#finish(streamId, start, at, endStream);
    return true;
  }

  /** As `writeRequest`; `lengthMatters`: the response has content of its own. */
  writeResponse(
    streamId: number,
    head: ResponseHead,
    endStream: boolean,
    lengthMatters: boolean,
  ): boolean {
    if (!this.#judgeLength(head.headers)) return false;
    if (endStream && lengthMatters && this.contentLength > 0) return false;
    const status = head.upgrade && head.status === 101 ? '200' : statusText(head.status);
    const start = this.#begin(head.headers, fieldBytesMax(':status', status));
    const { bytes } = this.#out;
    let at = this.encoder.begin(bytes, start + FRAME_HEAD_BYTES);
    at = this.encoder.field(bytes, at, this.#status, status);
    at = this.#fields(
      bytes,
      at,
      head.headers,
      head.neverIndexed,
      keepsLength(head),
      head.upgrade ? ACCEPT : '',
    );
    this.#finish(streamId, start, at, endStream);
    return true;
  }

  /** Ends the stream. Fields that may not stand in trailers (RFC 9110 §6.5.1) are left out. */
  writeTrailers(streamId: number, trailers: HeaderBlock): void {
    const start = this.#begin(trailers, 0);
    const { bytes } = this.#out;
    let at = this.encoder.begin(bytes, start + FRAME_HEAD_BYTES);
    for (let index = 0; index < trailers.length; index += 2) {
      const name = trailers[index]!;
      if (isForbiddenTrailerName(name)) continue;
      const slot = this.encoder.slot(name);
      if (slot.kind === FieldKind.Regular) {
        at = this.encoder.field(bytes, at, slot, trailers[index + 1]!);
      }
    }
    this.#finish(streamId, start, at, true);
  }

  #judgeLength(headers: HeaderBlock): boolean {
    this.contentLength = -1;
    for (let index = 0; index < headers.length; index += 2) {
      if (headers[index] !== 'content-length') continue;
      const announced = parseContentLength(headers[index + 1]!);
      if (announced < 0 || (this.contentLength >= 0 && this.contentLength !== announced)) {
        return false;
      }
      this.contentLength = announced;
    }
    return true;
  }

  /** Reserves room for the frame head and the section; answers where the frame starts. */
  #begin(headers: HeaderBlock, pseudoBytes: number): number {
    let bytes = FRAME_HEAD_BYTES + BLOCK_PREFIX_BYTES_MAX + pseudoBytes;
    for (let index = 0; index < headers.length; index += 2) {
      bytes += fieldBytesMax(headers[index]!, headers[index + 1]!);
    }
    this.#out.reserve(bytes);
    return this.#out.at;
  }

  /** `left`: a name to leave out, or ''. */
  #fields(
    bytes: Buffer,
    start: number,
    headers: HeaderBlock,
    neverIndexed: ReadonlySet<string> | null,
    withLength: boolean,
    left: string,
  ): number {
    const { encoder } = this;
    let lengthWritten = !withLength;
    let at = start;
    for (let index = 0; index < headers.length; index += 2) {
      const slot = encoder.slot(headers[index]!);
      const value = headers[index + 1]!;
      switch (slot.kind) {
        case FieldKind.Regular:
          if (left !== '' && slot.name === left) continue;
          break;
        case FieldKind.Cookie:
          break;
        case FieldKind.ContentLength:
          if (lengthWritten) continue;
          lengthWritten = true;
          break;
        case FieldKind.Te:
          if (value !== 'trailers') continue;
          break;
        default:
          continue;
      }
      at = neverIndexed?.has(slot.name)
        ? encoder.fieldNeverIndexed(bytes, at, slot, value)
        : encoder.field(bytes, at, slot, value);
    }
    return at;
  }

  /** Puts the frame head in front of the block; a block too large for one frame is cut up. */
  #finish(streamId: number, start: number, end: number, endStream: boolean): void {
    const out = this.#out;
    const blockStart = start + FRAME_HEAD_BYTES;
    const length = end - blockStart;
    this.blockBytes = length;
    if (length <= MAX_FRAME_BYTES) {
      encodeHeadersHead(out.bytes, start, streamId, length, endStream, true);
      out.at = end;
      return;
    }
    const block = Buffer.from(out.bytes.subarray(blockStart, end));
    for (let from = 0; from < length; from += MAX_FRAME_BYTES) {
      const size = Math.min(MAX_FRAME_BYTES, length - from);
      const last = from + size === length;
      out.reserve(FRAME_HEAD_BYTES + size);
      out.at =
        from === 0
          ? encodeHeadersHead(out.bytes, out.at, streamId, size, endStream, false)
          : encodeContinuationHead(out.bytes, out.at, streamId, size, last);
      out.at += block.copy(out.bytes, out.at, from, from + size);
    }
  }
}

/** 1xx, 204 and tunnels have no `content-length` (RFC 9110 §8.6). */
function keepsLength(head: ResponseHead): boolean {
  return head.status >= 200 && head.status !== 204 && !head.upgrade;
}

/** The WebSocket challenge and its answer, which HTTP/2 does without (RFC 8441 §5). */
const KEY = 'sec-websocket-key';
const ACCEPT = 'sec-websocket-accept';

const STATUS_TEXTS: readonly string[] = Array.from({ length: 1000 }, (_, status) => `${status}`);

function statusText(status: number): string {
  return STATUS_TEXTS[status] ?? '500';
}
