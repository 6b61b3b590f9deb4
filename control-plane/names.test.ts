import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { credentials } from '@grpc/grpc-js';
import { afterEach, expect, test } from 'vitest';
import { Node } from '../proto/gen/envoy/config/core/v3/base.ts';
import { NameTable } from '../proto/gen/istio/networking/nds/v1/nds.ts';
import { TYPE_HEALTH, TYPE_NAME_TABLE } from '../proto/type-urls.ts';
import { until } from '../test/harness/until.ts';
import { type TestControlPlane, testControlPlane } from './control-plane.testing.ts';
import { deltaClient, sotwClient } from './xds/discovery-client.testing.ts';

/** The names of the mesh, from the policy that somebody applies to the table that a sidecar gets. */

const toClose: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of toClose.splice(0).reverse()) await close();
});

const ENTRIES = '/apis/networking.istio.io/v1/namespaces/default/serviceentries';
const entry = (port = 5432, addresses: string[] = []) => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'ServiceEntry',
  metadata: { name: 'db', namespace: 'default' },
  spec: {
    hosts: ['db.example.com'],
    addresses,
    resolution: 'DNS',
    ports: [{ number: port, name: 'tcp', protocol: 'TCP' }],
  },
});

function directory(): string {
  const path = mkdtempSync(join(tmpdir(), 'weft-names-'));
  toClose.push(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

async function stream(
  plane: TestControlPlane,
  workload: string,
  metadata: Record<string, unknown> = {},
  make: typeof deltaClient = deltaClient,
) {
  const { body } = await plane.request('POST', '/weft/v1/tokens', {
    namespace: 'default',
    serviceAccount: workload,
  });
  const client = make({
    address: plane.addresses.xds,
    credentials: credentials.createSsl(readFileSync(join(plane.dataDirectory, 'root-cert.pem'))),
    token: (body as { token: string }).token,
  });
  toClose.push(() => client.close());
  const node = Node.create({
    id: `sidecar~127.0.0.1~${workload}.default~default.svc.cluster.local`,
    userAgentName: 'weft',
    metadata: { NAMESPACE: 'default', SERVICE_ACCOUNT: workload, DNS_CAPTURE: 'true', ...metadata },
  });
  client.send({ typeUrl: TYPE_NAME_TABLE, node });
  return client;
}

/** The table as it is after the next response. */
async function nextTable(client: Awaited<ReturnType<typeof stream>>) {
  const { nonce, resources } = await client.take(({ typeUrl }) => typeUrl === TYPE_NAME_TABLE);
  client.send({ typeUrl: TYPE_NAME_TABLE, responseNonce: nonce });
  expect(resources.map(({ name }) => name)).toEqual(['']);
  return NameTable.decode(resources[0]!.resource!.value).table;
}

async function tableWith(client: Awaited<ReturnType<typeof stream>>, host: string) {
  for (;;) {
    const table = await nextTable(client);
    if (table.has(host)) return table.get(host)!;
  }
}

interface Stored {
  readonly metadata: { readonly generation: number; readonly resourceVersion: string };
  readonly status?: { readonly addresses?: readonly { value: string; host: string }[] };
}

async function allocated(plane: TestControlPlane): Promise<Stored> {
  return until('an address', async () => {
    const { body } = await plane.request('GET', `${ENTRIES}/db`);
    return ((body as Stored).status?.addresses?.length ?? 0) > 0 ? (body as Stored) : undefined;
  });
}

test('[DS-06] an entry that is applied has its address in its status, and every sidecar has it in its table', async () => {
  const plane = await testControlPlane();
  toClose.push(() => plane.remove());
  const [one, two] = [await stream(plane, 'one'), await stream(plane, 'two')];
  expect((await nextTable(one)).size).toBe(0);
  expect((await nextTable(two)).size).toBe(0);
  expect((await plane.request('POST', ENTRIES, entry())).status).toBe(201);
  const { status, metadata } = await allocated(plane);
  const value = status!.addresses![0]!.value;
  expect(status!.addresses!.map(({ host }) => host)).toEqual(['db.example.com', 'db.example.com']);
  expect(metadata.generation).toBe(1);
  for (const client of [one, two]) {
    expect((await tableWith(client, 'db.example.com')).ips).toEqual([value]);
  }

  // A user who writes the object again, with a made-up status, changes neither.
  const forged = {
    ...entry(5433),
    status: { addresses: [{ value: '10.0.0.1', host: 'db.example.com' }] },
  };
  expect((await plane.request('PUT', `${ENTRIES}/db`, forged)).status).toBe(200);
  const after = await allocated(plane);
  expect(after.status).toEqual(status);
  expect(after.metadata.generation).toBe(2);

  // One who says an address himself gives the allocated one back.
  await plane.request('PUT', `${ENTRIES}/db`, entry(5433, ['10.9.9.9']));
  await until('the address to be given back', async () => {
    const { body } = await plane.request('GET', `${ENTRIES}/db`);
    return (body as Stored).status?.addresses?.length === 0;
  });
  await until('the new address in the table', async () =>
    (await nextTable(one)).get('db.example.com')?.ips.includes('10.9.9.9'),
  );
});

test('[DS-05] state of the world: the table is one resource, sent again when it changes', async () => {
  const plane = await testControlPlane();
  toClose.push(() => plane.remove());
  const client = await stream(plane, 'one', {}, sotwClient as never);
  const next = async () => {
    const response = (await client.take(
      ({ typeUrl }) => typeUrl === TYPE_NAME_TABLE,
    )) as unknown as {
      nonce: string;
      versionInfo: string;
      resources: { value: Uint8Array }[];
    };
    const { nonce, versionInfo } = response;
    client.send({ typeUrl: TYPE_NAME_TABLE, responseNonce: nonce, versionInfo } as never);
    return NameTable.decode(response.resources[0]!.value).table;
  };
  expect((await next()).size).toBe(0);
  await plane.request('POST', ENTRIES, entry(5432, ['10.0.0.1']));
  expect((await next()).get('db.example.com')?.ips).toEqual(['10.0.0.1']);
});

test('[DS-06] a service of sidecars has an address of its own, which a restart does not change', async () => {
  const dataDirectory = directory();
  const first = await testControlPlane({ dataDirectory });
  toClose.push(() => first.close());
  const WEFT_PORTS = [
    {
      number: 9080,
      protocol: 'http',
      name: 'http',
      listen: '127.0.0.1:19080',
      app: '127.0.0.1:9080',
    },
  ];
  const server = await stream(first, 'reviews', { WEFT_SERVICE: 'reviews', WEFT_PORTS });
  server.send({ typeUrl: TYPE_HEALTH });
  const host = 'reviews.default.svc.cluster.local';
  const info = await tableWith(server, host);
  expect(info).toMatchObject({
    ips: [expect.stringMatching(/^240\.240\./)],
    registry: 'Kubernetes',
    shortname: 'reviews',
    namespace: 'default',
    ports: [{ name: 'http', protocol: 'tcp', number: 9080 }],
  });
  const file = join(dataDirectory, 'registrations.json');
  await until(
    'the slot on disk',
    () =>
      existsSync(file) &&
      (JSON.parse(readFileSync(file, 'utf8')) as { slots: unknown[] }).slots.length === 1,
  );
  await first.close();

  const second = await testControlPlane({ dataDirectory });
  toClose.push(() => second.close());
  const returned = await stream(second, 'other');
  expect((await tableWith(returned, host)).ips).toEqual(info.ips);
});
