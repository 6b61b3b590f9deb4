import {
  Client,
  credentials,
  type handleUnaryCall,
  Server,
  ServerCredentials,
  status,
} from '@grpc/grpc-js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type TestControlPlane, testControlPlane } from '../control-plane/control-plane.testing.ts';

/**
 * An unmodified gRPC client that reads xDS itself (@grpc/grpc-js-xds) is driven by our control plane, over the plaintext
 * port, as it can use no other (xds.md 5.3).
 */

const PATH = '/test.Orders/Who';
const GROUP = '/apis/networking.istio.io/v1/namespaces/default';

let plane: TestControlPlane;
let client: Client;
const servers: Server[] = [];

beforeAll(async () => {
  plane = await testControlPlane();
  const [v1, v2] = [await serve('v1'), await serve('v2')];
  await apply('serviceentries', {
    apiVersion: 'networking.istio.io/v1',
    kind: 'ServiceEntry',
    metadata: { name: 'orders' },
    spec: {
      hosts: ['orders.default.svc.cluster.local'],
      location: 'MESH_INTERNAL',
      resolution: 'STATIC',
      ports: [{ number: 8080, name: 'grpc', protocol: 'GRPC' }],
      endpoints: [
        { address: '127.0.0.1', ports: { grpc: v1 }, labels: { version: 'v1' } },
        { address: '127.0.0.1', ports: { grpc: v2 }, labels: { version: 'v2' } },
      ],
    },
  });
  await apply('destinationrules', {
    apiVersion: 'networking.istio.io/v1',
    kind: 'DestinationRule',
    metadata: { name: 'orders' },
    spec: {
      host: 'orders',
      subsets: ['v1', 'v2'].map((name) => ({ name, labels: { version: name } })),
    },
  });
  // Read when the library first needs it.
  process.env['GRPC_XDS_BOOTSTRAP_CONFIG'] = JSON.stringify({
    xds_servers: [
      { server_uri: plane.addresses.plaintextXds, channel_creds: [{ type: 'insecure' }] },
    ],
    node: { id: 'stock-client', locality: {} },
  });
  (await import('@grpc/grpc-js-xds')).register();
  client = new Client('xds:///orders.default.svc.cluster.local:8080', credentials.createInsecure());
});

afterAll(async () => {
  client?.close();
  for (const server of servers) server.forceShutdown();
  await plane?.remove();
});

test('it finds the endpoints of a service under its name and spreads its calls', async () => {
  await until(async () => new Set(await calls(10)).size === 2);
});

test('[TM-08] it splits by weight, and a change of the rule reaches it without a failed call', async () => {
  await apply('virtualservices', routeTo({ v1: 9, v2: 1 }));
  await until(async () => share(await calls(60)) > 0.7);
  await replace('virtualservices/orders', routeTo({ v2: 1 }));
  await until(async () => share(await calls(20)) === 0);
});

test('[TM-11] a rule that gRPC has no word for ends its calls and spoils nothing else', async () => {
  const rule = routeTo({ v2: 1 });
  await replace('virtualservices/orders', {
    ...rule,
    spec: {
      ...rule.spec,
      http: [
        { match: [{ uri: { exact: '/test.Orders/Gone' } }], directResponse: { status: 410 } },
        { route: [{ destination: { host: 'orders', subset: 'v1' } }] },
      ],
    },
  });
  await until(async () => share(await calls(5)) === 1);
  await expect(call('/test.Orders/Gone')).rejects.toMatchObject({ code: status.UNAVAILABLE });
});

function routeTo(weights: Record<string, number>) {
  const route = Object.entries(weights).map(([subset, weight]) => ({
    destination: { host: 'orders', subset },
    weight,
  }));
  return {
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: { name: 'orders' },
    spec: { hosts: ['orders'], http: [{ route }] },
  };
}

async function apply(plural: string, object: object): Promise<void> {
  const answer = await plane.request('POST', `${GROUP}/${plural}`, object);
  if (answer.status !== 201) throw new Error(JSON.stringify(answer.body));
}

async function replace(path: string, object: object): Promise<void> {
  const answer = await plane.request('PUT', `${GROUP}/${path}`, object);
  if (answer.status !== 200) throw new Error(JSON.stringify(answer.body));
}

function call(path = PATH): Promise<string> {
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      path,
      (text: string) => Buffer.from(text),
      (bytes: Buffer) => bytes.toString(),
      'who?',
      { deadline: Date.now() + 15_000 },
      (error, answer) => (error === null ? resolve(answer ?? '') : reject(error)),
    );
  });
}

async function calls(count: number): Promise<string[]> {
  return Promise.all(Array.from({ length: count }, () => call()));
}

/** How many of the calls went to v1. */
function share(answers: readonly string[]): number {
  return answers.filter((answer) => answer === 'v1').length / answers.length;
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + 15_000;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error('it did not come to be within 15 s');
  }
}

function serve(version: string): Promise<number> {
  const server = new Server();
  const who: handleUnaryCall<Buffer, string> = (_call, answer) => answer(null, version);
  const method = {
    path: PATH,
    requestStream: false,
    responseStream: false,
    requestSerialize: (bytes: Buffer) => bytes,
    requestDeserialize: (bytes: Buffer) => bytes,
    responseSerialize: (text: string) => Buffer.from(text),
    responseDeserialize: (bytes: Buffer) => bytes.toString(),
  };
  server.addService({ who: method }, { who });
  servers.push(server);
  return new Promise((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
      error === null ? resolve(port) : reject(error),
    );
  });
}
