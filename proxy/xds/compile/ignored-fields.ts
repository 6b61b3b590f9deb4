/**
 * Fields that may be set and change nothing that a user could notice in Weft. Each has its reason. Everything
 * else that the compilers do not read is refused.
 */
const IGNORED: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'envoy.config.listener.v3.Listener': {
    stat_prefix: 'statistics are named by the listener',
    socket_options: 'Node sets no raw socket options; none changes what a request sees',
    tcp_fast_open_queue_length: 'a speed option of the kernel',
    connection_balance_config: 'one event loop accepts every connection',
    reuse_port: 'one event loop accepts every connection',
    enable_reuse_port: 'one event loop accepts every connection',
    tcp_backlog_size: 'a speed option of the kernel',
    max_connections_to_accept_per_socket_event: 'a speed option',
    drain_type: 'connections of a changed listener drain in their own time either way',
    freebind: 'addresses are checked when the listener binds, with a clear error',
    bypass_overload_manager: 'no action of the overload manager concerns a listener',
    deprecated_v1: 'bind_to_port is read from its own field',
    enable_mptcp: 'a transport option of the kernel',
  },
  'envoy.config.listener.v3.FilterChain': {
    metadata: 'carried for tools',
  },
  'envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector': {
    enable_ja3_fingerprinting: 'only for a log operator that Weft refuses by name',
    initial_read_buffer_size: 'a speed option',
  },
  'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager': {
    http3_protocol_options: 'HTTP/3 needs a UDP listener, which is refused',
    request_id_extension: 'the UUID extension is what is built in',
    internal_address_config:
      'read with use_remote_address only, where the whole RFC 1918 range is internal',
    stream_error_on_invalid_http_message:
      'an invalid message always ends its HTTP/1.1 connection, and its stream only in HTTP/2',
    proxy_status_config: 'the proxy-status response header is informational',
    access_log_flush_interval: 'records are written when a request ends',
    access_log_options: 'records are written when a request ends',
    append_local_overload: 'there is no overload manager',
    typed_header_validation_config: 'the codec is strict already',
    path_normalization_options: 'the official default: the same path is matched and forwarded',
    proxy_100_continue: 'the upstream is asked only after the proxy has answered 100',
    add_proxy_protocol_connection_state: 'PROXY protocol is refused',
  },
  'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.Tracing': {
    verbose: 'adds events to spans only',
    max_path_tag_length: 'spans only',
    custom_tags: 'spans only',
    provider: 'spans leave through the exporter of the bootstrap',
    spawn_upstream_span: 'spans only',
  },
  'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.SetCurrentClientCertDetails':
    {
      cert: 'the whole certificate in a header is not sent; By, Hash and URI are',
      chain: 'the whole chain in a header is not sent; By, Hash and URI are',
    },
  'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy': {
    access_log_flush_interval: 'records are written when a connection ends',
    flush_access_log_on_connected: 'records are written when a connection ends',
    access_log_options: 'records are written when a connection ends',
  },
  'envoy.extensions.filters.http.router.v3.Router': {
    dynamic_stats: 'statistics are always on',
    start_child_span: 'spans only',
    upstream_log_options: 'belongs to upstream_log, which is refused',
    suppress_grpc_request_failure_code_stats: 'statistics only',
  },
  'envoy.extensions.filters.http.fault.v3.HTTPFault': {
    delay_percent_runtime: 'a runtime key; there is no runtime, the value beside it counts',
    abort_percent_runtime: 'a runtime key; there is no runtime, the value beside it counts',
    delay_duration_runtime: 'a runtime key; there is no runtime, the value beside it counts',
    abort_http_status_runtime: 'a runtime key; there is no runtime, the value beside it counts',
    max_active_faults_runtime: 'a runtime key; there is no runtime, the value beside it counts',
    response_rate_limit_percent_runtime: 'a runtime key; there is no runtime',
    abort_grpc_status_runtime: 'a runtime key; there is no runtime, the value beside it counts',
    disable_downstream_cluster_stats: 'statistics only',
  },
  'envoy.config.route.v3.RouteConfiguration': {
    validate_clusters: 'a route to an unknown cluster answers 503 NC, the default for RDS',
    max_direct_response_body_size_bytes: 'checked against the larger of it and 1 MiB',
    metadata: 'carried for tools',
  },
  'envoy.config.route.v3.VirtualHost': {
    virtual_clusters: 'statistics only',
    metadata: 'carried for tools',
    include_is_timeout_retry_header: 'informational header',
    per_request_buffer_limit_bytes: 'the replay buffer is bounded at 64 KiB',
  },
  'envoy.config.route.v3.Route': {
    metadata: 'carried for tools',
    stat_prefix: 'statistics only',
    tracing: 'sampling is decided by the connection manager',
    decorator: 'names spans only',
    per_request_buffer_limit_bytes: 'the replay buffer is bounded at 64 KiB',
  },
  'envoy.config.route.v3.RouteAction': {
    priority: 'one set of circuit breakers serves both priorities',
    include_vh_rate_limits: 'rate_limits are refused',
    early_data_policy: 'TLS early data is never taken',
  },
  'envoy.config.route.v3.WeightedCluster': {
    total_weight: 'deprecated: the sum of the weights counts',
    runtime_key_prefix: 'there is no runtime',
  },
  'envoy.config.core.v3.RuntimeFractionalPercent': {
    runtime_key: 'there is no runtime, the default value counts',
  },
  'envoy.config.core.v3.RuntimeUInt32': {
    runtime_key: 'there is no runtime, the default value counts',
  },
  'envoy.config.route.v3.RetryPolicy': {
    retry_priority: 'previous_priorities only orders equal choices',
  },
  'envoy.config.cluster.v3.Cluster': {
    alt_stat_name: 'statistics are named by the cluster',
    per_connection_buffer_limit_bytes: 'the socket watermark is fixed',
    dns_failure_refresh_rate: 'a failed lookup is repeated with the ordinary back-off',
    respect_dns_ttl: 'the refresh rate bounds the age of an answer',
    dns_resolvers: 'the resolvers of the host are used',
    use_tcp_for_dns_lookups: 'the resolvers of the host are used',
    dns_resolution_config: 'the resolvers of the host are used',
    typed_dns_resolver_config: 'the resolvers of the host are used',
    wait_for_warm_on_init: 'clusters always warm before they serve',
    cleanup_interval: 'unused addresses of ORIGINAL_DST clusters go within two minutes',
    track_timeout_budgets: 'statistics only',
    track_cluster_stats: 'statistics only',
    filters:
      'network filters of upstream connections only exchange metadata, which travels in a header',
    preconnect_policy: 'a speed option',
  },
  'envoy.config.cluster.v3.Cluster.CommonLbConfig': {
    update_merge_window: 'a speed option',
    ignore_new_hosts_until_first_hc: 'there are no active health checks',
    close_connections_on_host_set_change: 'connections to removed endpoints drain',
    zone_aware_lb_config: 'acts beside a local cluster only, which a bootstrap cannot name here',
    override_host_status: 'there is no host override',
  },
  'envoy.config.cluster.v3.CircuitBreakers.Thresholds': {
    track_remaining: 'statistics only',
    max_connection_pools: 'there is one pool an endpoint',
  },
  'envoy.config.cluster.v3.UpstreamConnectionOptions': {
    set_local_interface_name_on_upstream_connections: 'log only',
    happy_eyeballs_config: 'one address is tried at a time, and the next endpoint on failure',
  },
  'envoy.config.core.v3.TcpKeepalive': {
    keepalive_probes: 'the kernel default holds',
    keepalive_interval: 'the kernel default holds',
  },
  'envoy.config.core.v3.BindConfig': {
    freebind: 'the loopback addresses used need none',
    socket_options: 'Node sets no raw socket options',
  },
  'envoy.config.core.v3.Http1ProtocolOptions': {
    allow_absolute_url: 'absolute-form targets are always accepted',
    enable_trailers: 'trailers are always passed',
    use_balsa_parser: 'the codec is ours',
    override_stream_error_on_invalid_http_message: 'an invalid message always ends its connection',
    allow_custom_methods: 'any RFC 9110 token is a method',
  },
  'envoy.config.core.v3.Http2ProtocolOptions': {
    hpack_table_size: 'a speed option: the table has the size of the standard',
    max_outbound_frames: 'the codec has a bound of its own for every flood, counted in h2_flood',
    max_outbound_control_frames: 'the codec has a bound of its own, counted in h2_flood',
    max_consecutive_inbound_frames_with_empty_payload:
      'the codec has a bound of its own, counted in h2_flood',
    max_inbound_priority_frames_per_stream: 'the codec has a bound of its own, counted in h2_flood',
    max_inbound_window_update_frames_per_data_frame_sent:
      'the codec has a bound of its own, counted in h2_flood',
    stream_error_on_invalid_http_messaging: 'an invalid message always ends its stream only',
    override_stream_error_on_invalid_http_message: 'an invalid message always ends its stream only',
    use_oghttp2_codec: 'the codec is ours',
  },
  'envoy.config.core.v3.KeepaliveSettings': {
    interval_jitter: 'PINGs of one connection are spread by when it was opened',
  },
  'envoy.config.core.v3.SocketAddress': {
    resolver_name: 'the resolvers of the host are used',
    ipv4_compat: 'a socket bound to :: takes both families',
  },
  'envoy.config.endpoint.v3.Endpoint': {
    health_check_config: 'there are no active health checks',
  },
  'envoy.config.endpoint.v3.ClusterLoadAssignment': {
    named_endpoints: 'only a shorthand; endpoint_name is refused',
  },
  'envoy.config.endpoint.v3.ClusterLoadAssignment.Policy': {
    endpoint_stale_after: 'endpoints stay until they are replaced (fail static)',
  },
  'envoy.config.endpoint.v3.LocalityLbEndpoints': {
    proximity: 'hint of one health-check extension',
    metadata: 'carried for tools',
  },
  'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
    header_validation_config: 'the codec is strict already',
  },
  'envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext': {
    max_session_keys: 'sessions are not resumed',
    enforce_rsa_key_usage: 'OpenSSL checks key usage',
  },
  'envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext': {
    session_ticket_keys: 'sessions are not resumed',
    session_ticket_keys_sds_secret_config: 'sessions are not resumed',
    disable_stateless_session_resumption: 'sessions are not resumed',
    disable_stateful_session_resumption: 'sessions are not resumed',
    session_timeout: 'sessions are not resumed',
    ocsp_staple_policy: 'no OCSP staple is sent; LENIENT is the default',
    full_scan_certs_on_sni_mismatch: 'one certificate a context',
  },
  'envoy.extensions.transport_sockets.tls.v3.TlsParameters': {
    ecdh_curves: 'the curves of OpenSSL are used',
    signature_algorithms: 'the algorithms of OpenSSL are used',
  },
  'envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext': {
    system_root_certs: 'without trusted_ca the system roots are used',
    watched_directory: 'files are read when the resource is applied',
  },
  'envoy.extensions.transport_sockets.tls.v3.TlsCertificate': {
    watched_directory: 'files are read when the resource is applied',
  },
  'envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig': {
    sds_config:
      'own identity and roots come from the sidecar itself, other secrets from the bootstrap',
  },
  'envoy.config.core.v3.SubstitutionFormatString': {
    content_type: 'access logs have no content type',
    formatters: 'the operators of the official extensions are built in',
  },
  'envoy.type.matcher.v3.RegexMatcher': {
    google_re2: 'RE2 is the only engine, with a bound of its own',
  },
  'envoy.config.core.v3.ConfigSource': {
    initial_fetch_timeout: 'a resource counts as missing after 15 s',
    resource_api_version: 'v3 is the only version',
  },
};

const TABLE: ReadonlyMap<string, ReadonlyMap<string, string>> = new Map(
  Object.entries(IGNORED).map(([message, fields]) => [message, new Map(Object.entries(fields))]),
);

/** Ignored fields of a message, by `.proto` name, with the reason. */
export function ignoredFields(fullName: string): ReadonlyMap<string, string> | undefined {
  return TABLE.get(fullName);
}

/** The whole table, for its test and for the reference documentation. */
export function allIgnoredFields(): ReadonlyMap<string, ReadonlyMap<string, string>> {
  return TABLE;
}
