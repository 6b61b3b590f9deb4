import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { request as httpsRequest } from 'node:https';
import { join } from 'node:path';
import { credentials, Metadata, status } from '@grpc/grpc-js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Node } from '../proto/gen/envoy/config/core/v3/base.ts';
import { ClusterLoadAssignment } from '../proto/gen/envoy/config/endpoint/v3/endpoint.ts';
import { IstioCertificateServiceClient } from '../proto/gen/istio/v1/auth/ca.ts';
import {
  TYPE_CLUSTER,
  TYPE_ENDPOINT,
  TYPE_HEALTH,
  TYPE_LISTENER,
  TYPE_ROUTE,
} from '../proto/type-urls.ts';
import { admissionReview } from './admission/admission.testing.ts';
import { Authority, createRoot } from './ca/authority.ts';
import { createRequest } from './ca/certificate-request.testing.ts';
import { type TestControlPlane, testControlPlane } from './control-plane.testing.ts';
import { deltaClient, sotwClient, TARGET_NAME } from './xds/discovery-client.testing.ts';

let plane: TestControlPlane;
const open: { close(): void }[] = [];

beforeAll(async () => {
  plane = await testControlPlane();
});

afterAll(async () => {
  for (const each of open) each.close();
  await plane.remove();
});

function node(workload: string, metadata: Record<string, unknown> = {}, service = ''): Node {
  return Node.create({
    id: `sidecar~127.0.0.1~${workload}.default~default.svc.cluster.local`,
    userAgentName: 'weft',
    userAgentVersionType: { $case: 'userAgentVersion', value: '0.1.0' },
    metadata: {
      NAMESPACE: 'default',
      SERVICE_ACCOUNT: workload,
      WORKLOAD_NAME: workload,
      WEFT_MODE: 'explicit',
      WEFT_OUTBOUND: '127.0.0.1:15001',
      WEFT_ADMIN: '127.0.0.1:15000',
      ...(service === ''
        ? {}
        : {
            WEFT_SERVICE: service,
            WEFT_PORTS: [
              {
                number: 9080,
                protocol: 'http',
                name: 'http',
                listen: '127.0.0.1:19080',
                app: '127.0.0.1:9080',
              },
            ],
          }),
      ...metadata,
    },
  });
}

async function token(serviceAccount: string, namespace = 'default'): Promise<string> {
  const { body } = await plane.request('POST', '/weft/v1/tokens', { namespace, serviceAccount });
  return (body as { token: string }).token;
}

function root(): Buffer {
  return readFileSync(join(plane.dataDirectory, 'root-cert.pem'));
}

function secure() {
  return credentials.createSsl(root());
}

async function connect(workload: string, service = '', metadata: Record<string, unknown> = {}) {
  const client = deltaClient({
    address: plane.addresses.xds,
    credentials: secure(),
    token: await token(workload),
  });
  open.push(client);
  client.send({ typeUrl: TYPE_CLUSTER, node: node(workload, metadata, service) });
  return client;
}

/** Acknowledges clusters until one has this name. */
async function clusterNamed(client: Awaited<ReturnType<typeof connect>>, name: string) {
  for (;;) {
    const { nonce, resources } = await client.take(of(TYPE_CLUSTER));
    client.send({ typeUrl: TYPE_CLUSTER, responseNonce: nonce });
    if (resources.some((each) => each.name === name)) return;
  }
}

const of = (typeUrl: string) => (response: { typeUrl: string }) => response.typeUrl === typeUrl;

test('a sidecar gets clusters, endpoints, listeners and routes, in this order', async () => {
  await clusterNamed(
    await connect('other', 'ordered'),
    'outbound|9080||ordered.default.svc.cluster.local',
  );
  const client = await connect('order');
  client.send({ typeUrl: TYPE_LISTENER });
  client.send({ typeUrl: TYPE_ROUTE, resourceNamesSubscribe: ['http_proxy'] });
  const order: string[] = [];
  for (let left = 4; left > 0; left--) {
    const response = await client.take(() => true);
    order.push(response.typeUrl);
    client.send({ typeUrl: response.typeUrl, responseNonce: response.nonce });
    if (response.typeUrl === TYPE_CLUSTER) {
      const names = response.resources.map(({ name }) => name);
      expect(names).toContain('outbound|9080||ordered.default.svc.cluster.local');
      const eds = names.filter((name) => name.startsWith('outbound|'));
      client.send({ typeUrl: TYPE_ENDPOINT, resourceNamesSubscribe: eds });
    }
  }
  expect(order).toEqual([TYPE_CLUSTER, TYPE_ENDPOINT, TYPE_LISTENER, TYPE_ROUTE]);
});

test('[CL-02] proxy-status shows what was acknowledged and what was refused', async () => {
  const client = await connect('status');
  const clusters = await client.take(of(TYPE_CLUSTER));
  client.send({ typeUrl: TYPE_CLUSTER, responseNonce: clusters.nonce });
  client.send({ typeUrl: TYPE_LISTENER });
  const listeners = await client.take(of(TYPE_LISTENER));
  client.send({
    typeUrl: TYPE_LISTENER,
    responseNonce: listeners.nonce,
    errorDetail: { code: 13, message: 'virtualOutbound: address in use', details: [] },
  });
  const entry = await waitFor(async () => {
    const { body } = await plane.request('GET', '/weft/v1/proxies');
    const items = (body as { items: { name: string; types: { status: string }[] }[] }).items;
    const found = items.find(({ name }) => name === 'status.default');
    return found?.types.some((type) => type.status === 'ERROR') === true ? found : undefined;
  });
  expect(entry).toMatchObject({
    cluster: 'Kubernetes',
    controlPlane: 'weft',
    version: '0.1.0',
    adminAddress: '127.0.0.1:15000',
    types: [
      { type: 'CDS', status: 'SYNCED', error: '' },
      { type: 'LDS', status: 'ERROR', error: 'virtualOutbound: address in use' },
    ],
  });
  const id = encodeURIComponent('sidecar~127.0.0.1~status.default~default.svc.cluster.local');
  const { body } = await plane.request('GET', `/weft/v1/proxies/${id}/config?type=LDS`);
  expect(body).toMatchObject({
    items: [{ type: 'LDS', resources: [{ name: 'virtualOutbound' }] }],
  });
});

test('[DS-04] a workload is an endpoint once it reports healthy, and goes after its lease', async () => {
  const caller = await connect('caller');
  const server = await connect('server', 'served', { WEFT_APP_PROBE: 'tcp' });
  const name = 'outbound|9080||served.default.svc.cluster.local';
  await clusterNamed(caller, name);
  caller.send({ typeUrl: TYPE_ENDPOINT, resourceNamesSubscribe: [name] });
  const healths = async (): Promise<number[]> => {
    const response = await caller.take(of(TYPE_ENDPOINT));
    caller.send({ typeUrl: TYPE_ENDPOINT, responseNonce: response.nonce });
    const assignment = ClusterLoadAssignment.decode(response.resources[0]!.resource!.value);
    return assignment.endpoints.flatMap(({ lbEndpoints }) =>
      lbEndpoints.map(({ healthStatus }) => healthStatus),
    );
  };
  expect(await healths()).toEqual([2]);
  server.send({ typeUrl: TYPE_HEALTH });
  expect(await healths()).toEqual([1]);
  server.send({ typeUrl: TYPE_HEALTH, errorDetail: { code: 14, message: 'down', details: [] } });
  expect(await healths()).toEqual([2]);
  server.close();
  expect(await healths()).toEqual([]);
});

test.each([
  ['another namespace', { NAMESPACE: 'other' }, /namespace "other"/],
  ['another service account', { SERVICE_ACCOUNT: 'admin' }, /service account "admin"/],
])('[A2.11] a node that claims %s than its credential is turned away', async (_, claim, text) => {
  const client = await connect('claimant', '', claim);
  const error = await client.ended();
  expect(error.code).toBe(status.PERMISSION_DENIED);
  expect(error.details).toMatch(text);
});

test.each([
  ['no node', undefined, /must carry a node/],
  ['a malformed id', Node.create({ id: 'nobody' }), /"nobody" is not of the form sidecar~/],
])('%s in the first request is INVALID_ARGUMENT with what is expected', async (_, value, text) => {
  const client = deltaClient({
    address: plane.addresses.xds,
    credentials: secure(),
    token: await token('nobody'),
  });
  open.push(client);
  client.send({ typeUrl: TYPE_CLUSTER, node: value });
  const error = await client.ended();
  expect(error.code).toBe(status.INVALID_ARGUMENT);
  expect(error.details).toMatch(text);
});

test.each([
  ['no credential', undefined],
  ['a forged token', 'eyJhbGciOiJIUzI1NiJ9.e30.c2ln'],
])('[A6.1] %s is UNAUTHENTICATED', async (_, bearer) => {
  const client = deltaClient({
    address: plane.addresses.xds,
    credentials: secure(),
    ...(bearer === undefined ? {} : { token: bearer }),
  });
  open.push(client);
  client.send({ typeUrl: TYPE_CLUSTER, node: node('nobody') });
  expect((await client.ended()).code).toBe(status.UNAUTHENTICATED);
});

test('[SC-04] a join token gets a certificate, the certificate gets a stream and the next certificate', async () => {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const csr = await createRequest({ publicKey, privateKey });
  const first = await certificate(secure(), csr, await token('holder'));
  expect(new X509Certificate(first[0]!).subjectAltName).toBe(
    'URI:spiffe://cluster.local/ns/default/sa/holder',
  );
  const key = Buffer.from(privateKey.export({ type: 'pkcs8', format: 'pem' }));
  const identity = credentials.createSsl(root(), key, Buffer.from(first[0]!));
  const second = await certificate(identity, csr, '');
  expect(new X509Certificate(second[0]!).subjectAltName).toBe(
    'URI:spiffe://cluster.local/ns/default/sa/holder',
  );
  const client = deltaClient({ address: plane.addresses.xds, credentials: identity });
  open.push(client);
  client.send({ typeUrl: TYPE_CLUSTER, node: node('holder') });
  expect((await client.take(of(TYPE_CLUSTER))).resources.length).toBeGreaterThan(0);
});

test('[A2.10] a certificate of another authority, with the right name, is nobody', async () => {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const material = await createRoot('cluster.local', Date.now(), 86_400_000);
  const foreign = await Authority.open(material, Date.now);
  const { chainPem } = await foreign.issue({
    publicKey,
    uris: ['spiffe://cluster.local/ns/default/sa/holder'],
    dnsNames: [],
    ipAddresses: [],
    ttlMs: 3_600_000,
  });
  const key = Buffer.from(privateKey.export({ type: 'pkcs8', format: 'pem' }));
  const client = deltaClient({
    address: plane.addresses.xds,
    credentials: credentials.createSsl(root(), key, Buffer.from(chainPem)),
  });
  open.push(client);
  client.send({ typeUrl: TYPE_CLUSTER, node: node('holder') });
  expect((await client.ended()).code).toBe(status.UNAUTHENTICATED);
});

test('a proxy that came back while its old stream hangs is listed once', async () => {
  const old = await connect('twice');
  const again = await connect('twice');
  await Promise.all([old.take(of(TYPE_CLUSTER)), again.take(of(TYPE_CLUSTER))]);
  const { body } = await plane.request('GET', '/weft/v1/proxies');
  const names = (body as { items: { name: string }[] }).items.map(({ name }) => name);
  expect(names.filter((name) => name === 'twice.default')).toHaveLength(1);
  expect(names).toEqual([...names].sort());
});

test('the plaintext port serves stock clients and registers nobody', async () => {
  const client = sotwClient({ address: plane.addresses.plaintextXds! });
  open.push(client);
  client.send({ typeUrl: TYPE_CLUSTER, node: node('stock') });
  const clusters = await client.take(of(TYPE_CLUSTER));
  expect(clusters.versionInfo).not.toBe('');
  const joiner = sotwClient({ address: plane.addresses.plaintextXds! });
  open.push(joiner);
  joiner.send({ typeUrl: TYPE_CLUSTER, node: node('joiner', {}, 'joined') });
  expect((await joiner.ended()).code).toBe(status.PERMISSION_DENIED);
});

test('a policy that is applied reaches a connected sidecar', async () => {
  const client = await connect('watcher');
  const first = await client.take(of(TYPE_CLUSTER));
  client.send({ typeUrl: TYPE_CLUSTER, responseNonce: first.nonce });
  const { status: code } = await plane.request(
    'POST',
    '/apis/networking.istio.io/v1/namespaces/default/serviceentries',
    {
      apiVersion: 'networking.istio.io/v1',
      kind: 'ServiceEntry',
      metadata: { name: 'example' },
      spec: {
        hosts: ['example.test'],
        location: 'MESH_EXTERNAL',
        resolution: 'STATIC',
        ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
        endpoints: [{ address: '127.0.0.1' }],
      },
    },
  );
  expect(code).toBe(201);
  const next = await client.take(
    (response) =>
      response.typeUrl === TYPE_CLUSTER &&
      response.resources.some(({ name }) => name === 'outbound|80||example.test'),
  );
  // Only what changed is sent.
  expect(next.resources.every(({ name }) => name.includes('example.test'))).toBe(true);
});

test('[OB-13] metrics are under the names that dashboards know', async () => {
  const response = await fetch(`http://${plane.addresses.monitoring}/metrics`);
  const text = await response.text();
  for (const name of [
    'pilot_xds',
    'pilot_xds_pushes',
    'pilot_services',
    'citadel_server_csr_count',
  ]) {
    expect(text).toContain(`# TYPE ${name} `);
  }
  expect(text).toMatch(/pilot_total_xds_rejects\{type="lds"\} 1/);
  const ready = await fetch(`http://${plane.addresses.monitoring}/ready`);
  expect(ready.status).toBe(200);
});

function certificate(
  secured: ReturnType<typeof secure>,
  csr: string,
  bearer: string,
): Promise<string[]> {
  const client = new IstioCertificateServiceClient(plane.addresses.xds, secured, TARGET_NAME);
  const metadata = new Metadata();
  if (bearer !== '') metadata.set('authorization', `Bearer ${bearer}`);
  return new Promise((resolve, reject) => {
    client.createCertificate(
      { csr, validityDuration: 0, metadata: undefined },
      metadata,
      (error, response) => {
        client.close();
        if (error !== null) reject(error);
        else resolve(response.certChain);
      },
    );
  });
}

async function waitFor<T>(read: () => Promise<T | undefined>): Promise<T> {
  for (;;) {
    const value = await read();
    if (value !== undefined) return value;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

test('[KI-01] webhooks answer without a cluster too, with a certificate of the authority, and are counted', async () => {
  const own = await testControlPlane({ webhooks: { host: '127.0.0.1', port: 0 } });
  try {
    const [host, port] = own.addresses.webhooks!.split(':');
    const pod = { metadata: { name: 'a' }, spec: { containers: [{ name: 'app', image: 'a:1' }] } };
    const body = JSON.stringify(admissionReview({ object: pod }));
    const answer = await new Promise<string>((resolve, reject) => {
      const call = httpsRequest({
        host,
        port: Number(port),
        path: '/inject',
        method: 'POST',
        agent: false,
        servername: 'weft-control-plane.weft-system.svc',
        ca: readFileSync(join(own.dataDirectory, 'root-cert.pem')),
        headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
      });
      call.on('error', reject);
      call.on('response', (response) => {
        let text = '';
        response.on('data', (chunk: Buffer) => (text += chunk.toString()));
        response.on('end', () => resolve(text));
      });
      call.end(body);
    });
    expect(JSON.parse(answer)).toMatchObject({
      response: {
        allowed: true,
        patchType: 'JSONPatch',
        auditAnnotations: { sidecar: 'injected' },
      },
    });
    const metrics = await (await fetch(`http://${own.addresses.monitoring}/metrics`)).text();
    for (const line of [
      'sidecar_injection_requests_total 1',
      'sidecar_injection_success_total 1',
      'sidecar_injection_failure_total 0',
      'sidecar_injection_skip_total 0',
    ]) {
      expect(metrics).toContain(`${line}\n`);
    }
  } finally {
    await own.remove();
  }
});
