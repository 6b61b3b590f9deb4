/** What the first bytes of a plain-text connection are (PR-02); Envoy's names where there is one. */
export type HttpDetection = 'needMore' | 'http/1.0' | 'http/1.1' | 'h2c' | 'other';

/** Bytes of a request line that are looked at; a longer one is left to the codec's own limits. */
export const REQUEST_LINE_PEEK_BYTES = 8 * 1024;

/** RFC 9113 §3.4. */
const HTTP2_PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

/** Registered methods (RFC 9110 §16.1.2): any other token is a protocol that we do not know. */
const METHODS: readonly Buffer[] = [
  ...['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH'],
  ...['ACL', 'BASELINE-CONTROL', 'BIND', 'CHECKIN', 'CHECKOUT', 'COPY', 'LABEL', 'LINK', 'LOCK'],
  ...['MERGE', 'MKACTIVITY', 'MKCALENDAR', 'MKCOL', 'MKREDIRECTREF', 'MKWORKSPACE', 'MOVE'],
  ...['ORDERPATCH', 'PROPFIND', 'PROPPATCH', 'QUERY', 'REBIND', 'REPORT', 'SEARCH', 'UNBIND'],
  ...['UNCHECKOUT', 'UNLINK', 'UNLOCK', 'UPDATE', 'UPDATEREDIRECTREF', 'VERSION-CONTROL'],
  ...['PURGE', 'NOTIFY', 'SUBSCRIBE', 'UNSUBSCRIBE', 'SOURCE', 'M-SEARCH'],
].map((method) => Buffer.from(`${method} `, 'latin1'));

/**
 * Judges by the whole request line: a method alone would take Redis' `GET key` for HTTP. `bytes` is all
 * that has arrived, from its beginning.
 */
export function detectHttp(bytes: Buffer): HttpDetection {
  if (bytes.length === 0) return 'needMore';
  if (isPrefix(bytes, HTTP2_PREFACE)) {
    return bytes.length < HTTP2_PREFACE.length ? 'needMore' : 'h2c';
  }
  let method: Buffer | null = null;
  for (const candidate of METHODS) {
    if (!isPrefix(bytes, candidate)) continue;
    if (bytes.length < candidate.length) return 'needMore';
    method = candidate;
    break;
  }
  if (method === null) return 'other';
  const end = bytes.subarray(0, REQUEST_LINE_PEEK_BYTES).indexOf(0x0a);
  if (end < 0) return bytes.length < REQUEST_LINE_PEEK_BYTES ? 'needMore' : 'http/1.1';
  const lineEnd = bytes[end - 1] === 0x0d ? end - 1 : end;
  const version = bytes.toString('latin1', Math.max(lineEnd - 9, method.length), lineEnd);
  if (version === ' HTTP/1.1') return 'http/1.1';
  if (version === ' HTTP/1.0') return 'http/1.0';
  return 'other';
}

/** Whether one of the two begins with the other. */
function isPrefix(bytes: Buffer, pattern: Buffer): boolean {
  const length = Math.min(bytes.length, pattern.length);
  return bytes.compare(pattern, 0, length, 0, length) === 0;
}
