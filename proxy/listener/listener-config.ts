import type { ConnectionManagerConfig } from '../connection-manager/connection-manager-config.ts';
import type { AccessLogSink } from '../observe/access-log.ts';
import type { HostPort } from '../tcp/socket-address.ts';
import type { DownstreamTlsConfig } from '../tls/tls-config.ts';

/** A compiled `envoy.config.listener.v3.Listener`. Built only by `xds/`. */
export interface ListenerConfig {
  readonly name: string;
  readonly version: string;
  readonly address: string;
  readonly port: number;
  /** `additional_addresses`: bound, and owned, like the first one. */
  readonly additionalAddresses: readonly HostPort[];
  /** False: takes only connections handed over by original destination. */
  readonly bindToPort: boolean;
  /** `ignore_global_conn_limit`: takes connections beyond what all listeners together may hold; they count all the same. */
  readonly ignoresConnectionsMax: boolean;
  /** Hand connections to the listener that owns their original destination. */
  readonly useOriginalDst: boolean;
  readonly direction: 'INBOUND' | 'OUTBOUND' | 'UNSPECIFIED';
  /** tls_inspector present: look for a ClientHello. */
  readonly inspectTls: boolean;
  /** http_inspector present: look for an HTTP request line or preface (PR-02). */
  readonly inspectHttp: boolean;
  /** Milliseconds to decide, default 15 000; 0 = wait for ever (server-first never decides). */
  readonly inspectTimeoutMs: number;
  /** After the timeout go on with what is known, else close. */
  readonly continueOnInspectTimeout: boolean;
  /** Bytes, `per_connection_buffer_limit_bytes`, default 1 MiB: the high watermark of its sockets. */
  readonly bufferBytesMax: number;
  readonly filterChains: readonly FilterChainConfig[];
  readonly defaultFilterChain: FilterChainConfig | null;
  /** Connections that matched no chain. */
  readonly accessLogs: readonly AccessLogSink[];
}

/** Every address that it has, the first one first. */
export function listenerAddresses({
  address,
  port,
  additionalAddresses,
}: ListenerConfig): readonly HostPort[] {
  return [{ host: address, port }, ...additionalAddresses];
}

export interface FilterChainConfig {
  readonly name: string;
  readonly match: FilterChainMatchConfig;
  /** null = plain text. */
  readonly tls: DownstreamTlsConfig | null;
  /** Milliseconds for the TLS handshake, `transport_socket_connect_timeout`, default 10 000 (A1.9). */
  readonly transportConnectTimeoutMs: number;
  readonly filter: NetworkFilterConfig;
}

/** Empty lists and 0 match anything. Order of criteria is Envoy's: port, prefix, server name, transport, ALPN, source. */
export interface FilterChainMatchConfig {
  readonly destinationPort: number;
  readonly prefixRanges: readonly string[];
  /** Exact or `*.suffix`, lower case. */
  readonly serverNames: readonly string[];
  readonly transportProtocol: '' | 'tls' | 'raw_buffer';
  readonly applicationProtocols: readonly string[];
  readonly sourcePrefixRanges: readonly string[];
}

export type NetworkFilterConfig =
  | { readonly kind: 'httpConnectionManager'; readonly config: ConnectionManagerConfig }
  | { readonly kind: 'tcpProxy'; readonly config: TcpProxyConfig };

/** envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy. */
export interface TcpProxyConfig {
  readonly statPrefix: string;
  /** Weights per connection. */
  readonly clusters: readonly { readonly name: string; readonly weight: number }[];
  readonly weightTotal: number;
  /** `ip:port` of the one endpoint of the cluster that was dialled, whatever its health; '' = by the cluster's policy. */
  readonly endpoint: string;
  /** Default 3 600 000, 0 = off (RS-11). */
  readonly idleTimeoutMs: number;
  /** `max_connect_attempts`, default 1. */
  readonly connectAttemptsMax: number;
  readonly accessLogs: readonly AccessLogSink[];
}
