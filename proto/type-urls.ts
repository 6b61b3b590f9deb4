/** Type URLs as they stand in `Any.type_url` and in discovery requests. */

/** Put before a message's full name; readers ignore what stands before the last slash. */
export const TYPE_URL_PREFIX = 'type.googleapis.com/';

/** Full message name of a type URL: what follows the last slash. */
export function messageNameOf(typeUrl: string): string {
  return typeUrl.slice(typeUrl.lastIndexOf('/') + 1);
}

// Resource types of the discovery service.
export const TYPE_LISTENER = 'type.googleapis.com/envoy.config.listener.v3.Listener';
export const TYPE_ROUTE = 'type.googleapis.com/envoy.config.route.v3.RouteConfiguration';
export const TYPE_CLUSTER = 'type.googleapis.com/envoy.config.cluster.v3.Cluster';
export const TYPE_ENDPOINT = 'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment';
export const TYPE_SECRET = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret';
export const TYPE_EXTENSION = 'type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig';
/** The names that the DNS proxy answers (DS-05). */
export const TYPE_NAME_TABLE = 'type.googleapis.com/istio.networking.nds.v1.NameTable';

/**
 * Not a resource and not a message: an agent sends discovery requests of this type on its ADS stream,
 * with `error_detail` set while its app is unhealthy and without once it is healthy (Istio).
 */
export const TYPE_HEALTH = 'type.googleapis.com/istio.v1.HealthInformation';

// Network filters.
export const TYPE_HTTP_CONNECTION_MANAGER =
  'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager';
export const TYPE_TCP_PROXY =
  'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy';
export const TYPE_NETWORK_RBAC =
  'type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC';
export const TYPE_SNI_CLUSTER =
  'type.googleapis.com/envoy.extensions.filters.network.sni_cluster.v3.SniCluster';

// HTTP filters.
export const TYPE_ROUTER = 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router';
export const TYPE_FAULT = 'type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault';
export const TYPE_GRPC_WEB =
  'type.googleapis.com/envoy.extensions.filters.http.grpc_web.v3.GrpcWeb';
export const TYPE_CORS = 'type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors';
export const TYPE_CORS_POLICY =
  'type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy';
export const TYPE_HTTP_RBAC = 'type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC';
export const TYPE_HTTP_RBAC_PER_ROUTE =
  'type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBACPerRoute';

// Listener filters.
export const TYPE_TLS_INSPECTOR =
  'type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector';
export const TYPE_HTTP_INSPECTOR =
  'type.googleapis.com/envoy.extensions.filters.listener.http_inspector.v3.HttpInspector';
export const TYPE_ORIGINAL_DST =
  'type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst';
export const TYPE_PROXY_PROTOCOL =
  'type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol';

// Transport sockets.
export const TYPE_UPSTREAM_TLS =
  'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext';
export const TYPE_DOWNSTREAM_TLS =
  'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext';
export const TYPE_RAW_BUFFER =
  'type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer';

// Clusters.
export const TYPE_HTTP_PROTOCOL_OPTIONS =
  'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
/** Key of the above in `Cluster.typed_extension_protocol_options`. */
export const HTTP_PROTOCOL_OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';

// Load-balancing policies.
export const TYPE_ROUND_ROBIN =
  'type.googleapis.com/envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin';
export const TYPE_LEAST_REQUEST =
  'type.googleapis.com/envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest';
export const TYPE_RANDOM =
  'type.googleapis.com/envoy.extensions.load_balancing_policies.random.v3.Random';
export const TYPE_RING_HASH =
  'type.googleapis.com/envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash';
export const TYPE_MAGLEV =
  'type.googleapis.com/envoy.extensions.load_balancing_policies.maglev.v3.Maglev';
export const TYPE_WRR_LOCALITY =
  'type.googleapis.com/envoy.extensions.load_balancing_policies.wrr_locality.v3.WrrLocality';

// Retry extensions.
export const TYPE_PREVIOUS_HOSTS =
  'type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate';
export const TYPE_PREVIOUS_PRIORITIES =
  'type.googleapis.com/envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig';

// Access loggers.
export const TYPE_FILE_ACCESS_LOG =
  'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog';
export const TYPE_STDOUT_ACCESS_LOG =
  'type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog';
export const TYPE_STDERR_ACCESS_LOG =
  'type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StderrAccessLog';

// Tracing.
export const TYPE_ZIPKIN_TRACER = 'type.googleapis.com/envoy.config.trace.v3.ZipkinConfig';
export const TYPE_OPENTELEMETRY_TRACER =
  'type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig';

// Sections of /config_dump.
export const TYPE_BOOTSTRAP_DUMP = 'type.googleapis.com/envoy.admin.v3.BootstrapConfigDump';
export const TYPE_LISTENERS_DUMP = 'type.googleapis.com/envoy.admin.v3.ListenersConfigDump';
export const TYPE_CLUSTERS_DUMP = 'type.googleapis.com/envoy.admin.v3.ClustersConfigDump';
export const TYPE_ROUTES_DUMP = 'type.googleapis.com/envoy.admin.v3.RoutesConfigDump';
export const TYPE_ENDPOINTS_DUMP = 'type.googleapis.com/envoy.admin.v3.EndpointsConfigDump';
export const TYPE_SECRETS_DUMP = 'type.googleapis.com/envoy.admin.v3.SecretsConfigDump';

/**
 * Envoy's customary names of extensions and the type that configures each: the hint where `@type` is
 * missing. Names decide nothing else; the type URL alone says which extension is meant.
 */
export const TYPE_OF_EXTENSION_NAME: ReadonlyMap<string, string> = new Map([
  ['envoy.filters.network.http_connection_manager', TYPE_HTTP_CONNECTION_MANAGER],
  ['envoy.filters.network.tcp_proxy', TYPE_TCP_PROXY],
  ['envoy.filters.network.rbac', TYPE_NETWORK_RBAC],
  ['envoy.filters.network.sni_cluster', TYPE_SNI_CLUSTER],
  ['envoy.filters.http.router', TYPE_ROUTER],
  ['envoy.filters.http.fault', TYPE_FAULT],
  ['envoy.filters.http.grpc_web', TYPE_GRPC_WEB],
  ['envoy.filters.http.cors', TYPE_CORS],
  ['envoy.filters.http.rbac', TYPE_HTTP_RBAC],
  ['envoy.filters.listener.tls_inspector', TYPE_TLS_INSPECTOR],
  ['envoy.filters.listener.http_inspector', TYPE_HTTP_INSPECTOR],
  ['envoy.filters.listener.original_dst', TYPE_ORIGINAL_DST],
  ['envoy.filters.listener.proxy_protocol', TYPE_PROXY_PROTOCOL],
  ['envoy.transport_sockets.raw_buffer', TYPE_RAW_BUFFER],
  ['envoy.access_loggers.file', TYPE_FILE_ACCESS_LOG],
  ['envoy.access_loggers.stdout', TYPE_STDOUT_ACCESS_LOG],
  ['envoy.access_loggers.stderr', TYPE_STDERR_ACCESS_LOG],
  ['envoy.load_balancing_policies.round_robin', TYPE_ROUND_ROBIN],
  ['envoy.load_balancing_policies.least_request', TYPE_LEAST_REQUEST],
  ['envoy.load_balancing_policies.random', TYPE_RANDOM],
  ['envoy.load_balancing_policies.ring_hash', TYPE_RING_HASH],
  ['envoy.load_balancing_policies.maglev', TYPE_MAGLEV],
  ['envoy.retry_host_predicates.previous_hosts', TYPE_PREVIOUS_HOSTS],
  ['envoy.tracers.zipkin', TYPE_ZIPKIN_TRACER],
  ['envoy.tracers.opentelemetry', TYPE_OPENTELEMETRY_TRACER],
  [HTTP_PROTOCOL_OPTIONS, TYPE_HTTP_PROTOCOL_OPTIONS],
]);
