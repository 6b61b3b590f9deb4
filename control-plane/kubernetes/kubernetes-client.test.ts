import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { makeAuthority } from '../../test/certificates.ts';
import { serviceAccountUser } from '../../test/harness/kubernetes-api/access.ts';
import { KubernetesApi } from '../../test/harness/kubernetes-api.ts';
import { clusterConfig } from '../../test/harness/kubernetes-client.ts';
import { realClock } from '../clock.testing.ts';
import type { ClusterConfig } from './cluster-config.ts';
import { parseKubeconfig } from './kubeconfig.ts';
import { KubernetesClient } from './kubernetes-client.ts';
import { CONFIG_MAPS, LEASES, NODES, PODS } from './resource-type.ts';
import { isOlderVersion } from './resource-version.ts';

const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

function clientOf(
  config: Partial<ClusterConfig> & { server: URL },
  skewMs = { ms: 0 },
): KubernetesClient {
  const client = new KubernetesClient({
    clock: { ...realClock, nowMs: () => realClock.nowMs() + skewMs.ms },
    config: clusterConfig(config),
  });
  closers.push(() => client.close());
  return client;
}

async function cluster(options: { tls?: boolean } = {}): Promise<KubernetesApi> {
  const api = await KubernetesApi.start(options);
  closers.push(() => api.close());
  return api;
}

/** A server that answers what the test says. */
async function scripted(listener: RequestListener): Promise<URL> {
  const server = createServer(listener);
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  closers.push(async () => {
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
  });
  return new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
}

function configMap(color: string, resourceVersion?: string) {
  const metadata = {
    name: 'settings',
    namespace: 'default',
    ...(resourceVersion !== undefined && { resourceVersion }),
  };
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { color } };
}

test('objects are created, read, replaced by compare-and-set, patched and deleted', async () => {
  const api = await cluster();
  const client = clientOf({ server: new URL(api.url) });
  const made = await client.create(CONFIG_MAPS, configMap('red'));
  if (!made.ok) throw new Error(made.failure.message);
  const { resourceVersion } = made.value.metadata;
  expect(await client.create(CONFIG_MAPS, configMap('red'))).toMatchObject({
    ok: false,
    failure: { kind: 'status', code: 409, reason: 'AlreadyExists' },
  });
  const replaced = await client.replace(CONFIG_MAPS, configMap('blue', resourceVersion));
  expect(replaced).toMatchObject({ ok: true, value: { data: { color: 'blue' } } });
  expect(await client.replace(CONFIG_MAPS, configMap('late', resourceVersion))).toMatchObject({
    ok: false,
    failure: { code: 409, reason: 'Conflict' },
  });
  const patch = { data: { size: 'big' } };
  expect(await client.patch(CONFIG_MAPS, 'default', 'settings', 'merge', patch)).toMatchObject({
    ok: true,
    value: { data: { color: 'blue', size: 'big' } },
  });
  const applied = { ...configMap('green'), data: { color: 'green' } };
  const options = { fieldManager: 'weft', force: true, dryRun: true };
  expect(
    await client.patch(CONFIG_MAPS, 'default', 'settings', 'apply', applied, options),
  ).toMatchObject({
    ok: true,
    value: { data: { color: 'green' } },
  });
  expect(await client.get(CONFIG_MAPS, 'default', 'settings')).toMatchObject({
    ok: true,
    value: { data: { color: 'blue' } },
  });
  const stale = await client.delete(CONFIG_MAPS, 'default', 'settings', { uid: 'another' });
  expect(stale).toMatchObject({ ok: false, failure: { reason: 'Conflict' } });
  expect((await client.delete(CONFIG_MAPS, 'default', 'settings')).ok).toBe(true);
  expect(await client.get(CONFIG_MAPS, 'default', 'settings')).toMatchObject({
    ok: false,
    failure: { code: 404, reason: 'NotFound' },
  });
});

test('two who take one lease by compare-and-set: one has it', async () => {
  const api = await cluster();
  const client = clientOf({ server: new URL(api.url) });
  const lease = {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { name: 'l', namespace: 'default' },
    spec: {},
  };
  const made = await client.create(LEASES, lease);
  if (!made.ok) throw new Error(made.failure.message);
  const take = (holderIdentity: string) =>
    client.replace(LEASES, { ...made.value, spec: { holderIdentity } });
  const results = await Promise.all([take('a'), take('b'), take('c')]);
  expect(results.filter(({ ok }) => ok)).toHaveLength(1);
});

test('a token file is read again when it has changed, and at once where the server refuses', async () => {
  const api = await cluster({ tls: true });
  const directory = mkdtempSync(join(tmpdir(), 'weft-token-'));
  closers.push(() => rmSync(directory, { recursive: true, force: true }));
  const file = join(directory, 'token');
  writeFileSync(file, 'first');
  api.addUser('first', serviceAccountUser('default', 'a'));
  const rules = [{ apiGroups: [''], resources: ['nodes'], verbs: ['list'] }];
  api.grant('system:serviceaccount:default:a', rules);
  const ca = { kind: 'value', value: api.caPem } as const;
  const client = clientOf({ server: new URL(api.url), ca, token: { kind: 'file', file } });
  expect((await client.list(NODES)).ok).toBe(true);
  api.tokens.remove('first');
  expect(await client.list(NODES)).toMatchObject({ ok: false, failure: { code: 401 } });
  writeFileSync(file, 'second\n');
  api.addUser('second', serviceAccountUser('default', 'a'));
  expect((await client.list(NODES)).ok).toBe(true);
  expect(await client.list(PODS)).toMatchObject({
    ok: false,
    failure: {
      code: 403,
      message: expect.stringContaining('the role of this user or service account must allow it'),
    },
  });
});

test('a server whose certificate is another authority’s is not believed', async () => {
  const api = await cluster({ tls: true });
  const stranger = await makeAuthority('stranger');
  const ca = { kind: 'value', value: stranger.certificatePem } as const;
  const server = new URL(api.url);
  const token = { kind: 'value', value: 'secret' } as const;
  expect(await clientOf({ server, ca, token }).list(PODS)).toMatchObject({
    ok: false,
    failure: { kind: 'unreachable', message: expect.stringMatching(/certificate/) },
  });
  expect(api.requests.size).toBe(0);
  const parsed = parseKubeconfig(api.kubeconfig(), 'config');
  if (!parsed.ok) throw new Error(parsed.problem);
  expect((await clientOf(parsed.config).list(PODS)).ok).toBe(true);
});

test('429 with Retry-After is waited out, and not beyond the request’s own time', async () => {
  let asked = 0;
  const server = await scripted((_request, response) => {
    asked++;
    if (asked === 1) response.writeHead(429, { 'retry-after': '1' }).end('{}');
    else response.end(JSON.stringify({ metadata: { resourceVersion: '1' }, items: null }));
  });
  const startMs = performance.now();
  expect(await clientOf({ server }).list(PODS)).toMatchObject({ ok: true, value: { items: [] } });
  expect(performance.now() - startMs).toBeGreaterThan(900);
  asked = 0;
  expect(await clientOf({ server }).list(PODS, { timeoutMs: 500 })).toMatchObject({
    ok: false,
    failure: { code: 429, retryAfterMs: 1000 },
  });
});

test.each<[string, RequestListener, object]>([
  ['no answer', () => undefined, { kind: 'timeout' }],
  [
    'half an answer',
    (_request, response) =>
      void response
        .writeHead(200, { 'content-length': '100' })
        .write('{"a"', () => response.destroy()),
    { kind: 'unreachable' },
  ],
  ['no JSON', (_request, response) => void response.end('<html>'), { kind: 'malformed' }],
  ['JSON of another kind', (_request, response) => void response.end('[1]'), { kind: 'malformed' }],
  [
    'a redirection',
    (_request, response) => void response.writeHead(302, { location: 'http://10.0.0.1/' }).end(),
    { kind: 'status', code: 302 },
  ],
  [
    'an error without a Status',
    (_request, response) => void response.writeHead(502).end('Bad gateway'),
    { kind: 'status', code: 502 },
  ],
  [
    'an error with control characters',
    (_request, response) =>
      void response.writeHead(500).end(JSON.stringify({ kind: 'Status', message: 'a\u001b[2Jb' })),
    { message: expect.not.stringContaining('\u001b') },
  ],
])('%s is a failure with its kind', async (_name, listener, failure) => {
  const client = clientOf({ server: await scripted(listener) });
  expect(await client.list(PODS, { timeoutMs: 300 })).toMatchObject({ ok: false, failure });
});

test('an answer that never ends is cut at its bound', async () => {
  const server = await scripted((_request, response) => {
    const timer = setInterval(() => response.write('x'.repeat(100_000)), 1);
    response.on('close', () => clearInterval(timer));
  });
  const request = { method: 'GET', path: '/api/v1/pods', responseBytesMax: 1_000_000 } as const;
  expect(await clientOf({ server }).request(request)).toMatchObject({
    ok: false,
    failure: { kind: 'tooLarge' },
  });
});

test('names and selectors cannot leave their place in the path', async () => {
  const paths: string[] = [];
  const server = await scripted((request, response) => {
    paths.push(request.url ?? '');
    response.writeHead(404).end('{}');
  });
  const client = clientOf({ server });
  await client.get(PODS, '../../secrets', 'a/b?watch=1');
  await client.list(PODS, { labelSelector: 'a=b&limit=0#' });
  expect(paths).toEqual([
    '/api/v1/namespaces/..%2F..%2Fsecrets/pods/a%2Fb%3Fwatch%3D1',
    '/api/v1/pods?labelSelector=a%3Db%26limit%3D0%23',
  ]);
});

test('a token that is no header value is a failure, not an exception', async () => {
  const server = await scripted((_request, response) => void response.end('{}'));
  const token = { kind: 'value', value: 'a\nb' } as const;
  const client = clientOf({ server, token });
  expect(await client.list(PODS)).toMatchObject({ ok: false, failure: { kind: 'configuration' } });
});

test.each([
  ['9', '10', true],
  ['10', '9', false],
  ['10', '10', false],
  ['99999999999999999999', '100000000000000000000', true],
  ['abc', '10', false],
  ['09', '10', false],
  ['', '10', false],
])('version %j is older than %j: %s', (version, than, isOlder) => {
  expect(isOlderVersion(version, than)).toBe(isOlder);
});
