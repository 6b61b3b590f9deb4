import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { Node } from '../proto/gen/envoy/config/core/v3/base.ts';
import { ClusterLoadAssignment } from '../proto/gen/envoy/config/endpoint/v3/endpoint.ts';
import { Listener } from '../proto/gen/envoy/config/listener/v3/listener.ts';
import { TYPE_CLUSTER, TYPE_ENDPOINT, TYPE_LISTENER } from '../proto/type-urls.ts';
import { KubernetesApi } from '../test/harness/kubernetes-api.ts';
import { pod, service, slice } from '../test/harness/kubernetes-objects.ts';
import { until } from '../test/harness/until.ts';
import { followCluster, type TestControlPlane, testControlPlane } from './control-plane.testing.ts';
import { StartError } from './start-error.ts';
import { deltaClient } from './xds/discovery-client.testing.ts';

const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function cluster(): Promise<KubernetesApi> {
  const api = await KubernetesApi.start();
  closers.push(() => api.close());
  return api;
}

function kubernetes(kubeconfigText: string) {
  const directory = mkdtempSync(join(tmpdir(), 'weft-kubeconfig-'));
  closers.push(() => rmSync(directory, { recursive: true, force: true }));
  const kubeconfig = join(directory, 'config');
  writeFileSync(kubeconfig, kubeconfigText);
  return followCluster(kubeconfig);
}

async function controlPlane(api: KubernetesApi): Promise<TestControlPlane> {
  const plane = await testControlPlane({ kubernetes: kubernetes(api.kubeconfig()) });
  closers.push(() => plane.remove());
  return plane;
}

/** A redirected sidecar that asks for everything and acknowledges it; keeps the newest of each resource. */
function sidecar(plane: TestControlPlane, labels: Record<string, string>) {
  const client = deltaClient({ address: plane.addresses.plaintextXds! });
  closers.push(() => client.close());
  const resources = new Map<string, Uint8Array>();
  const pushes = { [TYPE_CLUSTER]: 0, [TYPE_ENDPOINT]: 0, [TYPE_LISTENER]: 0 } as Record<
    string,
    number
  >;
  const node = Node.create({
    id: 'sidecar~10.0.0.1~reviews-1.default~default.svc.cluster.local',
    userAgentName: 'weft',
    metadata: { NAMESPACE: 'default', WEFT_MODE: 'redirect', LABELS: labels },
  });
  client.send({ typeUrl: TYPE_CLUSTER, node });
  client.send({ typeUrl: TYPE_LISTENER });
  const follow = async (): Promise<void> => {
    for (;;) {
      const response = await client.take(() => true).catch(() => null);
      if (response === null) return;
      const { typeUrl, nonce } = response;
      pushes[typeUrl] = (pushes[typeUrl] ?? 0) + 1;
      for (const { name, resource } of response.resources) {
        resources.set(`${typeUrl} ${name}`, resource!.value);
      }
      for (const name of response.removedResources) resources.delete(`${typeUrl} ${name}`);
      client.send({ typeUrl, responseNonce: nonce });
      if (typeUrl !== TYPE_CLUSTER) continue;
      const clusters = response.resources
        .map(({ name }) => name)
        .filter((name) => name.startsWith('outbound|'));
      client.send({ typeUrl: TYPE_ENDPOINT, resourceNamesSubscribe: clusters });
    }
  };
  void follow();
  return {
    pushes,
    /** `8080` and the protocol of its chains. */
    inboundPorts: (): string[] => {
      const value = resources.get(`${TYPE_LISTENER} virtualInbound`);
      if (value === undefined) return [];
      const names = Listener.decode(value).filterChains.map(({ name }) => name);
      return names.filter((name) => name.startsWith('inbound|')).sort();
    },
    listeners: () => [...resources.keys()].filter((key) => key.startsWith(TYPE_LISTENER)),
    endpoints: (cluster: string): number | undefined => {
      const value = resources.get(`${TYPE_ENDPOINT} ${cluster}`);
      if (value === undefined) return undefined;
      return ClusterLoadAssignment.decode(value).endpoints.flatMap((each) => each.lbEndpoints)
        .length;
    },
  };
}

test('[F7] with the API server away at the start nothing is published, and the reason is said', async () => {
  const api = await cluster();
  api.put(service('reviews', { ports: [{ name: 'http', port: 9080 }] }));
  await api.goAway();
  const plane = await controlPlane(api);
  const client = sidecar(plane, { app: 'client' });
  const ready = () => fetch(`http://${plane.addresses.api}/readyz`);
  await until('the reason', async () => {
    const response = await ready();
    const text = await response.text();
    return (
      response.status === 503 &&
      /services of the cluster are not known yet: .*ECONNREFUSED/.test(text)
    );
  });
  expect(client.pushes[TYPE_CLUSTER]).toBe(0);
  await api.comeBack();
  await until('readiness', async () => (await ready()).status === 200);
  await until('the listeners', () =>
    client.listeners().some((name) => name.endsWith('0.0.0.0_9080')),
  );
});

test('a redirected sidecar’s inbound ports are those of the Services that select it, and follow them', async () => {
  const api = await cluster();
  const plane = await controlPlane(api);
  const client = sidecar(plane, { app: 'reviews' });
  await until('the inbound listener', () =>
    client.listeners().some((name) => name.endsWith('virtualInbound')),
  );
  expect(client.inboundPorts()).toEqual([]);
  const ports = [{ name: 'http', port: 80, targetPort: 8080 }];
  api.put(service('reviews', { ports }));
  const http = ['mtls-http', 'plain-http', 'app-tls'];
  const named = (port: number, chains: string[]) =>
    chains.map((chain) => `inbound|${port}||${chain}`).sort();
  await until('HTTP on 8080', () => client.inboundPorts().join() === named(8080, http).join());
  api.put(service('reviews', { ports: [{ name: 'tcp', port: 80, targetPort: 9000 }] }));
  const tcp = ['mtls-tcp', 'plain-tcp', 'app-tls'];
  await until('TCP on 9000', () => client.inboundPorts().join() === named(9000, tcp).join());
  api.remove('services', 'default', 'reviews');
  await until('no port', () => client.inboundPorts().length === 0);
});

test('[DS-01] a virtual address has a listener of its own', async () => {
  const api = await cluster();
  const plane = await controlPlane(api);
  api.put(service('db', { clusterIP: '10.96.3.4', ports: [{ name: 'tcp', port: 5432 }] }));
  const client = sidecar(plane, { app: 'client' });
  await until('the listener', () =>
    client.listeners().some((name) => name.endsWith('10.96.3.4_5432')),
  );
});

test('[LB-06] each pod of a headless TCP service has a listener of its own, and none takes the port of everybody else', async () => {
  const api = await cluster();
  const plane = await controlPlane(api);
  const ports = [{ name: 'tcp', port: 6379 }];
  api.put(service('redis', { clusterIP: 'None', clusterIPs: ['None'], ports }));
  const one = { ip: '10.0.0.1' };
  const client = sidecar(plane, { app: 'client' });
  const ofPort = () => client.listeners().flatMap((name) => name.match(/\S+_6379$/) ?? []);
  const sliceOf = (endpoints: { ip: string }[]) =>
    api.put(slice('redis-a', 'redis', endpoints, { ports: [{ name: 'tcp', port: 6379 }] }));
  sliceOf([one]);
  await until('the listener of the one', () => ofPort().join() === '10.0.0.1_6379');
  sliceOf([one, { ip: '10.0.0.2' }]);
  const each = ['10.0.0.1_6379', '10.0.0.2_6379'];
  await until('a listener for each', () => each.every((name) => ofPort().includes(name)));
  expect(ofPort()).toHaveLength(2);
});

test('[DS-01] 1000 endpoints that change one by one are a few pushes of endpoints, none of clusters', async () => {
  const api = await cluster();
  for (let s = 0; s < 10; s++) api.put(service(`s${s}`));
  const plane = await controlPlane(api);
  const client = sidecar(plane, { app: 'client' });
  const cluster9 = 'outbound|80||s9.default.svc.cluster.local';
  await until('the clusters', () => client.endpoints(cluster9) === 0);
  const clustersBefore = client.pushes[TYPE_CLUSTER];
  const endpointsBefore = client.pushes[TYPE_ENDPOINT]!;
  let changes = 0;
  for (let n = 1; n <= 100; n++) {
    for (let s = 0; s < 10; s++) {
      const endpoints = Array.from({ length: n }, (_, at) => ({ ip: `10.0.${s}.${at}` }));
      api.put(slice(`s${s}-a`, `s${s}`, endpoints));
      changes++;
    }
    if (n % 10 === 0) await new Promise((done) => setImmediate(done));
  }
  await until('the last one', () => client.endpoints(cluster9) === 100);
  expect(changes).toBe(1000);
  // The first slices say where a named port leads; here the number is given, so no cluster changes.
  expect(client.pushes[TYPE_CLUSTER]).toBe(clustersBefore);
  expect(client.pushes[TYPE_ENDPOINT]! - endpointsBefore).toBeLessThan(changes / 10);
});

test('[DS-02] a Kubernetes Service wins over a ServiceEntry of its host', async () => {
  const api = await cluster();
  api.put(service('reviews'));
  api.put(slice('reviews-a', 'reviews', [{ ip: '10.0.0.1' }, { ip: '10.0.0.2' }]));
  const plane = await controlPlane(api);
  const client = sidecar(plane, { app: 'client' });
  const name = 'outbound|80||reviews.default.svc.cluster.local';
  await until('its endpoints', () => client.endpoints(name) === 2);
  const { status } = await plane.request(
    'POST',
    '/apis/networking.istio.io/v1/namespaces/default/serviceentries',
    {
      apiVersion: 'networking.istio.io/v1',
      kind: 'ServiceEntry',
      metadata: { name: 'mine' },
      spec: {
        hosts: ['reviews.default.svc.cluster.local'],
        ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
        resolution: 'STATIC',
        endpoints: [{ address: '10.9.9.9' }],
      },
    },
  );
  expect(status).toBe(201);
  api.put(
    slice('reviews-a', 'reviews', [{ ip: '10.0.0.1' }, { ip: '10.0.0.2' }, { ip: '10.0.0.3' }]),
  );
  await until('three endpoints', () => client.endpoints(name) === 3);
});

test('a ServiceEntry takes the pods that its workloadSelector chooses, while they are ready', async () => {
  const api = await cluster();
  api.put(pod('a', { ip: '10.0.0.1', labels: { app: 'legacy' } }));
  api.put(pod('b', { ip: '10.0.0.2', labels: { app: 'legacy' }, isReady: false }));
  const plane = await controlPlane(api);
  const client = sidecar(plane, { app: 'client' });
  await plane.request('POST', '/apis/networking.istio.io/v1/namespaces/default/serviceentries', {
    apiVersion: 'networking.istio.io/v1',
    kind: 'ServiceEntry',
    metadata: { name: 'legacy' },
    spec: {
      hosts: ['legacy.example.com'],
      ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
      resolution: 'STATIC',
      location: 'MESH_INTERNAL',
      workloadSelector: { labels: { app: 'legacy' } },
    },
  });
  await until('one endpoint', () => client.endpoints('outbound|80||legacy.example.com') === 1);
  api.put(pod('b', { ip: '10.0.0.2', labels: { app: 'legacy' } }));
  await until('two endpoints', () => client.endpoints('outbound|80||legacy.example.com') === 2);
});

test('a cluster that cannot be known is said before anything starts', async () => {
  const start = (text: string) => testControlPlane({ kubernetes: kubernetes(text) });
  await expect(start('contexts: []')).rejects.toThrow(/kubeconfig .*no current-context is set/);
  await expect(start('contexts: []')).rejects.toBeInstanceOf(StartError);
  const inCluster = { ...kubernetes(''), kubeconfig: null };
  await expect(testControlPlane({ kubernetes: inCluster })).rejects.toThrow(/--kubeconfig FILE/);
});
