import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { ServerCredentials, status } from '@grpc/grpc-js';
import { afterEach, expect, test } from 'vitest';
import { Node } from '../../proto/gen/envoy/config/core/v3/base.ts';
import { DeltaDiscoveryRequest } from '../../proto/gen/envoy/service/discovery/v3/discovery.ts';
import { TYPE_CLUSTER, TYPE_ENDPOINT } from '../../proto/type-urls.ts';
import { HandClock } from '../clock.testing.ts';
import { MESH_DEFAULTS } from '../mesh/mesh-options.ts';
import { buildSnapshot } from '../mesh/snapshot.ts';
import { WorkloadRegistrations } from '../registry/workload-registrations.ts';
import type { ResourceType } from '../translate/discovery-resource.ts';
import { parseProxyView } from '../translate/proxy-view.ts';
import type { ResourceSet } from '../translate/resource-set.ts';
import { deltaClient } from './discovery-client.testing.ts';
import type { DiscoveryMetrics } from './discovery-metrics.ts';
import { DiscoveryServer } from './discovery-server.ts';
import { DISCOVERY_SERVICE } from './discovery-service.ts';
import { createGrpcServer, type GrpcServer } from './grpc-server.ts';
import { NAMES_MAX } from './resource-names.ts';
import { byName, cluster } from './resources.testing.ts';
import type { AdmissionOptions } from './stream-admission.ts';
import type { Resources } from './subscription.ts';

const toClose: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of toClose.splice(0).reverse()) await close();
});

const SNAPSHOT = buildSnapshot(
  {
    serviceEntries: [],
    workloadEntries: [],
    registries: [],
    virtualServices: [],
    destinationRules: [],
    peerAuthentications: [],
  },
  MESH_DEFAULTS,
);

/** A discovery server on a plaintext port, with a translation and a clock of the test's own. */
async function serve(
  translated: (proxy: string, type: ResourceType) => Resources,
  { isKnown = true, ...limits }: Partial<AdmissionOptions> & { isKnown?: boolean } = {},
) {
  const clock = new HandClock();
  const counted: string[] = [];
  const count =
    (name: string) =>
    (...labels: unknown[]) =>
      void counted.push([name, ...labels].join(' '));
  const metrics: DiscoveryMetrics = {
    connected: count('connected'),
    pushed: count('pushed'),
    rejected: count('rejected'),
    expiredNonce: count('expired'),
    streamFailed: count('failed'),
    internalError: count('internalError'),
    converged: () => {},
  };
  const discovery = new DiscoveryServer({
    clock,
    wallNowMs: () => 0,
    parseView: (node) => parseProxyView(node, MESH_DEFAULTS),
    translate: (snapshot, proxy) =>
      ({
        snapshot,
        proxy,
        resources: (type: ResourceType) => translated(proxy.workload, type),
      }) as unknown as ResourceSet,
    registrations: new WorkloadRegistrations({ clock }),
    metrics,
    log: { info: () => {}, warn: () => {}, error: () => {} },
    admission: {
      streamsPerIdentityMax: 100,
      streamsMax: 100,
      streamsPerSecond: 100,
      streamsBurst: 100,
      ...limits,
    },
  });
  if (isKnown) discovery.publish(SNAPSHOT);
  const server: GrpcServer = await createGrpcServer({
    listen: { host: '127.0.0.1', port: 0 },
    credentials: ServerCredentials.createInsecure(),
    services: [[DISCOVERY_SERVICE, discovery.service(async () => null)]],
  });
  toClose.push(
    () => server.close(0),
    () => discovery.close(),
  );
  const address = `127.0.0.1:${server.address.port}`;
  const connect = (workload: string) => {
    const client = deltaClient({ address });
    toClose.push(() => client.close());
    client.send({ typeUrl: TYPE_CLUSTER, node: nodeOf(workload) });
    return client;
  };
  return { address, discovery, clock, counted, connect };
}

function nodeOf(workload: string): Node {
  return Node.create({ id: `sidecar~127.0.0.1~${workload}.default~default.svc.cluster.local` });
}

const EMPTY = byName();

test('[F13] a translation that throws leaves the proxy its own, and others theirs', async () => {
  let isBroken = false;
  const { discovery, counted, connect } = await serve((proxy, type) => {
    if (isBroken && proxy === 'unlucky' && type === TYPE_CLUSTER) throw new Error('a bug');
    return type === TYPE_CLUSTER ? byName(cluster(isBroken ? 'new' : 'old')) : EMPTY;
  });
  const lucky = connect('lucky');
  const unlucky = connect('unlucky');
  for (const client of [lucky, unlucky]) {
    const { typeUrl, nonce, resources } = await client.take(() => true);
    expect(resources.map(({ name }) => name)).toEqual(['old']);
    client.send({ typeUrl, responseNonce: nonce });
  }
  isBroken = true;
  discovery.publish(SNAPSHOT);
  const { resources } = await lucky.take(() => true);
  expect(resources.map(({ name }) => name)).toEqual(['new']);
  expect(counted).toContain('internalError');
  const held = discovery.sessions.map(({ view, subscriptions }) => [
    view?.workload,
    [...subscriptions.get(TYPE_CLUSTER)!.held.keys()],
  ]);
  expect(held).toContainEqual(['unlucky', ['old']]);
  isBroken = false;
  expect(unlucky.responses).toEqual([]);
});

test('[A6.3] too many names end the stream', async () => {
  const { connect, counted } = await serve(() => EMPTY);
  const client = connect('greedy');
  const names = Array.from({ length: NAMES_MAX + 1 }, (_, at) => `n${at}`);
  client.send({ typeUrl: TYPE_ENDPOINT, resourceNamesSubscribe: names });
  expect((await client.ended()).code).toBe(status.RESOURCE_EXHAUSTED);
  expect(counted).toContain('failed RESOURCE_EXHAUSTED');
});

test('[A6.3] a request above 4 MiB ends the stream before it is read', async () => {
  const { connect } = await serve(() => EMPTY);
  const client = connect('large');
  client.send({ typeUrl: TYPE_ENDPOINT, resourceNamesSubscribe: ['n'.repeat(5 * 1024 * 1024)] });
  expect((await client.ended()).code).toBe(status.RESOURCE_EXHAUSTED);
});

test('[A6.3] a type that is none, and too many types, end the stream', async () => {
  const { connect } = await serve(() => EMPTY);
  const client = connect('nameless');
  client.send({ typeUrl: 'clusters' });
  expect((await client.ended()).code).toBe(status.INVALID_ARGUMENT);
  const curious = connect('curious');
  for (let at = 0; at < 17; at++) curious.send({ typeUrl: `type.googleapis.com/t${at}` });
  expect((await curious.ended()).code).toBe(status.INVALID_ARGUMENT);
});

test('[A6.2] streams beyond the limit are turned away, and a place is free again after one ends', async () => {
  const { connect, discovery } = await serve(() => EMPTY, { streamsPerIdentityMax: 1 });
  const first = connect('first');
  await first.take(() => true);
  expect((await connect('second').ended()).code).toBe(status.RESOURCE_EXHAUSTED);
  first.close();
  while (discovery.sessions.length > 0) await new Promise((resolve) => setImmediate(resolve));
  await connect('third').take(() => true);
});

test('[A6.2] a client that takes no data is reset', async () => {
  const large = byName(...['a', 'b'].map((name) => cluster(name, 'x'.repeat(1_200_000))));
  const { address, clock, counted, discovery } = await serve((_, type) =>
    type === TYPE_CLUSTER ? large : EMPTY,
  );
  const session = connectHttp2(`http://${address}`);
  toClose.push(() => session.destroy());
  const request = session.request({
    ':method': 'POST',
    ':path': DISCOVERY_SERVICE.deltaAggregatedResources.path,
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  // Nobody reads: of 2.4 MB the first 64 KiB arrive, and a status would have to wait for the rest.
  request.write(grpcFrame({ typeUrl: TYPE_CLUSTER, node: nodeOf('stalled') }));
  while (!counted.includes('pushed cds')) await new Promise((resolve) => setImmediate(resolve));
  clock.advance(29_999);
  expect(discovery.sessions.length).toBe(1);
  clock.advance(1);
  expect(discovery.sessions.length).toBe(0);
  expect(counted).toContain('failed RESOURCE_EXHAUSTED');
  const [error] = await once(request, 'error');
  expect((error as Error).message).toContain('NGHTTP2_ENHANCE_YOUR_CALM');
});

function grpcFrame(request: Parameters<typeof DeltaDiscoveryRequest.create>[0]): Buffer {
  const bytes = DeltaDiscoveryRequest.encode(DeltaDiscoveryRequest.create(request)).finish();
  const head = Buffer.alloc(5);
  head.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

test('[F4] until the mesh is known streams wait, and answers come when it is', async () => {
  const { discovery, connect, counted } = await serve(() => byName(cluster('c')), {
    isKnown: false,
  });
  const client = connect('early');
  while (discovery.sessions.length === 0) await new Promise((resolve) => setImmediate(resolve));
  for (let turns = 10; turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve));
  expect(counted).toEqual(['connected 1']);
  discovery.publish(SNAPSHOT);
  expect((await client.take(() => true)).resources.map(({ name }) => name)).toEqual(['c']);
});

test('a closing server ends streams with UNAVAILABLE', async () => {
  const { discovery, connect } = await serve(() => EMPTY);
  const client = connect('open');
  await client.take(() => true);
  discovery.close();
  expect((await client.ended()).code).toBe(status.UNAVAILABLE);
  expect((await connect('late').ended()).code).toBe(status.UNAVAILABLE);
});
