import { expect, test } from 'vitest';
import { unpackAs } from '../../proto/any.ts';
import { testMesh } from '../mesh/mesh.testing.ts';
import { testProxy, translated } from './proxy.testing.ts';

/** What stock gRPC asks of its server, xds.md 5.3. */

const GRPC = testProxy({ kind: 'grpc', mode: 'proxyless', secrets: 'none', ports: [], host: '' });
const HOST = 'reviews.default.svc.cluster.local';

test('a listener under every name that a client may dial, all with the routes of the service', () => {
  const { listener } = translated(testMesh(), GRPC);
  for (const name of [`${HOST}:9080`, 'reviews.default:9080', 'reviews:9080']) {
    const unpacked = unpackAs(
      'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
      listener(name)!.apiListener!.apiListener!,
    );
    expect(unpacked).toMatchObject({
      message: {
        routeSpecifier: { value: { routeConfigName: `outbound|9080||${HOST}` } },
        httpFilters: [{ name: 'envoy.filters.http.fault' }, { name: 'envoy.filters.http.router' }],
      },
    });
  }
});

test('routes hold nothing that makes gRPC refuse all of them', () => {
  const { routes } = translated(
    testMesh(`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - match: [{uri: {exact: /a}}]
    redirect: {uri: /b}
  - match: [{uri: {exact: /c}}]
    directResponse: {status: 200}
  - match: [{uri: {exact: /d}}]
    timeout: 3s
    retries: {attempts: 2, retryOn: "5xx,unavailable,cancelled"}
    route: [{destination: {host: reviews}}]
  - retries: {attempts: 2, retryOn: 5xx}
    route: [{destination: {host: reviews}}]
`),
    GRPC,
  );
  const [host] = routes(`outbound|9080||${HOST}`)!.virtualHosts;
  expect(host?.domains).toEqual(['*']);
  const clusters = host?.routes.map(({ action }) =>
    action?.$case === 'route' ? action.value.clusterSpecifier?.value : action?.$case,
  );
  const own = `outbound|9080||${HOST}`;
  expect(clusters).toEqual(['BlackHoleCluster', 'BlackHoleCluster', own, own]);
  expect(host?.routes[2]?.action?.value).toMatchObject({
    maxStreamDuration: { maxStreamDuration: { seconds: 3 } },
    retryPolicy: { retryOn: 'unavailable,cancelled', numRetries: 2 },
    timeout: undefined,
  });
  expect(host?.routes[3]?.action?.value).toMatchObject({ retryPolicy: undefined });
});

test('nowhere is a cluster with an empty assignment', () => {
  const { cluster, endpoints } = translated(testMesh(), GRPC);
  expect(cluster('BlackHoleCluster')?.clusterDiscoveryType?.value).toBe(3);
  expect(endpoints('BlackHoleCluster')?.endpoints).toEqual([]);
});

test('every locality has a weight', () => {
  const { endpoints } = translated(testMesh(), GRPC);
  const assignment = endpoints(`outbound|9080||${HOST}`)!;
  expect(assignment.endpoints).toMatchObject([
    { locality: { region: '' }, loadBalancingWeight: 3 },
  ]);
});
