import { expect, test } from 'vitest';
import { TYPE_NAME_TABLE } from '../../proto/type-urls.ts';
import { sidecars, testMesh } from '../mesh/mesh.testing.ts';
import { buildSnapshot, type MeshSnapshot } from '../mesh/snapshot.ts';
import { testProxy, translated } from './proxy.testing.ts';

function table(snapshot: MeshSnapshot, changes: Parameters<typeof testProxy>[0] = {}) {
  const { set } = translated(snapshot, testProxy(changes));
  const resource = set.resources(TYPE_NAME_TABLE).get('')!;
  return { names: resource.message.table, version: resource.version };
}

const entry = (name: string, spec: string, namespace = 'default') => `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: ${name}, namespace: ${namespace}}
spec: ${spec}
---
`;
const HTTP = 'ports: [{number: 80, name: http, protocol: HTTP}]';

test('[DS-05] a host stands with its virtual addresses, CIDRs left out, and with its ports', () => {
  const mesh = testMesh(
    entry(
      'db',
      '{hosts: [db.internal], addresses: [10.1.1.1, 10.2.0.0/16, "2001:db8::1"], resolution: STATIC, ports: [{number: 5432, name: sql, protocol: TCP}, {number: 53, name: dns, protocol: UDP}], endpoints: [{address: 10.0.0.1}]}',
    ),
    [],
  );
  expect(table(mesh).names.get('db.internal')).toEqual({
    ips: ['10.1.1.1', '2001:db8::1'],
    registry: 'External',
    shortname: '',
    namespace: '',
    ports: [
      { name: 'dns', number: 53, protocol: 'udp' },
      { name: 'sql', number: 5432, protocol: 'tcp' },
    ],
  });
});

test('[DS-05] a service of the mesh says its short name; without a virtual address its endpoints are given', () => {
  const mesh = testMesh('', [
    { service: 'reviews', address: '10.0.0.9' },
    { service: 'reviews', version: 'v2', address: '10.0.0.3' },
    { service: 'reviews', version: 'v3', address: '10.0.0.4', health: 'UNHEALTHY' },
  ]);
  expect(table(mesh).names.get('reviews.default.svc.cluster.local')).toMatchObject({
    ips: ['10.0.0.3', '10.0.0.9'],
    registry: 'Kubernetes',
    shortname: 'reviews',
    namespace: 'default',
  });
});

test('[DS-05] a service of which nothing is healthy keeps its name', () => {
  const mesh = testMesh('', [{ service: 'reviews', address: '10.0.0.4', health: 'UNHEALTHY' }]);
  expect(table(mesh).names.get('reviews.default.svc.cluster.local')?.ips).toEqual(['10.0.0.4']);
});

test.each([
  ['resolution DNS', `{hosts: [a.example.com], resolution: DNS, ${HTTP}}`],
  ['resolution NONE', `{hosts: [a.example.com], resolution: NONE, ${HTTP}}`],
  ['a CIDR alone', `{hosts: [a.example.com], addresses: [10.0.0.0/8], resolution: NONE, ${HTTP}}`],
  [
    'a socket path',
    `{hosts: [a.example.com], resolution: STATIC, ${HTTP}, endpoints: [{address: "unix:///run/a"}]}`,
  ],
])('[DS-05] %s has no address to answer: the name is left to the name server', (_, spec) => {
  expect(table(testMesh(entry('a', spec), [])).names.size).toBe(0);
});

test('[TM-22] a namespace is told of what is exported to it, its own service first', () => {
  const spec = (address: string, exportTo: string) =>
    `{hosts: [a.example.com], addresses: [${address}], exportTo: [${exportTo}], resolution: DNS, ${HTTP}}`;
  const mesh = testMesh(
    entry('a', spec('10.0.0.1', '"*"')) + entry('a', spec('10.0.0.2', '"."'), 'shop'),
    [],
  );
  expect(table(mesh).names.get('a.example.com')?.ips).toEqual(['10.0.0.1']);
  expect(table(mesh, { namespace: 'shop' }).names.get('a.example.com')?.ips).toEqual(['10.0.0.2']);
});

test('[DS-06] of an allocated pair a proxy gets the families that its host has', () => {
  const contents = sidecars([{ service: 'reviews' }]);
  const services = contents.services.map((service) => ({
    ...service,
    addresses: ['240.240.0.7', '2001:2::7'],
  }));
  const empty = testMesh('', []);
  const mesh = buildSnapshot(
    {
      virtualServices: [],
      destinationRules: [],
      serviceEntries: [],
      workloadEntries: [],
      peerAuthentications: [],
      registries: [{ ...contents, services }],
    },
    empty.options,
  );
  const ips = (...addresses: string[]) =>
    table(mesh, { addresses }).names.get('reviews.default.svc.cluster.local')?.ips;
  expect(ips('10.0.0.1')).toEqual(['240.240.0.7']);
  expect(ips()).toEqual(['240.240.0.7']);
  expect(ips('fd00::1')).toEqual(['2001:2::7']);
  expect(ips('10.0.0.1', 'fd00::1')).toEqual(['240.240.0.7', '2001:2::7']);
});

test('[DS-05] the version changes with an answer and with nothing else', () => {
  const before = testMesh('', [{ service: 'reviews', address: '10.0.0.9' }]);
  const sicker = testMesh('', [
    { service: 'reviews', address: '10.0.0.9', health: 'UNHEALTHY', weight: 5 },
  ]);
  const moved = testMesh('', [{ service: 'reviews', address: '10.0.0.8' }]);
  expect(table(sicker).version).toBe(table(before).version);
  expect(table(moved).version).not.toBe(table(before).version);
});
