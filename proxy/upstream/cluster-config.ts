import type { Http2Settings } from '../http2/http2-settings.ts';
import type { DestinationService, WorkloadMetadata } from '../observe/request-record.ts';
import type { UpstreamTlsConfig } from '../tls/tls-config.ts';

/** A compiled `envoy.config.cluster.v3.Cluster`: defaults applied, units named, frozen. Built only by `xds/`. */
export interface ClusterConfig {
  readonly name: string;
  /** STATIC and EDS take endpoints from assignments, STRICT_DNS resolves them, ORIGINAL_DST has none. */
  readonly discovery: 'STATIC' | 'EDS' | 'STRICT_DNS' | 'ORIGINAL_DST';
  /** `eds_cluster_config.service_name`, else the cluster's name. */
  readonly edsServiceName: string;
  /** RS-10. Envoy's default 5 000, Istio sends 10 000. */
  readonly connectTimeoutMs: number;
  /** LB-01, LB-02. `choices` of LEAST_REQUEST, default 2. */
  readonly lbPolicy: 'ROUND_ROBIN' | 'LEAST_REQUEST' | 'RANDOM';
  readonly leastRequestChoices: number;
  /** Percent, Envoy 50, Istio sends 0. Below it health is ignored (RS-19). */
  readonly panicThresholdPercent: number;
  /** `locality_weighted_lb_config`: the locality is drawn by its weight first; else weights of localities say nothing. */
  readonly localityWeighted: boolean;
  /**
   * `upstream_protocol_options` of HttpProtocolOptions: one version for all, what the caller's app speaks, or what ALPN
   * agrees on, HTTP/1.1 where there is no TLS.
   */
  readonly httpProtocol: 'HTTP1' | 'HTTP2' | 'DOWNSTREAM' | 'ALPN';
  readonly http2: Http2Settings;
  /** `common_http_protocol_options.idle_timeout` of upstream connections, default 3 600 000; 0 = off (RS-11). */
  readonly idleTimeoutMs: number;
  /** Requests after which an upstream connection is closed; 0 = no limit (RS-11). */
  readonly requestsPerConnectionMax: number;
  /** `common_http_protocol_options.max_stream_duration`: what one try may last in all; 0 = no limit. */
  readonly streamDurationMaxMs: number;
  /** Circuit breaker, default priority (RS-13): 2^32−1 stands for off. Envoy 1024/1024/1024/3. */
  readonly connectionsMax: number;
  readonly pendingRequestsMax: number;
  readonly requestsMax: number;
  readonly retriesMax: number;
  /** `transport_socket`, null = plain. */
  readonly tls: UpstreamTlsConfig | null;
  /** `transport_socket_matches` in order: the first whose every pair stands in the endpoint's `envoy.transport_socket_match` wins (SC-01). */
  readonly tlsMatches: readonly TransportSocketMatch[];
  /** STRICT_DNS: milliseconds between resolutions, default 5 000 (DS-03). */
  readonly dnsRefreshMs: number;
  readonly dnsFamily: 'V4_ONLY' | 'V6_ONLY' | 'AUTO';
  /** `upstream_bind_config`: `source_address` and `extra_source_addresses` without port; none = the kernel's choice. */
  readonly bindAddresses: readonly string[];
  /** Milliseconds; 0 = off. `upstream_connection_options.tcp_keepalive`. */
  readonly tcpKeepaliveMs: number;
  readonly assignment: EndpointAssignment;
  /** For `destination_service*`: from cluster metadata `istio.services`, else from the name `outbound|port|subset|host`. */
  readonly service: DestinationService | null;
  /** Version of the resource, for config_dump. */
  readonly version: string;
}

export interface TransportSocketMatch {
  readonly name: string;
  readonly match: ReadonlyMap<string, string>;
  readonly tls: UpstreamTlsConfig | null;
}

/** A compiled ClusterLoadAssignment. */
export interface EndpointAssignment {
  readonly version: string;
  readonly endpoints: readonly EndpointConfig[];
}

export interface EndpointConfig {
  /** IP literal; for STRICT_DNS a host name. */
  readonly address: string;
  readonly port: number;
  /** `hostname`, for `auto_host_rewrite`, or ''. */
  readonly hostname: string;
  readonly health: 'HEALTHY' | 'UNHEALTHY' | 'DRAINING' | 'UNKNOWN';
  /** ≥ 1, relative within the locality (LB-07). */
  readonly weight: number;
  /** Share of the locality where the cluster is `localityWeighted`; 0 = it has none and gets nothing. */
  readonly localityWeight: number;
  readonly locality: string;
  readonly priority: number;
  /** `metadata.filter_metadata["envoy.transport_socket_match"]`. */
  readonly transportSocketMatch: ReadonlyMap<string, string>;
  /** From `metadata.filter_metadata.istio.workload` (`name;namespace;canonical-name;canonical-revision;cluster`). */
  readonly workload: WorkloadMetadata | null;
}
