import { execFileSync } from 'node:child_process';
import { createPrivateKey, webcrypto } from 'node:crypto';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import 'reflect-metadata';
import {
  GeneralName,
  Pkcs10CertificateRequest,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from '@peculiar/x509';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { makeAuthority, type TestAuthority } from '../../test/certificates.ts';
import { InMemorySecretStore } from '../tls/secret-store.ts';
import { CertificateRefused, type Credential } from './certificate-client.ts';
import { makeKeyAndRequest } from './certificate-request.ts';
import { objectIdentifier } from './der.ts';
import { readIssuedCertificate } from './issued-certificate.ts';
import { IdentityFile } from './stored-identity.ts';
import { WorkloadIdentity, type WorkloadIdentityOptions } from './workload-identity.ts';

const ID = 'spiffe://cluster.local/ns/shop/sa/orders';
const HOUR = 3_600_000;

let authority: TestAuthority;
let signingKey: webcrypto.CryptoKey;
let directory = '';
beforeEach(async () => {
  authority ??= await makeAuthority();
  signingKey ??= await webcrypto.subtle.importKey(
    'pkcs8',
    createPrivateKey(authority.privateKeyPem).export({ type: 'pkcs8', format: 'der' }),
    { name: 'ECDSA', namedCurve: 'P-256' },
    false,
    ['sign'],
  );
  directory = mkdtempSync(join(tmpdir(), 'weft-identity-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

test('[SC-04] the request is PKCS #10 with a P-256 key, an empty subject and a critical URI SAN', async () => {
  const request = new Pkcs10CertificateRequest(makeKeyAndRequest(ID).requestPem);
  expect(await request.verify()).toBe(true);
  expect(request.subject).toBe('');
  expect(request.publicKey.algorithm).toMatchObject({ name: 'ECDSA', namedCurve: 'P-256' });
  const san = new SubjectAlternativeNameExtension(request.getExtension('2.5.29.17')!.rawData);
  expect(san.critical).toBe(true);
  expect(san.names.items.map(({ type, value }) => [type, value])).toEqual([['url', ID]]);
});

test('[SC-04] openssl verifies the request, also with a name that needs long lengths', () => {
  for (const id of [ID, `spiffe://cluster.local/ns/${'n'.repeat(200)}/sa/${'s'.repeat(200)}`]) {
    const file = join(directory, 'request.pem');
    writeFileSync(file, makeKeyAndRequest(id).requestPem);
    const text = execFileSync('openssl', ['req', '-in', file, '-noout', '-verify', '-text'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    expect(text).toContain(`URI:${id}`);
  }
});

test('object identifiers with large arcs are written in base 128', () => {
  expect(objectIdentifier('1.2.840.113549.1.9.14').toString('hex')).toBe('06092a864886f70d01090e');
});

test('a fresh key is made for every request', () => {
  expect(makeKeyAndRequest(ID).privateKeyPem).not.toBe(makeKeyAndRequest(ID).privateKeyPem);
});

test('[SC-06] the certificates that signed themselves are the roots, wherever they stand', async () => {
  const second = await makeAuthority('second root');
  const issued = await authority.issue({ uri: [ID] });
  const read = readIssuedCertificate(issued.privateKeyPem, [
    issued.certificatePem,
    `${authority.certificatePem}\n${second.certificatePem}`,
  ]);
  expect(read.certificateChainPem.trim()).toBe(issued.certificatePem.trim());
  expect(read.trustedCaPem.match(/BEGIN/g)).toHaveLength(2);
  expect(read.principal).toBe(ID);
});

/** A certificate service and a clock in the hands of the test. */
class Service {
  readonly store = new InMemorySecretStore();
  readonly asked: Credential[] = [];
  readonly lines: string[] = [];
  nowMs = Date.now();
  lifeMs = HOUR;
  /** Ahead of the workload's clock. */
  skewMs = 0;
  refuse: CertificateRefused | Error | null = null;
  waiting: { atMs: number; callback: () => void } | null = null;
  readonly identity: WorkloadIdentity;

  constructor(options: Partial<WorkloadIdentityOptions> = {}) {
    const log = (level: string) => (_fields: object, message: string) =>
      void this.lines.push(`${level}: ${message}`);
    this.identity = new WorkloadIdentity({
      spiffeId: ID,
      request: (pem, credential) => this.#issue(pem, credential),
      readToken: async () => 'token',
      secrets: this.store,
      store: null,
      ttlSeconds: 0,
      now: () => this.nowMs,
      after: (ms, callback) => {
        this.waiting = { atMs: this.nowMs + ms, callback };
        return () => {
          this.waiting = null;
        };
      },
      random: () => 0.5,
      log: { info: log('info'), warn: log('warn'), error: log('error') },
      onIssued: () => {},
      ...options,
    });
  }

  /** Lets the timer that waits fall due, and what it starts come to its end. */
  async next(): Promise<void> {
    const { waiting } = this;
    if (waiting === null) throw new Error('no timer waits');
    this.waiting = null;
    this.nowMs = waiting.atMs;
    const lines = this.lines.length;
    waiting.callback();
    while (this.lines.length === lines) await new Promise((resolve) => setImmediate(resolve));
  }

  async #issue(pem: string, credential: Credential): Promise<string[]> {
    this.asked.push(credential);
    if (this.refuse !== null) throw this.refuse;
    const start = this.nowMs + this.skewMs;
    const leaf = await X509CertificateGenerator.create({
      issuer: 'CN=test root',
      notBefore: new Date(start),
      notAfter: new Date(start + this.lifeMs),
      publicKey: new Pkcs10CertificateRequest(pem).publicKey,
      signingKey,
      signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
      extensions: [new SubjectAlternativeNameExtension([new GeneralName('url', ID)], true)],
    });
    return [leaf.toString('pem'), authority.certificatePem];
  }
}

test('[SC-04] the first certificate is asked for by token and put to use with the roots', async () => {
  const service = new Service();
  await service.identity.start();
  expect(service.asked).toEqual([{ kind: 'token', token: 'token' }]);
  expect(service.store.certificate('default')!.principal).toBe(ID);
  expect(service.store.validation('ROOTCA')!.trustedCaPem).toContain('BEGIN CERTIFICATE');
});

test('[SC-05] it is renewed at half of its life, by the certificate itself, with a new key', async () => {
  const service = new Service();
  await service.identity.start();
  const key = service.store.certificate('default')!.privateKeyPem;
  expect((service.waiting!.atMs - service.nowMs) / HOUR).toBeCloseTo(0.5, 3);
  await service.next();
  expect(service.asked[1]!.kind).toBe('certificate');
  expect(service.store.certificate('default')!.privateKeyPem).not.toBe(key);
});

test('[SC-05] the moment of renewal is spread by 1 % of the life to either side', async () => {
  const shares: number[] = [];
  for (const random of [0, 1]) {
    const service = new Service({ random: () => random });
    await service.identity.start();
    shares.push((service.waiting!.atMs - service.nowMs) / HOUR);
  }
  expect(shares[0]).toBeCloseTo(0.49, 3);
  expect(shares[1]).toBeCloseTo(0.51, 3);
});

test('a certificate that is no longer accepted falls back to the token', async () => {
  const service = new Service();
  await service.identity.start();
  service.refuse = new CertificateRefused('UNAUTHENTICATED: unknown root', true);
  await service.next();
  expect(service.asked.map(({ kind }) => kind)).toEqual(['token', 'certificate', 'token']);
});

test('[D12] the last one stays while it cannot be renewed, with alarms at 50, 20 and 5 % of life left', async () => {
  const service = new Service();
  await service.identity.start();
  const last = service.store.certificate('default');
  service.refuse = new CertificateRefused('UNAVAILABLE', false);
  const start = service.nowMs;
  while (service.nowMs < start + HOUR * 1.01) await service.next();
  expect(service.store.certificate('default')).toBe(last);
  const alarms = service.lines.filter((line) => line.startsWith('error: the certificate cannot'));
  expect(alarms).toEqual(
    [50, 20, 5].map(
      (share) =>
        `error: the certificate cannot be renewed; less than ${share} % of its life is left`,
    ),
  );
  expect(service.lines.at(-1)).toBe('error: the certificate has expired and cannot be renewed');
  expect(service.identity.credential).toBeNull();
  service.refuse = null;
  await service.next();
  expect(service.asked.at(-1)!.kind).toBe('token');
  expect(service.identity.credential).not.toBeNull();
});

test('failed attempts back off from 1 s to 60 s', async () => {
  const service = new Service({ random: () => 1 });
  service.refuse = new Error('refused');
  await service.identity.start();
  const waits: number[] = [];
  for (let attempt = 0; attempt < 8; attempt++) {
    waits.push(service.waiting!.atMs - service.nowMs);
    await service.next();
  }
  expect(waits).toEqual([1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
});

test.each([
  ['behind', 600_000],
  ['ahead of', -2 * HOUR],
])('[F8] a clock %s the control plane still renews in time, and says so', async (_name, skewMs) => {
  const service = new Service();
  service.skewMs = skewMs;
  await service.identity.start();
  expect((service.waiting!.atMs - service.nowMs) / HOUR).toBeCloseTo(0.5, 2);
  expect(service.lines.some((line) => line.includes('clock skew of'))).toBe(true);
  expect(service.identity.credential).not.toBeNull();
});

test('an identity in the state directory serves a restart, in a file for its owner alone', async () => {
  const first = new Service({ store: new IdentityFile(directory) });
  await first.identity.start();
  expect(statSync(join(directory, 'identity.json')).mode & 0o777).toBe(0o600);
  const second = new Service({ store: new IdentityFile(directory) });
  await second.identity.start();
  expect(second.asked).toEqual([]);
  expect(second.store.certificate('default')).toEqual(first.store.certificate('default'));
  expect((second.waiting!.atMs - second.nowMs) / HOUR).toBeCloseTo(0.5, 2);
});

test('an expired or damaged file is told and a new certificate asked for', async () => {
  const old = new Service({ store: new IdentityFile(directory) });
  await old.identity.start();
  const late = new Service({ store: new IdentityFile(directory) });
  late.nowMs += 2 * HOUR;
  await late.identity.start();
  expect(late.asked).toHaveLength(1);
  expect(late.lines[0]).toBe('info: the stored identity has expired');
  writeFileSync(join(directory, 'identity.json'), '{');
  const damaged = new Service({ store: new IdentityFile(directory) });
  await damaged.identity.start();
  expect(damaged.lines[0]).toBe('warn: the stored identity is not used');
  expect(damaged.asked).toHaveLength(1);
});

test('a state directory that cannot be written costs a warning', async () => {
  const occupied = join(directory, 'occupied');
  writeFileSync(occupied, '');
  const service = new Service({ store: new IdentityFile(join(occupied, 'x')) });
  await service.identity.start();
  expect(service.identity.current).not.toBeNull();
  expect(service.lines.some((line) => line.startsWith('warn: the '))).toBe(true);
});
