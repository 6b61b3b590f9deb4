import { expect, test } from 'vitest';
import type { StringMap } from '../kinds/resource.ts';
import {
  type RegisteredPort,
  type RegisterResult,
  type Registration,
  type RegistrationRequest,
  WorkloadRegistrations,
} from './workload-registrations.ts';

class FakeClock {
  time = Date.UTC(2026, 0, 1);
  #due: { atMs: number; callback: () => void }[] = [];
  nowMs(): number {
    return this.time;
  }
  schedule(delayMs: number, callback: () => void): () => void {
    const entry = { atMs: this.time + delayMs, callback };
    this.#due.push(entry);
    return () => {
      this.#due = this.#due.filter((each) => each !== entry);
    };
  }
  advance(ms: number): void {
    const end = this.time + ms;
    for (;;) {
      const next = this.#due.filter(({ atMs }) => atMs <= end).sort((a, b) => a.atMs - b.atMs)[0];
      if (next === undefined) break;
      this.#due = this.#due.filter((each) => each !== next);
      this.time = next.atMs;
      next.callback();
    }
    this.time = end;
  }
}

const identity = { trustDomain: 'cluster.local', namespace: 'default', serviceAccount: 'reviews' };
const labels: StringMap = { app: 'reviews', version: 'v1' };
const port: RegisteredPort = { number: 9080, name: 'http', protocol: 'http', dial: 31_001 };
const reviews: RegistrationRequest = {
  identity,
  namespace: 'default',
  serviceAccount: 'reviews',
  workload: 'reviews-v1',
  host: 'reviews.default.svc.cluster.local',
  address: '127.0.0.1',
  ports: [port],
  labels,
  locality: '',
  startsUnhealthy: false,
};

function registry() {
  const clock = new FakeClock();
  const registrations = new WorkloadRegistrations({ clock, workloadsMax: 3 });
  let changes = 0;
  registrations.onChange(() => changes++);
  return { clock, registrations, changes: () => changes };
}

function held(result: RegisterResult): Registration {
  if (!result.ok) throw new Error(result.message);
  return result.registration;
}

const dialled = (registrations: WorkloadRegistrations) =>
  registrations.read().workloads.map(({ portsByNumber }) => portsByNumber.get(9080));

test('[DS-04] an open stream is a workload and makes its service known', () => {
  const { registrations, changes } = registry();
  held(registrations.register(reviews));
  const { services, workloads } = registrations.read();
  expect(services).toEqual([
    {
      host: 'reviews.default.svc.cluster.local',
      namespace: 'default',
      ports: [{ number: 9080, name: 'http', protocol: 'http' }],
      serviceAccounts: ['default/reviews'],
      creationTimestamp: '2026-01-01T00:00:00Z',
    },
  ]);
  expect(workloads).toMatchObject([
    { name: 'reviews-v1', address: '127.0.0.1', health: 'HEALTHY', tlsMode: 'istio', labels },
  ]);
  expect(changes()).toBe(1);
  expect(registrations.read()).toBe(registrations.read());
});

test('[DS-04] the entry goes 10 s after the stream ended, the service stays known without endpoints', () => {
  const { clock, registrations, changes } = registry();
  held(registrations.register(reviews)).end();
  clock.advance(9_999);
  expect(registrations.read().workloads).toHaveLength(1);
  clock.advance(1);
  expect(registrations.read().workloads).toHaveLength(0);
  expect(registrations.read().services[0]?.ports).toHaveLength(1);
  expect(changes()).toBe(2);
  clock.advance(3_600_000);
  expect(registrations.read().services).toHaveLength(0);
});

test('[DS-04] a stream that comes back within the lease keeps the entry; the late end of the old one changes nothing', () => {
  const { clock, registrations } = registry();
  const first = held(registrations.register(reviews));
  first.end();
  clock.advance(5_000);
  const second = held(registrations.register(reviews));
  first.end();
  first.setHealth('UNHEALTHY');
  clock.advance(60_000);
  expect(registrations.read().workloads).toMatchObject([{ health: 'HEALTHY' }]);
  second.end();
  clock.advance(10_000);
  expect(registrations.read().workloads).toHaveLength(0);
});

test('one replica that comes back takes nothing from another that is still away', () => {
  const { clock, registrations } = registry();
  const other = { ...reviews, ports: [{ ...port, dial: 31_002 }] };
  held(registrations.register(reviews)).end();
  held(registrations.register(other)).end();
  held(registrations.register(reviews));
  expect(dialled(registrations).sort()).toEqual([31_001, 31_002]);
  clock.advance(10_000);
  expect(dialled(registrations)).toEqual([31_001]);
});

test('two live replicas of one name both count', () => {
  const { registrations } = registry();
  held(registrations.register(reviews));
  held(registrations.register({ ...reviews, ports: [{ ...port, dial: 31_002 }] }));
  expect(dialled(registrations).sort()).toEqual([31_001, 31_002]);
});

test('health follows what the sidecar says, and one that probes starts unhealthy', () => {
  const { registrations, changes } = registry();
  const registration = held(registrations.register({ ...reviews, startsUnhealthy: true }));
  expect(registrations.read().workloads).toMatchObject([{ health: 'UNHEALTHY' }]);
  registration.setHealth('HEALTHY');
  registration.setHealth('HEALTHY');
  expect(registrations.read().workloads).toMatchObject([{ health: 'HEALTHY' }]);
  expect(changes()).toBe(2);
});

test.each<[string, Partial<RegistrationRequest>, string]>([
  ['no identity', { identity: null }, 'permissionDenied'],
  ['another namespace', { namespace: 'prod' }, 'permissionDenied'],
  ['another account', { serviceAccount: 'admin' }, 'permissionDenied'],
  ["another namespace's host", { host: 'a.prod.svc.cluster.local' }, 'permissionDenied'],
  ['no port', { ports: [] }, 'invalid'],
  ['too many ports', { ports: Array.from({ length: 65 }, () => port) }, 'invalid'],
])('[A6.5] a registration with %s is refused', (_name, change, reason) => {
  const { registrations } = registry();
  expect(registrations.register({ ...reviews, ...change })).toMatchObject({ ok: false, reason });
  expect(registrations.read().services).toEqual([]);
});

test('[A6.5] a workload cannot be taken over by another identity', () => {
  const { registrations } = registry();
  held(registrations.register(reviews));
  const other = { ...identity, serviceAccount: 'thief' };
  expect(
    registrations.register({ ...reviews, identity: other, serviceAccount: 'thief' }),
  ).toMatchObject({ ok: false, reason: 'permissionDenied' });
});

test('[A6.2] the number of entries is bounded', () => {
  const { registrations } = registry();
  for (const dial of [1, 2, 3]) {
    held(registrations.register({ ...reviews, ports: [{ ...port, dial }] }));
  }
  expect(registrations.register({ ...reviews, ports: [{ ...port, dial: 4 }] })).toMatchObject({
    reason: 'resourceExhausted',
  });
});

test('what was written down comes back with a lease', () => {
  const first = registry();
  held(first.registrations.register(reviews));
  const records = structuredClone(first.registrations.export());
  const second = registry();
  second.registrations.restore(records);
  expect(second.registrations.read().workloads).toHaveLength(1);
  held(second.registrations.register(reviews));
  second.clock.advance(60_000);
  expect(second.registrations.read().workloads).toHaveLength(1);
  const third = registry();
  third.registrations.restore(records);
  third.clock.advance(10_000);
  expect(third.registrations.read().workloads).toHaveLength(0);
});

test('of two that declare one port differently the first decides while it serves', () => {
  const { clock, registrations } = registry();
  const first = held(registrations.register(reviews));
  clock.advance(1);
  held(registrations.register({ ...reviews, ports: [{ ...port, dial: 2, protocol: 'tcp' }] }));
  expect(registrations.read().services[0]?.ports[0]?.protocol).toBe('http');
  first.end();
  clock.advance(10_000);
  expect(registrations.read().services[0]?.ports[0]?.protocol).toBe('tcp');
});

test('[SC-03] the account of workloads that went is expected for as long as the service would be known', () => {
  const { clock, registrations } = registry();
  const accounts = () => registrations.read().services[0]?.serviceAccounts;
  const other = { ...identity, serviceAccount: 'next' };
  held(registrations.register(reviews)).end();
  const next = { ...reviews, identity: other, serviceAccount: 'next', workload: 'reviews-v2' };
  const registration = held(registrations.register(next));
  clock.advance(10_000);
  expect(accounts()).toEqual(['default/next', 'default/reviews']);
  clock.advance(3_600_001);
  registration.setHealth('UNHEALTHY');
  expect(accounts()).toEqual(['default/next', 'default/reviews']);
  registration.end();
  held(registrations.register(next));
  expect(accounts()).toEqual(['default/next']);
});

test('[DS-04] who registers at the socket of one that is away takes its place; one that is there keeps it', () => {
  const { registrations } = registry();
  const { registrations: former } = registry();
  former.register(reviews);
  registrations.restore(former.export(), 60_000);
  const ratings: RegistrationRequest = {
    ...reviews,
    identity: { ...identity, serviceAccount: 'ratings' },
    serviceAccount: 'ratings',
    workload: 'ratings-v1',
    host: 'ratings.default.svc.cluster.local',
  };
  const names = () => registrations.read().workloads.map(({ name }) => name);
  const elsewhere = { namespace: 'other' };
  registrations.register({
    ...ratings,
    ...elsewhere,
    identity: { ...ratings.identity!, ...elsewhere },
    host: 'ratings.other.svc.cluster.local',
  });
  expect(names()).toEqual(['ratings-v1', 'reviews-v1']);
  registrations.register(ratings);
  expect(names()).toEqual(['ratings-v1', 'ratings-v1']);
  registrations.register(reviews);
  expect(names()).toEqual(['ratings-v1', 'ratings-v1', 'reviews-v1']);
});

test('[SC-03] [A6.5] who registers for the host of another namespace is not expected behind theirs', () => {
  const { clock, registrations } = registry();
  const host = 'db.internal';
  const own = held(registrations.register({ ...reviews, host }));
  const stranger = { ...identity, namespace: 'evil', serviceAccount: 'x' };
  const theirs = held(
    registrations.register({
      ...reviews,
      identity: stranger,
      namespace: 'evil',
      serviceAccount: 'x',
      host,
    }),
  );
  const seen = () =>
    registrations
      .read()
      .services.map(({ namespace, serviceAccounts }) => [namespace, ...serviceAccounts]);
  const both = [
    ['default', 'default/reviews'],
    ['evil', 'evil/x'],
  ];
  expect(seen()).toEqual(both);
  own.end();
  clock.advance(20_000);
  expect(seen()).toEqual(both);
  theirs.end();
  clock.advance(2 * 3_600_000);
  expect(seen()).toEqual([]);
});
