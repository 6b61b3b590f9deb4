import { expect, test } from 'vitest';
import { policies, sidecars, type TestWorkload } from '../mesh/mesh.testing.ts';
import { type Protocol, protocolOf } from './protocol.ts';
import type { Service } from './registry.ts';
import { buildDirectory, type ServiceDirectory } from './service-directory.ts';
import { inlineEndpoints, servicesOfEntry } from './service-entries.ts';

function directory(
  yaml: string,
  workloads: readonly TestWorkload[] = [],
  previous?: ServiceDirectory,
): ServiceDirectory {
  return buildDirectory(
    { ...policies(yaml), registries: [sidecars(workloads)] },
    'cluster.local',
    previous,
  );
}

const INLINE = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: db}
spec:
  hosts: [db.internal, DB2.internal]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http-web, targetPort: 8080}, {number: 3306, name: mysql, protocol: MYSQL}]
  endpoints:
  - {address: 10.0.0.1, ports: {http-web: 8081}, weight: 5, locality: a/b/c, serviceAccount: db}
  - {address: 10.0.0.2, labels: {security.istio.io/tlsMode: istio}}
`;

test('[DS-02] a ServiceEntry is a service for each of its hosts, with ports by name or target port', () => {
  const found = directory(INLINE);
  expect(found.services.map(({ host }) => host)).toEqual(['db.internal', 'db2.internal']);
  const [service] = found.services;
  expect(service).toMatchObject({
    ports: [
      { number: 80, protocol: 'http' },
      { number: 3306, protocol: 'tcp' },
    ],
    serviceAccounts: ['default/db'],
    origin: 'ServiceEntry default/db',
  });
  expect(found.endpoints(service!)).toMatchObject([
    {
      address: '10.0.0.1',
      ports: new Map([
        [80, 8081],
        [3306, 3306],
      ]),
      weight: 5,
      locality: 'a/b/c',
      tlsMode: 'istio',
    },
    {
      address: '10.0.0.2',
      ports: new Map([
        [80, 8080],
        [3306, 3306],
      ]),
      tlsMode: 'istio',
    },
  ]);
});

const SELECTING = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: vm}
spec:
  hosts: [vm.internal]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 9080, name: http, protocol: HTTP}]
  workloadSelector: {labels: {app: reviews}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: machine}
spec: {address: 10.0.0.9, labels: {app: reviews}, serviceAccount: vm, weight: 2}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: elsewhere, namespace: shop}
spec: {address: 10.0.0.8, labels: {app: reviews}}
`;

test('[DS-02][DS-04] a selector takes WorkloadEntries and registered sidecars of its namespace', () => {
  const found = directory(SELECTING, [{ service: 'reviews' }, { service: 'ratings' }]);
  const service = found.get('vm.internal', 'default')!;
  expect(
    found
      .endpoints(service)
      .map(({ address, ports, weight, workload }) => [address, ports.get(9080), weight, workload]),
  ).toEqual([
    ['10.0.0.9', 9080, 2, 'machine'],
    ['127.0.0.1', 31_000, 1, 'reviews-v1'],
  ]);
  expect(service.serviceAccounts).toEqual(['default/reviews', 'default/vm']);
});

test('[DS-04] a registered service joins the ServiceEntry that owns its host', () => {
  const yaml = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: reviews}
spec:
  hosts: [reviews.default.svc.cluster.local]
  resolution: STATIC
  ports: [{number: 9080, name: http, protocol: HTTP}]
`;
  const found = directory(yaml, [{ service: 'reviews' }]);
  expect(found.services).toHaveLength(1);
  expect(found.services[0]?.origin).toBe('ServiceEntry default/reviews');
  expect(found.endpoints(found.services[0]!)).toHaveLength(1);
});

test('[A8.2] a ServiceEntry of another namespace does not take over a host for others', () => {
  const yaml = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: hijack, namespace: evil}
spec:
  hosts: [reviews.default.svc.cluster.local]
  resolution: STATIC
  ports: [{number: 9080, name: http, protocol: HTTP}]
  endpoints: [{address: 10.6.6.6}]
`;
  const found = directory(yaml, [{ service: 'reviews' }]);
  const host = 'reviews.default.svc.cluster.local';
  expect(found.find(host, 'default')?.namespace).toBe('default');
  expect(found.find(host, 'shop')?.namespace).toBe('default');
  expect(found.find(host, 'evil')?.namespace).toBe('evil');
  expect(found.problems).toMatchObject([{ subject: 'ServiceEntry evil/hijack' }]);
});

test('of two entries of one namespace for one host the older is used and the younger reported', () => {
  const younger = INLINE.replace('name: db', 'name: younger');
  const found = directory(`${INLINE}---${younger}`);
  expect(found.services).toHaveLength(2);
  expect(found.problems).toHaveLength(2);
  expect(found.problems[0]?.subject).toBe('ServiceEntry default/younger');
});

test('sidecars of a host that is no name of the mesh need a ServiceEntry', () => {
  const found = directory('', [{ service: 'api', host: 'api.example.com' }]);
  expect(found.services).toEqual([]);
  expect(found.problems[0]?.message).toContain('no ServiceEntry of namespace default');
});

test('[TM-22] what is not exported is seen by its own namespace alone', () => {
  const found = directory(INLINE.replace('resolution', 'exportTo: [.]\n  resolution'));
  expect(found.visibleTo('default')).toHaveLength(2);
  expect(found.visibleTo('shop')).toHaveLength(0);
  expect(found.find('db.internal', 'shop')).toBeUndefined();
});

test('[TM-07] an exact host beats a wildcard, a long wildcard a short one', () => {
  const wild = (host: string, name: string, namespace = 'default') => `---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: ${name}, namespace: ${namespace}}
spec: {hosts: ["${host}"], resolution: NONE, ports: [{number: 80, name: http}]}
`;
  const found = directory(
    wild('*.com', 'a') + wild('*.example.com', 'b') + wild('api.example.com', 'c', 'shop'),
  );
  expect(found.find('api.example.com', 'default')?.host).toBe('api.example.com');
  expect(found.find('x.example.com', 'default')?.host).toBe('*.example.com');
  expect(found.find('x.com', 'default')?.host).toBe('*.com');
  expect(found.find('x.org', 'default')).toBeUndefined();
});

test('[OP-02] what did not change is the same object as before', () => {
  const first = directory(INLINE, [{ service: 'reviews' }]);
  const second = directory(INLINE, [{ service: 'reviews', health: 'UNHEALTHY' }], first);
  expect(second.services.map((service, at) => service === first.services[at])).toEqual([
    true,
    true,
    true,
  ]);
  const [db, , reviews] = second.services;
  expect(second.endpoints(db!)).toBe(first.endpoints(db!));
  expect(second.endpoints(reviews!)).not.toBe(first.endpoints(reviews!));
});

test('[OP-02] what is made of an entry is made once, and anew when its allocated addresses change', () => {
  const [entry] = policies(INLINE).serviceEntries;
  const services = servicesOfEntry(entry!);
  expect(servicesOfEntry(entry!)).toBe(services);
  expect(inlineEndpoints(entry!, 'db.internal')).toBe(inlineEndpoints(entry!, 'db.internal'));
  const allocated = new Map([['db.internal', ['240.240.0.1']]]);
  expect(servicesOfEntry(entry!, allocated).map(({ addresses }) => addresses)).toEqual([
    ['240.240.0.1'],
    [],
  ]);
  expect(servicesOfEntry(entry!).map(({ addresses }) => addresses)).toEqual([[], []]);
});

test.each<[string, string, number, Protocol]>([
  ['HTTP', 'tcp-x', 1, 'http'],
  ['', 'http', 1, 'http'],
  ['', 'http-web', 1, 'http'],
  ['', 'grpc-web-api', 1, 'grpc-web'],
  ['grpc-web', '', 1, 'grpc-web'],
  ['GRPC', '', 1, 'http2'],
  ['', 'http2', 1, 'http2'],
  ['HTTPS', '', 1, 'tls'],
  ['MONGO', '', 1, 'tcp'],
  ['', 'web', 8080, 'detect'],
  ['', 'web', 3306, 'tcp'],
  ['UDP', '', 53, 'udp'],
  ['', 'httpx', 1, 'detect'],
])('[PR-01][PR-02] protocol %j, name %j, port %i: %s', (declared, name, number, expected) => {
  expect(protocolOf(declared, name, number)).toBe(expected);
});

test('[A6.9] a ClusterIP belongs to its Service, whatever a ServiceEntry says', () => {
  const service: Service = {
    host: 'db.shop.svc.cluster.local',
    namespace: 'shop',
    ports: [{ number: 3306, name: 'tcp', protocol: 'tcp' }],
    addresses: ['10.96.0.5', 'fd00::5'],
    resolution: 'STATIC',
    location: 'MESH_INTERNAL',
    exportTo: ['*'],
    subjectAltNames: [],
    serviceAccounts: [],
    creationTimestamp: '2026-06-01T00:00:00Z',
    origin: 'Service shop/db',
    isOfPlatform: true,
  };
  const entries = policies(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: thief}
spec:
  hosts: [a.evil]
  addresses: [10.96.0.5, 'fd00:0:0::5', 10.7.7.7]
  resolution: STATIC
  ports: [{number: 3306, name: tcp, protocol: TCP}]
  endpoints: [{address: 10.9.9.9}]
`);
  const registry = { services: [], workloads: [], provided: [{ service, endpoints: [] }] };
  const found = buildDirectory({ ...entries, registries: [registry] }, 'cluster.local');
  expect(found.find('a.evil', 'shop')!.addresses).toEqual(['10.7.7.7']);
  expect(found.find(service.host, 'shop')!.addresses).toEqual(service.addresses);
  expect(found.problems.map(({ subject, message }) => `${subject}: ${message}`)).toEqual([
    'ServiceEntry default/thief: address 10.96.0.5 is that of Service shop/db, which alone has it',
    expect.stringMatching(/fd00:0:0::5 is that of Service shop\/db/),
  ]);
});
