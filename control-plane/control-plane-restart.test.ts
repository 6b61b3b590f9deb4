import { spawnSync } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { credentials, status } from '@grpc/grpc-js';
import { afterEach, describe, expect, test } from 'vitest';
import { Node } from '../proto/gen/envoy/config/core/v3/base.ts';
import { ClusterLoadAssignment } from '../proto/gen/envoy/config/endpoint/v3/endpoint.ts';
import { TYPE_CLUSTER, TYPE_ENDPOINT, TYPE_HEALTH } from '../proto/type-urls.ts';
import { createRoot } from './ca/authority.ts';
import { type TestControlPlane, testControlPlane } from './control-plane.testing.ts';
import { StartError } from './start-error.ts';
import { deltaClient } from './xds/discovery-client.testing.ts';

const DAY_MS = 86_400_000;
const HOST = 'outbound|9080||kept.default.svc.cluster.local';
const toRemove: { remove(): Promise<void> }[] = [];
const directories: string[] = [];

afterEach(async () => {
  for (const each of toRemove.splice(0)) await each.remove();
  for (const directory of directories.splice(0))
    rmSync(directory, { recursive: true, force: true });
});

function directory(): string {
  const path = mkdtempSync(join(tmpdir(), 'weft-restart-'));
  directories.push(path);
  return path;
}

async function start(overrides: Parameters<typeof testControlPlane>[0] = {}) {
  const plane = await testControlPlane(overrides);
  toRemove.push(plane);
  return plane;
}

async function sidecar(plane: TestControlPlane, workload: string, service = '') {
  const { body } = await plane.request('POST', '/weft/v1/tokens', {
    namespace: 'default',
    serviceAccount: workload,
  });
  const client = deltaClient({
    address: plane.addresses.xds,
    credentials: credentials.createSsl(readFileSync(join(plane.dataDirectory, 'root-cert.pem'))),
    token: (body as { token: string }).token,
  });
  const port = {
    number: 9080,
    protocol: 'http',
    name: 'http',
    listen: '127.0.0.1:19080',
    app: '127.0.0.1:9080',
  };
  client.send({
    typeUrl: TYPE_CLUSTER,
    node: Node.create({
      id: `sidecar~127.0.0.1~${workload}.default~default.svc.cluster.local`,
      userAgentName: 'weft',
      metadata: {
        NAMESPACE: 'default',
        SERVICE_ACCOUNT: workload,
        ...(service === '' ? {} : { WEFT_SERVICE: service, WEFT_PORTS: [port] }),
      },
    }),
  });
  return client;
}

async function addressesOf(client: Awaited<ReturnType<typeof sidecar>>): Promise<string[]> {
  for (let found = false; !found; ) {
    const { typeUrl, nonce, resources } = await client.take(
      (each) => each.typeUrl === TYPE_CLUSTER,
    );
    client.send({ typeUrl, responseNonce: nonce });
    found = resources.some(({ name }) => name === HOST);
  }
  client.send({ typeUrl: TYPE_ENDPOINT, resourceNamesSubscribe: [HOST] });
  const { resources } = await client.take((each) => each.typeUrl === TYPE_ENDPOINT);
  const assignment = ClusterLoadAssignment.decode(resources[0]!.resource!.value);
  return assignment.endpoints.flatMap(({ lbEndpoints }) =>
    lbEndpoints.map(({ hostIdentifier }) => {
      const address =
        hostIdentifier?.$case === 'endpoint' ? hostIdentifier.value.address?.address : undefined;
      return address?.$case === 'socketAddress' ? address.value.address : '';
    }),
  );
}

describe('restart', () => {
  test('[F4] sidecars that have not come back yet are still endpoints, under the same root', async () => {
    const dataDirectory = directory();
    const first = await testControlPlane({ dataDirectory });
    const server = await sidecar(first, 'server', 'kept');
    server.send({ typeUrl: TYPE_HEALTH });
    const caller = await sidecar(first, 'caller');
    expect(await addressesOf(caller)).toEqual(['127.0.0.1']);
    const root = readFileSync(join(dataDirectory, 'root-cert.pem'), 'utf8');
    await first.close();
    expect((await caller.ended()).code).toBe(status.UNAVAILABLE);
    server.close();
    caller.close();

    const second = await start({ dataDirectory });
    const returned = await sidecar(second, 'caller');
    expect(await addressesOf(returned)).toEqual(['127.0.0.1']);
    returned.close();
    expect(readFileSync(join(dataDirectory, 'root-cert.pem'), 'utf8')).toBe(root);
  });

  test('[F4] where it is not known who was registered, nobody is told of an empty mesh', async () => {
    const dataDirectory = directory();
    writeFileSync(join(dataDirectory, 'registrations.json'), '{"version":1,"registra');
    const plane = await start({ dataDirectory });
    expect(plane.lines.some((line) => line.includes('registrations.json cannot be read'))).toBe(
      true,
    );
    const ready = await fetch(`http://${plane.addresses.monitoring}/ready`);
    expect([ready.status, await ready.text()]).toEqual([503, 'the mesh is not known yet\n']);
  });

  test('streams hear UNAVAILABLE when the control plane stops', async () => {
    const plane = await start();
    const client = await sidecar(plane, 'client');
    await client.take((each) => each.typeUrl === TYPE_CLUSTER);
    await plane.close();
    expect((await client.ended()).code).toBe(status.UNAVAILABLE);
    client.close();
  });
});

describe('start', () => {
  test('a port in use is named with its flag, and nothing is left open', async () => {
    const holder = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => holder.once('listening', resolve));
    const { port } = holder.address() as { port: number };
    const taken = { host: '127.0.0.1', port };
    const dataDirectory = directory();
    for (const flag of ['xds', 'api', 'monitoring'] as const) {
      await expect(start({ dataDirectory, [flag]: taken })).rejects.toThrow(
        `127.0.0.1:${port} is in use by another process; stop it, or choose another with --${flag}`,
      );
    }
    holder.close();
    await start({ dataDirectory });
  });

  test('plaintext discovery is for loopback only', async () => {
    const open = { host: '0.0.0.0', port: 0 };
    const wrong = start({ dataDirectory: directory(), plaintextXds: open });
    await expect(wrong).rejects.toThrow(StartError);
  });

  test('[F11] half an authority is an error, and no new root is made', async () => {
    const dataDirectory = directory();
    mkdirSync(join(dataDirectory, 'ca'));
    writeFileSync(join(dataDirectory, 'ca', 'ca-cert.pem'), 'left over');
    await expect(start({ dataDirectory })).rejects.toThrow(/ca-cert.pem but not .*ca-key.pem/);
  });

  test('[F4] a store that is no database is named', async () => {
    const dataDirectory = directory();
    writeFileSync(join(dataDirectory, 'weft.db'), 'notes '.repeat(1000));
    await expect(start({ dataDirectory })).rejects.toThrow(/weft\.db/);
  });
});

describe('server certificate', () => {
  const peer = (plane: TestControlPlane, roots: string) =>
    new Promise<X509Certificate>((resolve, reject) => {
      const [host, port] = plane.addresses.xds.split(':') as [string, string];
      const socket = connect({
        host,
        port: Number(port),
        ca: roots,
        servername: 'localhost',
        ALPNProtocols: ['h2'],
      });
      socket.once('error', reject);
      socket.once('secureConnect', () => {
        const certificate = new X509Certificate(socket.getPeerCertificate().raw);
        socket.destroy();
        resolve(certificate);
      });
    });

  test('[SC-05] is renewed at half of its life, and open streams go on', async () => {
    const plane = await start({ workloadCertTtlMs: 3000 });
    const roots = readFileSync(join(plane.dataDirectory, 'root-cert.pem'), 'utf8');
    const client = await sidecar(plane, 'client');
    const first = await peer(plane, roots);
    let next = first;
    while (next.serialNumber === first.serialNumber) next = await peer(plane, roots);
    expect(client.error).toBeNull();
    client.close();
  });

  test('[SC-06] another root that is added is trusted by all, then signs', async () => {
    const plane = await start();
    const file = (name: string) => join(plane.dataDirectory, 'ca', name);
    const old = readFileSync(file('root-cert.pem'), 'utf8');
    const next = await createRoot('cluster.local', Date.now(), DAY_MS);
    writeFileSync(file('root-cert.pem'), `${old}${next.certificatePem}`);
    expect(await plane.request('POST', '/weft/v1/ca/reload')).toMatchObject({
      status: 200,
      body: { roots: 2 },
    });
    expect((await plane.request('GET', '/weft/v1/ca/roots')).body).toMatchObject({
      items: [{ pem: old }, { pem: next.certificatePem }],
    });
    writeFileSync(file('ca-cert.pem'), next.certificatePem);
    writeFileSync(file('ca-key.pem'), next.privateKeyPem);
    await plane.reloadAuthority();
    const certificate = await peer(plane, next.certificatePem);
    expect(certificate.checkIssued(new X509Certificate(next.certificatePem))).toBe(true);
    expect(readFileSync(join(plane.dataDirectory, 'root-cert.pem'), 'utf8')).toContain(
      next.certificatePem.trim(),
    );
  });

  test('[SC-06] files that do not fit change nothing', async () => {
    const plane = await start();
    const key = (await createRoot('cluster.local', Date.now(), DAY_MS)).privateKeyPem;
    createPrivateKey(key);
    writeFileSync(join(plane.dataDirectory, 'ca', 'ca-key.pem'), key);
    const answer = await plane.request('POST', '/weft/v1/ca/reload');
    expect(answer.status).toBe(422);
    expect(answer.body).toMatchObject({ message: expect.stringContaining('does not belong to') });
    await peer(plane, readFileSync(join(plane.dataDirectory, 'root-cert.pem'), 'utf8'));
  });

  test.skipIf(spawnSync('openssl', ['version']).status !== 0)(
    'openssl verifies it by name and by address, and that it has the names of istiod',
    async () => {
      const plane = await start();
      const leaf = join(directory(), 'leaf.pem');
      const root = join(plane.dataDirectory, 'root-cert.pem');
      writeFileSync(leaf, (await peer(plane, readFileSync(root, 'utf8'))).toString());
      for (const check of [
        ['-verify_ip', '127.0.0.1'],
        ['-verify_hostname', 'istiod.istio-system.svc'],
        ['-purpose', 'sslserver'],
      ]) {
        const { stdout, stderr } = spawnSync(
          'openssl',
          ['verify', '-x509_strict', '-CAfile', root, ...check, leaf],
          { encoding: 'utf8' },
        );
        expect(stdout + stderr).toBe(`${leaf}: OK\n`);
      }
    },
  );
});
