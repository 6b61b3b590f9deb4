import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { SignJWT } from 'jose';
import { expect, test } from 'vitest';
import { Authority, createRoot } from '../ca/authority.ts';
import { Authenticator, uriSubjectAltNames } from './authenticator.ts';
import { JoinTokens } from './join-token.ts';
import { parseSpiffeId, spiffeId } from './spiffe-id.ts';

const KEY = Buffer.alloc(32, 7);
const HOUR = 3_600_000;
let now = Date.UTC(2026, 0, 2);
const tokens = new JoinTokens(KEY, 'cluster.local', () => now);
const authenticator = new Authenticator(tokens, ['cluster.local', 'old.domain']);

async function certificateWith(uris: string[], dnsNames: string[] = []): Promise<Buffer> {
  const material = await createRoot('cluster.local', now, HOUR);
  const authority = await Authority.open(material, () => now);
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const issued = await authority.issue({ publicKey, uris, dnsNames, ipAddresses: [], ttlMs: HOUR });
  return new X509Certificate(issued.chainPem).raw;
}

test('[SC-03] a SPIFFE id of Istio form is read and written back', () => {
  const id = 'spiffe://cluster.local/ns/shop/sa/orders';
  expect(spiffeId(parseSpiffeId(id)!)).toBe(id);
});

test.each([
  ['another scheme', 'https://cluster.local/ns/a/sa/b'],
  ['a part too many', 'spiffe://cluster.local/ns/a/sa/b/c'],
  ['a part too few', 'spiffe://cluster.local/ns/a/sa'],
  ['an empty namespace', 'spiffe://cluster.local/ns//sa/b'],
  ['a query', 'spiffe://cluster.local/ns/a/sa/b?x'],
  ['a NUL byte', 'spiffe://cluster.local/ns/a/sa/b\0'],
  ['an encoded slash', 'spiffe://cluster.local/ns/a%2fb/sa/c'],
  ['upper case', 'spiffe://cluster.local/ns/A/sa/b'],
])('[SC-03] %s is no identity of ours', (_name, id) => {
  expect(parseSpiffeId(id)).toBeNull();
});

test('a join token stands for the namespace and account it was made for', async () => {
  const token = await tokens.create('shop', 'orders', HOUR);
  const caller = await authenticator.authenticate({
    peerCertificate: null,
    authorization: `Bearer ${token}`,
  });
  expect(caller).toEqual({
    kind: 'token',
    identity: { trustDomain: 'cluster.local', namespace: 'shop', serviceAccount: 'orders' },
  });
});

test('[A2.10] an expired token, a foreign key, another audience and no algorithm are refused', async () => {
  const token = await tokens.create('shop', 'orders', HOUR);
  const foreign = new JoinTokens(Buffer.alloc(32, 8), 'cluster.local', () => now);
  expect(await foreign.verify(token)).toHaveProperty('problem');
  const before = now;
  now += 2 * HOUR;
  expect(await tokens.verify(token)).toEqual({ problem: expect.stringContaining('exp') });
  now = before;
  const other = await new SignJWT({ ns: 'shop', sa: 'orders' })
    .setProtectedHeader({ alg: 'HS256' })
    .setAudience('another')
    .setIssuer('cluster.local')
    .setJti('1')
    .setExpirationTime(now / 1000 + 60)
    .sign(KEY);
  expect(await tokens.verify(other)).toEqual({ problem: expect.stringContaining('aud') });
  const [, payload] = token.split('.');
  const none = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${payload}.`;
  expect(await tokens.verify(none)).toHaveProperty('problem');
  expect(await tokens.verify('x'.repeat(9000))).toHaveProperty('problem');
});

test('a token for names that are no names is not made', async () => {
  await expect(tokens.create('Shop', 'orders', HOUR)).rejects.toThrow(/namespace "Shop"/);
  await expect(tokens.create('shop', '../x', HOUR)).rejects.toThrow(/service account/);
  await expect(tokens.create('shop', 'orders', 0)).rejects.toThrow(/1 second/);
});

test('[SC-03] a certificate of the mesh or of an alias domain is taken, one of a stranger is not', async () => {
  const caller = async (uri: string) =>
    (
      await authenticator.authenticate({
        peerCertificate: await certificateWith([uri]),
        authorization: '',
      })
    ).kind;
  expect(await caller('spiffe://cluster.local/ns/a/sa/b')).toBe('certificate');
  expect(await caller('spiffe://old.domain/ns/a/sa/b')).toBe('certificate');
  expect(await caller('spiffe://evil.domain/ns/a/sa/b')).toBe('unauthenticated');
});

test('a certificate with two URI names or with none is nobody, and a good token does not excuse it', async () => {
  const token = await tokens.create('shop', 'orders', HOUR);
  const two = await certificateWith([
    'spiffe://cluster.local/ns/a/sa/b',
    'spiffe://cluster.local/ns/a/sa/c',
  ]);
  const caller = await authenticator.authenticate({
    peerCertificate: two,
    authorization: `Bearer ${token}`,
  });
  expect(caller.kind).toBe('unauthenticated');
});

test('[CVE-2021-44532] a DNS name that spells a URI name does not become one', async () => {
  const der = await certificateWith([], ['a.example, URI:spiffe://cluster.local/ns/a/sa/b']);
  expect(uriSubjectAltNames(der)).toEqual([]);
});

test('a call without a credential is told what to show', async () => {
  const caller = await authenticator.authenticate({ peerCertificate: null, authorization: '' });
  expect(caller).toEqual({
    kind: 'unauthenticated',
    problem: expect.stringContaining('weft token create'),
  });
});

test('another key ends the tokens that were made with the one before', async () => {
  const own = new JoinTokens(Buffer.alloc(32, 1), 'cluster.local', Date.now);
  const token = await own.create('shop', 'orders', HOUR);
  own.useKey(Buffer.alloc(32, 2));
  expect(await own.verify(token)).toHaveProperty('problem');
  expect(await own.verify(await own.create('shop', 'orders', HOUR))).toMatchObject({
    namespace: 'shop',
  });
  expect(() => own.useKey(Buffer.alloc(8))).toThrow(RangeError);
});
