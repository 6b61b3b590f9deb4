import type { UpstreamTlsConfig } from '../tls/tls-config.ts';

/** ALPN by which sidecars tell each other that HTTP is inside, and that opaque bytes are (as Istio's). */
const MESH_HTTP = /^(?:istio-(?:http\/1\.[01]|h2)|weft-h2)$/;
const MESH_TCP: readonly string[] = ['istio'];

const made = new WeakMap<UpstreamTlsConfig, UpstreamTlsConfig>();

/**
 * Mesh TLS as it has to be around opaque bytes (PR-11). A cluster of a port whose protocol is not said carries both, and
 * its TLS names HTTP: the other sidecar would wait for a request that never comes. Any other TLS stays as it is. The
 * same object for the same `tls`, by which contexts are kept.
 */
export function opaqueTls(tls: UpstreamTlsConfig | null): UpstreamTlsConfig | null {
  if (tls === null || !tls.alpnProtocols.some((protocol) => MESH_HTTP.test(protocol))) return tls;
  let opaque = made.get(tls);
  if (opaque === undefined) {
    opaque = { ...tls, alpnProtocols: MESH_TCP };
    made.set(tls, opaque);
  }
  return opaque;
}
