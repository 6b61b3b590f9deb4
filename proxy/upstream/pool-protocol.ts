import type { RequestHead } from '../http/message.ts';
import { isHttp2Alpn } from '../tls/http2-alpn.ts';
import type { UpstreamTlsConfig } from '../tls/tls-config.ts';
import type { ClusterConfig } from './cluster-config.ts';

/**
 * What the connections of one pool speak: one version, or what ALPN agrees on. An endpoint has at most one pool
 * of each, so that an upgrade can have an HTTP/1.1 connection of its own beside a shared HTTP/2 one.
 */
export type PoolProtocol = 'HTTP1' | 'HTTP2' | 'ALPN';

/** The pool of an endpoint that takes a request. */
export function poolProtocol(
  configured: ClusterConfig['httpProtocol'],
  head: RequestHead,
): PoolProtocol {
  switch (configured) {
    case 'DOWNSTREAM':
      return head.originalVersion === 'HTTP/2' ? 'HTTP2' : 'HTTP1';
    case 'ALPN':
      // What becomes a tunnel takes its connection for itself, which HTTP/1.1 does by nature (PR-09).
      return head.upgrade === '' ? 'ALPN' : 'HTTP1';
    default:
      return configured;
  }
}

/** Whether a connection of a pool speaks HTTP/2, by what TLS agreed on (`''` = nothing, or no TLS). */
export function speaksHttp2(protocol: PoolProtocol, alpnProtocol: string): boolean {
  return protocol === 'HTTP2' || (protocol === 'ALPN' && isHttp2Alpn(alpnProtocol));
}

const NO_NAMES: readonly string[] = [];
/** Envoy's fallbacks where a cluster names no ALPN protocols. */
const FALLBACK: Readonly<Record<PoolProtocol, readonly string[]>> = {
  HTTP1: NO_NAMES,
  HTTP2: ['h2'],
  ALPN: ['h2', 'http/1.1'],
};

const made: Readonly<Record<PoolProtocol, WeakMap<UpstreamTlsConfig, UpstreamTlsConfig>>> = {
  HTTP1: new WeakMap(),
  HTTP2: new WeakMap(),
  ALPN: new WeakMap(),
};

/**
 * The TLS of a pool: the cluster's, offering no version that the pool does not speak. The same object for the
 * same `tls`, by which contexts are kept.
 */
export function poolTls(
  tls: UpstreamTlsConfig | null,
  protocol: PoolProtocol,
): UpstreamTlsConfig | null {
  if (tls === null) return null;
  const offered = offeredProtocols(tls.alpnProtocols, protocol);
  if (offered === tls.alpnProtocols) return tls;
  let pool = made[protocol].get(tls);
  if (pool === undefined) {
    pool = { ...tls, alpnProtocols: offered };
    made[protocol].set(tls, pool);
  }
  return pool;
}

function offeredProtocols(
  configured: readonly string[],
  protocol: PoolProtocol,
): readonly string[] {
  if (configured.length === 0) return FALLBACK[protocol];
  if (protocol !== 'HTTP1' || !configured.some(isHttp2Alpn)) return configured;
  return configured.filter((name) => !isHttp2Alpn(name));
}
