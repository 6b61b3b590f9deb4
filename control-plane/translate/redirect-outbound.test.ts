import { expect, test } from 'vitest';
import { unpackAny } from '../../proto/any.ts';
import type { Listener } from '../../proto/gen/envoy/config/listener/v3/listener.ts';
import type { FilterChain } from '../../proto/gen/envoy/config/listener/v3/listener_components.ts';
import type { HttpConnectionManager } from '../../proto/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.ts';
import { policies, testMesh } from '../mesh/mesh.testing.ts';
import { MESH_DEFAULTS } from '../mesh/mesh-options.ts';
import { buildSnapshot } from '../mesh/snapshot.ts';
import { testProxy, translated, virtualHost } from './proxy.testing.ts';

const REDIRECT = testProxy({ mode: 'redirect', outbound: null });

interface Entry {
  readonly name: string;
  readonly protocol?: string;
  readonly port?: number;
  readonly addresses?: readonly string[];
  readonly endpoints?: readonly string[];
  readonly target?: number;
  readonly resolution?: string;
}

function entry({
  name,
  protocol = 'TCP',
  port = 6379,
  addresses = [],
  endpoints = [],
  target,
  resolution = 'STATIC',
}: Entry): string {
  const targetPort = target === undefined ? '' : `, targetPort: ${target}`;
  const protocolField = protocol === '' ? '' : `, protocol: ${protocol}`;
  return `
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: ${name}}
spec:
  hosts: [${name}.internal]
  addresses: ${JSON.stringify(addresses)}
  resolution: ${resolution}
  location: MESH_INTERNAL
  ports: [{number: ${port}, name: p${protocolField}${targetPort}}]
  endpoints: [${endpoints.map((address) => `{address: "${address}"}`).join(', ')}]
`;
}

const outbound = (...entries: readonly Entry[]) =>
  translated(testMesh(entries.map(entry).join('')), REDIRECT);

/** Listeners that exist because of the entries. */
function own(listeners: readonly string[]): readonly string[] {
  return listeners.filter((name) => !name.startsWith('virtual') && name !== '0.0.0.0_9080');
}

function clusterOf(chain: FilterChain | undefined): string {
  const config = chain?.filters[0]?.configType;
  if (config?.$case !== 'typedConfig') throw new Error('no filter');
  const { message } = unpackAny(config.value) as unknown as {
    message: { clusterSpecifier?: { value: string } };
  };
  return message.clusterSpecifier?.value ?? '';
}

const dialledEndpoint = (listener: Listener | undefined): unknown =>
  listener?.metadata?.filterMetadata.get('weft')?.['dialled_endpoint'];

test('two TCP services of one port are told apart by the addresses of their endpoints', () => {
  const { listeners, listener } = outbound(
    { name: 'a', endpoints: ['10.0.0.1', '10.0.0.2'] },
    { name: 'b', endpoints: ['10.0.0.3'] },
  );
  expect(own(listeners)).toEqual(['10.0.0.1_6379', '10.0.0.2_6379', '10.0.0.3_6379']);
  expect(clusterOf(listener('10.0.0.2_6379')?.filterChains[0])).toBe('outbound|6379||a.internal');
  expect(clusterOf(listener('10.0.0.3_6379')?.filterChains[0])).toBe('outbound|6379||b.internal');
});

test('[LB-06] who dials an endpoint means that one; who dials a virtual address does not', () => {
  const { listener } = outbound(
    { name: 'a', endpoints: ['10.0.0.1'], target: 16_379 },
    { name: 'b', endpoints: ['fd00::3'] },
    { name: 'c', addresses: ['10.1.1.1'], endpoints: ['10.0.0.4'] },
  );
  expect(dialledEndpoint(listener('10.0.0.1_16379'))).toBe('10.0.0.1:16379');
  expect(dialledEndpoint(listener('10.0.0.1_6379'))).toBe('10.0.0.1:16379');
  expect(dialledEndpoint(listener('fd00::3_6379'))).toBe('[fd00::3]:6379');
  expect(dialledEndpoint(listener('10.1.1.1_6379'))).toBeUndefined();
  expect(listener('10.0.0.4_6379')).toBeUndefined();
});

test('an address is the virtual one of a service before it is an endpoint of another', () => {
  const { listener } = outbound(
    { name: 'a', endpoints: ['10.0.0.1'] },
    { name: 'b', addresses: ['10.0.0.1'], endpoints: ['10.0.0.9'] },
  );
  const chain = listener('10.0.0.1_6379')?.filterChains[0];
  expect(clusterOf(chain)).toBe('outbound|6379||b.internal');
});

test('a port whose protocol is not said: HTTP by its routes, other bytes to the service (PR-02)', () => {
  const { listener } = outbound({ name: 'a', protocol: '', port: 7000, endpoints: ['10.0.0.1'] });
  const listed = listener('10.0.0.1_7000');
  expect(listed?.listenerFilters).toHaveLength(2);
  expect(listed?.filterChains.map(({ name }) => name)).toEqual(['http']);
  expect(clusterOf(listed?.defaultFilterChain)).toBe('outbound|7000||a.internal');
});

test('a service whose addresses nobody can know has the rest of its port, the first one by host', () => {
  const { listener } = outbound(
    { name: 'b', resolution: 'DNS', endpoints: ['b.example.com'] },
    { name: 'a', resolution: 'NONE' },
    { name: 'static', endpoints: ['10.0.0.1'] },
  );
  const chain = listener('0.0.0.0_6379')?.filterChains[0];
  expect(clusterOf(chain)).toBe('outbound|6379||a.internal');
});

test('[PR-01] [PR-08] gRPC-Web is translated on ports of services that say so, and on no other', () => {
  const { listener } = outbound(
    { name: 'web', protocol: 'grpc-web', port: 8080 },
    { name: 'other', protocol: 'HTTP', port: 8080 },
    { name: 'grpc', protocol: 'GRPC', port: 9090 },
  );
  expect(httpFilters(listener('0.0.0.0_8080')!)).toEqual([
    'envoy.filters.http.grpc_web',
    'envoy.filters.http.fault',
    'envoy.filters.http.router',
  ]);
  expect(httpFilters(listener('0.0.0.0_9090')!)).toEqual([
    'envoy.filters.http.fault',
    'envoy.filters.http.router',
  ]);
});

function httpFilters({ filterChains }: Listener): string[] {
  const config = filterChains.find(({ name }) => name === 'http')!.filters[0]!.configType!;
  if (config.$case !== 'typedConfig') throw new Error('no typed configuration');
  const unpacked = unpackAny(config.value);
  if (!unpacked.ok) throw new Error(unpacked.problem);
  return (unpacked.message as HttpConnectionManager).httpFilters.map(({ name }) => name);
}

test('TLS services that share an address stay told apart by server name', () => {
  for (const where of [{ addresses: ['10.1.1.1'] }, {}]) {
    const tls = { protocol: 'TLS', port: 443, endpoints: ['10.0.0.1'], ...where };
    const { listeners, listener } = outbound({ name: 'a', ...tls }, { name: 'b', ...tls });
    expect(own(listeners)).toEqual(['0.0.0.0_443']);
    expect(listener('0.0.0.0_443')?.filterChains.map(({ name }) => name)).toEqual([
      'tls-a.internal',
      'tls-b.internal',
    ]);
  }
  const { listener } = outbound({ name: 'a', protocol: 'TLS', port: 443, endpoints: ['10.0.0.1'] });
  const chain = listener('10.0.0.1_443')?.filterChains[0];
  expect(clusterOf(chain)).toBe('outbound|443||a.internal');
});

test('a range of virtual addresses is a chain of the port', () => {
  const { listener } = outbound({ name: 'a', addresses: ['10.8.0.0/16'], endpoints: ['10.0.0.1'] });
  const listed = listener('0.0.0.0_6379');
  expect(listed?.filterChains[0]?.filterChainMatch?.prefixRanges).toMatchObject([
    { addressPrefix: '10.8.0.0', prefixLen: 16 },
  ]);
  expect(clusterOf(listed?.defaultFilterChain)).toBe('PassthroughCluster');
});

test('[A6.9] a range takes no HTTP service’s address: it keeps its routes, and what else is sent there passes', () => {
  const { listener } = outbound(
    { name: 'a', addresses: ['10.0.0.0/8'], endpoints: ['10.9.9.9'], port: 80 },
    { name: 'web', addresses: ['10.96.0.7'], protocol: 'HTTP', endpoints: ['10.0.0.1'], port: 80 },
    { name: 'far', addresses: ['192.0.2.1'], protocol: 'HTTP', endpoints: ['10.0.0.2'], port: 80 },
  );
  const chains = listener('0.0.0.0_80')!.filterChains;
  const exact = [{ addressPrefix: '10.96.0.7', prefixLen: 32 }];
  const of = (name: string) => chains.find((chain) => chain.name === name);
  const plain = of('http')!.filterChainMatch;
  expect(of('http-addresses')?.filterChainMatch).toMatchObject({
    applicationProtocols: plain!.applicationProtocols,
    prefixRanges: exact,
  });
  expect(of('passthrough-addresses')?.filterChainMatch).toMatchObject({ prefixRanges: exact });
  expect(clusterOf(of('passthrough-addresses'))).toBe('PassthroughCluster');
  expect(clusterOf(of('tcp-a.internal-10.0.0.0/8'))).toBe('outbound|80||a.internal');
});

test('of one service 256 endpoints are told by address', () => {
  const endpoints = Array.from({ length: 300 }, (_, at) => `10.2.${at >> 8}.${at & 255}`);
  expect(own(outbound({ name: 'a', endpoints }).listeners)).toHaveLength(256);
});

/** The mesh of these entries, each with an allocated address in its status. */
function allocated(...entries: readonly Entry[]) {
  const inputs = policies(entries.map(entry).join(''));
  const serviceEntries = inputs.serviceEntries.map((each, index) => ({
    ...each,
    status: {
      addresses: [
        { value: `240.240.0.${index + 1}`, host: each.spec.hosts[0]! },
        { value: `2001:2::${index + 1}`, host: each.spec.hosts[0]! },
      ],
    },
  }));
  return buildSnapshot({ ...inputs, serviceEntries, registries: [] }, MESH_DEFAULTS);
}

test('[DS-06] an allocated address has a listener of its own, and takes nothing from the endpoints', () => {
  const mesh = allocated({ name: 'redis', endpoints: ['10.0.0.1'] });
  const { listeners, listener } = translated(mesh, REDIRECT);
  expect(own(listeners)).toEqual(['240.240.0.1_6379', '2001:2::1_6379', '10.0.0.1_6379']);
  expect(clusterOf(listener('240.240.0.1_6379')?.filterChains[0])).toBe(
    'outbound|6379||redis.internal',
  );
});

test('[DS-06] two hosts outside with one port are told apart by their addresses where the apps learn these', () => {
  const mesh = allocated(
    { name: 'a', resolution: 'DNS', port: 5432 },
    { name: 'b', resolution: 'DNS', port: 5432 },
  );
  const capturing = translated(mesh, { ...REDIRECT, answersNames: true });
  expect(own(capturing.listeners)).toEqual([
    '240.240.0.1_5432',
    '2001:2::1_5432',
    '240.240.0.2_5432',
    '2001:2::2_5432',
  ]);
  expect(clusterOf(capturing.listener('240.240.0.2_5432')?.filterChains[0])).toBe(
    'outbound|5432||b.internal',
  );
  // An app that asks public DNS dials an address that nobody here knows.
  const other = translated(mesh, REDIRECT);
  expect(clusterOf(other.listener('0.0.0.0_5432')?.filterChains[0])).toBe(
    'outbound|5432||a.internal',
  );
});

test('[DS-06] HTTP at an allocated address is routed by it', () => {
  const mesh = allocated({ name: 'web', protocol: 'HTTP', port: 80, endpoints: ['10.0.0.1'] });
  const { routes } = translated(mesh, REDIRECT);
  expect(virtualHost(routes('80'), 'web.internal').domains).toEqual([
    'web.internal',
    'web.internal:80',
    '240.240.0.1',
    '240.240.0.1:80',
    '[2001:2::1]',
    '[2001:2::1]:80',
  ]);
});

test('[A6.9] an endpoint of the platform’s own service stays with it, whatever a ServiceEntry lists', () => {
  const inputs = policies(
    [
      { name: 'a', endpoints: ['10.0.0.1'] },
      { name: 'b', endpoints: ['10.0.0.1'] },
    ]
      .map(entry)
      .join(''),
  );
  const apart = buildSnapshot({ ...inputs, registries: [] }, MESH_DEFAULTS);
  const b = apart.directory.find('b.internal', 'default')!;
  const provided = [
    { service: { ...b, isOfPlatform: true as const }, endpoints: apart.directory.endpoints(b) },
  ];
  const registries = [{ services: [], workloads: [], provided }];
  const snapshot = buildSnapshot({ ...inputs, registries }, MESH_DEFAULTS);
  const { listener } = translated(snapshot, REDIRECT);
  expect(clusterOf(listener('10.0.0.1_6379')?.filterChains[0])).toBe('outbound|6379||b.internal');
});
