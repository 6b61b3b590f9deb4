import { isAuthority, isAuthorityWithPort } from '../http/authority.ts';
import { removeHeader } from '../http/header-block.ts';
import { RequestHead } from '../http/message.ts';
import type { FieldSection } from './field-section.ts';
import type { HeadParser } from './head-parser.ts';
import {
  DUPLICATE_HOST,
  INVALID_CONNECT,
  INVALID_HOST,
  INVALID_TARGET,
  LENGTH_AND_TRANSFER_ENCODING,
  MISSING_HOST,
  NO_VIOLATION,
  TRANSFER_ENCODING_NOT_ALLOWED,
  type Violation,
} from './violation.ts';

/**
 * Makes the request head from a parsed section: target form and authority (RFC 9112 §3.2), Host
 * (§3.2, §3.2.2), body framing (§6.3) and upgrade (RFC 9110 §7.8). One per server connection; `take`
 * gives the head where `read` gave NO_VIOLATION.
 */
export class RequestHeadReader {
  #head: RequestHead = NO_HEAD;
  /** The last Host found valid: a connection mostly repeats it. */
  #validHost = '';
  readonly #scheme: string;

  /** `scheme`: what the connection is, `http` or `https`; an absolute-form target overrides it. */
  constructor(scheme: string) {
    this.#scheme = scheme;
  }

  /** The head read last; it is not kept, so that an idle connection holds none. */
  take(): RequestHead {
    const head = this.#head;
    this.#head = NO_HEAD;
    return head;
  }

  read(parser: HeadParser, fields: FieldSection): Violation {
    const { text, minor } = parser;
    const method = methodOf(text, parser.methodEnd);
    const target = text.substring(parser.methodEnd + 1, parser.targetEnd);

    if (fields.hostCount > 1) return DUPLICATE_HOST;
    if (fields.hostCount === 0 && minor === 1) return MISSING_HOST;
    if (fields.host !== this.#validHost && fields.host !== '') {
      if (!isAuthority(fields.host)) return INVALID_HOST;
      this.#validHost = detached(fields.host);
    }
    if (fields.chunked) {
      if (minor === 0) return TRANSFER_ENCODING_NOT_ALLOWED;
      if (fields.contentLength >= 0) return LENGTH_AND_TRANSFER_ENCODING;
    }

    const head = new RequestHead(
      method,
      this.#scheme,
      fields.host,
      target,
      fields.headers,
      minor === 1 ? 'HTTP/1.1' : 'HTTP/1.0',
    );
    head.contentLength = fields.contentLength;
    this.#head = head;

    if (method === 'CONNECT') return readConnect(head, fields, minor);
    if (target.charCodeAt(0) !== SLASH) {
      if (target === '*') {
        if (method !== 'OPTIONS') return INVALID_TARGET;
      } else {
        const violation = readAbsoluteForm(head);
        if (violation !== NO_VIOLATION) return violation;
      }
    }
    // RFC 9110 §4.2.1: an http(s) URI has a host. An absolute-form target has brought its own by now.
    if (head.authority === '' && minor === 1) return INVALID_HOST;
    if (fields.upgradeOption && fields.upgrade !== '') readUpgrade(head, fields, minor);
    return NO_VIOLATION;
  }
}

const SLASH = 0x2f;

const NO_HEAD = new RequestHead('', '', '', '', [], 'HTTP/1.1');

/** A copy that does not keep the head alive which `text` was cut out of. */
function detached(text: string): string {
  return Buffer.from(text, 'latin1').toString('latin1');
}

/** The usual methods as one string each. */
function methodOf(text: string, length: number): string {
  switch (length) {
    case 3:
      if (text.startsWith('GET')) return 'GET';
      if (text.startsWith('PUT')) return 'PUT';
      break;
    case 4:
      if (text.startsWith('POST')) return 'POST';
      if (text.startsWith('HEAD')) return 'HEAD';
      break;
    case 5:
      if (text.startsWith('PATCH')) return 'PATCH';
      break;
    case 6:
      if (text.startsWith('DELETE')) return 'DELETE';
      break;
    case 7:
      if (text.startsWith('OPTIONS')) return 'OPTIONS';
      if (text.startsWith('CONNECT')) return 'CONNECT';
      break;
  }
  return text.substring(0, length);
}

/**
 * CONNECT takes authority-form only and no content (RFC 9112 §3.2.3, RFC 9110 §9.3.6): content would
 * be the first bytes of the tunnel to one reader and a body to the other. HTTP/1.0 had no CONNECT.
 */
function readConnect(head: RequestHead, fields: FieldSection, minor: number): Violation {
  if (minor === 0 || !isAuthorityWithPort(head.path)) return INVALID_CONNECT;
  if (fields.chunked || fields.contentLength > 0) return INVALID_CONNECT;
  head.authority = head.path;
  head.path = '';
  head.upgrade = 'connect';
  head.contentLength = -1;
  removeHeader(head.headers, 'content-length');
  return NO_VIOLATION;
}

/**
 * Absolute-form (RFC 9112 §3.2.2): the authority of the target replaces the Host that came with it.
 * Userinfo is refused (RFC 9110 §4.2.4), as is any scheme but http and https.
 */
function readAbsoluteForm(head: RequestHead): Violation {
  const target = head.path;
  const schemeEnd = target.indexOf('://');
  if (schemeEnd < 4 || schemeEnd > 5) return INVALID_TARGET;
  const scheme = target.substring(0, schemeEnd).toLowerCase();
  if (scheme !== 'http' && scheme !== 'https') return INVALID_TARGET;
  const authorityStart = schemeEnd + 3;
  let authorityEnd = authorityStart;
  for (; authorityEnd < target.length; authorityEnd++) {
    const code = target.charCodeAt(authorityEnd);
    if (code === SLASH || code === 0x3f /* ? */) break;
  }
  const authority = target.substring(authorityStart, authorityEnd);
  if (!isAuthority(authority)) return INVALID_TARGET;
  const rest = target.substring(authorityEnd);
  head.scheme = scheme;
  head.authority = authority;
  head.absoluteForm = true;
  if (rest === '') {
    // RFC 9112 §3.2.4: an OPTIONS for the whole server loses its absolute form as `*`.
    head.path = head.method === 'OPTIONS' ? '*' : '/';
  } else {
    head.path = rest.charCodeAt(0) === SLASH ? rest : `/${rest}`;
  }
  return NO_VIOLATION;
}

/**
 * Sets `head.upgrade`. Ignored, as RFC 9110 §7.8 allows, in HTTP/1.0, for `h2c` (RFC 9113 §3.1 took it
 * out; Envoy strips it too) and where the request has content: the end of the content and the
 * beginning of the tunnel would have to be told apart.
 */
function readUpgrade(head: RequestHead, fields: FieldSection, minor: number): void {
  if (minor === 0 || fields.chunked || fields.contentLength > 0) return;
  const protocols = fields.upgrade
    .split(',', 8)
    .map((protocol) => protocol.trim())
    .filter((protocol) => protocol !== '' && protocol !== 'h2c');
  head.upgrade = protocols.join(',');
}
