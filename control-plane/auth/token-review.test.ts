import { afterEach, expect, test } from 'vitest';
import { KubernetesApi } from '../../test/harness/kubernetes-api.ts';
import { clientOf } from '../../test/harness/kubernetes-client.ts';
import { pod } from '../../test/harness/kubernetes-objects.ts';
import { Authenticator } from './authenticator.ts';
import { JoinTokens } from './join-token.ts';
import { claimsOf, TokenReview } from './token-review.ts';

const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function setUp(
  rules = [
    { apiGroups: ['authentication.k8s.io'], resources: ['tokenreviews'], verbs: ['create'] },
  ],
) {
  const api = await KubernetesApi.start({ tls: true });
  closers.push(() => api.close());
  const own = api.tokens.issue({ namespace: 'weft-system', serviceAccount: 'weft-control-plane' });
  api.grant('system:serviceaccount:weft-system:weft-control-plane', rules);
  let nowMs = Date.now();
  let steppedMs = 0;
  const client = clientOf(api, { token: { kind: 'value', value: own } });
  closers.push(() => client.close());
  const review = new TokenReview({
    client,
    trustDomain: 'cluster.local',
    audiences: ['weft-ca', 'istio-ca'],
    wallNowMs: () => nowMs + steppedMs,
    nowMs: () => nowMs,
  });
  const join = new JoinTokens(Buffer.alloc(32, 7), 'cluster.local', Date.now);
  const authenticator = new Authenticator(join, ['cluster.local'], review);
  const asked = () => api.requests.get('create tokenreviews') ?? 0;
  const caller = (token: string) =>
    authenticator.authenticate({ peerCertificate: null, authorization: `Bearer ${token}` });
  const later = (ms: number) => {
    nowMs += ms;
  };
  /** The wall clock is set. */
  const step = (ms: number) => {
    steppedMs += ms;
  };
  return { api, review, join, caller, asked, later, step };
}

const orders = { namespace: 'shop', serviceAccount: 'orders', audiences: ['weft-ca'] };

test('[SC-03] a service account token stands for its account, and is asked about once a minute', async () => {
  const { api, caller, asked, later } = await setUp();
  const token = api.tokens.issue(orders);
  const identity = { trustDomain: 'cluster.local', namespace: 'shop', serviceAccount: 'orders' };
  expect(await caller(token)).toEqual({ kind: 'token', identity });
  await Promise.all(Array.from({ length: 20 }, () => caller(token)));
  expect(asked()).toBe(1);
  later(59_000);
  await caller(token);
  expect(asked()).toBe(1);
  later(2000);
  await caller(token);
  expect(asked()).toBe(2);
});

test('equal questions at one time are one question', async () => {
  const { api, review, asked } = await setUp();
  const token = api.tokens.issue(orders);
  await Promise.all(Array.from({ length: 20 }, () => review.review(token)));
  expect(asked()).toBe(1);
});

test('[A2.10] [F8] an answer holds no longer than a minute when the clock is set back', async () => {
  const { api, caller, asked, later, step } = await setUp();
  const token = api.tokens.issue(orders);
  expect((await caller(token)).kind).toBe('token');
  step(-3_600_000);
  later(61_000);
  await caller(token);
  expect(asked()).toBe(2);
});

test('[A2.10] no answer outlives the token', async () => {
  const { api, review, asked, later } = await setUp();
  const token = api.tokens.issue({ ...orders, ttlMs: 30_000 });
  expect((await review.review(token)).kind).toBe('identity');
  later(31_000);
  await review.review(token);
  expect(asked()).toBe(2);
});

test('[A2.10] a token of a deleted pod, for another audience, or of nobody is refused', async () => {
  const { api, caller } = await setUp();
  const { metadata } = api.put(pod('orders-1', { namespace: 'default', ip: '10.0.0.1' }));
  const bound = { namespace: 'default', name: 'orders-1', uid: metadata.uid! };
  const token = api.tokens.issue({ ...orders, pod: bound });
  api.remove('pods', 'default', 'orders-1');
  expect(await caller(token)).toEqual({
    kind: 'unauthenticated',
    problem: expect.stringContaining('has been invalidated'),
  });
  const other = api.tokens.issue({ ...orders, audiences: ['vault'] });
  expect((await caller(other)).kind).toBe('unauthenticated');
  const [header, payload] = api.tokens.issue(orders).split('.');
  expect((await caller(`${header}.${payload}.AAAA`)).kind).toBe('unauthenticated');
  expect((await caller('opaque')).kind).toBe('unauthenticated');
  expect((await caller('x'.repeat(20_000))).kind).toBe('unauthenticated');
});

test('a token of a person is nobody’s', async () => {
  const { api, caller } = await setUp();
  api.tokens.add('personal', { username: 'ann', uid: '', groups: [] }, ['weft-ca']);
  const refused = { kind: 'unauthenticated', problem: expect.stringContaining('service account') };
  expect(await caller('personal')).toEqual(refused);
});

test('a refusal is soon asked about again', async () => {
  const { api, caller, asked, later } = await setUp();
  const { metadata } = api.put(pod('orders-1', { ip: '10.0.0.1' }));
  const bound = { namespace: 'default', name: 'orders-1', uid: metadata.uid! };
  const token = api.tokens.issue({ ...orders, pod: { ...bound, uid: 'other' } });
  await caller(token);
  await caller(token);
  expect(asked()).toBe(1);
  later(3000);
  await caller(token);
  expect(asked()).toBe(2);
});

test('with the API server away nobody is refused for good, and who is known stays known', async () => {
  const { api, caller } = await setUp();
  const known = api.tokens.issue(orders);
  await caller(known);
  await api.goAway();
  const stranger = await caller(api.tokens.issue({ ...orders, serviceAccount: 'new' }));
  expect(stranger).toEqual({
    kind: 'unavailable',
    problem: expect.stringContaining('cannot be asked'),
  });
  expect((await caller(known)).kind).toBe('token');
});

test('without the right to ask the operator is told, and callers may come back', async () => {
  const { api, caller } = await setUp([]);
  const result = await caller(api.tokens.issue(orders));
  expect(result).toEqual({
    kind: 'unavailable',
    problem: expect.stringMatching(/does not answer TokenReviews: .*403.*must allow it/),
  });
});

test('join tokens are not shown to the API server', async () => {
  const { join, caller, asked } = await setUp();
  const token = await join.create('shop', 'orders', 60_000);
  expect((await caller(token)).kind).toBe('token');
  expect(asked()).toBe(0);
});

test.each(['', 'a.b', 'a.b.c', '..', 'e30.bnVsbA.x'])('claims of %j are none', (token) => {
  expect(claimsOf(token)).toBeNull();
});
