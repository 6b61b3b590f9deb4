import { hasNoContent, parseContentLength } from '../http/content-length.ts';
import { FieldRole } from '../http/field-name.ts';
import type { HeaderBlock } from '../http/header-block.ts';
import { writeLatin1 } from '../http/latin1.ts';
import type { RequestHead, ResponseHead } from '../http/message.ts';
import { PreparedBytes } from '../http/prepared-bytes.ts';
import { statusLine } from '../http/response-reason.ts';
import type { WriteBuffer } from '../http/write-buffer.ts';
import { BodyFraming } from './body.ts';
import {
  fieldBytes,
  knownName,
  writeDecimal,
  writeFieldLine,
  writeKnownLine,
} from './field-line.ts';
import { CR, LF, SP, TARGET } from './grammar.ts';

/**
 * Writes message heads into the buffer of their connection and decides their framing. Names and values are taken
 * as they are: parsers and `setHeader`/`addHeader` let nothing in that could end a line. (Checking
 * every value again costs 0.4 µs a head.)
 *
 * Whatever the header block says, there is at most one `content-length`, and `connection`,
 * `transfer-encoding`, `keep-alive`, `proxy-connection`, `upgrade` and `host` are written by the codec
 * alone. One scratch object per connection; the fields tell about the latest head.
 */
export class HeadEncoder {
  framing: BodyFraming = BodyFraming.None;
  /** Bytes of a `Length` body, else 0. */
  lengthBytes = 0;
  /** The connection ends after this message. */
  close = false;

  readonly #out: WriteBuffer;
  /** What was met while the fields of a block were written. */
  #announcedBytes = -1;
  #upgrade = '';
  #te = false;

  constructor(out: WriteBuffer) {
    this.#out = out;
  }

  /**
   * The head of a request. False, and nothing is written, where its `content-length` is invalid or cannot be true,
   * or where the target (after a rewrite, or from another protocol) would not be read back as one. A body
   * without one is chunked. `head.upgrade` frames nothing: what follows belongs to the tunnel.
   */
  request(head: RequestHead, endStream: boolean): boolean {
    this.close = false;
    const { method, upgrade, authority } = head;
    const target = method === 'CONNECT' ? authority : head.path;
    if (!isRequestTarget(target)) return false;
    const ownBytes = method.length + target.length + authority.length + upgrade.length;
    this.#begin(head.headers, ownBytes);
    const { bytes, view } = this.#out;
    let at = writeLatin1(bytes, this.#out.at, method);
    bytes[at++] = SP;
    at = writeLatin1(bytes, at, target);
    at = VERSION_AND_HOST.write(view, at);
    at = writeLatin1(bytes, at, authority);
    bytes[at++] = CR;
    bytes[at++] = LF;
    at = this.#writeFields(at, head.headers);
    if (at < 0) return false;
    const announced = this.#announcedBytes;
    this.lengthBytes = 0;
    if (upgrade !== '') {
      if (announced > 0) return false;
      this.framing = BodyFraming.None;
    } else if (announced >= 0) {
      if (endStream && announced > 0) return false;
      this.framing = BodyFraming.Length;
      this.lengthBytes = announced;
      at = writeLength(this.#out, at, announced);
    } else if (!endStream) {
      this.framing = BodyFraming.Chunked;
      at = CHUNKED.write(view, at);
    } else {
      this.framing = BodyFraming.None;
      // RFC 9110 §8.6: a method that usually has content says that there is none.
      if (method === 'POST' || method === 'PUT' || method === 'PATCH') {
        at = NO_LENGTH.write(view, at);
      }
    }
    if (upgrade !== '' && upgrade !== 'connect') {
      at = (this.#te ? CONNECTION_UPGRADE_TE : CONNECTION_UPGRADE).write(view, at);
      at = writeFieldLine(this.#out, at, 'upgrade', upgrade);
    } else if (this.#te) {
      at = CONNECTION_TE.write(view, at);
    }
    this.#finish(bytes, at);
    return true;
  }

  /**
   * The head of a final response. False, and nothing is written, where its `content-length` is invalid or cannot be
   * true. The client may speak HTTP/1.0. `close`: the connection ends after the response anyway.
   */
  response(
    head: ResponseHead,
    endStream: boolean,
    request: RequestHead,
    close: boolean,
    keepAlive10: boolean,
  ): boolean {
    this.close = close;
    const { status } = head;
    const start = this.#begin(head.headers, request.upgrade.length);
    const { bytes, view } = this.#out;
    let at = statusLine(status).write(view, start);
    at = this.#writeFields(at, head.headers);
    if (at < 0) return false;
    const http10 = request.version === 'HTTP/1.0';
    const announced = this.#announcedBytes;
    this.lengthBytes = 0;
    if (head.upgrade) {
      this.framing = BodyFraming.Tunnel;
      this.close = true;
      if (status === 101) {
        at = CONNECTION_UPGRADE.write(view, at);
        const protocol = this.#upgrade === '' ? request.upgrade : this.#upgrade;
        at = writeFieldLine(this.#out, at, 'upgrade', protocol);
      }
      this.#finish(bytes, at);
      return true;
    }
    if (request.method === 'HEAD' || hasNoContent(status)) {
      this.framing = BodyFraming.None;
      // The length that GET would have had may be said; 1xx and 204 must not (RFC 9110 §8.6).
      if (announced >= 0 && status !== 204) at = writeLength(this.#out, at, announced);
    } else if (announced >= 0) {
      if (endStream && announced > 0) return false;
      this.framing = BodyFraming.Length;
      this.lengthBytes = announced;
      at = writeLength(this.#out, at, announced);
    } else if (endStream) {
      this.framing = BodyFraming.None;
      at = NO_LENGTH.write(view, at);
    } else if (http10) {
      this.framing = BodyFraming.UntilClose;
      this.close = true;
    } else {
      this.framing = BodyFraming.Chunked;
      at = CHUNKED.write(view, at);
    }
    if (this.close) at = CONNECTION_CLOSE.write(view, at);
    else if (http10 && keepAlive10) at = CONNECTION_KEEP_ALIVE.write(view, at);
    // As Envoy, and unlike RFC 9110 §2.5, an HTTP/1.0 client is answered in its own version.
    if (http10) bytes[start + MINOR_VERSION_AT] = ZERO;
    this.#finish(bytes, at);
    return true;
  }

  /** The head of a 1xx response: it has no content and no framing. One whose `content-length` is invalid is dropped. */
  informational(head: ResponseHead): void {
    const start = this.#begin(head.headers, 0);
    const { bytes, view } = this.#out;
    const at = statusLine(head.status).write(view, start);
    const end = this.#writeFields(at, head.headers);
    if (end >= 0) this.#finish(bytes, end);
  }

  /** Reserves room for the whole head, with `ownBytes` of it beside fields and framing; answers where it starts. */
  #begin(headers: HeaderBlock, ownBytes: number): number {
    const out = this.#out;
    out.reserve(ownBytes + fieldBytes(headers) + FRAMING_BYTES_MAX);
    return out.at;
  }

  /** Nothing before counts until this. */
  #finish(bytes: Buffer, end: number): void {
    bytes[end] = CR;
    bytes[end + 1] = LF;
    this.#out.at = end + 2;
  }

  /** The offset behind the field lines; -1 where `content-length` is invalid or said twice with different values. */
  #writeFields(start: number, headers: HeaderBlock): number {
    this.#announcedBytes = -1;
    this.#upgrade = '';
    this.#te = false;
    let end = start;
    for (let at = 0; at < headers.length; at += 2) {
      const name = headers[at]!;
      const value = headers[at + 1]!;
      const known = knownName(name);
      switch (known === undefined ? FieldRole.EndToEnd : known.role) {
        case FieldRole.ContentLength: {
          const announced = parseContentLength(value);
          const before = this.#announcedBytes;
          if (announced < 0 || (before >= 0 && before !== announced)) return -1;
          this.#announcedBytes = announced;
          continue;
        }
        case FieldRole.Connection:
          // From a filter: the one thing that it can ask for is the end of the connection.
          if (value.toLowerCase() === 'close') this.close = true;
          continue;
        case FieldRole.Upgrade:
          this.#upgrade = value;
          continue;
        case FieldRole.Te:
          this.#te = true;
          break;
        case FieldRole.Host:
        case FieldRole.TransferEncoding:
          continue;
        case FieldRole.HopByHop:
          // The codecs take it off what they read: here it is of a route, which asked for it.
          if (name === 'http2-settings') break;
          continue;
        default:
      }
      end = writeKnownLine(this.#out, end, known, name, value);
    }
    return end;
  }
}

/** Not empty, and no byte that would end the target or the line (A2.6). */
function isRequestTarget(target: string): boolean {
  for (let at = 0; at < target.length; at++) {
    const code = target.charCodeAt(at);
    if (code <= SP || code > 0xff || TARGET[code] === 0) return false;
  }
  return target.length > 0;
}

function writeLength({ bytes, view }: WriteBuffer, start: number, length: number): number {
  const at = writeDecimal(bytes, LENGTH.write(view, start), length);
  bytes[at] = CR;
  bytes[at + 1] = LF;
  return at + 2;
}

/**
 * The most bytes of a head beside method, target, authority, fields and the name of a protocol to switch to: a status
 * line (46), a length (34), the fields for an upgrade (36), separators and the empty line.
 */
const FRAMING_BYTES_MAX = 160;

const ZERO = 0x30;
/** In `HTTP/1.1`. */
const MINOR_VERSION_AT = 7;

const VERSION_AND_HOST = new PreparedBytes(' HTTP/1.1\r\nhost: ');
const LENGTH = new PreparedBytes('content-length: ');
const NO_LENGTH = new PreparedBytes('content-length: 0\r\n');
const CHUNKED = new PreparedBytes('transfer-encoding: chunked\r\n');
const CONNECTION_CLOSE = new PreparedBytes('connection: close\r\n');
const CONNECTION_KEEP_ALIVE = new PreparedBytes('connection: keep-alive\r\n');
const CONNECTION_TE = new PreparedBytes('connection: te\r\n');
const CONNECTION_UPGRADE = new PreparedBytes('connection: upgrade\r\n');
const CONNECTION_UPGRADE_TE = new PreparedBytes('connection: upgrade, te\r\n');
