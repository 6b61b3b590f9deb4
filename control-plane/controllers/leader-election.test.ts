import fc from 'fast-check';
import { expect, test } from 'vitest';
import { HandClock } from '../clock.testing.ts';
import type { RequestOptions } from '../kubernetes/api-transport.ts';
import { failed, type KubernetesResult, statusFailure } from '../kubernetes/failure.ts';
import { LEASE_TIMING, LeaderElection, leaseTiming } from './leader-election.ts';

/** One Lease, as the API server keeps it; each client's messages take their own time and may be lost. */
class LeaseServer {
  readonly clock = new HandClock();
  lease: { metadata: Record<string, string>; spec: Record<string, unknown> } | null = null;
  writes = 0;
  #version = 0;

  client(link: { delayMs: number; up: boolean; losesAnswers?: boolean }) {
    return {
      request: (options: RequestOptions): Promise<KubernetesResult<unknown>> =>
        new Promise((resolve) => {
          const cancel = this.clock.schedule(options.timeoutMs ?? 30_000, () =>
            resolve(failed('timeout', 'no answer in time')),
          );
          if (!link.up) return;
          const { delayMs } = link;
          this.clock.schedule(delayMs, () => {
            const answer = this.#serve(options);
            if (link.losesAnswers === true) return;
            this.clock.schedule(delayMs, () => {
              cancel();
              resolve(answer);
            });
          });
        }),
    };
  }

  #serve({ method, body }: RequestOptions): KubernetesResult<unknown> {
    const error = (code: number) =>
      ({ ok: false, failure: statusFailure('', code, {}, undefined) }) as const;
    const given = structuredClone(body) as NonNullable<LeaseServer['lease']>;
    if (method === 'GET') {
      return this.lease === null ? error(404) : { ok: true, value: structuredClone(this.lease) };
    }
    if (method === 'POST' ? this.lease !== null : this.lease === null) {
      return error(method === 'POST' ? 409 : 404);
    }
    const stale = given.metadata['resourceVersion'] !== this.lease?.metadata['resourceVersion'];
    if (method === 'PUT' && stale) return error(409);
    this.writes++;
    const metadata = { uid: 'u', ...given.metadata, resourceVersion: String(++this.#version) };
    this.lease = { metadata, spec: given.spec };
    return { ok: true, value: structuredClone(this.lease) };
  }
}

function candidate(server: LeaseServer, identity: string, link = { delayMs: 5, up: true }) {
  const changes: boolean[] = [];
  const election = new LeaderElection({
    client: server.client(link),
    namespace: 'weft-system',
    name: 'weft-leader',
    identity,
    clock: server.clock,
    // Their clocks are hours apart, which must not matter.
    wallMs: () => Date.UTC(2026, 0, 1, identity.charCodeAt(0) - 97) + server.clock.nowMs(),
    random: () => 0.5,
    log: { info: () => undefined, warn: () => undefined },
  });
  election.onChange((isLeader) => changes.push(isLeader));
  election.start();
  return { election, link, changes };
}

/** Moves time in small steps and lets promises run in between. */
async function pass(server: LeaseServer, ms: number, each = () => undefined as unknown) {
  for (let at = 0; at < ms; at += 100) {
    server.clock.advance(100);
    for (let turn = 0; turn < 8; turn++) await Promise.resolve();
    each();
  }
}

test('[OP-03] the first candidate makes the Lease and leads; the second waits', async () => {
  const server = new LeaseServer();
  const a = candidate(server, 'a');
  await pass(server, 1000);
  const b = candidate(server, 'b');
  await pass(server, 60_000);
  expect([a.election.mayWrite(), b.election.mayWrite()]).toEqual([true, false]);
  expect(b.election.holder).toBe('a');
  expect(server.lease).toMatchObject({
    metadata: { name: 'weft-leader', namespace: 'weft-system' },
    spec: { holderIdentity: 'a', leaseDurationSeconds: 15, leaseTransitions: 0 },
  });
  expect(server.lease!.spec['renewTime']).toMatch(/^2026-01-01T00:0\d:\d\d\.\d{6}Z$/);
  expect(a.changes).toEqual([true]);
});

test('[OP-03] a leader that vanishes is followed after the duration, and not before', async () => {
  const server = new LeaseServer();
  const a = candidate(server, 'a');
  const b = candidate(server, 'b', { delayMs: 20, up: true });
  await pass(server, 10_000);
  expect([a.election.mayWrite(), b.election.mayWrite()]).toEqual([true, false]);
  a.link.up = false;
  await pass(server, 11_500, () => expect(b.election.mayWrite()).toBe(false));
  expect(a.election.mayWrite()).toBe(false);
  await pass(server, 12_000);
  expect(b.election.mayWrite()).toBe(true);
  expect(server.lease!.spec).toMatchObject({ holderIdentity: 'b', leaseTransitions: 1 });
  a.link.up = true;
  await pass(server, 30_000, () => expect(a.election.mayWrite()).toBe(false));
  expect(a.changes).toEqual([true, false]);
});

test('[OP-03] a leader that stops gives the Lease back, and another leads within a retry', async () => {
  const server = new LeaseServer();
  const a = candidate(server, 'a');
  await pass(server, 1000);
  const b = candidate(server, 'b');
  await pass(server, 10_000);
  const closed = a.election.close();
  expect(a.election.mayWrite()).toBe(false);
  await pass(server, 5000);
  await closed;
  expect(b.election.mayWrite()).toBe(true);
  expect(server.lease!.spec).toMatchObject({ holderIdentity: 'b' });
});

test('a renewal whose answer is lost is no loss: the Lease is still its own', async () => {
  const server = new LeaseServer();
  const a = candidate(server, 'a');
  await pass(server, 5000);
  Object.assign(a.link, { losesAnswers: true });
  await pass(server, 3000);
  Object.assign(a.link, { losesAnswers: false });
  await pass(server, 10_000);
  expect(a.changes).toEqual([true]);
  expect(server.lease!.spec).toMatchObject({ holderIdentity: 'a', leaseTransitions: 0 });
});

test('a Lease that was deleted is made again by the leader', async () => {
  const server = new LeaseServer();
  const a = candidate(server, 'a');
  await pass(server, 5000);
  server.lease = null;
  await pass(server, 5000);
  expect(a.election.mayWrite()).toBe(true);
  expect(server.lease).not.toBeNull();
});

test.each([
  ['no spec', {}],
  ['a holder that is a number', { holderIdentity: 7, leaseDurationSeconds: 'x' }],
  ['nobody', { holderIdentity: '', leaseDurationSeconds: 1 }],
  ['a holder for a century', { holderIdentity: 'z', leaseDurationSeconds: 3e9 }],
])('[A6.9] a Lease with %s is taken over in bounded time', async (_name, spec) => {
  const server = new LeaseServer();
  server.lease = { metadata: { name: 'weft-leader', resourceVersion: '7' }, spec };
  const a = candidate(server, 'a');
  await pass(server, 620_000);
  expect(a.election.mayWrite()).toBe(true);
});

test('other durations keep the proportions', () => {
  expect(leaseTiming(15_000)).toEqual(LEASE_TIMING);
  const { leaseDurationMs, renewDeadlineMs, retryPeriodMs } = leaseTiming(3000);
  expect(renewDeadlineMs).toBeLessThan(leaseDurationMs);
  expect(retryPeriodMs * 4).toBeLessThan(renewDeadlineMs);
});

test('[F17] fuzz: however messages are delayed and links fail, there are never two leaders, and in the end there is one', async () => {
  const runs = Number(process.env['WEFT_FUZZ_RUNS'] ?? 15);
  const event = fc.record({
    who: fc.nat(2),
    up: fc.boolean(),
    losesAnswers: fc.boolean(),
    delayMs: fc.constantFrom(0, 50, 900, 3000),
    forMs: fc.integer({ min: 500, max: 20_000 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(event, { maxLength: 12 }), async (events) => {
      const server = new LeaseServer();
      const all = ['a', 'b', 'c'].map((name) => candidate(server, name));
      const alone = () =>
        expect(all.filter(({ election }) => election.mayWrite()).length).toBeLessThanOrEqual(1);
      for (const { who, forMs, ...link } of events) {
        Object.assign(all[who]!.link, link);
        await pass(server, forMs, alone);
      }
      for (const { link } of all)
        Object.assign(link, { up: true, losesAnswers: false, delayMs: 5 });
      await pass(server, 40_000, alone);
      expect(all.filter(({ election }) => election.mayWrite())).toHaveLength(1);
    }),
    { numRuns: Math.min(runs, 300) },
  );
});
