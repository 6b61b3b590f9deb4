import { parseContentLength } from '../http/content-length.ts';
import { isForbiddenTrailerName } from '../http/field-name.ts';
import type { HeaderBlock } from '../http/header-block.ts';
import { FieldKind } from './hpack/field-kind.ts';
import type { HpackDecoder } from './hpack/hpack-decoder.ts';
import {
  CONNECTION_SPECIFIC_FIELD,
  DUPLICATE_PSEUDO_HEADER,
  HEADERS_TOO_LARGE,
  HOST_DIFFERS,
  INVALID_CONTENT_LENGTH,
  INVALID_FIELD,
  INVALID_TE,
  NO_VIOLATION,
  PSEUDO_HEADER_AFTER_FIELD,
  TOO_MANY_HEADERS,
  TRAILERS_TOO_LARGE,
  UNEXPECTED_PSEUDO_HEADER,
  type Violation,
} from './violation.ts';

/** Which pseudo-header fields a section may have, as a set of bits `1 << FieldKind`. */
export const SectionKind = {
  Request:
    (1 << FieldKind.Method) |
    (1 << FieldKind.Scheme) |
    (1 << FieldKind.Authority) |
    (1 << FieldKind.Path) |
    (1 << FieldKind.Protocol),
  Response: 1 << FieldKind.Status,
  Trailers: 0,
} as const;
export type SectionKind = (typeof SectionKind)[keyof typeof SectionKind];

/**
 * The meaning of one decoded field section: the block for the stream, and apart from it what the
 * codec itself needs. One scratch object per connection, filled anew by each `read`.
 *
 * A section that has a connection-specific field, an invalid one or a pseudo-header in the wrong place
 * is malformed (RFC 9113 §8.2, §8.3): nothing is dropped to make it fit. Cookie crumbs are joined
 * (§8.2.3), equal repetitions of `content-length` are one (RFC 9110 §8.6).
 */
export class FieldSection {
  headers: HeaderBlock = [];
  /** The pseudo-header fields that are there, and `host`, as bits `1 << FieldKind`. */
  seen = 0;
  method = '';
  scheme = '';
  authority = '';
  path = '';
  protocol = '';
  status = '';
  /** The `host` field: it has to say what `:authority` says. */
  host = '';
  /** -1 where there is none. */
  contentLength = -1;
  /** Of the decoder: names that may not be indexed further on. */
  neverIndexed: ReadonlySet<string> | null = null;

  has(kind: FieldKind): boolean {
    return (this.seen & (1 << kind)) !== 0;
  }

  /** Leaves the strings of the latest section to their owner. */
  clear(): void {
    this.headers = NO_HEADERS;
  }

  read(decoder: HpackDecoder, section: SectionKind): Violation {
    const trailers = section === SectionKind.Trailers;
    if (decoder.tooLarge) return trailers ? TRAILERS_TOO_LARGE : HEADERS_TOO_LARGE;
    if (decoder.tooMany) return trailers ? TRAILERS_TOO_LARGE : TOO_MANY_HEADERS;
    this.seen = 0;
    this.method = '';
    this.scheme = '';
    this.authority = '';
    this.path = '';
    this.protocol = '';
    this.status = '';
    this.host = '';
    this.contentLength = -1;
    this.neverIndexed = decoder.neverIndexed;
    const headers: HeaderBlock = [];
    this.headers = headers;
    const { fields, kinds, count } = decoder;
    let hosts = 0;
    let cookieAt = -1;
    let ordinary = false;
    for (let field = 0; field < count; field++) {
      const kind = kinds[field]! as FieldKind;
      const name = fields[2 * field]!;
      const value = fields[2 * field + 1]!;
      switch (kind) {
        case FieldKind.Regular:
          // What arrives after policy has decided is dropped where it would matter (RFC 9110 §6.5.1).
          if (!trailers || !isForbiddenTrailerName(name)) headers.push(name, value);
          ordinary = true;
          break;
        case FieldKind.Invalid:
          return INVALID_FIELD;
        case FieldKind.ConnectionSpecific:
          return CONNECTION_SPECIFIC_FIELD;
        case FieldKind.Dropped:
          ordinary = true;
          break;
        case FieldKind.Te:
          if (value !== 'trailers') return INVALID_TE;
          if (!trailers) headers.push(name, value);
          ordinary = true;
          break;
        case FieldKind.Host:
          if (hosts++ > 0 && value !== this.host) return HOST_DIFFERS;
          this.seen |= 1 << FieldKind.Host;
          this.host = value;
          ordinary = true;
          break;
        case FieldKind.ContentLength: {
          const length = parseContentLength(value);
          if (length < 0) return INVALID_CONTENT_LENGTH;
          if (this.contentLength < 0) {
            this.contentLength = length;
            if (!trailers) headers.push(name, value);
          } else if (this.contentLength !== length) {
            return INVALID_CONTENT_LENGTH;
          }
          ordinary = true;
          break;
        }
        case FieldKind.Cookie:
          if (cookieAt >= 0) headers[cookieAt] += `; ${value}`;
          else if (!trailers) cookieAt = headers.push(name, value) - 1;
          ordinary = true;
          break;
        default: {
          const bit = 1 << kind;
          if ((section & bit) === 0) return UNEXPECTED_PSEUDO_HEADER;
          if (ordinary) return PSEUDO_HEADER_AFTER_FIELD;
          if ((this.seen & bit) !== 0) return DUPLICATE_PSEUDO_HEADER;
          this.seen |= bit;
          this.#keep(kind, value);
        }
      }
    }
    return NO_VIOLATION;
  }

  #keep(kind: FieldKind, value: string): void {
    switch (kind) {
      case FieldKind.Method:
        this.method = value;
        return;
      case FieldKind.Scheme:
        this.scheme = value;
        return;
      case FieldKind.Authority:
        this.authority = value;
        return;
      case FieldKind.Path:
        this.path = value;
        return;
      case FieldKind.Protocol:
        this.protocol = value;
        return;
      case FieldKind.Status:
        this.status = value;
        return;
    }
  }
}

const NO_HEADERS: HeaderBlock = [];
