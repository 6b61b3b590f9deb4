import 'reflect-metadata';
import { type KeyObject, webcrypto, X509Certificate } from 'node:crypto';
import { status } from '@grpc/grpc-js';
import * as x509 from '@peculiar/x509';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Caller } from '../auth/authenticator.ts';
import { Authority, createRoot } from './authority.ts';
import { checkRequest } from './certificate-request.ts';
import { certificateService, claimProblem, type IssueOutcome } from './certificate-service.ts';
import { IssueRateLimit } from './issue-rate-limit.ts';

const NOW = Date.UTC(2026, 0, 2);
const HOUR = 3_600_000;
const IDENTITY = { trustDomain: 'cluster.local', namespace: 'default', serviceAccount: 'reviews' };
const ID = 'spiffe://cluster.local/ns/default/sa/reviews';
const runs = Number(process.env['WEFT_FUZZ_RUNS'] ?? 300);

type Name = { type: 'url' | 'dns'; value: string };

async function csr(
  names: Name[],
  algorithm: object = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' },
) {
  const keys = (await webcrypto.subtle.generateKey(algorithm as webcrypto.EcKeyGenParams, true, [
    'sign',
    'verify',
  ])) as webcrypto.CryptoKeyPair;
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    keys: keys as never,
    signingAlgorithm: algorithm as never,
    extensions: names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names)] : [],
  });
  return request.toString('pem');
}

async function call(pem: string, caller: Caller, validityDuration = 0) {
  const authority = await Authority.open(
    await createRoot('cluster.local', NOW, 48 * HOUR),
    () => NOW,
  );
  const outcomes: IssueOutcome[] = [];
  const logged: object[] = [];
  const service = certificateService({
    authority: () => authority,
    authenticate: async () => caller,
    rateLimit: new IssueRateLimit(() => 0),
    workloadTtlMs: 24 * HOUR,
    log: { info: (fields) => logged.push(fields), warn: (fields) => logged.push(fields) },
    count: (outcome) => outcomes.push(outcome),
  });
  return new Promise<{
    error: { code?: number; details?: string } | null;
    certChain: string[];
    outcomes: IssueOutcome[];
    logged: object[];
  }>((resolve) => {
    const unary = { request: { csr: pem, validityDuration }, getPeer: () => '127.0.0.1:1' };
    (service['createCertificate'] as unknown as (call: unknown, callback: unknown) => void)(
      unary,
      (error: { code: number } | null, response?: { certChain: string[] }) =>
        resolve({ error, certChain: response?.certChain ?? [], outcomes, logged }),
    );
  });
}

const caller: Caller = { kind: 'token', identity: IDENTITY };

test('[SC-04] a caller gets a certificate for its own identity, roots last', async () => {
  const { error, certChain } = await call(await csr([{ type: 'url', value: ID }]), caller);
  expect(error).toBeNull();
  expect(new X509Certificate(certChain[0]!).subjectAltName).toBe(`URI:${ID}`);
  const root = new X509Certificate(certChain.at(-1)!);
  expect(root.ca && new X509Certificate(certChain[0]!).verify(root.publicKey)).toBe(true);
});

test('[SC-04] a request without names gets the identity of the credential', async () => {
  const { certChain } = await call(await csr([]), caller);
  expect(new X509Certificate(certChain[0]!).subjectAltName).toBe(`URI:${ID}`);
});

test.each<[string, Name[]]>([
  ['another SPIFFE id', [{ type: 'url', value: 'spiffe://cluster.local/ns/default/sa/admin' }]],
  [
    'its own and another one',
    [
      { type: 'url', value: ID },
      { type: 'url', value: `${ID}2` },
    ],
  ],
  ['a DNS name', [{ type: 'dns', value: 'istiod.istio-system.svc' }]],
])('[A2.9] a request for %s is refused and logged with both names', async (_name, names) => {
  const { error, outcomes, logged } = await call(await csr(names), caller);
  expect(error?.code).toBe(status.PERMISSION_DENIED);
  expect(error?.details).toContain(ID);
  expect(error?.details).toContain(names.at(-1)!.value);
  expect(outcomes).toEqual(['identityMismatch']);
  expect(logged).toEqual([expect.objectContaining({ identity: ID, outcome: 'identityMismatch' })]);
});

test('[A6.1] a caller without a credential gets UNAUTHENTICATED', async () => {
  const { error } = await call(await csr([]), {
    kind: 'unauthenticated',
    problem: 'no credential',
  });
  expect(error).toMatchObject({ code: status.UNAUTHENTICATED, details: 'no credential' });
});

test('[A6.7] a weak key, a huge one and a foreign signature are refused by name', async () => {
  const rsa = (modulusLength: number) => ({
    name: 'RSASSA-PKCS1-v1_5',
    hash: 'SHA-256',
    modulusLength,
    publicExponent: new Uint8Array([1, 0, 1]),
  });
  expect(await checkRequest(await csr([], rsa(1024)))).toMatchObject({ reason: 'key' });
  const good = await csr([{ type: 'url', value: ID }]);
  const der = Buffer.from(good.replace(/-----[^-]+-----/g, ''), 'base64');
  der[der.length - 3] = der[der.length - 3]! ^ 1;
  const forged = `-----BEGIN CERTIFICATE REQUEST-----\n${der.toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`;
  expect(await checkRequest(forged)).toMatchObject({ reason: 'signature' });
  expect(await checkRequest('x'.repeat(20_000))).toMatchObject({ reason: 'size' });
});

test('[A6.7] fuzz: any text and any damaged request end in a refusal or a checked request', async () => {
  const good = Buffer.from((await csr([])).replace(/-----[^-]+-----/g, ''), 'base64');
  const mutated = fc.tuple(fc.nat(good.length - 1), fc.nat(255)).map(([at, byte]) => {
    const copy = Buffer.from(good);
    copy[at] = byte;
    return `-----BEGIN CERTIFICATE REQUEST-----\n${copy.toString('base64')}\n-----END CERTIFICATE REQUEST-----`;
  });
  await fc.assert(
    fc.asyncProperty(fc.oneof(fc.string(), mutated), async (text) => {
      const result = await checkRequest(text);
      expect('problem' in result || 'publicKey' in result).toBe(true);
    }),
    { numRuns: runs },
  );
});

test('a request may ask for a shorter life but not for a longer one', async () => {
  const validTo = async (seconds: number) =>
    Date.parse(
      new X509Certificate((await call(await csr([]), caller, seconds)).certChain[0]!).validTo,
    );
  expect(await validTo(60)).toBe(NOW + 60_000);
  expect(await validTo(365 * 86_400)).toBe(NOW + 24 * HOUR);
});

test('[F12] renewals pass while first issues are held back', () => {
  let nowMs = 0;
  const limit = new IssueRateLimit(
    () => nowMs,
    { perSecond: 1, burst: 5 },
    { perSecond: 1, burst: 10 },
  );
  const first = (count: number) =>
    Array.from({ length: count }, (_, at) => limit.take(`new-${at}`, false)).filter(Boolean).length;
  expect(first(20)).toBe(5);
  expect(limit.take('old', true)).toBe(true);
  expect([1, 2, 3, 4, 5].map(() => limit.take('old', true))).toEqual([
    true,
    true,
    true,
    true,
    false,
  ]);
  nowMs += 1000;
  expect(limit.take('old', true)).toBe(true);
});

test('[A2.11] a node may claim only what its credential says', () => {
  expect(claimProblem(IDENTITY, { namespace: 'default', serviceAccount: 'reviews' })).toBeNull();
  expect(claimProblem(IDENTITY, { namespace: 'prod', serviceAccount: 'reviews' })).toContain(
    '"prod"',
  );
  expect(claimProblem(IDENTITY, { namespace: 'default', serviceAccount: 'x' })).toContain('"x"');
});

test('keys of the allow-list are accepted', async () => {
  for (const algorithm of [
    { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' },
    { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' },
  ]) {
    const result = (await checkRequest(await csr([], algorithm))) as { publicKey?: KeyObject };
    expect(result.publicKey?.asymmetricKeyType).toBe('ec');
  }
});
