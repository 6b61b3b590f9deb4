import { expect, test } from 'vitest';
import { unpackAny } from '../../proto/any.ts';
import { testMesh } from '../mesh/mesh.testing.ts';
import { testProxy, translated, virtualHost } from './proxy.testing.ts';

function socketAddress(address: string, port: number): object {
  const portSpecifier = { $case: 'portValue', value: port };
  return { address: { $case: 'socketAddress', value: { address, portSpecifier } } };
}

const REDIRECT = testProxy({ mode: 'redirect', outbound: null });

const ENTRIES = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: mixed}
spec:
  hosts: [mixed.internal]
  addresses: [10.1.1.1]
  resolution: STATIC
  location: MESH_INTERNAL
  ports:
  - {number: 9080, name: http, protocol: HTTP}
  - {number: 443, name: tls, protocol: TLS}
  - {number: 5432, name: tcp, protocol: TCP}
  endpoints: [{address: 10.0.0.1}]
`;

test('outbound: one listener for all, one for the HTTP of a port, one for an address', () => {
  const { listeners, listener } = translated(testMesh(ENTRIES), REDIRECT);
  expect(listeners).toEqual([
    '0.0.0.0_443',
    '0.0.0.0_9080',
    '10.1.1.1_443',
    '10.1.1.1_5432',
    'virtualOutbound',
    'virtualInbound',
  ]);
  expect(listener('virtualOutbound')).toMatchObject({
    useOriginalDst: true,
    filterChains: [{ filterChainMatch: { destinationPort: 15_001 } }, {}],
  });
  expect(listener('0.0.0.0_9080')).toMatchObject({
    bindToPort: false,
    filterChains: [{ filterChainMatch: { applicationProtocols: ['http/1.0', 'http/1.1', 'h2c'] } }],
    defaultFilterChain: { name: 'passthrough' },
  });
  expect(listener('0.0.0.0_443')?.filterChains[0]?.filterChainMatch).toMatchObject({
    transportProtocol: 'tls',
    serverNames: ['mixed.internal'],
  });
});

test('[TM-07] a route configuration for each HTTP port, with every name bare and with the port', () => {
  const { routes } = translated(testMesh(ENTRIES), REDIRECT);
  expect(virtualHost(routes('9080'), 'reviews').domains).toContain('reviews:9080');
  expect(virtualHost(routes('9080'), 'mixed.internal').domains).toEqual([
    'mixed.internal',
    'mixed.internal:9080',
    '10.1.1.1',
    '10.1.1.1:9080',
  ]);
  expect(routes('5432')).toBeUndefined();
});

test('[SC-02] inbound: each declared port by its own mode, other ports by that of the workload', () => {
  const { listener } = translated(
    testMesh(`
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: one}
spec: {selector: {matchLabels: {app: productpage}}, portLevelMtls: {"32000": {mode: STRICT}}}
`),
    REDIRECT,
  );
  const inbound = listener('virtualInbound')!;
  expect(inbound.filterChains.map(({ name }) => name)).toEqual([
    'virtualInbound-trap',
    'inbound|9080||mtls-http',
    'virtualInbound-mtls',
    'virtualInbound-raw_buffer',
    'virtualInbound-tls',
  ]);
  expect(inbound.filterChains[1]?.filterChainMatch?.destinationPort).toBe(32_000);
});

test('IPv6: any address of each family of the host, and a source of each for the app', () => {
  const both = testProxy({ mode: 'redirect', outbound: null, addresses: ['10.0.0.9', 'fd00::9'] });
  const { listener, cluster } = translated(testMesh(), both);
  for (const [name, port] of [
    ['virtualOutbound', 15_001],
    ['virtualInbound', 15_006],
  ] as const) {
    expect(listener(name)?.address).toMatchObject(socketAddress('0.0.0.0', port));
    expect(listener(name)?.additionalAddresses).toMatchObject([
      { address: socketAddress('::', port) },
    ]);
  }
  expect(cluster('InboundPassthroughCluster')?.upstreamBindConfig).toMatchObject({
    sourceAddress: { address: '127.0.0.6' },
    extraSourceAddresses: [{ address: { address: '::6' } }],
  });
  const six = testProxy({ mode: 'redirect', outbound: null, addresses: ['fd00::9'] });
  expect(translated(testMesh(), six).listener('virtualInbound')).toMatchObject({
    address: socketAddress('::', 15_006),
    additionalAddresses: [],
  });
});

test('connections to the app come from an address that the redirect rules leave alone', () => {
  const { cluster } = translated(testMesh(), REDIRECT);
  for (const name of ['inbound|9080||', 'InboundPassthroughCluster']) {
    expect(cluster(name)?.upstreamBindConfig?.sourceAddress?.address).toBe('127.0.0.6');
    expect(cluster(name)?.clusterDiscoveryType?.value).toBe(4);
  }
});

test('[TM-19] REGISTRY_ONLY ends what nobody knows', () => {
  const closed = testMesh('', undefined, { outboundTrafficPolicy: 'REGISTRY_ONLY' });
  const chain = translated(closed, REDIRECT).listener('virtualOutbound')?.filterChains[1];
  const config = chain?.filters[0]?.configType;
  if (config?.$case !== 'typedConfig') throw new Error('no filter');
  expect(unpackAny(config.value)).toMatchObject({
    message: { clusterSpecifier: { $case: 'cluster', value: 'BlackHoleCluster' } },
  });
});
