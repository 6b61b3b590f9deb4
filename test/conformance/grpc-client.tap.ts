import { join } from 'node:path';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import t from 'tap';
import {
  type TestControlPlane,
  testControlPlane,
} from '../../control-plane/control-plane.testing.ts';
import { NodeProcess } from '../harness/node-process.ts';
import { until } from '../harness/until.ts';

/** The control plane drives a stock gRPC client (@grpc/grpc-js-xds, state of the world, plaintext on loopback). */

t.setTimeout(120_000);

const HOST = 'echo.default.svc.cluster.local';

t.test('a stock gRPC client resolves, follows weights and loses an endpoint', async (t) => {
  const [one, two] = await Promise.all([echo('v1'), echo('v2')]);
  const plane = await testControlPlane();
  await post(plane, 'serviceentries', serviceEntry([one.port, two.port]));
  await post(plane, 'destinationrules', {
    metadata: { name: 'echo' },
    spec: {
      host: HOST,
      trafficPolicy: { loadBalancer: { simple: 'ROUND_ROBIN' } },
      subsets: [
        { name: 'v1', labels: { version: 'v1' } },
        { name: 'v2', labels: { version: 'v2' } },
      ],
    },
  });
  const client = new NodeProcess(
    [join(import.meta.dirname, 'grpc-client.ts'), `${HOST}:50051`, '2'],
    { env: { GRPC_XDS_BOOTSTRAP_CONFIG: bootstrap(plane) } },
  );
  t.teardown(async () => {
    await client.stop();
    await plane.remove();
    one.server.forceShutdown();
    two.server.forceShutdown();
  });

  await client.seen(/v1\n/);
  await client.seen(/v2\n/);
  t.notMatch(client.stdout, /error/, 'both endpoints serve, no call fails');

  await post(plane, 'virtualservices', {
    metadata: { name: 'echo' },
    spec: { hosts: [HOST], http: [{ route: [destination('v1', 90), destination('v2', 10)] }] },
  });
  // The latest 200 answers, once the new weights hold: by chance below 2 or above 50 of 200 once in 10^8 runs.
  await until('nine of ten calls to reach v1', () => {
    const latest = answers(client).slice(-200);
    const ofTwo = latest.filter((line) => line === 'v2').length;
    return latest.length === 200 && ofTwo > 1 && ofTwo < 50;
  });
  t.notMatch(client.stdout, /error/, 'a route update costs no call');

  await put(plane, 'virtualservices', {
    metadata: { name: 'echo' },
    spec: { hosts: [HOST], http: [{ route: [{ destination: { host: HOST } }] }] },
  });
  await until('both to be called again', () => {
    const ofTwo = answers(client)
      .slice(-100)
      .filter((line) => line === 'v2').length;
    return ofTwo > 30;
  });

  const asked = Date.now();
  await put(plane, 'serviceentries', serviceEntry([one.port]));
  await until('v2 to be called no more', () => {
    const latest = answers(client).slice(-50);
    return latest.every((line) => line === 'v1');
  });
  t.ok(Date.now() - asked < 5000, 'an endpoint that is removed is left within seconds');
  t.notMatch(client.stdout, /error/, 'the removal of an endpoint costs no call');

  const { body } = await plane.request('GET', '/weft/v1/proxies');
  const [proxy] = (body as { items: { types: { type: string; status: string }[] }[] }).items;
  t.same(
    proxy?.types.map(({ type, status }) => `${type} ${status}`),
    ['CDS SYNCED', 'EDS SYNCED', 'LDS SYNCED', 'RDS SYNCED'],
    'nothing was refused',
  );
});

function answers(client: NodeProcess): string[] {
  return client.stdout.trimEnd().split('\n');
}

/** A gRPC server that says its name. */
async function echo(name: string): Promise<{ server: Server; port: number }> {
  const server = new Server();
  const identity = (bytes: Buffer): Buffer => bytes;
  server.addService(
    {
      who: {
        path: '/weft.test.Echo/Who',
        requestStream: false,
        responseStream: false,
        requestSerialize: identity,
        requestDeserialize: identity,
        responseSerialize: identity,
        responseDeserialize: identity,
      },
    },
    {
      who: (_: unknown, callback: (error: null, answer: Buffer) => void) =>
        callback(null, Buffer.from(name)),
    },
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return { server, port };
}

function serviceEntry(ports: readonly number[]) {
  return {
    metadata: { name: 'echo' },
    spec: {
      hosts: [HOST],
      location: 'MESH_INTERNAL',
      resolution: 'STATIC',
      ports: [{ number: 50051, name: 'grpc', protocol: 'GRPC' }],
      endpoints: ports.map((port, at) => ({
        address: '127.0.0.1',
        ports: { grpc: port },
        labels: { version: `v${at + 1}` },
      })),
    },
  };
}

function destination(subset: string, weight: number) {
  return { destination: { host: HOST, subset }, weight };
}

function bootstrap(plane: TestControlPlane): string {
  return JSON.stringify({
    xds_servers: [
      {
        server_uri: plane.addresses.plaintextXds,
        channel_creds: [{ type: 'insecure' }],
        server_features: ['xds_v3'],
      },
    ],
    node: { id: 'stock-grpc-client', locality: {}, metadata: { NAMESPACE: 'default' } },
  });
}

const KINDS: Readonly<Record<string, string>> = {
  serviceentries: 'ServiceEntry',
  destinationrules: 'DestinationRule',
  virtualservices: 'VirtualService',
};

async function post(plane: TestControlPlane, plural: string, object: object): Promise<void> {
  const path = `/apis/networking.istio.io/v1/namespaces/default/${plural}`;
  const whole = { apiVersion: 'networking.istio.io/v1', kind: KINDS[plural], ...object };
  const { status, body } = await plane.request('POST', path, whole);
  if (status !== 201) throw new Error(JSON.stringify(body));
}

async function put(
  plane: TestControlPlane,
  plural: string,
  object: { metadata: { name: string }; spec: object },
): Promise<void> {
  const path = `/apis/networking.istio.io/v1/namespaces/default/${plural}/${object.metadata.name}`;
  const whole = { apiVersion: 'networking.istio.io/v1', kind: KINDS[plural], ...object };
  const { status, body } = await plane.request('PUT', path, whole);
  if (status !== 200) throw new Error(JSON.stringify(body));
}
