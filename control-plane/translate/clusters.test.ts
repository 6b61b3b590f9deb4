import { expect, test } from 'vitest';
import { unpackAs } from '../../proto/any.ts';
import type { Cluster } from '../../proto/gen/envoy/config/cluster/v3/cluster.ts';
import type { TransportSocket } from '../../proto/gen/envoy/config/core/v3/base.ts';
import { testMesh } from '../mesh/mesh.testing.ts';
import { testProxy, translated } from './proxy.testing.ts';

const HOST = 'reviews.default.svc.cluster.local';

function rule(spec: string, name = 'reviews', namespace = 'default'): string {
  return `---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: ${name}, namespace: ${namespace}}
spec:
  host: ${HOST}
${spec}
`;
}

const SUBSETS = rule('  subsets: [{name: v1, labels: {version: v1}}]');

function cluster(yaml: string, subset = '', proxy = testProxy()): Cluster {
  const found = translated(testMesh(yaml), proxy).cluster(`outbound|9080|${subset}|${HOST}`);
  if (found === undefined) throw new Error('no such cluster');
  return found;
}

function upstreamTls(socket: TransportSocket | undefined) {
  const config = socket?.configType;
  if (config === undefined) throw new Error('no transport socket');
  const unpacked = unpackAs(
    'envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
    config.value,
  );
  if (!unpacked.ok) throw new Error(unpacked.problem);
  return unpacked.message;
}

test('[TM-09] a cluster for each port of a service and for each subset of it, under their names', () => {
  const { clusters } = translated(testMesh(SUBSETS));
  expect(clusters.filter((name) => name.endsWith(HOST))).toEqual([
    `outbound|9080||${HOST}`,
    `outbound|9080|v1|${HOST}`,
  ]);
  expect(clusters).toContain('inbound|9080||');
  expect(clusters).toContain('PassthroughCluster');
  expect(clusters).toContain('BlackHoleCluster');
});

test('[RS-10][LB-01][RS-13][RS-19] what a cluster has without a rule', () => {
  const message = cluster('');
  expect(message).toMatchObject({
    clusterDiscoveryType: { $case: 'type', value: 3 },
    connectTimeout: { seconds: 10 },
    lbPolicy: 1,
    commonLbConfig: { healthyPanicThreshold: { value: 0 } },
    circuitBreakers: {
      thresholds: [
        {
          maxConnections: 0xffffffff,
          maxPendingRequests: 0xffffffff,
          maxRequests: 0xffffffff,
          maxRetries: 0xffffffff,
        },
      ],
    },
    edsClusterConfig: { serviceName: message.name },
  });
  expect(message.metadata?.filterMetadata.get('istio')).toEqual({
    default_original_port: 9080,
    services: [{ host: HOST, name: 'reviews', namespace: 'default' }],
  });
});

test.each([
  ['ROUND_ROBIN', 0],
  ['LEAST_REQUEST', 1],
  ['RANDOM', 3],
])('[LB-01][LB-02] %s', (simple, policy) => {
  const yaml = rule(`  trafficPolicy: {loadBalancer: {simple: ${simple}}}`);
  expect(cluster(yaml).lbPolicy).toBe(policy);
});

test('[LB-06] PASSTHROUGH dials where the app did', () => {
  const message = cluster(rule('  trafficPolicy: {loadBalancer: {simple: PASSTHROUGH}}'));
  expect(message.clusterDiscoveryType?.value).toBe(4);
  expect(message.lbPolicy).toBe(6);
});

test("[TM-09] a subset's policy replaces only the blocks that it names", () => {
  const yaml = rule(`  trafficPolicy:
    loadBalancer: {simple: RANDOM}
    connectionPool: {tcp: {connectTimeout: 2s}}
  subsets:
  - name: v1
    labels: {version: v1}
    trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}`);
  expect(cluster(yaml, 'v1')).toMatchObject({ lbPolicy: 0, connectTimeout: { seconds: 2 } });
  expect(cluster(yaml)).toMatchObject({ lbPolicy: 3, connectTimeout: { seconds: 2 } });
});

test('[TM-09] settings of a port replace all; what they leave out falls to the defaults', () => {
  const yaml = rule(`  trafficPolicy:
    loadBalancer: {simple: RANDOM}
    connectionPool: {tcp: {connectTimeout: 2s}}
    portLevelSettings: [{port: {number: 9080}, loadBalancer: {simple: ROUND_ROBIN}}]
  subsets:
  - {name: v1, labels: {version: v1}, trafficPolicy: {connectionPool: {tcp: {connectTimeout: 3s}}}}`);
  expect(cluster(yaml)).toMatchObject({ lbPolicy: 0, connectTimeout: { seconds: 10 } });
  expect(cluster(yaml, 'v1')).toMatchObject({ lbPolicy: 0, connectTimeout: { seconds: 3 } });
});

test("[TM-24] the client's namespace before the service's before the root; one rule alone", () => {
  const policy = (seconds: number) =>
    `  trafficPolicy: {connectionPool: {tcp: {connectTimeout: ${seconds}s}}}`;
  const root = rule(policy(1), 'root', 'istio-system');
  const service = rule(policy(2), 'service', 'default');
  const client = rule(policy(3), 'client', 'shop');
  const seconds = (yaml: string, namespace: string) =>
    cluster(yaml, '', testProxy({ namespace })).connectTimeout?.seconds;
  expect(seconds(root, 'shop')).toBe(1);
  expect(seconds(root + service, 'shop')).toBe(2);
  expect(seconds(root + service + client, 'shop')).toBe(3);
  expect(seconds(root + service + client, 'default')).toBe(2);
  expect(seconds(client, 'default')).toBe(10);
});

test('[TM-24] subsets of several rules of one namespace for one host are merged', () => {
  const more = rule('  subsets: [{name: v2, labels: {version: v2}}]', 'more');
  expect(cluster(SUBSETS + more, 'v1').name).toContain('|v1|');
  expect(cluster(SUBSETS + more, 'v2').name).toContain('|v2|');
});

test('[SC-01][SC-03] automatic mutual TLS where the endpoint has a sidecar, and only with its identities', () => {
  const [mutual, plain] = cluster('').transportSocketMatches;
  expect(mutual?.match).toEqual({ tlsMode: 'istio' });
  expect(plain).toMatchObject({
    match: {},
    transportSocket: { name: 'envoy.transport_sockets.raw_buffer' },
  });
  const tls = upstreamTls(mutual?.transportSocket);
  expect(tls.sni).toBe(`outbound_.9080_._.${HOST}`);
  expect(tls.commonTlsContext?.alpnProtocols).toEqual(['weft-h2', 'istio-http/1.1']);
  expect(tls.commonTlsContext?.tlsCertificateSdsSecretConfigs).toMatchObject([
    { name: 'default', sdsConfig: { configSourceSpecifier: { $case: 'ads' } } },
  ]);
  expect(tls.commonTlsContext?.validationContextType).toMatchObject({
    $case: 'combinedValidationContext',
    value: {
      defaultValidationContext: {
        matchTypedSubjectAltNames: [
          {
            sanType: 3,
            matcher: {
              matchPattern: {
                $case: 'exact',
                value: 'spiffe://cluster.local/ns/default/sa/reviews',
              },
            },
          },
        ],
      },
      validationContextSdsSecretConfig: { name: 'ROOTCA' },
    },
  });
});

test('[SC-01] a rule turns mutual TLS off, or demands it of every endpoint', () => {
  const off = cluster(rule('  trafficPolicy: {tls: {mode: DISABLE}}'));
  expect(off.transportSocket).toBeUndefined();
  expect(off.transportSocketMatches).toEqual([]);
  const demanded = cluster(rule('  trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}'));
  expect(upstreamTls(demanded.transportSocket).sni).toContain(HOST);
  expect(demanded.transportSocketMatches).toEqual([]);
});

test('[PR-11] an opaque port offers the ALPN of opaque mesh TLS', () => {
  const snapshot = testMesh('', [{ service: 'db', port: 5432, protocol: 'tcp' }]);
  const message = translated(snapshot).cluster('outbound|5432||db.default.svc.cluster.local');
  const tls = upstreamTls(message?.transportSocketMatches[0]?.transportSocket);
  expect(tls.commonTlsContext?.alpnProtocols).toEqual(['istio']);
});

test.each<[string, 'weft' | 'envoy', string[]]>([
  ['{number: 9080, name: http, protocol: HTTP}', 'weft', ['weft-h2', 'istio-http/1.1']],
  ['{number: 9080, name: http, protocol: HTTP}', 'envoy', ['istio-http/1.1']],
  ['{number: 9080, name: any}', 'weft', ['weft-h2', 'istio-http/1.1', 'istio-h2']],
  ['{number: 9080, name: any}', 'envoy', ['istio-http/1.1']],
  ['{number: 9080, name: grpc, protocol: GRPC}', 'weft', ['weft-h2', 'istio-h2']],
  ['{number: 9080, name: grpc, protocol: GRPC}', 'envoy', ['istio-h2']],
  ['{number: 9080, name: tcp, protocol: TCP}', 'weft', ['istio']],
])('[PR-06] [PR-11] mesh TLS of a port %s, for %s, offers %j', (port, kind, expected) => {
  const snapshot = testMesh(`---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: offered, namespace: default}
spec:
  hosts: [offered.internal]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [${port}]
  endpoints: [{address: 10.9.9.9, labels: {security.istio.io/tlsMode: istio}}]
`);
  const proxy = testProxy({ kind, secrets: 'static' });
  const message = translated(snapshot, proxy).cluster('outbound|9080||offered.internal');
  const tls = upstreamTls(message?.transportSocketMatches[0]?.transportSocket);
  expect(tls.commonTlsContext?.alpnProtocols).toEqual(expected);
});

test('a stock Envoy gets mesh TLS only where it says that it has the certificates', () => {
  const without = cluster('', '', testProxy({ kind: 'envoy', secrets: 'none' }));
  expect(without.transportSocketMatches).toEqual([]);
  const having = cluster('', '', testProxy({ kind: 'envoy', secrets: 'static' }));
  const tls = upstreamTls(having.transportSocketMatches[0]?.transportSocket);
  expect(tls.commonTlsContext?.tlsCertificateSdsSecretConfigs[0]?.sdsConfig).toBeUndefined();
});

test('stock gRPC gets only what it knows: no LEAST_REQUEST, no TLS by SDS, no passthrough', () => {
  const proxy = testProxy({ kind: 'grpc', mode: 'proxyless', secrets: 'none', ports: [] });
  const message = cluster('', '', proxy);
  expect(message.lbPolicy).toBe(0);
  expect(message.transportSocketMatches).toEqual([]);
  expect(translated(testMesh(), proxy).clusters).not.toContain('PassthroughCluster');
});

test('[DS-02] resolution DNS looks names up, NONE dials what was called', () => {
  const snapshot = testMesh(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api}
spec:
  hosts: [api.example.com]
  resolution: DNS
  ports: [{number: 443, name: https, protocol: HTTPS, targetPort: 8443}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: wild}
spec:
  hosts: ["*.example.org"]
  resolution: NONE
  ports: [{number: 80, name: http, protocol: HTTP}]
`);
  const { cluster: get } = translated(snapshot);
  expect(get('outbound|443||api.example.com')).toMatchObject({
    clusterDiscoveryType: { value: 1 },
    transportSocketMatches: [],
    loadAssignment: {
      endpoints: [
        {
          lbEndpoints: [
            {
              hostIdentifier: {
                value: {
                  address: {
                    address: {
                      value: {
                        address: 'api.example.com',
                        portSpecifier: { $case: 'portValue', value: 8443 },
                      },
                    },
                  },
                },
              },
            },
          ],
        },
      ],
    },
  });
  expect(get('outbound|80||*.example.org')?.clusterDiscoveryType?.value).toBe(4);
});

test('inbound: the app itself, named for metrics', () => {
  const message = translated(testMesh()).cluster('inbound|9080||');
  expect(message).toMatchObject({
    clusterDiscoveryType: { value: 0 },
    loadAssignment: {
      endpoints: [
        {
          lbEndpoints: [
            {
              hostIdentifier: {
                value: {
                  address: {
                    address: { value: { address: '127.0.0.1', portSpecifier: { value: 32_000 } } },
                  },
                },
              },
            },
          ],
        },
      ],
    },
  });
  expect(message?.metadata?.filterMetadata.get('istio')).toMatchObject({
    services: [{ name: 'productpage' }],
  });
});
