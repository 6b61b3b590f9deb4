import { afterEach, beforeEach, expect, test } from 'vitest';
import type { KubernetesApi } from '../../test/harness/kubernetes-api.ts';
import { parts, testCluster } from '../../test/harness/kubernetes-client.ts';
import { until } from '../../test/harness/until.ts';
import type { KubernetesClient } from '../kubernetes/kubernetes-client.ts';
import { Authority, AuthorityError, createRoot } from './authority.ts';
import { followAuthoritySecret, openAuthoritySecret } from './authority-secret.ts';

let api: KubernetesApi;
let client: KubernetesClient;
let close: () => Promise<void>;
beforeEach(async () => {
  ({ api, client, close } = await testCluster());
  api.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'weft-system' } });
});
afterEach(() => close());

const options = () => ({
  client,
  namespace: 'weft-system',
  name: 'weft-ca',
  trustDomain: 'cluster.local',
  wallMs: Date.now,
});
const secret = (data: Record<string, string>) =>
  api.put({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'weft-ca', namespace: 'weft-system' },
    data: Object.fromEntries(
      Object.entries(data).map(([name, text]) => [name, Buffer.from(text).toString('base64')]),
    ),
  });

async function files(): Promise<Record<string, string>> {
  const material = await createRoot('cluster.local', Date.now(), 86_400_000);
  return {
    'ca-cert.pem': material.certificatePem,
    'ca-key.pem': material.privateKeyPem,
    'root-cert.pem': material.rootsPem,
  };
}

async function opened() {
  const read = await openAuthoritySecret(options());
  if (read.kind === 'away') throw new Error(read.message);
  if (read.kind === 'unusable') throw read.error;
  return read.content;
}

test('[OP-03] of replicas that start at once one makes the authority, and all have it', async () => {
  const all = await Promise.all(Array.from({ length: 5 }, opened));
  const roots = new Set(all.map(({ material }) => material.rootsPem));
  expect(roots.size).toBe(1);
  expect(new Set(all.map(({ tokenKey }) => tokenKey.toString('hex'))).size).toBe(1);
  expect(all[0]!.tokenKey).toHaveLength(32);
  await expect(Authority.open(all[0]!.material, Date.now)).resolves.toBeInstanceOf(Authority);
  expect(await opened()).toEqual(all[0]);
});

test("[SC-07] a plugged-in authority under Istio's names is taken, and gets the key of join tokens once", async () => {
  const given = await files();
  secret({ ...given, 'cert-chain.pem': 'chain' });
  const [one, two] = await Promise.all([opened(), opened()]);
  expect(one.material).toEqual({
    certificatePem: given['ca-cert.pem'],
    privateKeyPem: given['ca-key.pem'],
    rootsPem: given['root-cert.pem'],
    intermediatesPem: 'chain',
  });
  expect(one.tokenKey).toEqual(two.tokenKey);
  expect(await opened()).toEqual(one);
});

test.each([
  ['a missing key', ['ca-key.pem'], /weft-system\/weft-ca has no ca-key\.pem: restore/],
  ['two missing parts', ['ca-key.pem', 'root-cert.pem'], /no root-cert\.pem and no ca-key\.pem/],
])('[F11] %s is an error that names it, never a new root', async (_name, missing, message) => {
  const given = await files();
  for (const name of missing) delete given[name];
  secret(given);
  await expect(opened()).rejects.toThrow(message);
  await expect(opened()).rejects.toThrow(AuthorityError);
  expect(api.requests.get('update secrets')).toBeUndefined();
});

test('[F11] a damaged key of join tokens is named', async () => {
  secret({ ...(await files()), 'join-token-key': 'short' });
  await expect(opened()).rejects.toThrow(/join-token-key is no key of 32 bytes/);
});

test('[A6.9] a Secret whose data is no map, or not base64, is refused', async () => {
  api.put({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'weft-ca', namespace: 'weft-system' },
    data: 'x',
  });
  await expect(opened()).rejects.toThrow(AuthorityError);
});

test('[F7] an API server that is away, or says no, is told as such', async () => {
  api.faults.status = 503;
  expect(await openAuthoritySecret(options())).toMatchObject({
    kind: 'away',
    message: expect.stringMatching(/secrets\/weft-ca: 503/),
  });
  await api.goAway();
  expect(await openAuthoritySecret(options())).toMatchObject({ kind: 'away' });
  await api.comeBack();
});

test('the namespace is missing: told, not thrown', async () => {
  const read = await openAuthoritySecret({ ...options(), namespace: 'nowhere' });
  expect(read).toMatchObject({ kind: 'away' });
});

test('[SC-06] a change of the Secret is told with its version, changes of others are not', async () => {
  secret(await files());
  const versions: (string | null)[] = [];
  const stop = followAuthoritySecret(options(), parts, (version) => versions.push(version));
  await until('the first', () => versions.length === 1);
  api.put({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'other', namespace: 'weft-system' },
  });
  const { metadata } = secret(await files());
  await until('the second', () => versions.length === 2);
  expect(versions[1]).toBe(metadata.resourceVersion);
  api.remove('secrets', 'weft-system', 'weft-ca');
  await until('the end', () => versions.length === 3);
  expect(versions[2]).toBeNull();
  stop();
});
