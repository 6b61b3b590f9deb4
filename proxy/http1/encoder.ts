import { hasNoContent, parseContentLength } from '../http/content-length.ts';
import type { RequestHead, ResponseHead } from '../http/message.ts';
import { statusLine } from '../http/response-reason.ts';
import { BodyFraming } from './body.ts';
import { SP, TARGET } from './grammar.ts';

/**
 * Writes message heads as one latin1 string each and decides their framing. Names and values are taken
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

  /** Field lines of the block, and what was met while they were written. */
  #fields = '';
  #announcedBytes = -1;
  #upgrade = '';
  #te = false;

  /**
   * The head of a request, or '' where its `content-length` is invalid or cannot be true, or where the
   * target (after a rewrite, or from another protocol) would not be read back as one. A body
   * without one is chunked. `head.upgrade` frames nothing: what follows belongs to the tunnel.
   */
  request(head: RequestHead, endStream: boolean): string {
    this.close = false;
    if (!this.#encodeFields(head.headers)) return '';
    const { method, upgrade } = head;
    const announced = this.#announcedBytes;
    this.lengthBytes = 0;
    let framing = '';
    if (upgrade !== '') {
      if (announced > 0) return '';
      this.framing = BodyFraming.None;
    } else if (announced >= 0) {
      if (endStream && announced > 0) return '';
      this.framing = BodyFraming.Length;
      this.lengthBytes = announced;
      framing = `content-length: ${announced}\r\n`;
    } else if (!endStream) {
      this.framing = BodyFraming.Chunked;
      framing = CHUNKED;
    } else {
      this.framing = BodyFraming.None;
      // RFC 9110 §8.6: a method that usually has content says that there is none.
      if (method === 'POST' || method === 'PUT' || method === 'PATCH') framing = NO_LENGTH;
    }
    const target = method === 'CONNECT' ? head.authority : head.path;
    if (!isRequestTarget(target)) return '';
    let connection = this.#te ? 'connection: te\r\n' : '';
    if (upgrade !== '' && upgrade !== 'connect') {
      connection = `connection: upgrade${this.#te ? ', te' : ''}\r\nupgrade: ${upgrade}\r\n`;
    }
    return `${method} ${target} HTTP/1.1\r\nhost: ${head.authority}\r\n${this.#fields}${framing}${connection}\r\n`;
  }

  /**
   * The head of a final response, or '' where its `content-length` is invalid or cannot be true.
   * `http10`: the client speaks HTTP/1.0. `close`: the connection ends after the response anyway.
   */
  response(
    head: ResponseHead,
    endStream: boolean,
    request: RequestHead,
    close: boolean,
    keepAlive10: boolean,
  ): string {
    this.close = close;
    if (!this.#encodeFields(head.headers)) return '';
    const { status } = head;
    const http10 = request.version === 'HTTP/1.0';
    const announced = this.#announcedBytes;
    this.lengthBytes = 0;
    let framing = '';
    if (head.upgrade) {
      this.framing = BodyFraming.Tunnel;
      this.close = true;
      if (status !== 101) return `${statusLine(status)}${this.#fields}\r\n`;
      const protocol = this.#upgrade === '' ? request.upgrade : this.#upgrade;
      return `${statusLine(101)}${this.#fields}connection: upgrade\r\nupgrade: ${protocol}\r\n\r\n`;
    }
    if (request.method === 'HEAD' || hasNoContent(status)) {
      this.framing = BodyFraming.None;
      // The length that GET would have had may be said; 1xx and 204 must not (RFC 9110 §8.6).
      if (announced >= 0 && status !== 204) framing = `content-length: ${announced}\r\n`;
    } else if (announced >= 0) {
      if (endStream && announced > 0) return '';
      this.framing = BodyFraming.Length;
      this.lengthBytes = announced;
      framing = `content-length: ${announced}\r\n`;
    } else if (endStream) {
      this.framing = BodyFraming.None;
      framing = NO_LENGTH;
    } else if (http10) {
      this.framing = BodyFraming.UntilClose;
      this.close = true;
    } else {
      this.framing = BodyFraming.Chunked;
      framing = CHUNKED;
    }
    let connection = '';
    if (this.close) connection = 'connection: close\r\n';
    else if (http10 && keepAlive10) connection = 'connection: keep-alive\r\n';
    // As Envoy, and unlike RFC 9110 §2.5, an HTTP/1.0 client is answered in its own version.
    const start = http10 ? statusLine(status).replace('HTTP/1.1', 'HTTP/1.0') : statusLine(status);
    return `${start}${this.#fields}${framing}${connection}\r\n`;
  }

  /** The head of a 1xx response: it has no content and no framing. */
  informational(head: ResponseHead): string {
    this.#encodeFields(head.headers);
    return `${statusLine(head.status)}${this.#fields}\r\n`;
  }

  /** False where `content-length` is invalid or said twice with different values. */
  #encodeFields(headers: readonly string[]): boolean {
    this.#announcedBytes = -1;
    this.#upgrade = '';
    this.#te = false;
    let fields = '';
    for (let at = 0; at < headers.length; at += 2) {
      const name = headers[at]!;
      const value = headers[at + 1]!;
      switch (name) {
        case 'content-length': {
          const announced = parseContentLength(value);
          const before = this.#announcedBytes;
          if (announced < 0 || (before >= 0 && before !== announced)) return false;
          this.#announcedBytes = announced;
          continue;
        }
        case 'connection':
          // From a filter: the one thing that it can ask for is the end of the connection.
          if (value.toLowerCase() === 'close') this.close = true;
          continue;
        case 'upgrade':
          this.#upgrade = value;
          continue;
        case 'te':
          this.#te = true;
          break;
        case 'transfer-encoding':
        case 'keep-alive':
        case 'proxy-connection':
        case 'host':
          continue;
        default:
      }
      fields += `${name}: ${value}\r\n`;
    }
    this.#fields = fields;
    return true;
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

const CHUNKED = 'transfer-encoding: chunked\r\n';
const NO_LENGTH = 'content-length: 0\r\n';
