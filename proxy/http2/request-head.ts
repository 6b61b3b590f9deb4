import { isAuthority, isAuthorityWithPort, isSameAuthority } from '../http/authority.ts';
import { RequestHead } from '../http/message.ts';
import type { FieldSection } from './field-section.ts';
import { isPath, isToken } from './grammar.ts';
import { FieldKind } from './hpack/field-kind.ts';
import {
  HOST_DIFFERS,
  INVALID_AUTHORITY,
  INVALID_CONNECT,
  INVALID_METHOD,
  INVALID_PATH,
  INVALID_SCHEME,
  MISSING_AUTHORITY,
  MISSING_PSEUDO_HEADER,
  NO_VIOLATION,
  type Violation,
} from './violation.ts';
import { addWebSocketKey } from './websocket-handshake.ts';

/**
 * Makes the request head from a field section: pseudo-header fields (RFC 9113 §8.3.1), CONNECT (§8.5)
 * and extended CONNECT (RFC 8441 §4). One per server connection; `take` gives the head where `read`
 * gave NO_VIOLATION.
 *
 * Stricter than the RFC in that a request needs an authority, from `:authority` or `host`: without
 * one there is nothing to route by.
 */
export class RequestHeadReader {
  #head: RequestHead = NO_HEAD;
  /** The last ones found valid: a connection mostly repeats them. */
  #validMethod = 'GET';
  #validAuthority = '';
  readonly #extendedConnect: boolean;

  /** `extendedConnect`: our SETTINGS_ENABLE_CONNECT_PROTOCOL. */
  constructor(extendedConnect: boolean) {
    this.#extendedConnect = extendedConnect;
  }

  /** The head read last; it is not kept, so that an idle connection holds none. */
  take(): RequestHead {
    const head = this.#head;
    this.#head = NO_HEAD;
    return head;
  }

  read(fields: FieldSection): Violation {
    const { method } = fields;
    if (!fields.has(FieldKind.Method)) return MISSING_PSEUDO_HEADER;
    if (method !== this.#validMethod) {
      if (!KNOWN_METHODS.has(method) && !isToken(method)) return INVALID_METHOD;
      this.#validMethod = method;
    }
    const violation = this.#readAuthority(fields);
    if (violation !== NO_VIOLATION) return violation;
    const { scheme, path } = fields;
    const head = new RequestHead(method, scheme, fields.authority, path, fields.headers, 'HTTP/2');
    head.contentLength = fields.contentLength;
    head.neverIndexed = fields.neverIndexed;
    this.#head = head;
    if (method === 'CONNECT' && !fields.has(FieldKind.Protocol)) return readConnect(head, fields);
    if (!fields.has(FieldKind.Scheme) || !fields.has(FieldKind.Path)) return MISSING_PSEUDO_HEADER;
    if (scheme !== 'http' && scheme !== 'https') return INVALID_SCHEME;
    if (!isPath(path) && !(path === '*' && method === 'OPTIONS')) return INVALID_PATH;
    if (fields.has(FieldKind.Protocol)) return this.#readExtendedConnect(head, fields);
    return NO_VIOLATION;
  }

  #readAuthority(fields: FieldSection): Violation {
    // §8.3.1: both may be there if they agree; `host` alone comes from an HTTP/1.1 hop.
    if (!fields.has(FieldKind.Authority)) fields.authority = fields.host;
    else if (fields.has(FieldKind.Host) && !hostAgrees(fields)) return HOST_DIFFERS;
    const { authority } = fields;
    if (authority === this.#validAuthority && authority !== '') return NO_VIOLATION;
    if (authority === '') return MISSING_AUTHORITY;
    if (!isAuthority(authority)) return INVALID_AUTHORITY;
    this.#validAuthority = authority;
    return NO_VIOLATION;
  }

  /** The head becomes that of an HTTP/1.1 upgrade: GET, with the protocol in `upgrade`. */
  #readExtendedConnect(head: RequestHead, fields: FieldSection): Violation {
    const protocol = fields.protocol.toLowerCase();
    if (!this.#extendedConnect || head.method !== 'CONNECT') return INVALID_CONNECT;
    if (!isToken(protocol) || protocol === 'connect' || protocol === 'h2c') return INVALID_CONNECT;
    if (fields.contentLength >= 0) return INVALID_CONNECT;
    head.method = 'GET';
    head.upgrade = protocol;
    addWebSocketKey(head);
    return NO_VIOLATION;
  }
}

/** Whether `host` names the entity that `:authority` names, by scheme-based normalisation (§8.3.1). */
function hostAgrees(fields: FieldSection): boolean {
  const { host, authority, scheme } = fields;
  if (host === authority) return true;
  const defaultPort = scheme === 'http' ? 80 : scheme === 'https' ? 443 : 0;
  return isSameAuthority(host, authority, defaultPort);
}

/** §8.5: no scheme, no path, and a port to connect to. */
function readConnect(head: RequestHead, fields: FieldSection): Violation {
  if (fields.has(FieldKind.Scheme) || fields.has(FieldKind.Path)) return INVALID_CONNECT;
  if (!isAuthorityWithPort(head.authority) || fields.contentLength >= 0) return INVALID_CONNECT;
  head.scheme = 'http';
  head.upgrade = 'connect';
  return NO_VIOLATION;
}

const KNOWN_METHODS: ReadonlySet<string> = new Set([
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'PATCH',
  'DELETE',
  'OPTIONS',
  'CONNECT',
]);

const NO_HEAD = new RequestHead('', '', '', '', [], 'HTTP/2');
