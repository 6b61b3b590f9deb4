/**
 * Between Weft's sidecars: HTTP/2 that carries requests of any version. `x-weft-orig-proto` tells what the caller's app
 * spoke, so that the other app is asked in the same (PR-06). Istio's `istio-h2` does not promise that.
 */
export const SHARED_HTTP2_ALPN = 'weft-h2';

/** ALPN names that mean HTTP/2: its own (RFC 9113 §3.2), Istio's between sidecars (PR-11), and ours. */
const HTTP2_NAMES: ReadonlySet<string> = new Set(['h2', 'istio-h2', SHARED_HTTP2_ALPN]);

export function isHttp2Alpn(protocol: string): boolean {
  return HTTP2_NAMES.has(protocol);
}
