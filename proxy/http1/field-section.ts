import { parseContentLength } from '../http/content-length.ts';
import {
  FieldRole,
  fieldNameAt,
  fieldRoleAt,
  forbiddenInTrailers,
  knownFieldName,
} from '../http/field-name.ts';
import { type HeaderBlock, removeHeader } from '../http/header-block.ts';
import type { HeadParser } from './head-parser.ts';
import {
  DIFFERING_CONTENT_LENGTHS,
  FORBIDDEN_TRAILER,
  INVALID_CONTENT_LENGTH,
  INVALID_TRANSFER_ENCODING,
  NO_VIOLATION,
  TOO_MANY_CONNECTION_OPTIONS,
  type Violation,
} from './violation.ts';

/** Connection options that name a field to drop, per message. Each costs a pass over the block. */
const NAMED_FIELDS_MAX = 16;

/**
 * The meaning of one field section: the block for the stream, and apart from it what the codec
 * itself needs (framing, persistence, host, upgrade). One scratch object per connection, filled anew
 * by each `read`.
 *
 * What is dropped: `connection` and what it names, `keep-alive`, `proxy-connection`,
 * `http2-settings`, `upgrade`, `transfer-encoding`, and `te` but for `trailers`. A sender cannot name
 * `host`, `content-length` or `transfer-encoding` away: they are judged before. It cannot strip what
 * the proxy adds either (A2.2): the named fields go when the head arrives, before any filter or
 * policy has seen it, and later stages work on the block that is left.
 */
export class FieldSection {
  headers: HeaderBlock = [];
  hostCount = 0;
  host = '';
  /** -1 where there is none. */
  contentLength = -1;
  chunked = false;
  /** Connection options. */
  close = false;
  keepAlive = false;
  upgradeOption = false;
  /** All `upgrade` values, lower case, joined with `,`; '' where there is none. */
  upgrade = '';
  /** Seconds of `keep-alive: timeout=N`, -1 where it is not said. */
  keepAliveTimeoutS = -1;

  #named: string[] = [];

  /** Fills this object from a complete head. */
  read(parser: HeadParser): Violation {
    this.hostCount = 0;
    this.host = '';
    this.contentLength = -1;
    this.chunked = false;
    this.close = false;
    this.keepAlive = false;
    this.upgradeOption = false;
    this.upgrade = '';
    this.keepAliveTimeoutS = -1;
    if (this.#named.length > 0) this.#named = [];

    const headers: HeaderBlock = [];
    this.headers = headers;
    const { spans, text, bytes, origin, fieldCount } = parser;
    for (let field = 0, span = 0; field < fieldCount; field++, span += 4) {
      const nameStart = spans[span]!;
      const nameEnd = spans[span + 1]!;
      const value = text.substring(spans[span + 2]!, spans[span + 3]!);
      const known = knownFieldName(bytes, origin + nameStart, origin + nameEnd);
      if (known < 0) {
        headers.push(text.substring(nameStart, nameEnd).toLowerCase(), value);
        continue;
      }
      const role = fieldRoleAt(known);
      if (role === FieldRole.EndToEnd) {
        headers.push(fieldNameAt(known), value);
        continue;
      }
      const violation = this.#readOwn(role, fieldNameAt(known), value);
      if (violation !== NO_VIOLATION) return violation;
    }
    for (let at = 0; at < this.#named.length; at++) removeHeader(headers, this.#named[at]!);
    return NO_VIOLATION;
  }

  /** Fills `headers` from a complete trailer section (RFC 9110 §6.5.1). */
  readTrailers(parser: HeadParser): Violation {
    const trailers: HeaderBlock = [];
    this.headers = trailers;
    const { spans, text, bytes, origin, fieldCount } = parser;
    for (let field = 0, span = 0; field < fieldCount; field++, span += 4) {
      const nameStart = spans[span]!;
      const nameEnd = spans[span + 1]!;
      const known = knownFieldName(bytes, origin + nameStart, origin + nameEnd);
      if (forbiddenInTrailers(known)) return FORBIDDEN_TRAILER;
      trailers.push(
        known < 0 ? text.substring(nameStart, nameEnd).toLowerCase() : fieldNameAt(known),
        text.substring(spans[span + 2]!, spans[span + 3]!),
      );
    }
    return NO_VIOLATION;
  }

  #readOwn(role: FieldRole, name: string, value: string): Violation {
    switch (role) {
      case FieldRole.Host:
        this.hostCount++;
        this.host = value;
        return NO_VIOLATION;
      case FieldRole.ContentLength: {
        const length = parseContentLength(value);
        if (length < 0) return INVALID_CONTENT_LENGTH;
        if (this.contentLength >= 0) {
          // RFC 9112 §6.3: equal repetitions are one; the copy is dropped.
          return this.contentLength === length ? NO_VIOLATION : DIFFERING_CONTENT_LENGTHS;
        }
        this.contentLength = length;
        this.headers.push(name, value);
        return NO_VIOLATION;
      }
      case FieldRole.TransferEncoding:
        if (this.chunked || !equalsIgnoreCase(value, 'chunked')) return INVALID_TRANSFER_ENCODING;
        this.chunked = true;
        return NO_VIOLATION;
      case FieldRole.Connection:
        return this.#readConnection(value);
      case FieldRole.Te:
        if (hasTrailersMember(value)) this.headers.push(name, 'trailers');
        return NO_VIOLATION;
      case FieldRole.Upgrade:
        this.upgrade += (this.upgrade === '' ? '' : ',') + value.toLowerCase();
        return NO_VIOLATION;
      case FieldRole.HopByHop:
        if (name === 'keep-alive') this.keepAliveTimeoutS = parseKeepAliveTimeout(value);
        return NO_VIOLATION;
      case FieldRole.EndToEnd:
        return NO_VIOLATION;
    }
  }

  /** RFC 9110 §7.6.1. A member that is no token names no field and is passed over. */
  #readConnection(value: string): Violation {
    // What nearly everybody says needs no taking apart.
    if (value === 'keep-alive' || value === 'close') return this.#readOption(value);
    const options = value.toLowerCase();
    for (let at = 0; at <= options.length; ) {
      const comma = options.indexOf(',', at);
      const end = comma < 0 ? options.length : comma;
      const option = options.substring(at, end).trim();
      at = end + 1;
      const violation = this.#readOption(option);
      if (violation !== NO_VIOLATION) return violation;
    }
    return NO_VIOLATION;
  }

  #readOption(option: string): Violation {
    switch (option) {
      case 'close':
        this.close = true;
        break;
      case 'keep-alive':
        this.keepAlive = true;
        break;
      case 'upgrade':
        this.upgradeOption = true;
        break;
      case '':
      case 'te':
      case 'host':
      case 'content-length':
      case 'transfer-encoding':
        break;
      default:
        if (this.#named.length === NAMED_FIELDS_MAX) return TOO_MANY_CONNECTION_OPTIONS;
        this.#named.push(option);
    }
    return NO_VIOLATION;
  }
}

function equalsIgnoreCase(value: string, lowerCase: string): boolean {
  return value.length === lowerCase.length && value.toLowerCase() === lowerCase;
}

/** Whether a `te` value lists `trailers` (RFC 9110 §10.1.4). */
function hasTrailersMember(value: string): boolean {
  if (value === 'trailers') return true;
  const members = value.toLowerCase().split(',', 16);
  return members.some((member) => member.trim() === 'trailers');
}

/** The `timeout` parameter of a Keep-Alive value in seconds (RFC 2068 §19.7.1), or -1. */
function parseKeepAliveTimeout(value: string): number {
  const lower = value.toLowerCase();
  const at = lower.indexOf('timeout=');
  if (at < 0) return -1;
  let seconds = -1;
  for (let digit = at + 8; digit < lower.length && digit < at + 15; digit++) {
    const code = lower.charCodeAt(digit) - 0x30;
    if (code < 0 || code > 9) break;
    seconds = (seconds < 0 ? 0 : seconds * 10) + code;
  }
  return seconds;
}
