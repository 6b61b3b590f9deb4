import type { RequestHead } from '../http/message.ts';
import { isHttp2Alpn, SHARED_HTTP2_ALPN } from '../tls/http2-alpn.ts';
import type { UpstreamTlsConfig } from '../tls/tls-config.ts';
import type { ClusterConfig } from './cluster-config.ts';

/**
 * What the connections of one pool speak. An endpoint has at most one pool of each kind:
 *
 *     HTTP1   HTTP/1.1; offers no ALPN name of HTTP/2
 *     HTTP2   HTTP/2; in plain text with prior knowledge (RFC 9113 §3.3)
 *     ALPN    what TLS agrees on (`auto_config`), HTTP/1.1 in plain text
 *     SHARED  to a sidecar, for requests of HTTP/1.1: HTTP/2 where it can tell them apart, else HTTP/1.1
 */
export type PoolProtocol = 'HTTP1' | 'HTTP2' | 'ALPN' | 'SHARED';

export const POOL_PROTOCOLS: readonly PoolProtocol[] = ['HTTP1', 'HTTP2', 'ALPN', 'SHARED'];

/**
 * The pool that takes a request. `shared`: the endpoint's TLS offers to carry HTTP/1.1 over HTTP/2. What becomes a
 * tunnel takes its connection for itself, which is HTTP/1.1 where the cluster leaves a choice (PR-09).
 */
export function poolProtocol(
  configured: ClusterConfig['httpProtocol'],
  shared: boolean,
  head: RequestHead,
): PoolProtocol {
  switch (configured) {
    case 'HTTP2':
      return 'HTTP2';
    case 'ALPN':
      return head.upgrade === '' ? 'ALPN' : 'HTTP1';
    case 'DOWNSTREAM':
      if (head.originalVersion === 'HTTP/2') return 'HTTP2';
      return shared && head.upgrade === '' ? 'SHARED' : 'HTTP1';
    case 'HTTP1':
      return shared && head.upgrade === '' ? 'SHARED' : 'HTTP1';
  }
}

/** Whether a connection of a pool speaks HTTP/2, by what TLS agreed on (`''` = nothing, or no TLS). */
export function speaksHttp2(protocol: PoolProtocol, alpnProtocol: string): boolean {
  switch (protocol) {
    case 'HTTP1':
      return false;
    case 'HTTP2':
      return true;
    default:
      return isHttp2Alpn(alpnProtocol);
  }
}

/** Whether HTTP/1.1 may be carried over HTTP/2 to who is at the other end of such TLS (PR-06). */
export function offersSharing(tls: UpstreamTlsConfig | null): boolean {
  return tls?.alpnProtocols.includes(SHARED_HTTP2_ALPN) ?? false;
}

const made: Readonly<Record<PoolProtocol, WeakMap<UpstreamTlsConfig, UpstreamTlsConfig>>> = {
  HTTP1: new WeakMap(),
  HTTP2: new WeakMap(),
  ALPN: new WeakMap(),
  SHARED: new WeakMap(),
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
  let pool = made[protocol].get(tls);
  if (pool === undefined) {
    pool = { ...tls, alpnProtocols: offered(tls.alpnProtocols, protocol) };
    made[protocol].set(tls, pool);
  }
  return pool;
}

/** Without names of the cluster HTTP/1.1 offers none, and the others what Envoy falls back to. */
function offered(configured: readonly string[], protocol: PoolProtocol): readonly string[] {
  const none = configured.length === 0;
  switch (protocol) {
    case 'HTTP1':
      return configured.filter((name) => !isHttp2Alpn(name));
    case 'HTTP2':
      return none ? ['h2'] : configured.filter(isHttp2Alpn);
    case 'ALPN':
      return none ? ['h2', 'http/1.1'] : configured;
    case 'SHARED':
      return configured.filter((name) => name === SHARED_HTTP2_ALPN || !isHttp2Alpn(name));
  }
}
