import { expect, test } from 'vitest';
import { BOOKINFO, type TestWorkload, testMesh } from '../mesh/mesh.testing.ts';
import { translated } from './proxy.testing.ts';

const HOST = 'reviews.default.svc.cluster.local';
const SUBSETS = `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec: {host: reviews, subsets: [{name: v2, labels: {version: v2}}, {name: v9, labels: {version: v9}}]}
`;

function lines(yaml: string, workloads: readonly TestWorkload[] = BOOKINFO, subset = '') {
  const message = translated(testMesh(yaml, workloads)).endpoints(
    `outbound|9080|${subset}|${HOST}`,
  );
  return message?.endpoints.flatMap(({ locality, loadBalancingWeight, lbEndpoints }) =>
    lbEndpoints.map((endpoint) => {
      const host = endpoint.hostIdentifier;
      const address = host?.$case === 'endpoint' ? host.value.address?.address : undefined;
      const port = address?.$case === 'socketAddress' ? address.value.portSpecifier?.value : '';
      return {
        port,
        health: endpoint.healthStatus,
        weight: endpoint.loadBalancingWeight,
        zone: locality?.zone,
        localityWeight: loadBalancingWeight,
        tls: endpoint.metadata?.filterMetadata.get('envoy.transport_socket_match')?.['tlsMode'],
        workload: endpoint.metadata?.filterMetadata.get('istio')?.['workload'],
      };
    }),
  );
}

test('endpoints of a service, and of a subset those with its labels', () => {
  expect(lines('')?.map(({ port }) => port)).toEqual([31_003, 31_004, 31_005]);
  expect(lines(SUBSETS, BOOKINFO, 'v2')).toEqual([
    {
      port: 31_004,
      health: 1,
      weight: 1,
      zone: '',
      localityWeight: 1,
      tls: 'istio',
      workload: 'reviews-v2;default;reviews;v2;Kubernetes',
    },
  ]);
});

test('a cluster without endpoints is sent an empty assignment', () => {
  expect(lines(SUBSETS, BOOKINFO, 'v9')).toEqual([]);
});

test('[LB-16] an unhealthy endpoint is sent as such', () => {
  expect(lines('', [{ service: 'reviews', health: 'UNHEALTHY' }])).toMatchObject([{ health: 2 }]);
});

test('[LB-07][LB-08] weights within a locality, localities by the sum of theirs', () => {
  expect(
    lines('', [
      { service: 'reviews', weight: 3, locality: 'r/a/s' },
      { service: 'reviews', weight: 2, locality: 'r/b' },
      { service: 'reviews', weight: 4, locality: 'r/a/s' },
    ]),
  ).toMatchObject([
    { port: 31_000, zone: 'a', weight: 3, localityWeight: 7 },
    { port: 31_002, zone: 'a', weight: 4, localityWeight: 7 },
    { port: 31_001, zone: 'b', weight: 2, localityWeight: 2 },
  ]);
});

test('[SC-01] no TLS to an endpoint without a sidecar, nor to one that turned it off', () => {
  expect(lines('', [{ service: 'reviews', tlsMode: 'disabled' }])).toMatchObject([
    { tls: undefined },
  ]);
  const disabled = `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: plain}
spec: {selector: {matchLabels: {version: v1}}, mtls: {mode: STRICT}, portLevelMtls: {"9080": {mode: DISABLE}}}
`;
  expect(lines(disabled)?.map(({ tls }) => tls)).toEqual([undefined, 'istio', 'istio']);
});
