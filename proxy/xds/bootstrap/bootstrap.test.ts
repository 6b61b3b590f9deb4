import { expect, test } from 'vitest';
import { sidecarBootstrap } from '../../../cli/run/sidecar-bootstrap.ts';
import { makeAuthority } from '../../../test/certificates.ts';
import type { CompileContext } from '../compile/compile-context.ts';
import { type Bootstrap, type LoadedBootstrap, loadBootstrap } from './bootstrap.ts';

const context: CompileContext = {
  root: [],
  readFile: (path) => {
    throw new Error(`ENOENT: no such file, open '${path}'`);
  },
  environment: () => undefined,
  accessLog: () => ({ log() {} }),
  inlineSecret: () => 'inline:x',
};

function load(text: string, overrides = { node: '', cluster: '' }): LoadedBootstrap {
  return loadBootstrap(text, 'b.yaml', overrides, (root) => ({ ...context, root }));
}
function good(loaded: LoadedBootstrap): Bootstrap {
  if (!loaded.ok) throw new Error(loaded.problems.join('\n'));
  return loaded.bootstrap;
}
function problems(text: string): readonly string[] {
  const loaded = load(text);
  return loaded.ok ? [] : loaded.problems;
}

const CLUSTER = `
static_resources:
  clusters:
  - name: app
    connect_timeout: 1s
    load_assignment:
      cluster_name: app
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 1}}}}]}]
`;

/** `envoy.resource_monitors.global_downstream_max_connections`. */
function monitor(connections: number): string {
  const type =
    'type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig';
  return `{name: c, typed_config: {"@type": ${type}, max_active_downstream_connections: ${connections}}}`;
}

test('[A1.5] [D13] how many connections there may be', () => {
  const managed = `overload_manager: {refresh_interval: 1s, resource_monitors: [${monitor(12_000)}]}`;
  expect(good(load(`${managed}\n${CLUSTER}`)).connectionsMax).toBe(12_000);
  expect(good(load(CLUSTER)).connectionsMax).toBe(0);
});

test('[SC-04] the bootstrap that weft run writes is read', async () => {
  const { certificatePem } = await makeAuthority();
  const settings = {
    workload: 'reviews-v1',
    namespace: 'default',
    serviceAccount: 'reviews',
    service: 'reviews',
    labels: { app: 'reviews', version: 'v1' },
    ports: [{ number: 9080, protocol: 'http', listen: '127.0.0.1:7001', app: '127.0.0.1:7002' }],
    address: '127.0.0.1',
    outbound: '127.0.0.1:7000',
    admin: '127.0.0.1:7003',
    readiness: '127.0.0.1:7004',
    prometheus: '127.0.0.1:7005',
    controlPlane: '127.0.0.1:15012',
    rootCertFile: '/root.pem',
    joinTokenFile: '/token',
    trustDomain: '',
    stateDirectory: '/state',
    probe: '/health',
  };
  const loaded = loadBootstrap(
    JSON.stringify(sidecarBootstrap(settings)),
    'b.json',
    { node: '', cluster: '' },
    (root) => ({ ...context, root, readFile: () => Buffer.from(certificatePem) }),
  );
  const bootstrap = good(loaded);
  expect(bootstrap.controlPlane).toMatchObject({ target: '127.0.0.1:15012', tls: true });
  expect([bootstrap.dynamicClusters, bootstrap.dynamicListeners]).toEqual([true, true]);
  expect(bootstrap.admin).toEqual({ host: '127.0.0.1', port: 7003 });
  expect(bootstrap.settings).toMatchObject({
    readiness: { host: '127.0.0.1', port: 7004 },
    rootCertFile: '/root.pem',
    stateDirectory: '/state',
    appProbe: { kind: 'http', path: '/health' },
    ports: [{ number: 9080, app: { host: '127.0.0.1', port: 7002 } }],
  });
});

test('a static bootstrap opens only what it names', () => {
  const { settings, admin, controlPlane } = good(load(CLUSTER));
  expect([settings.readiness, settings.prometheus, admin, controlPlane]).toEqual([
    null,
    null,
    null,
    null,
  ]);
});

test('beside an ADS server readiness and metrics have the ports that everybody knows', () => {
  const { settings } = good(load(ads('127.0.0.1')));
  expect(settings.readiness).toEqual({ host: '0.0.0.0', port: 15021 });
  expect(settings.prometheus).toEqual({ host: '0.0.0.0', port: 15090 });
});

test('--service-node and --service-cluster stand over what is written', () => {
  const { node } = good(load(`node: {id: a, cluster: b}\n${CLUSTER}`, { node: 'n', cluster: 'c' }));
  expect([node.id, node.cluster, node.userAgentName]).toEqual(['n', 'c', 'weft']);
});

function ads(address: string, metadata = '{}'): string {
  return `
node: {id: n, metadata: ${metadata}}
dynamic_resources:
  ads_config: {api_type: DELTA_GRPC, grpc_services: [{envoy_grpc: {cluster_name: xds}}]}
  lds_config: {ads: {}}
static_resources:
  clusters:
  - name: xds
    load_assignment: {cluster_name: xds, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: ${address}, port_value: 15010}}}}]}]}
`;
}

test.each([
  ['{}', null, []],
  ['{DNS_CAPTURE: "false"}', null, []],
  ['{DNS_CAPTURE: "true"}', { host: '127.0.0.1', port: 15053 }, []],
  ['{DNS_CAPTURE: true, WEFT_DNS: none}', null, []],
  ['{WEFT_DNS: "127.0.0.1:5300"}', { host: '127.0.0.1', port: 5300 }, []],
  [
    '{WEFT_DNS: "[::1]:53", WEFT_DNS_UPSTREAM: "10.0.0.2, [fd00::1]:5353,fd00::2"}',
    { host: '::1', port: 53 },
    [
      { host: '10.0.0.2', port: 53 },
      { host: 'fd00::1', port: 5353 },
      { host: 'fd00::2', port: 53 },
    ],
  ],
  [
    '{DNS_CAPTURE: "TRUE", WEFT_DNS_UPSTREAM: ["10.0.0.2:54"]}',
    { host: '127.0.0.1', port: 15053 },
    [{ host: '10.0.0.2', port: 54 }],
  ],
])('[DS-05] %s says where names are answered and who else is asked', (metadata, dns, upstreams) => {
  const { settings } = good(load(ads('127.0.0.1', metadata)));
  expect(settings.dns).toEqual(dns);
  expect(settings.dnsUpstreams).toEqual(upstreams);
});

test.each([
  [
    ads('127.0.0.1', '{WEFT_DNS: "dns.example:53"}'),
    /WEFT_DNS: "dns\.example" must be an IP address/,
  ],
  [ads('127.0.0.1', '{WEFT_DNS: "53"}'), /WEFT_DNS: "53" must read host:port/],
  [ads('127.0.0.1', '{WEFT_DNS_UPSTREAM: "dns.example"}'), /"dns\.example" must be an IP address/],
  [ads('127.0.0.1', '{WEFT_DNS_UPSTREAM: "10.0.0.1:0"}'), /"10\.0\.0\.1:0" must be an IP address/],
  [`node: {metadata: {WEFT_DNS: "127.0.0.1:53"}}\n${CLUSTER}`, /WEFT_DNS: needs a control plane/],
])('[DS-05] a setting that cannot be is told with its place: %#', (text, expected) => {
  expect(problems(text)[0]).toMatch(expected);
});

test('[A4.6] plain text goes to this host only, unless the bootstrap insists', () => {
  expect(good(load(ads('127.0.0.1'))).controlPlane).toMatchObject({
    tls: false,
    target: '127.0.0.1:15010',
  });
  expect(problems(ads('10.0.0.1'))[0]).toMatch(
    /^b\.yaml:4:54: dynamic_resources\.ads_config\.grpc_services\[0\]: 10\.0\.0\.1:15010 would be spoken to without TLS/,
  );
  expect(good(load(ads('10.0.0.1', '{WEFT_INSECURE_XDS: "true"}'))).controlPlane!.tls).toBe(false);
});

test.each([
  [
    'a misspelt field',
    `${CLUSTER}    conect_timeout: 1s`,
    'b.yaml:9:5: static_resources.clusters[0].conect_timeout: unknown field; did you mean "connect_timeout"?',
  ],
  [
    'a missing @type',
    'static_resources:\n  listeners:\n  - name: l\n    address: {socket_address: {address: 127.0.0.1, port_value: 1}}\n    filter_chains:\n    - filters:\n      - name: envoy.filters.network.tcp_proxy\n        typed_config: {stat_prefix: x}',
    'b.yaml:8:9: static_resources.listeners[0].filter_chains[0].filters[0].typed_config: ',
  ],
  [
    'a key that stands twice',
    'node: {id: a}\nnode: {id: b}',
    'b.yaml:2:1: Map keys must be unique',
  ],
  ['broken YAML', 'node: {id: a', 'b.yaml:1:13: '],
  ['two documents', `${CLUSTER}\n---\nnode: {}`, 'a bootstrap is one document'],
  ['nothing', '', 'b.yaml: holds no document'],
  ['a list', '- a', 'b.yaml:1:1: '],
  [
    'a semantic mistake',
    CLUSTER.replace('connect_timeout: 1s', 'lb_policy: MAGLEV'),
    'b.yaml:5:5: static_resources.clusters[0].lb_policy: 5 is not supported',
  ],
  [
    'two clusters of one name',
    `static_resources: {clusters: [${['a', 'a'].map((n) => `{name: ${n}, load_assignment: {cluster_name: a}}`).join(', ')}]}`,
    'static_resources.clusters[1].name: "a" stands here twice',
  ],
  [
    'an unknown setting',
    `node: {metadata: {WEFT_REDINESS: "1:2"}}\n${CLUSTER}`,
    'b.yaml:1:19: node.metadata.WEFT_REDINESS: is not one of WEFT_MODE',
  ],
  [
    'a setting that is no address',
    `node: {metadata: {WEFT_READINESS: "15021"}}\n${CLUSTER}`,
    'node.metadata.WEFT_READINESS: "15021" must read host:port',
  ],
  [
    'a field that Weft does not have',
    `layered_runtime: {}\n${CLUSTER}`,
    'b.yaml:1:1: layered_runtime: ',
  ],
  [
    'an overload manager without a monitor',
    `overload_manager: {}\n${CLUSTER}`,
    'b.yaml:1:1: overload_manager.resource_monitors: must not be empty',
  ],
  [
    'a monitor of something else',
    `overload_manager: {resource_monitors: [{name: heap, typed_config: {"@type": type.googleapis.com/envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig, max_heap_size_bytes: 1}}]}\n${CLUSTER}`,
    'fixed_heap.v3.FixedHeapConfig',
  ],
  [
    'two monitors',
    `overload_manager: {resource_monitors: [${monitor(1)}, ${monitor(2)}]}\n${CLUSTER}`,
    'overload_manager.resource_monitors[1].name: one monitor, of downstream connections',
  ],
  [
    'no connection at all',
    `overload_manager: {resource_monitors: [${monitor(0)}]}\n${CLUSTER}`,
    'typed_config.max_active_downstream_connections: must be at least 1, is 0',
  ],
  [
    'an ADS cluster that is not there',
    ads('127.0.0.1').replace('cluster_name: xds}}', 'cluster_name: other}}'),
    'ads_config.grpc_services[0].envoy_grpc.cluster_name: names no cluster of static_resources; they are xds',
  ],
  [
    'ads without ads_config',
    `dynamic_resources: {cds_config: {ads: {}}}\n${CLUSTER}`,
    'dynamic_resources.cds_config.ads: needs ads_config beside it',
  ],
  ['no node id', ads('127.0.0.1').replace('id: n, ', ''), 'node: id must be set'],
  [
    'a file that is not there',
    `${CLUSTER}    transport_socket: {name: tls, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, common_tls_context: {validation_context: {trusted_ca: {filename: /no.pem}}}}}`,
    "trusted_ca.filename: cannot be read: ENOENT: no such file, open '/no.pem'",
  ],
])('a bootstrap with %s is refused at its place', (_name, text, problem) => {
  expect(problems(text).join('\n')).toContain(problem);
});

test('an alias bomb is refused in no time', () => {
  const lines = ['a0: &a0 [x, x, x, x, x, x, x, x, x, x]'];
  for (let level = 1; level < 30; level++) {
    lines.push(
      `a${level}: &a${level} [${Array(10)
        .fill(`*a${level - 1}`)
        .join(', ')}]`,
    );
  }
  const start = performance.now();
  expect(problems(lines.join('\n'))[0]).toContain('alias');
  expect(performance.now() - start).toBeLessThan(2000);
});

test('every mistake is reported, not the first alone', () => {
  const text = CLUSTER.replace(
    'connect_timeout: 1s',
    'lb_policy: MAGLEV\n    connect_timeout: 0s\n    health_checks: [{timeout: 1s, interval: 1s}]',
  );
  expect(problems(text)).toHaveLength(3);
});
