/**
 * ALPN names that mean HTTP/2: its own (RFC 9113 §3.2), Istio's between sidecars (PR-11), and ours, which says besides
 * that the other sidecar tells what the app spoke (`x-weft-orig-proto`), so that HTTP/1.1 can ride on it (PR-06).
 */
const HTTP2_NAMES: ReadonlySet<string> = new Set(['h2', 'istio-h2', 'weft-h2']);

export function isHttp2Alpn(protocol: string): boolean {
  return HTTP2_NAMES.has(protocol);
}
