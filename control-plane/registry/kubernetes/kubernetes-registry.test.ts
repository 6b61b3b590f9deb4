import { afterEach, expect, test } from 'vitest';
import { KubernetesApi } from '../../../test/harness/kubernetes-api.ts';
import { clientOf, parts } from '../../../test/harness/kubernetes-client.ts';
import { node, pod, service, slice } from '../../../test/harness/kubernetes-objects.ts';
import { until } from '../../../test/harness/until.ts';
import { MESH_DEFAULTS } from '../../mesh/mesh-options.ts';
import { buildSnapshot, changeBetween, type MeshSnapshot } from '../../mesh/snapshot.ts';
import type { Endpoint, ProvidedService } from '../registry.ts';
import { KubernetesRegistry } from './kubernetes-registry.ts';

const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function cluster(fill: (api: KubernetesApi) => void): Promise<{
  api: KubernetesApi;
  registry: KubernetesRegistry;
}> {
  const api = await KubernetesApi.start();
  closers.push(() => api.close());
  fill(api);
  const client = clientOf(api);
  const registry = new KubernetesRegistry({ ...parts, client, domain: 'cluster.local' });
  closers.push(() => {
    registry.close();
    client.close();
  });
  registry.start();
  await registry.whenSynced();
  await until('four watches', () => api.watchCount() === 4);
  return { api, registry };
}

function found(registry: KubernetesRegistry, host: string): ProvidedService | undefined {
  return registry.read().provided!.find((each) => each.service.host === host);
}

const reviewsHost = 'reviews.default.svc.cluster.local';

/** `10.0.0.1:8080` */
function dialled(endpoints: readonly Endpoint[] | undefined, port = 80): string[] {
  return (endpoints ?? []).map((endpoint) => `${endpoint.address}:${endpoint.ports.get(port)}`);
}

function fillReviews(api: KubernetesApi): void {
  api.put(node('node-1', 'eu', 'eu-a'));
  api.put(service('reviews', { clusterIP: '10.96.0.9' }));
  for (const n of [1, 2]) {
    api.put(
      pod(`reviews-7f-${n}`, {
        ip: `10.0.0.${n}`,
        labels: { app: 'reviews', version: 'v1', 'pod-template-hash': '7f' },
        serviceAccount: 'reviews',
        ownerName: 'reviews-v1-7f',
        hasSidecar: n === 1,
      }),
    );
  }
  api.put(
    slice('reviews-a', 'reviews', [
      { ip: '10.0.0.1', pod: 'reviews-7f-1', ready: true },
      { ip: '10.0.0.2', pod: 'reviews-7f-2' },
    ]),
  );
}

test('[DS-01] a Service is joined with its slices, pods and nodes', async () => {
  const { registry } = await cluster(fillReviews);
  const { service: reviews, endpoints } = found(registry, reviewsHost)!;
  expect(reviews).toMatchObject({
    namespace: 'default',
    ports: [{ number: 80, name: 'http', protocol: 'http', targetPort: 8080 }],
    addresses: ['10.96.0.9'],
    resolution: 'STATIC',
    location: 'MESH_INTERNAL',
    exportTo: ['*'],
    serviceAccounts: ['default/reviews'],
    origin: 'Service default/reviews',
    selector: { app: 'reviews' },
  });
  expect(endpoints).toHaveLength(2);
  expect(endpoints[0]).toMatchObject({
    address: '10.0.0.1',
    ports: new Map([[80, 8080]]),
    labels: { version: 'v1' },
    namespace: 'default',
    workload: 'reviews-v1',
    serviceAccount: 'reviews',
    locality: 'eu/eu-a',
    tlsMode: 'istio',
  });
  expect(endpoints[1]!.tlsMode).toBe('disabled');
});

test('[DS-01] what is not ready is no endpoint; an absent condition counts as ready', async () => {
  const { api, registry } = await cluster(fillReviews);
  api.put(
    slice('reviews-a', 'reviews', [
      { ip: '10.0.0.1', pod: 'reviews-7f-1', ready: false },
      { ip: '10.0.0.2', pod: 'reviews-7f-2' },
    ]),
  );
  await until('one endpoint', () => found(registry, reviewsHost)!.endpoints.length === 1);
  expect(dialled(found(registry, reviewsHost)!.endpoints)).toEqual(['10.0.0.2:8080']);
});

test('[DS-01] several slices of one service are one list, one pod in two of them one endpoint', async () => {
  const ports = [{ name: 'http', port: 8080 }];
  const { api, registry } = await cluster((api) => {
    const two = [
      { name: 'http', port: 80, targetPort: 'web' },
      { name: 'admin', port: 81, targetPort: 'admin' },
    ];
    api.put(service('reviews', { ports: two }));
    api.put(slice('a', 'reviews', [{ ip: '10.0.0.2' }, { ip: '10.0.0.1' }], { ports }));
    const admin = [{ name: 'admin', port: 9000 }];
    api.put(slice('b', 'reviews', [{ ip: '10.0.0.1' }], { ports: admin }));
  });
  const { endpoints, service: reviews } = found(registry, reviewsHost)!;
  expect(endpoints.map(({ address }) => address)).toEqual(['10.0.0.1', '10.0.0.2']);
  expect(endpoints[0]!.ports).toEqual(
    new Map([
      [80, 8080],
      [81, 9000],
    ]),
  );
  expect(reviews.ports.map(({ targetPort }) => targetPort)).toEqual([8080, 9000]);
  api.remove('endpointslices', 'default', 'a');
  await until('one endpoint', () => found(registry, reviewsHost)!.endpoints.length === 1);
  expect(found(registry, reviewsHost)!.endpoints[0]!.ports).toEqual(new Map([[81, 9000]]));
});

test.each([
  ['appProtocol over the name', { name: 'tcp-x', appProtocol: 'http', port: 80 }, 'http'],
  ['grpc by name', { name: 'grpc-api', port: 80 }, 'http2'],
  ['grpc-web by name', { name: 'grpc-web', port: 80 }, 'grpc-web'],
  ['kubernetes.io/h2c', { name: 'x', appProtocol: 'kubernetes.io/h2c', port: 80 }, 'http2'],
  ['nothing said', { name: 'x', port: 80 }, 'detect'],
  ['UDP', { name: 'http', port: 80, protocol: 'UDP' }, 'udp'],
])('[PR-01] %s', async (_name, port, protocol) => {
  const { registry } = await cluster((api) => void api.put(service('reviews', { ports: [port] })));
  expect(found(registry, reviewsHost)!.service.ports[0]!.protocol).toBe(protocol);
});

test('TCP and UDP of one number are the TCP port; SCTP is left out', async () => {
  const { registry } = await cluster((api) => {
    const ports = [
      { name: 'dns', port: 53, protocol: 'UDP' },
      { name: 'dns-tcp', port: 53, protocol: 'TCP' },
      { name: 'sctp', port: 99, protocol: 'SCTP' },
    ];
    api.put(service('reviews', { ports }));
  });
  expect(found(registry, reviewsHost)!.service.ports).toMatchObject([
    { number: 53, protocol: 'tcp' },
  ]);
});

test('headless, dual-stack, ExternalName and an alias of a service of the cluster', async () => {
  const { registry } = await cluster((api) => {
    fillReviews(api);
    api.put(service('headless', { clusterIP: 'None', clusterIPs: ['None'] }));
    api.put(
      service('dual', {
        clusterIP: '10.96.1.1',
        clusterIPs: ['10.96.1.1', 'fd00::1'],
        ipFamilies: ['IPv4', 'IPv6'],
      }),
    );
    api.put(slice('d4', 'dual', [{ ip: '10.0.0.1' }]));
    api.put(slice('d6', 'dual', [{ ip: 'fd00::a' }], { addressType: 'IPv6' }));
    api.put(service('ext', { type: 'ExternalName', externalName: 'Example.com.' }));
    api.put(service('alias', { type: 'ExternalName', externalName: reviewsHost }));
  });
  const of = (name: string) => found(registry, `${name}.default.svc.cluster.local`)!;
  expect(of('headless').service.addresses).toEqual([]);
  expect(of('dual').service.addresses).toEqual(['10.96.1.1', 'fd00::1']);
  expect(dialled(of('dual').endpoints)).toEqual(['10.0.0.1:8080']);
  expect(of('ext').service).toMatchObject({ resolution: 'DNS', location: 'MESH_EXTERNAL' });
  expect(dialled(of('ext').endpoints)).toEqual(['example.com:80']);
  expect(of('alias').service).toMatchObject({
    resolution: 'STATIC',
    serviceAccounts: ['default/reviews'],
  });
  expect(dialled(of('alias').endpoints)).toEqual(['10.0.0.1:8080', '10.0.0.2:8080']);
});

test('a headless service has no address but those of its pods', async () => {
  const { registry } = await cluster((api) => {
    api.put(service('reviews', { clusterIP: 'None', clusterIPs: ['None'] }));
    api.put(slice('s', 'reviews', [{ ip: '10.0.0.1' }]));
  });
  const { service: reviews, endpoints } = found(registry, reviewsHost)!;
  expect(reviews.addresses).toEqual([]);
  expect(endpoints.map(({ address }) => address)).toEqual(['10.0.0.1']);
});

test('[TM-22] exportTo comes from the annotation, ours before Istio’s', async () => {
  const { registry } = await cluster((api) => {
    api.put(service('a', { annotations: { 'networking.istio.io/exportTo': '., shop' } }));
    const many = Array.from({ length: 1000 }, (_, at) => `n${at}`).join();
    api.put(service('many', { annotations: { 'networking.istio.io/exportTo': many } }));
    const both = { 'networking.istio.io/exportTo': '*', 'networking.weft.dev/exportTo': '~' };
    api.put(service('b', { annotations: both }));
  });
  expect(found(registry, 'a.default.svc.cluster.local')!.service.exportTo).toEqual(['.', 'shop']);
  expect(found(registry, 'many.default.svc.cluster.local')!.service.exportTo).toHaveLength(256);
  expect(found(registry, 'b.default.svc.cluster.local')!.service.exportTo).toEqual(['~']);
});

test.each([
  ['a Deployment', { ownerName: 'web-7f', labels: { 'pod-template-hash': '7f' } }, 'web'],
  ['a StatefulSet', { ownerKind: 'StatefulSet', ownerName: 'db' }, 'db'],
  ['a CronJob', { ownerKind: 'Job', ownerName: 'sync-28349850' }, 'sync'],
  ['nobody', {}, 'p'],
])('[KI-08] the workload of a pod of %s', async (_name, options, workload) => {
  const { registry } = await cluster(
    (api) => void api.put(pod('p', { ip: '10.0.0.1', ...options })),
  );
  expect(registry.read().workloads.map(({ name }) => name)).toEqual([workload]);
});

test('[LB-08] a pod’s own locality wins over its node’s, the slice’s zone is the last resort', async () => {
  const { api, registry } = await cluster((api) => {
    api.put(node('node-1', 'eu', 'eu-a'));
    api.put(service('reviews'));
    api.put(pod('a', { ip: '10.0.0.1', labels: { 'istio-locality': 'us.us-b.rack1' } }));
    api.put(pod('b', { ip: '10.0.0.2' }));
    const endpoints = [
      { ip: '10.0.0.1', pod: 'a' },
      { ip: '10.0.0.2', pod: 'b' },
      { ip: '10.0.0.3', zone: 'eu-c' },
    ];
    api.put(slice('s', 'reviews', endpoints));
  });
  const localities = () => found(registry, reviewsHost)!.endpoints.map(({ locality }) => locality);
  expect(localities()).toEqual(['us/us-b/rack1', 'eu/eu-a', '/eu-c']);
  api.put(node('node-1', 'eu', 'eu-z'));
  await until('the node to move', () => localities()[1] === 'eu/eu-z');
});

test('[SC-03] accounts stay while a service has no pods, so that a restart changes no caller’s cluster', async () => {
  const { api, registry } = await cluster(fillReviews);
  const before = found(registry, reviewsHost)!.service;
  api.put(slice('reviews-a', 'reviews', []));
  await until('no endpoint', () => found(registry, reviewsHost)!.endpoints.length === 0);
  expect(found(registry, reviewsHost)!.service).toEqual(before);
});

test('a slice cannot borrow the identity of a pod of another namespace', async () => {
  const { registry } = await cluster((api) => {
    api.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } });
    api.put(service('reviews'));
    api.put(pod('victim', { namespace: 'shop', ip: '10.0.0.9', serviceAccount: 'bank' }));
    const forged = slice('s', 'reviews', [{ ip: '10.0.0.1' }]);
    const endpoints = [
      {
        addresses: ['10.0.0.1'],
        targetRef: { kind: 'Pod', name: 'victim', namespace: 'shop' },
      },
    ];
    api.put({ ...forged, endpoints });
  });
  expect(found(registry, reviewsHost)!.endpoints[0]).toMatchObject({ serviceAccount: '' });
});

test('[A6.9] objects that make no sense are left out, the others are there', async () => {
  const { registry } = await cluster((api) => {
    fillReviews(api);
    api.put({ ...service('broken'), spec: 'nothing' });
    api.put({ ...service('odd'), spec: { ports: [{ port: '80' }, null, 5], selector: [1] } });
    api.put({
      ...slice('odd', 'odd', []),
      endpoints: [null, { addresses: 'x' }, { addresses: [5] }],
    });
    api.put({ ...pod('odd'), status: [], spec: 3 });
  });
  expect(registry.read().provided!.map(({ service: each }) => each.host)).toEqual([reviewsHost]);
  expect(found(registry, reviewsHost)!.endpoints).toHaveLength(2);
});

function snapshotOf(registry: KubernetesRegistry, previous?: MeshSnapshot): MeshSnapshot {
  const none = { virtualServices: [], destinationRules: [], peerAuthentications: [] };
  const inputs = {
    ...none,
    serviceEntries: [],
    workloadEntries: [],
    registries: [registry.read()],
  };
  return buildSnapshot(inputs, MESH_DEFAULTS, previous);
}

test('[OP-02] a readiness flip changes endpoints alone, and what is the same stays the same object', async () => {
  const { api, registry } = await cluster((api) => {
    fillReviews(api);
    api.put(service('other'));
    api.put(slice('o', 'other', [{ ip: '10.0.1.1' }]));
  });
  const before = snapshotOf(registry);
  const flip = (ready: boolean) =>
    api.put(
      slice('reviews-a', 'reviews', [
        { ip: '10.0.0.1', pod: 'reviews-7f-1', ready },
        { ip: '10.0.0.2', pod: 'reviews-7f-2' },
      ]),
    );
  flip(false);
  await until('the flip', () => found(registry, reviewsHost)!.endpoints.length === 1);
  const after = snapshotOf(registry, before);
  expect(changeBetween(before, after)).toEqual({
    kind: 'endpoints',
    hosts: new Set([reviewsHost]),
  });
  expect(after.directory.services).toBe(before.directory.services);
  // A change of status that nobody sees is none.
  const contents = registry.read();
  const running = api.get('pods', 'default', 'reviews-7f-1')!;
  const events = registry.pods.stats.events;
  api.put({ ...running, status: { ...(running['status'] as object), startTime: 'now' } });
  await until('the event', () => registry.pods.stats.events > events);
  expect(registry.read()).toBe(contents);
});

test('10,000 endpoints: a change costs what it touches', { timeout: 60_000 }, async () => {
  const { api, registry } = await cluster((api) => {
    for (let s = 0; s < 100; s++) {
      api.put(service(`s${s}`));
      const endpoints = [];
      for (let n = 0; n < 100; n++) {
        const name = `s${s}-${n}`;
        api.put(pod(name, { ip: `10.${s}.0.${n}`, labels: { app: `s${s}` }, ownerName: `s${s}` }));
        endpoints.push({ ip: `10.${s}.0.${n}`, pod: name, ready: true });
      }
      api.put(slice(`s${s}-a`, `s${s}`, endpoints));
    }
  });
  const timed = <T>(work: () => T): { value: T; ms: number } => {
    const startMs = performance.now();
    const value = work();
    return { value, ms: performance.now() - startMs };
  };
  const { value: before, ms: wholeMs } = timed(() => snapshotOf(registry));
  expect(before.directory.services).toHaveLength(100);
  const quickest = { ms: Number.POSITIVE_INFINITY };
  let previous = before;
  for (let n = 0; n < 5; n++) {
    const old = found(registry, 's7.default.svc.cluster.local')!;
    api.put(slice('s7-a', 's7', [{ ip: `10.7.0.${n}`, pod: `s7-${n}`, ready: true }]));
    await until('the change', () => {
      const { ms, value } = timed(() => snapshotOf(registry, previous));
      if (found(registry, 's7.default.svc.cluster.local') === old) return false;
      previous = value;
      quickest.ms = Math.min(quickest.ms, ms);
      return true;
    });
  }
  expect(quickest.ms).toBeLessThan(wholeMs / 4);
});
