import { type Http2ClientOptions, http2ClientOptions } from '../http2/connection-options.ts';
import { configuredOptions } from '../http2/http2-settings.ts';
import type { Http2Keepalive } from '../tcp/http2-timers.ts';
import { SHARED_HTTP2_ALPN } from '../tls/http2-alpn.ts';
import type { ClusterConfig } from './cluster-config.ts';
import type { ConnectorDeps } from './connector.ts';

const optionsMade = new WeakMap<ClusterConfig, Http2ClientOptions>();

/** Made once for a configuration: its connections share them. */
export function clientOptions(config: ClusterConfig, deps: ConnectorDeps): Http2ClientOptions {
  let options = optionsMade.get(config);
  if (options === undefined) {
    options = http2ClientOptions({
      ...configuredOptions(config.http2),
      nowMs: () => deps.timers.clock.nowMs(),
    });
    optionsMade.set(config, options);
  }
  return options;
}

/**
 * Between Weft's sidecars, where one connection carries so much that a peer which vanished without a word has to be
 * found out soon. Servers that are not ours may take unasked PINGs for an attack (gRPC's do).
 */
const SHARED_KEEPALIVE: Http2Keepalive = Object.freeze({
  keepaliveIntervalMs: 15_000,
  keepaliveTimeoutMs: 10_000,
});

/** PINGs on a connection for which TLS has agreed on `alpnProtocol`. */
export function keepaliveOf({ http2 }: ClusterConfig, alpnProtocol: string): Http2Keepalive {
  const own = http2.keepaliveIntervalMs > 0 || alpnProtocol !== SHARED_HTTP2_ALPN;
  return own ? http2 : SHARED_KEEPALIVE;
}
