import { execFileSync } from 'node:child_process';
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { uriSubjectAltNames } from '../auth/authenticator.ts';
import { Authority, AuthorityError, BACKDATE_MS, createRoot } from './authority.ts';
import { openAuthorityFiles, openSecretFile } from './authority-files.ts';

const NOW = Date.UTC(2026, 0, 2);
const HOUR = 3_600_000;
const ID = 'spiffe://cluster.local/ns/default/sa/reviews';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'weft-ca-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function leafRequest(ttlMs = 24 * HOUR) {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { publicKey, uris: [ID], dnsNames: [], ipAddresses: [], ttlMs };
}

test('[SC-03] a leaf carries exactly the SPIFFE id, critical because the subject is empty', async () => {
  const material = await createRoot('cluster.local', NOW, 3650 * 24 * HOUR);
  const authority = await Authority.open(material, () => NOW);
  const { chainPem } = await authority.issue(leafRequest());
  const leaf = new X509Certificate(chainPem);
  expect(uriSubjectAltNames(leaf.raw)).toEqual([ID]);
  expect(leaf.subject).toBeFalsy();
  expect(leaf.ca).toBe(false);
  expect(leaf.verify(new X509Certificate(material.certificatePem).publicKey)).toBe(true);
});

test('[SC-04] a leaf is back-dated by an hour and never outlives the CA', async () => {
  const material = await createRoot('cluster.local', NOW, 2 * HOUR);
  const authority = await Authority.open(material, () => NOW);
  const issued = await authority.issue(leafRequest(24 * HOUR));
  const leaf = new X509Certificate(issued.chainPem);
  expect(Date.parse(leaf.validFrom)).toBe(NOW - BACKDATE_MS);
  expect(Date.parse(leaf.validTo)).toBe(NOW + 2 * HOUR);
  expect(issued.notAfterMs).toBe(NOW + 2 * HOUR);
});

test('openssl verifies a leaf for client and for server use', async () => {
  const now = Date.now();
  const material = await createRoot('cluster.local', now, 24 * HOUR);
  const authority = await Authority.open(material, () => now);
  const { chainPem } = await authority.issue(leafRequest(HOUR));
  writeFileSync(join(directory, 'root.pem'), material.rootsPem);
  writeFileSync(join(directory, 'leaf.pem'), chainPem);
  for (const purpose of ['sslclient', 'sslserver']) {
    const args = ['verify', '-x509_strict', '-purpose', purpose, '-CAfile', 'root.pem', 'leaf.pem'];
    expect(execFileSync('openssl', args, { cwd: directory, encoding: 'utf8' })).toContain('OK');
  }
});

test('a plugged-in RSA authority signs, and its chain is sent below the root', async () => {
  const now = Date.now();
  const run = (...args: string[]) =>
    execFileSync('openssl', args, { cwd: directory, stdio: 'pipe', encoding: 'utf8' });
  const config = join(directory, 'ca.cnf');
  writeFileSync(config, '[ca]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n');
  run(
    'req',
    '-x509',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-keyout',
    'root.key',
    '-out',
    'root.pem',
    '-subj',
    '/CN=root',
    '-days',
    '2',
    '-extensions',
    'ca',
    '-config',
    writeRequestConfig(directory),
  );
  run(
    'req',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-keyout',
    'int.key',
    '-out',
    'int.csr',
    '-subj',
    '/CN=int',
    '-config',
    join(directory, 'req.cnf'),
  );
  run(
    'x509',
    '-req',
    '-in',
    'int.csr',
    '-CA',
    'root.pem',
    '-CAkey',
    'root.key',
    '-CAcreateserial',
    '-days',
    '2',
    '-extfile',
    config,
    '-extensions',
    'ca',
    '-out',
    'int.pem',
  );
  const read = (name: string) => readFileSync(join(directory, name), 'utf8');
  const authority = await Authority.open(
    {
      certificatePem: read('int.pem'),
      privateKeyPem: read('int.key'),
      intermediatesPem: '',
      rootsPem: read('root.pem'),
    },
    () => now,
  );
  const { chainPem } = await authority.issue(leafRequest(HOUR));
  writeFileSync(join(directory, 'chain.pem'), chainPem);
  expect(run('verify', '-CAfile', 'root.pem', '-untrusted', 'chain.pem', 'chain.pem')).toContain(
    'OK',
  );
});

function writeRequestConfig(at: string): string {
  const path = join(at, 'req.cnf');
  writeFileSync(
    path,
    '[req]\ndistinguished_name=dn\n[dn]\n[ca]\nbasicConstraints=critical,CA:TRUE\n',
  );
  return path;
}

test('the first start makes a root with key mode 0600 in a directory of mode 0700', async () => {
  const ca = join(directory, 'ca');
  await openAuthorityFiles(ca, 'cluster.local', NOW);
  expect(statSync(ca).mode & 0o777).toBe(0o700);
  expect(statSync(join(ca, 'ca-key.pem')).mode & 0o777).toBe(0o600);
  expect(readdirSync(directory)).toEqual(['ca']);
});

test('a second start keeps the root and mends the mode of the key', async () => {
  const ca = join(directory, 'ca');
  const first = await openAuthorityFiles(ca, 'cluster.local', NOW);
  chmodSync(join(ca, 'ca-key.pem'), 0o644);
  expect(await openAuthorityFiles(ca, 'cluster.local', NOW)).toEqual(first);
  expect(statSync(join(ca, 'ca-key.pem')).mode & 0o777).toBe(0o600);
});

test('[F11] a missing key is an error that names it, never a new root', async () => {
  const ca = join(directory, 'ca');
  await openAuthorityFiles(ca, 'cluster.local', NOW);
  unlinkSync(join(ca, 'ca-key.pem'));
  await expect(openAuthorityFiles(ca, 'cluster.local', NOW)).rejects.toThrow(/not ca-key\.pem/);
});

test('[F11] a key of another certificate and an expired root are refused', async () => {
  const one = await createRoot('cluster.local', NOW, HOUR);
  const other = await createRoot('cluster.local', NOW, HOUR);
  const mixed = { ...one, privateKeyPem: other.privateKeyPem };
  await expect(Authority.open(mixed, () => NOW)).rejects.toThrow(/does not belong/);
  await expect(Authority.open(one, () => NOW + 2 * HOUR)).rejects.toThrow(AuthorityError);
  await expect(Authority.open({ ...one, privateKeyPem: 'x' }, () => NOW)).rejects.toThrow(
    /CA private key \(ca-key\.pem\) cannot be read/,
  );
});

test('[F11] roots that do not lead to the signing certificate are refused', async () => {
  const one = await createRoot('cluster.local', NOW, HOUR);
  const other = await createRoot('cluster.local', NOW, HOUR);
  for (const rootsPem of ['', 'garbage']) {
    await expect(Authority.open({ ...one, rootsPem }, () => NOW)).rejects.toThrow(
      /root-cert\.pem holds no certificate/,
    );
  }
  await expect(Authority.open({ ...one, rootsPem: other.rootsPem }, () => NOW)).rejects.toThrow(
    /leads to ca-cert\.pem/,
  );
  const both = { ...one, rootsPem: `${other.rootsPem}\n${one.rootsPem}` };
  await expect(Authority.open(both, () => NOW)).resolves.toBeInstanceOf(Authority);
});

test('a secret file is made once with mode 0600 and a damaged one is named', () => {
  const path = join(directory, 'token.key');
  const secret = openSecretFile(path);
  expect(secret).toHaveLength(32);
  expect(openSecretFile(path)).toEqual(secret);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  writeFileSync(path, 'x');
  expect(() => openSecretFile(path)).toThrow(/token\.key holds no key/);
});
