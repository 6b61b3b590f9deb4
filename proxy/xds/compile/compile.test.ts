import { expect, test } from 'vitest';
import { parse } from 'yaml';
import type { MessageName } from '../../../proto/any.ts';
import { messageInfo } from '../../../proto/fields.ts';
import type { MessageTypes } from '../../../proto/gen/registry.ts';
import { readJson } from '../../../proto/json.ts';
import { RetryOn } from '../../router/retry-on.ts';
import type { RouteActionConfig } from '../../router/route-config.ts';
import { compileCluster } from './cluster.ts';
import type { CompileContext } from './compile-context.ts';
import { allIgnoredFields } from './ignored-fields.ts';
import { compileListener } from './listener.ts';
import { compileLoadAssignment } from './load-assignment.ts';
import { type Compiled, formatProblems } from './problems.ts';
import { compileRouteConfiguration } from './route-configuration.ts';
import type { InlineSecret } from './secret.ts';

const secrets: InlineSecret[] = [];
const context: CompileContext = {
  root: [],
  readFile: (path) => {
    throw new Error(`ENOENT: ${path}`);
  },
  environment: () => undefined,
  accessLog: ({ path }) => (path === '/full' ? { problem: 'too many files' } : { log() {} }),
  inlineSecret: (secret) => `inline:${secrets.push(secret)}`,
};

/** The message that a piece of YAML says, which must read without a problem. */
function message<N extends MessageName>(name: N, yaml: string): MessageTypes[N] {
  const { message: read, problems } = readJson(name, parse(yaml));
  expect(problems).toEqual([]);
  return read;
}

function cluster(yaml: string) {
  return compileCluster(message('envoy.config.cluster.v3.Cluster', yaml), 'v1', context);
}
function routes(yaml: string) {
  const name = 'envoy.config.route.v3.RouteConfiguration';
  return compileRouteConfiguration(message(name, yaml), 'v1', context);
}
function listener(yaml: string) {
  return compileListener(message('envoy.config.listener.v3.Listener', yaml), 'v1', context);
}

function good<T>(compiled: Compiled<T>): T {
  if (!compiled.ok) throw new Error(formatProblems(compiled.problems));
  return compiled.value;
}
function problems(compiled: Compiled<unknown>): string[] {
  return compiled.ok ? [] : compiled.problems.map((problem) => formatProblems([problem]));
}

const ENDPOINTS =
  'load_assignment: {cluster_name: a, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 10.0.0.1, port_value: 80}}}}]}]}';
const HCM =
  'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager';
const ROUTER = 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router';

/** A listener around fields of its connection manager. */
function httpListener(fields: string, outer = ''): string {
  return `
name: l
address: {socket_address: {address: 127.0.0.1, port_value: 8080}}
${outer}
filter_chains:
- filters:
  - name: hcm
    typed_config:
      "@type": ${HCM}
      stat_prefix: x
      ${fields}
`;
}
const ROUTES = 'rds: {route_config_name: r, config_source: {ads: {}}}';
const FILTERS = `http_filters: [{name: router, typed_config: {"@type": ${ROUTER}}}]`;

function route(fields: string, more = ''): string {
  return `{name: r, ${more} virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {prefix: /}, ${fields}}]}]}`;
}

test('a cluster gets the official defaults', () => {
  expect(good(cluster(`{name: a, type: STATIC, ${ENDPOINTS}}`))).toMatchObject({
    name: 'a',
    discovery: 'STATIC',
    connectTimeoutMs: 5000,
    lbPolicy: 'ROUND_ROBIN',
    panicThresholdPercent: 50,
    idleTimeoutMs: 3_600_000,
    connectionsMax: 1024,
    retriesMax: 3,
    tls: null,
    version: 'v1',
  });
});

test('[RS-10] [RS-13] [LB-01] what is set in a cluster is taken', () => {
  const config = good(
    cluster(`
name: outbound|9080|v1|reviews.default.svc.cluster.local
type: EDS
eds_cluster_config: {eds_config: {ads: {}}, service_name: s}
connect_timeout: 10s
lb_policy: LEAST_REQUEST
least_request_lb_config: {choice_count: 3}
common_lb_config: {healthy_panic_threshold: {value: 0}}
circuit_breakers: {thresholds: [{max_connections: 1, max_pending_requests: 2, max_requests: 3, max_retries: 4294967295}]}
upstream_bind_config: {source_address: {address: 127.0.0.6, port_value: 0}}
upstream_connection_options: {tcp_keepalive: {keepalive_time: 7}}
typed_extension_protocol_options:
  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
    "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
    explicit_http_config: {http_protocol_options: {}}
    common_http_protocol_options: {idle_timeout: 0s, max_requests_per_connection: 1, max_stream_duration: 30s}
`),
  );
  expect(config).toMatchObject({
    discovery: 'EDS',
    edsServiceName: 's',
    connectTimeoutMs: 10_000,
    lbPolicy: 'LEAST_REQUEST',
    leastRequestChoices: 3,
    panicThresholdPercent: 0,
    connectionsMax: 1,
    pendingRequestsMax: 2,
    requestsMax: 3,
    retriesMax: 4_294_967_295,
    bindAddresses: ['127.0.0.6'],
    tcpKeepaliveMs: 7000,
    idleTimeoutMs: 0,
    requestsPerConnectionMax: 1,
    streamDurationMaxMs: 30_000,
    service: { host: 'reviews.default.svc.cluster.local', name: 'reviews', namespace: 'default' },
  });
});

test('[SC-01] transport_socket_matches keep their order, and raw_buffer is plain text', () => {
  const { tlsMatches } = good(
    cluster(`
name: a
${ENDPOINTS}
transport_socket_matches:
- name: tlsMode-istio
  match: {tlsMode: istio}
  transport_socket:
    name: tls
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
      sni: outbound_.9080_._.reviews
      common_tls_context:
        alpn_protocols: [istio-http/1.1]
        tls_certificate_sds_secret_configs: [{name: default, sds_config: {ads: {}}}]
        combined_validation_context:
          default_validation_context:
            match_typed_subject_alt_names: [{san_type: URI, matcher: {exact: "spiffe://cluster.local/ns/d/sa/r"}}]
          validation_context_sds_secret_config: {name: ROOTCA, sds_config: {ads: {}}}
- name: plain
  match: {}
  transport_socket: {name: envoy.transport_sockets.raw_buffer, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}}
`),
  );
  expect(tlsMatches.map(({ name, match }) => [name, [...match]])).toEqual([
    ['tlsMode-istio', [['tlsMode', 'istio']]],
    ['plain', []],
  ]);
  const [mesh, plain] = tlsMatches;
  expect(plain!.tls).toBeNull();
  expect(mesh!.tls).toMatchObject({
    certificateSecret: 'default',
    validationSecret: 'ROOTCA',
    sni: 'outbound_.9080_._.reviews',
    alpnProtocols: ['istio-http/1.1'],
    minVersion: 'TLSv1.2',
  });
  const san = mesh!.tls!.subjectAltNames[0]!;
  expect(san.matches('spiffe://cluster.local/ns/d/sa/r')).toBe(true);
  expect(san.matches('spiffe://cluster.local/ns/d/sa/r2')).toBe(false);
});

test.each([
  ['an outlier detector', 'outlier_detection: {consecutive_5xx: 5}', 'outlier_detection: is not'],
  ['a health check', 'health_checks: [{timeout: 1s, interval: 1s}]', 'health_checks: is not'],
  ['LOGICAL_DNS', 'type: LOGICAL_DNS', 'type: LOGICAL_DNS is not supported'],
  ['RING_HASH', 'lb_policy: RING_HASH', 'lb_policy: 2 is not supported; use one of ROUND_ROBIN'],
  ['a connect timeout of 0', 'connect_timeout: 0s', 'connect_timeout: must lie between 1 ms'],
  ['EDS without its config', 'type: EDS', 'eds_cluster_config: must be set'],
  [
    'a HIGH threshold',
    'circuit_breakers: {thresholds: [{priority: HIGH}]}',
    'thresholds[0].priority',
  ],
  [
    'a table of SETTINGS',
    'http2_protocol_options: {custom_settings_parameters: [{identifier: 9, value: 1}]}',
    'http2_protocol_options.custom_settings_parameters: is not supported',
  ],
  [
    'a window below the least of RFC 9113',
    'http2_protocol_options: {initial_stream_window_size: 100}',
    'http2_protocol_options.initial_stream_window_size: must lie between 65535',
  ],
  [
    'PINGs without a timeout',
    'http2_protocol_options: {connection_keepalive: {interval: 1s}}',
    'connection_keepalive.timeout: must be set',
  ],
  ['slow start', 'round_robin_lb_config: {slow_start_config: {}}', 'slow_start_config: is not'],
  [
    'a retry budget',
    'circuit_breakers: {thresholds: [{retry_budget: {}}]}',
    'circuit_breakers.thresholds[0].retry_budget: is not supported',
  ],
])('a cluster with %s is refused, not served without it', (_name, field, problem) => {
  expect(problems(cluster(`{name: a, ${ENDPOINTS}, ${field}}`)).join('\n')).toContain(problem);
});

const TYPED_HTTP =
  '"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
const typedHttp = (fields: string) =>
  `typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {${TYPED_HTTP}, ${fields}}}`;

test.each([
  ['nothing', '', 'HTTP1'],
  ['the deprecated HTTP/2 options', 'http2_protocol_options: {}', 'HTTP2'],
  ['the deprecated selection', 'protocol_selection: USE_DOWNSTREAM_PROTOCOL', 'DOWNSTREAM'],
  ['explicit HTTP/1.1', typedHttp('explicit_http_config: {http_protocol_options: {}}'), 'HTTP1'],
  ['explicit HTTP/2', typedHttp('explicit_http_config: {http2_protocol_options: {}}'), 'HTTP2'],
  [
    'the downstream protocol',
    typedHttp('use_downstream_protocol_config: {http2_protocol_options: {}}'),
    'DOWNSTREAM',
  ],
  ['auto_config', typedHttp('auto_config: {http2_protocol_options: {}}'), 'ALPN'],
])('[PR-05] a cluster with %s is spoken to by %s', (_name, field, httpProtocol) => {
  const text = `{name: a, ${ENDPOINTS}${field === '' ? '' : `, ${field}`}}`;
  expect(good(cluster(text))).toMatchObject({ httpProtocol });
});

test('tuning of HTTP/2 is read for either role', () => {
  const http2 =
    '{max_concurrent_streams: 7, initial_stream_window_size: 70000, initial_connection_window_size: 80000, allow_connect: true, connection_keepalive: {interval: 30s, timeout: 5s}}';
  expect(good(cluster(`{name: a, ${ENDPOINTS}, http2_protocol_options: ${http2}}`))).toMatchObject({
    httpProtocol: 'HTTP2',
    http2: {
      streamsMax: 7,
      streamWindowBytes: 70_000,
      connectionWindowBytes: 80_000,
      extendedConnect: true,
      keepaliveIntervalMs: 30_000,
      keepaliveTimeoutMs: 5_000,
    },
  });
});

test('every problem of a resource is reported, each with its path', () => {
  const found = problems(
    cluster('{lb_policy: MAGLEV, connect_timeout: -1s, subset: {}}'.replace(', subset: {}', '')),
  );
  expect(found).toEqual([
    'name: must be set',
    'connect_timeout: must lie between 1 ms and 10 years, is -1000 ms',
    'lb_policy: 5 is not supported; use one of ROUND_ROBIN, LEAST_REQUEST, RANDOM',
    'load_assignment: must be set for type: STATIC',
  ]);
});

test.each([
  ['', false],
  [', common_lb_config: {locality_weighted_lb_config: {}}', true],
  [', common_lb_config: {zone_aware_lb_config: {}}', false],
])('localities are weighed where the cluster says so: %s', (setting, weighted) => {
  expect(good(cluster(`{name: a, type: STATIC, ${ENDPOINTS}${setting}}`)).localityWeighted).toBe(
    weighted,
  );
});

test('an overprovisioning factor that is not the built-in one is refused', () => {
  const assignment = (factor: number) =>
    compileLoadAssignment(
      message(
        'envoy.config.endpoint.v3.ClusterLoadAssignment',
        `{cluster_name: a, policy: {overprovisioning_factor: ${factor}}}`,
      ),
      '1',
      context,
    );
  expect(good(assignment(140)).endpoints).toEqual([]);
  expect(problems(assignment(100))).toEqual([
    'policy.overprovisioning_factor: only 140, the official default, is built in; is 100',
  ]);
});

test('[LB-07] [SC-01] endpoints carry weight, locality, health and metadata', () => {
  const assignment = good(
    compileLoadAssignment(
      message(
        'envoy.config.endpoint.v3.ClusterLoadAssignment',
        `
cluster_name: a
endpoints:
- locality: {region: r, zone: z}
  load_balancing_weight: 3
  lb_endpoints:
  - endpoint: {address: {socket_address: {address: 10.0.0.1, port_value: 80}}}
    health_status: DRAINING
    load_balancing_weight: 5
    metadata:
      filter_metadata:
        envoy.transport_socket_match: {tlsMode: istio}
        istio: {workload: "reviews-v1;default;reviews;v1;Kubernetes"}
`,
      ),
      '7',
      context,
    ),
  );
  const [endpoint] = assignment.endpoints;
  expect(endpoint).toMatchObject({
    address: '10.0.0.1',
    port: 80,
    health: 'DRAINING',
    weight: 5,
    localityWeight: 3,
    locality: 'r/z',
    workload: {
      workload: 'reviews-v1',
      namespace: 'default',
      canonicalService: 'reviews',
      canonicalRevision: 'v1',
      cluster: 'Kubernetes',
    },
  });
  expect([...endpoint!.transportSocketMatch]).toEqual([['tlsMode', 'istio']]);
});

test('an assignment without endpoints is an empty set, not an error', () => {
  const name = 'envoy.config.endpoint.v3.ClusterLoadAssignment';
  expect(
    good(compileLoadAssignment(message(name, '{cluster_name: a}'), '', context)).endpoints,
  ).toEqual([]);
});

test('[TM-17] a route has 15 s, an explicit 0 is none', () => {
  const timeouts = ['route: {cluster: c}', 'route: {cluster: c, timeout: 0s}'].map((fields) => {
    const { action } = good(routes(route(fields))).virtualHosts[0]!.routes[0]!;
    return (action as RouteActionConfig).timeoutMs;
  });
  expect(timeouts).toEqual([15_000, 0]);
});

test('[PR-07] max_stream_duration takes the place of the timeouts before it, as in Envoy', () => {
  const action = (fields: string) =>
    good(routes(route(`route: {cluster: c, timeout: 3s, ${fields}}`))).virtualHosts[0]!.routes[0]!
      .action as RouteActionConfig;
  expect(action('max_stream_duration: {grpc_timeout_header_max: 0s}')).toMatchObject({
    timeoutMs: 0,
    grpcTimeoutMaxMs: -1,
    streamDuration: { maxMs: -1, grpcTimeoutMaxMs: 0, grpcTimeoutOffsetMs: 0 },
  });
  expect(
    action(
      'max_grpc_timeout: 9s, max_stream_duration: {max_stream_duration: 5s, grpc_timeout_header_offset: 0.1s}',
    ),
  ).toMatchObject({
    grpcTimeoutMaxMs: -1,
    streamDuration: { maxMs: 5000, grpcTimeoutMaxMs: -1, grpcTimeoutOffsetMs: 100 },
  });
  expect(action('max_grpc_timeout: 0s, grpc_timeout_offset: 0.2s')).toMatchObject({
    timeoutMs: 3000,
    grpcTimeoutMaxMs: 0,
    grpcTimeoutOffsetMs: 200,
    streamDuration: null,
  });
});

test('[RS-01] [RS-02] [RS-03] retry policies: conditions, codes, back-off, previous hosts', () => {
  const { action } = good(
    routes(
      route(`route: {cluster: c, retry_policy: {
        retry_on: "connect-failure,refused-stream,unavailable,cancelled,503", num_retries: 2,
        host_selection_retry_max_attempts: 5,
        retry_host_predicate: [{name: p, typed_config: {"@type": type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate}}]}}`),
    ),
  ).virtualHosts[0]!.routes[0]!;
  expect((action as RouteActionConfig).retry).toEqual({
    retryOn:
      RetryOn.CONNECT_FAILURE |
      RetryOn.REFUSED_STREAM |
      RetryOn.GRPC_UNAVAILABLE |
      RetryOn.GRPC_CANCELLED |
      RetryOn.RETRIABLE_STATUS_CODES,
    retriableStatusCodes: [503],
    retriableHeaders: [],
    retriesMax: 2,
    perTryTimeoutMs: 0,
    backoffBaseMs: 25,
    backoffMaxMs: 250,
    skipPreviousHosts: true,
    hostSelectionAttemptsMax: 5,
  });
});

test('[TM-08] weights are relative; weight 0 stays and gets nothing', () => {
  const { action } = good(
    routes(
      route(
        'route: {weighted_clusters: {clusters: [{name: a, weight: 90}, {name: b, weight: 0}]}}',
      ),
    ),
  ).virtualHosts[0]!.routes[0]!;
  expect(action).toMatchObject({
    clusters: [
      { name: 'a', weight: 90 },
      { name: 'b', weight: 0 },
    ],
    weightTotal: 90,
  });
});

test('[TM-18] percentages of faults become numerators of a million', () => {
  const { fault } = good(
    routes(
      route(`route: {cluster: c}, typed_per_filter_config: {envoy.filters.http.fault: {
      "@type": type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault,
      delay: {fixed_delay: 7s, percentage: {numerator: 100}}, abort: {http_status: 555, percentage: {numerator: 5, denominator: TEN_THOUSAND}}}}`),
    ),
  ).virtualHosts[0]!.routes[0]!;
  expect(fault).toMatchObject({
    delayMs: 7000,
    delayPerMillion: 1_000_000,
    abortStatus: 555,
    abortPerMillion: 500,
    abortGrpcStatus: -1,
  });
});

test('[TM-03] [TM-04] matchers: whole-value regex, presence, negation, host as :authority', () => {
  const { match } = good(
    routes(`{name: r, virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {
      safe_regex: {regex: "/a/.*"}, headers: [
        {name: End-User, string_match: {exact: jason}}, {name: x, present_match: false},
        {name: Host, string_match: {prefix: a}}, {name: y, invert_match: true},
        {name: z, exact_match: ""}],
      query_parameters: [{name: q, string_match: {safe_regex: {regex: "[0-9]+"}}}]},
      route: {cluster: c}}]}]}`),
  ).virtualHosts[0]!.routes[0]!;
  expect(match.path.kind === 'regex' && match.path.regex.matches('/a/b')).toBe(true);
  expect(match.path.kind === 'regex' && match.path.regex.matches('/b/a/b')).toBe(false);
  expect(match.headers.map(({ name, value, invert }) => [name, value.kind, invert])).toEqual([
    ['end-user', 'exact', false],
    ['x', 'present', true],
    [':authority', 'prefix', false],
    ['y', 'present', true],
    ['z', 'prefix', false],
  ]);
});

test('[TM-12] a regex rewrite replaces groups, and a wrong group is refused', () => {
  const rewrite = (substitution: string) =>
    routes(
      route(
        `route: {cluster: c, regex_rewrite: {pattern: {regex: "^/v1/([^/]+)/(.*)$"}, substitution: '${substitution}'}}`,
      ),
    );
  const { action } = good(rewrite('/\\2/$1\\\\/\\1')).virtualHosts[0]!.routes[0]!;
  const { regex, substitution } = (action as RouteActionConfig).regexRewrite!;
  expect(regex.replace('/v1/a/b', substitution)).toBe('/b/$1\\/a');
  expect(problems(rewrite('\\3'))[0]).toContain('\\3 names no group; the pattern has 2');
});

test.each([
  ['an unclosed group', '(a', 'not an RE2 regular expression'],
  ['a look-ahead', '(?=a)', 'not an RE2 regular expression'],
  ['a back-reference', '(a)\\\\1', 'not an RE2 regular expression'],
  ['a huge repeat', '(((a{30}){30}){30}){30}', 'regular expression'],
])('[A8.3] a regular expression with %s is refused', (_name, regex, problem) => {
  const found = problems(
    routes(
      `{name: r, virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {safe_regex: {regex: "${regex}"}}, route: {cluster: c}}]}]}`,
    ),
  );
  expect(found[0]).toContain('virtual_hosts[0].routes[0].match.safe_regex.regex: ');
  expect(found[0]).toContain(problem);
});

test.each([
  [
    'two virtual hosts of one domain',
    '{name: r, virtual_hosts: [{name: a, domains: [X]}, {name: b, domains: [x]}]}',
    'virtual_hosts[1].domains[0]: "x" belongs to virtual host "a" already',
  ],
  [
    'a star in the middle',
    '{name: r, virtual_hosts: [{name: a, domains: ["a.*.b"]}]}',
    '"a.*.b" must be a host',
  ],
  [
    'no domain',
    '{name: r, virtual_hosts: [{name: a}]}',
    'virtual_hosts[0].domains: must not be empty',
  ],
  [
    'a mirror',
    route('route: {cluster: c, request_mirror_policies: [{cluster: m}]}'),
    'request_mirror_policies: is not supported',
  ],
  [
    'a hash policy',
    route('route: {cluster: c, hash_policy: [{header: {header_name: x}}]}'),
    'hash_policy: is not supported',
  ],
  [
    'weights of sum 0',
    route('route: {weighted_clusters: {clusters: [{name: a, weight: 0}]}}'),
    'the sum of the weights must not be 0',
  ],
  [
    'an unknown retry condition',
    route('route: {cluster: c, retry_policy: {retry_on: "5xx,often"}}'),
    '"often" is not one of 5xx',
  ],
  [
    'a header name with a space',
    route('route: {cluster: c}, request_headers_to_add: [{header: {key: "a b", value: c}}]'),
    '"a b" is not a header name',
  ],
  [
    'a header value with a line feed',
    route('route: {cluster: c}, request_headers_to_add: [{header: {key: a, value: "b\\nc"}}]'),
    'holds a character',
  ],
  [
    'an unknown format operator',
    route('route: {cluster: c}, request_headers_to_add: [{header: {key: a, value: "%NOPE%"}}]'),
    'request_headers_to_add[0].header.value',
  ],
  [
    'the removal of host',
    route('route: {cluster: c}, request_headers_to_remove: [Host]'),
    '"Host" cannot be removed',
  ],
  [
    'an unknown per-filter type',
    route(
      'route: {cluster: c}, typed_per_filter_config: {x: {"@type": type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy}}',
    ),
    'is not supported here; supported types: envoy.extensions.filters.http.fault.v3.HTTPFault',
  ],
])('routes with %s are refused', (_name, yaml, problem) => {
  expect(problems(routes(yaml)).join('\n')).toContain(problem);
});

test('[PR-14] [A1.9] a connection manager gets its defaults', () => {
  const { filterChains } = good(listener(httpListener(`${ROUTES}\n      ${FILTERS}`)));
  const { filter } = filterChains[0]!;
  expect(filter.kind === 'httpConnectionManager' && filter.config).toMatchObject({
    rdsRouteName: 'r',
    requestHeadersBytesMax: 61_440,
    headersCountMax: 100,
    streamIdleTimeoutMs: 300_000,
    requestHeadersTimeoutMs: 10_000,
    acceptHttp10: false,
    serverName: 'envoy',
    forwardClientCert: 'SANITIZE',
    explicitProxy: false,
    tracingSamplingPerMillion: -1,
    httpFilters: [{ kind: 'router' }],
  });
});

test('the listener virtualOutbound with its marker is the explicit proxy', () => {
  const marker =
    'metadata: {filter_metadata: {weft: {explicit_proxy: true}}}\ntraffic_direction: OUTBOUND';
  const explicit = (name: string) => {
    const yaml = httpListener(`${ROUTES}\n      ${FILTERS}`, marker).replace(
      'name: l',
      `name: ${name}`,
    );
    const { filter } = good(listener(yaml)).filterChains[0]!;
    return filter.kind === 'httpConnectionManager' && filter.config.explicitProxy;
  };
  expect([explicit('virtualOutbound'), explicit('other')]).toEqual([true, false]);
});

test('an explicit proxy does not authorize: tunnels would pass its rules', () => {
  const marker =
    'metadata: {filter_metadata: {weft: {explicit_proxy: true}}}\ntraffic_direction: OUTBOUND';
  const yaml = httpListener(
    `${ROUTES}\n      http_filters: [{name: rbac, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC}}, {name: router, typed_config: {"@type": ${ROUTER}}}]`,
    marker,
  );
  expect(problems(listener(yaml))).toEqual([]);
  expect(problems(listener(yaml.replace('name: l', 'name: virtualOutbound')))).toEqual([
    'filter_chains[0].filters[0].typed_config.http_filters[0].typed_config: an explicit proxy carries tunnels, which rules do not see; remove the filter',
  ]);
});

test('a disabled filter does nothing but where a route has settings for it', () => {
  const filter = (name: string, type: string, rest = '') =>
    `{name: ${name}, disabled: true, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.${type}${rest}}}`;
  const filters = [
    filter('deny', 'rbac.v3.RBAC', ', rules: {action: ALLOW}'),
    filter(
      'delay',
      'fault.v3.HTTPFault',
      ', abort: {http_status: 500, percentage: {numerator: 100}}',
    ),
    filter('web', 'grpc_web.v3.GrpcWeb'),
    filter('unknown', 'cors.v3.Cors'),
    `{name: router, typed_config: {"@type": ${ROUTER}}}`,
  ].join(', ');
  const yaml = httpListener(`${ROUTES}\n      http_filters: [${filters}]`);
  const { filter: manager } = good(listener(yaml)).filterChains[0]!;
  expect(manager.kind === 'httpConnectionManager' && manager.config.httpFilters).toEqual([
    {
      kind: 'rbac',
      name: 'deny',
      rbac: { rules: null, shadowRules: null, countsPolicies: false },
      stats: { prefix: '', shadowPrefix: '' },
    },
    { kind: 'fault', name: 'delay', fault: null },
    { kind: 'router' },
  ]);
});

test('optional filters that are unknown are passed over, others are not', () => {
  const cors = (rest: string) =>
    httpListener(
      `${ROUTES}\n      http_filters: [{name: cors, ${rest} typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors}}, {name: router, typed_config: {"@type": ${ROUTER}}}]`,
    );
  expect(problems(listener(cors('is_optional: true,')))).toEqual([]);
  expect(problems(listener(cors('')))[0]).toContain(
    'filter_chains[0].filters[0].typed_config.http_filters[0].typed_config: "type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors" is not supported here; supported types: envoy.extensions.filters.http.router.v3.Router, envoy.extensions.filters.http.fault.v3.HTTPFault',
  );
});

test.each([
  [
    'no filter',
    '{name: l, address: {socket_address: {address: 127.0.0.1, port_value: 1}}, filter_chains: [{}]}',
    'filter_chains[0].filters: must not be empty',
  ],
  [
    'no chain',
    '{name: l, address: {socket_address: {address: 127.0.0.1, port_value: 1}}}',
    'filter_chains: must not be empty',
  ],
  [
    'a host name',
    '{name: l, address: {socket_address: {address: here, port_value: 1}}}',
    'address.socket_address.address: "here" is not an IP address',
  ],
  [
    'a pipe',
    '{name: l, address: {pipe: {path: /tmp/x}}}',
    'address.pipe: not supported; use socket_address',
  ],
  ['no router', httpListener(ROUTES), 'http_filters: must end with the router filter'],
  [
    'local replies',
    httpListener(`${ROUTES}\n      ${FILTERS}\n      local_reply_config: {}`),
    'local_reply_config: is not supported',
  ],
  [
    'an HTTP/3 codec',
    httpListener(`${ROUTES}\n      ${FILTERS}\n      codec_type: HTTP3`),
    'codec_type: 3 is not supported; use one of AUTO, HTTP1, HTTP2',
  ],
  [
    'an access log of many files',
    httpListener(
      `${ROUTES}\n      ${FILTERS}\n      access_log: [{name: a, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: /full}}]`,
    ),
    'access_log[0].typed_config.path: too many files',
  ],
  [
    'a bad log format',
    httpListener(
      `${ROUTES}\n      ${FILTERS}\n      access_log: [{name: a, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: /x, log_format: {text_format: "%NOPE%"}}}]`,
    ),
    'log_format.text_format: ',
  ],
])('a listener with %s is refused', (_name, yaml, problem) => {
  expect(problems(listener(yaml)).join('\n')).toContain(problem);
});

test('[SC-18] a TLS context below 1.2 and one without a certificate are refused', () => {
  const tls = (common: string) =>
    listener(`
name: l
address: {socket_address: {address: 127.0.0.1, port_value: 1}}
filter_chains:
- filters: [{name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: x, cluster: c}}]
  transport_socket:
    name: tls
    typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, common_tls_context: ${common}, require_client_certificate: true}
`);
  const own = 'tls_certificate_sds_secret_configs: [{name: default}]';
  const roots = 'validation_context_sds_secret_config: {name: ROOTCA}';
  expect(
    problems(tls(`{${own}, ${roots}, tls_params: {tls_minimum_protocol_version: TLSv1_1}}`))[0],
  ).toContain('tls_minimum_protocol_version: 2 is not supported');
  expect(problems(tls(`{${roots}}`))[0]).toContain('common_tls_context: a certificate must be set');
  expect(problems(tls(`{${own}}`))[0]).toContain(
    'require_client_certificate: needs a validation context',
  );
  expect(good(tls(`{${own}, ${roots}}`)).filterChains[0]!.tls).toMatchObject({
    requireClientCertificate: true,
    certificateSecret: 'default',
  });
});

test('a file that cannot be read is a problem with its path', () => {
  const found = problems(
    cluster(`
name: a
${ENDPOINTS}
transport_socket:
  name: tls
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
    common_tls_context: {validation_context: {trusted_ca: {filename: /no/such.pem}}}
`),
  );
  expect(found[0]).toBe(
    'transport_socket.typed_config.common_tls_context.validation_context.trusted_ca.filename: cannot be read: ENOENT: /no/such.pem',
  );
});

test('every field that is passed over exists, and has its reason', () => {
  for (const [name, fields] of allIgnoredFields()) {
    const info = messageInfo(name);
    expect(info, name).toBeDefined();
    for (const [field, reason] of fields) {
      expect(info!.byName.has(field), `${name}.${field}`).toBe(true);
      expect(reason).not.toBe('');
    }
  }
});
