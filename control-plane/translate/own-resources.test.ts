import { describe, expect, test } from 'vitest';
import { TYPE_CLUSTER, TYPE_ENDPOINT, TYPE_LISTENER, TYPE_ROUTE } from '../../proto/type-urls.ts';
import { BOOKINFO, testMesh } from '../mesh/mesh.testing.ts';
import { LayeredResources } from './layered-resources.ts';
import { testProxy } from './proxy.testing.ts';
import { translate } from './resource-set.ts';

const TYPES = [TYPE_CLUSTER, TYPE_ENDPOINT, TYPE_LISTENER, TYPE_ROUTE] as const;
const STRICT = `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: STRICT}}
`;

/** A replica of one workload: another proxy that says the same of itself. */
function replica(mode: 'explicit' | 'redirect', at: number) {
  return testProxy({ mode, id: `sidecar~10.0.0.${at}~p-${at}.default~default.svc.cluster.local` });
}

describe.each(['explicit', 'redirect'] as const)('%s mode', (mode) => {
  test('replicas of one workload are given the very same maps of every type', () => {
    const mesh = testMesh();
    const sets = [1, 2, 3].map((at) => translate(mesh, replica(mode, at)));
    for (const type of TYPES) {
      expect(new Set(sets.map((set) => set.resources(type))).size).toBe(1);
    }
  });

  test('own listeners stay the same objects over a change that is none of theirs', () => {
    const proxy = replica(mode, 1);
    const first = testMesh();
    const next = testMesh('', [...BOOKINFO, { service: 'ratings', version: 'v2' }], {}, first);
    const before = translate(first, proxy).resources(TYPE_LISTENER);
    const after = translate(next, proxy).resources(TYPE_LISTENER);
    const own = mode === 'explicit' ? 'virtualOutbound' : 'virtualInbound';
    expect(before.get(own)).toBeDefined();
    expect(after.get(own)).toBe(before.get(own));
  });

  test('own listeners follow the PeerAuthentication', () => {
    const proxy = replica(mode, 1);
    const first = testMesh();
    const next = testMesh(STRICT, BOOKINFO, {}, first);
    const own = mode === 'explicit' ? 'inbound_31000' : 'virtualInbound';
    const version = (mesh: typeof first) =>
      translate(mesh, proxy).resources(TYPE_LISTENER).get(own)!.version;
    expect(version(next)).not.toBe(version(first));
  });

  test('another workload has its own', () => {
    const mesh = testMesh();
    const other = testProxy({
      mode,
      ports: testProxy().ports.map((port) => ({ ...port, number: 9999 })),
    });
    const clusters = translate(mesh, other).resources(TYPE_CLUSTER);
    expect(clusters.has('inbound|9999||')).toBe(true);
    expect(clusters.has('inbound|9080||')).toBe(false);
  });
});

test('layered resources are the common ones with the own over them, each name once', () => {
  const resources = translate(testMesh(), testProxy()).resources(TYPE_CLUSTER);
  const [first, second, third] = [...resources.values()];
  const common = new Map([
    ['a', first!],
    ['b', second!],
  ]);
  const own = new Map([
    ['b', third!],
    ['c', third!],
  ]);
  const layered = new LayeredResources(common, own);
  const flat = new Map([...common, ...own]);
  expect(layered.size).toBe(3);
  expect([...layered]).toEqual([...flat]);
  expect([...layered.keys()]).toEqual([...flat.keys()]);
  expect([...layered.values()]).toEqual([...flat.values()]);
  expect(layered.get('b')).toBe(third);
  expect(layered.has('d')).toBe(false);
  const visited: string[] = [];
  layered.forEach((_, name) => {
    visited.push(name);
  });
  expect(visited).toEqual(['a', 'b', 'c']);
});
