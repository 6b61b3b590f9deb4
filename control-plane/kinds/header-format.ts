import type { TextFormat } from './schema.ts';

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,256}$/;
/** Framing and connection management belong to the proxy: setting them would make two readings of one message. */
const PROXY_OWNED = new Set([
  'connection',
  'content-length',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** Header to match on: field-name of RFC 9110 §5.1, or a pseudo-header. */
export const MATCH_HEADER: TextFormat = {
  name: 'header-name',
  check: (text) => {
    if (/^:(?:method|path|authority|scheme)$/.test(text)) return undefined;
    return TOKEN.test(text) ? undefined : 'is not a header name';
  },
};

/** Response headers, and request headers to remove: never `host` or pseudo-headers. */
export const PLAIN_HEADER: TextFormat = {
  name: 'header-name',
  check: (text) => {
    if (text.startsWith(':') || text.toLowerCase() === 'host') {
      return 'cannot be changed here; use rewrite.authority or headers.request.set.host';
    }
    if (PROXY_OWNED.has(text.toLowerCase()))
      return 'frames the message and is set by the proxy alone';
    return TOKEN.test(text) ? undefined : 'is not a header name';
  },
};

/** Request headers to set or add: `host` and `:authority` are allowed (TM-13). */
export const REQUEST_HEADER: TextFormat = {
  name: 'header-name',
  check: (text) => (isAuthorityHeader(text) ? undefined : PLAIN_HEADER.check(text)),
};

/** field-value of RFC 9110 §5.5; `%COMMAND(x)%` stands for a value of the request. */
export const HEADER_VALUE: TextFormat = {
  name: 'header-value',
  check: (text) => {
    if (/[^\t\x20-\x7e\x80-\xff]/.test(text)) return 'holds characters that no header may carry';
    return /^[ \t]|[ \t]$/.test(text) ? 'must not begin or end with a blank' : undefined;
  },
};

export const METHOD: TextFormat = {
  name: 'method',
  check: (text) => (TOKEN.test(text) ? undefined : 'is not an HTTP method'),
};

export function isAuthorityHeader(name: string): boolean {
  const lower = name.toLowerCase();
  return lower === 'host' || lower === ':authority';
}
