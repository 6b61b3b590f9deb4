import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  DeltaDiscoveryRequest,
  type DeltaDiscoveryResponse,
} from '../../proto/gen/envoy/service/discovery/v3/discovery.ts';
import { TYPE_CLUSTER, TYPE_ENDPOINT } from '../../proto/type-urls.ts';
import type { DiscoveryResource } from '../translate/discovery-resource.ts';
import { DeltaSubscription } from './delta-subscription.ts';
import { byName, cluster, endpoints } from './resources.testing.ts';
import type { Resources } from './subscription.ts';

const NOW = 1000;
const runs = Number(process.env['WEFT_FUZZ_RUNS'] ?? 300);

type Request = Parameters<typeof DeltaDiscoveryRequest.create>[0];

function open(typeUrl: string, first: Request = {}) {
  let nonces = 0;
  const subscription = new DeltaSubscription(typeUrl, () => String(++nonces));
  const receive = (request: Request) =>
    subscription.receive(DeltaDiscoveryRequest.create(request), NOW);
  receive(first);
  return {
    subscription,
    receive,
    /** What leaves now, removals included unless `withRemovals` is false. */
    next: (resources: Resources, withRemovals = true) =>
      subscription.next(resources, withRemovals, NOW)?.response ?? null,
    ack: () => receive({ responseNonce: subscription.delivery.nonce }),
    nack: (message: string) =>
      receive({ responseNonce: subscription.delivery.nonce, errorDetail: { code: 3, message } }),
  };
}

const names = (response: DeltaDiscoveryResponse | null) =>
  response === null ? null : response.resources.map(({ name }) => name);

describe('acknowledgement', () => {
  test('[xDS 1] a request is a refusal exactly when it carries an error', () => {
    const { subscription, next, receive, nack } = open(TYPE_CLUSTER);
    next(byName(cluster('a')));
    expect(nack('a: no')).toBe('nack');
    expect(subscription.delivery.error).toBe('a: no');
    next(byName(cluster('a', '2')));
    expect(receive({ responseNonce: subscription.delivery.nonce })).toBe('ack');
    expect(subscription.delivery.error).toBe('');
  });

  test('[xDS 2] nonces differ from response to response', () => {
    const { next, ack } = open(TYPE_CLUSTER);
    const first = next(byName(cluster('a')));
    ack();
    const second = next(byName(cluster('a', '2')));
    expect(second?.nonce).not.toBe(first?.nonce);
  });

  test('[xDS 3] a stale nonce voids the acknowledgement, what it subscribes to counts', () => {
    const { subscription, next, receive } = open(TYPE_ENDPOINT, { resourceNamesSubscribe: ['a'] });
    const world = byName(endpoints('a'), endpoints('b'));
    next(world);
    expect(receive({ responseNonce: 'old', resourceNamesSubscribe: ['b'] })).toBe('stale');
    expect(subscription.delivery.isOutstanding).toBe(true);
    receive({ responseNonce: subscription.delivery.nonce });
    expect(names(next(world))).toEqual(['b']);
  });

  test('[xDS 4] what was refused is not sent again until it changes', () => {
    const { next, nack } = open(TYPE_CLUSTER);
    const world = byName(cluster('a'), cluster('b'));
    next(world);
    nack('cluster a: bad');
    expect(next(world)).toBeNull();
    expect(next(byName(cluster('a'), cluster('b')))).toBeNull();
    expect(names(next(byName(cluster('a', '2'), cluster('b'))))).toEqual(['a']);
  });

  test('[xDS 6] a refusal stands until the resource that it names is accepted', () => {
    const { subscription, next, ack, nack } = open(TYPE_CLUSTER);
    next(byName(cluster('a'), cluster('b')));
    nack('cluster a: bad');
    next(byName(cluster('a'), cluster('b', '2')));
    ack();
    expect(subscription.delivery.error).toBe('cluster a: bad');
    next(byName(cluster('a', '2'), cluster('b', '2')));
    ack();
    expect(subscription.delivery.error).toBe('');
  });

  test('[A6.4] unknown, repeated and future nonces change nothing', () => {
    const { subscription, next, receive, ack } = open(TYPE_CLUSTER);
    const world = byName(cluster('a'));
    next(world);
    expect(receive({ responseNonce: '99' })).toBe('stale');
    ack();
    expect(receive({ responseNonce: subscription.delivery.nonce })).toBe('none');
    expect(
      receive({
        responseNonce: subscription.delivery.nonce,
        errorDetail: { code: 3, message: 'again' },
      }),
    ).toBe('stale');
    expect(next(world)).toBeNull();
    expect(subscription.delivery.error).toBe('');
  });
});

describe('subscriptions', () => {
  test('[xDS 7] naming nothing in the first request means everything, for clusters', () => {
    expect(names(open(TYPE_CLUSTER).next(byName(cluster('a'), cluster('b'))))).toEqual(['a', 'b']);
    expect(open(TYPE_ENDPOINT).next(byName(endpoints('a')))).toBeNull();
  });

  test('[xDS 7] * is explicit and may stand beside names', () => {
    const { subscription, next, ack, receive } = open(TYPE_CLUSTER, {
      resourceNamesSubscribe: ['*', 'a'],
    });
    const world = byName(cluster('a'), cluster('b'));
    expect(names(next(world))).toEqual(['a', 'b']);
    ack();
    receive({ resourceNamesUnsubscribe: ['*'] });
    expect([...subscription.held.keys()]).toEqual(['a']);
    expect(next(byName(cluster('a'), cluster('b', '2'), cluster('c')))).toBeNull();
  });

  test('[xDS 7] unsubscribing a name under * is answered with whether it is there', () => {
    const { next, ack, receive } = open(TYPE_CLUSTER, { resourceNamesSubscribe: ['*', 'a', 'x'] });
    const world = byName(cluster('a'), cluster('b'));
    expect(next(world)?.removedResources).toEqual(['x']);
    ack();
    receive({ resourceNamesUnsubscribe: ['a', 'x'] });
    const answer = next(world);
    expect(names(answer)).toEqual(['a']);
    expect(answer?.removedResources).toEqual(['x']);
  });

  test('[xDS 8] a name that does not exist is answered as removed, and sent when it appears', () => {
    const { next, ack } = open(TYPE_ENDPOINT, { resourceNamesSubscribe: ['a'] });
    expect(next(byName(), false)?.removedResources).toEqual(['a']);
    ack();
    expect(next(byName())).toBeNull();
    expect(names(next(byName(endpoints('a'))))).toEqual(['a']);
  });

  test('[xDS 9] endpoints of nobody are sent empty, not left out', () => {
    const { next } = open(TYPE_ENDPOINT, { resourceNamesSubscribe: ['a'] });
    expect(names(next(byName(endpoints('a'))))).toEqual(['a']);
  });

  test('[xDS 10] a name subscribed again is sent again', () => {
    const { next, ack, receive } = open(TYPE_ENDPOINT, { resourceNamesSubscribe: ['a'] });
    const world = byName(endpoints('a'));
    next(world);
    ack();
    receive({ resourceNamesSubscribe: ['a'] });
    expect(names(next(world))).toEqual(['a']);
  });

  test('[xDS 10] a plain unsubscribe needs no answer', () => {
    const { next, ack, receive } = open(TYPE_ENDPOINT, { resourceNamesSubscribe: ['a', 'b'] });
    next(byName(endpoints('a'), endpoints('b')));
    ack();
    receive({ resourceNamesUnsubscribe: ['a'] });
    expect(next(byName(endpoints('b')))).toBeNull();
  });

  test('[xDS 11] what is owed is sent once more, unchanged', () => {
    const { subscription, next, ack } = open(TYPE_ENDPOINT, { resourceNamesSubscribe: ['a'] });
    const world = byName(endpoints('a'), endpoints('b'));
    next(world);
    ack();
    subscription.owe(['a', 'b']);
    expect(names(next(world))).toEqual(['a']);
    ack();
    expect(next(world)).toBeNull();
  });

  test('[xDS 12] the versions that a client brings are compared, and what vanished is removed', () => {
    const [a, b] = [cluster('a'), cluster('b')];
    const { next } = open(TYPE_CLUSTER, {
      initialResourceVersions: new Map([
        ['a', a.version],
        ['b', 'older'],
        ['gone', '1'],
      ]),
    });
    const response = next(byName(a, b));
    expect(names(response)).toEqual(['b']);
    expect(response?.removedResources).toEqual(['gone']);
  });

  test('[xDS 5] a client that brings everything hears nothing', () => {
    const a = cluster('a');
    const { next } = open(TYPE_CLUSTER, {
      initialResourceVersions: new Map([['a', a.version]]),
    });
    expect(next(byName(a))).toBeNull();
  });

  test('an empty world is told to a new wildcard subscriber, once', () => {
    const { next, ack } = open(TYPE_CLUSTER);
    expect(names(next(byName()))).toEqual([]);
    ack();
    expect(next(byName())).toBeNull();
  });
});

describe('flow', () => {
  test('[xDS 14] one response is outstanding; what came meanwhile is joined, the latest wins', () => {
    const { next, ack } = open(TYPE_CLUSTER);
    next(byName(cluster('a', '1')));
    expect(next(byName(cluster('a', '2')))).toBeNull();
    expect(next(byName(cluster('a', '3'), cluster('b')))).toBeNull();
    ack();
    const latest = cluster('a', '3');
    const response = next(byName(latest, cluster('b')));
    expect(response?.resources.map(({ name, version }) => [name, version])).toEqual([
      ['a', latest.version],
      ['b', cluster('b').version],
    ]);
  });

  test('[xDS 16] an acknowledgement is not answered with what is known', () => {
    const { next, ack } = open(TYPE_CLUSTER);
    const world = byName(cluster('a'));
    next(world);
    ack();
    expect(next(world)).toBeNull();
    expect(next(byName(cluster('a')))).toBeNull();
  });

  test('[xDS 18] a large state is sent in parts below the limit of gRPC clients', () => {
    const large = 'x'.repeat(1024 * 1024);
    const world = byName(...Array.from({ length: 7 }, (_, at) => cluster(`c${at}`, large)));
    const { next, ack } = open(TYPE_CLUSTER);
    const parts: number[] = [];
    for (let response = next(world); response !== null; response = next(world)) {
      parts.push(response.resources.length);
      ack();
    }
    expect(parts).toEqual([2, 2, 2, 1]);
  });

  test('[xDS 13] removals wait until they are asked for', () => {
    const { subscription, next, ack } = open(TYPE_CLUSTER);
    next(byName(cluster('a'), cluster('b')));
    ack();
    const world = byName(cluster('b', '2'));
    expect(subscription.pending(world)).toMatchObject({ changes: true });
    const change = next(world, false);
    expect(names(change)).toEqual(['b']);
    expect(change?.removedResources).toEqual([]);
    ack();
    expect(next(world, false)).toBeNull();
    expect(subscription.pending(world)).toEqual({ changes: false, removals: true });
    expect(next(world, true)?.removedResources).toEqual(['a']);
    ack();
    expect(subscription.pending(world)).toEqual({ changes: false, removals: false });
  });
});

test('fuzz: a client that follows the responses holds what it asks for of the last world', () => {
  const name = fc.constantFrom('a', 'b', 'c', '*');
  const step = fc.oneof(
    fc.record({ kind: fc.constant('subscribe' as const), name }),
    fc.record({ kind: fc.constant('unsubscribe' as const), name }),
    fc.record({
      kind: fc.constant('world' as const),
      has: fc.dictionary(fc.constantFrom('a', 'b', 'c'), fc.constantFrom('1', '2')),
    }),
    fc.record({ kind: fc.constant('push' as const) }),
    fc.record({ kind: fc.constant('stale' as const) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const { subscription, receive, next, ack } = open(TYPE_CLUSTER, {
        resourceNamesSubscribe: ['a'],
      });
      const asked = new Set(['a']);
      const held = new Map<string, string>();
      let world: Resources = byName();
      const apply = () => {
        const response = next(world);
        if (response === null) return false;
        for (const { name, version } of response.resources) held.set(name, version);
        for (const each of response.removedResources) held.delete(each);
        ack();
        return true;
      };
      for (const each of steps) {
        if (each.kind === 'subscribe') {
          asked.add(each.name);
          receive({ resourceNamesSubscribe: [each.name] });
        } else if (each.kind === 'unsubscribe') {
          asked.delete(each.name);
          receive({ resourceNamesUnsubscribe: [each.name] });
          const isWanted = (held: string) => asked.has('*') || asked.has(held);
          for (const known of [...held.keys()]) if (!isWanted(known)) held.delete(known);
        } else if (each.kind === 'world') {
          world = byName(
            ...Object.entries(each.has).map(([of, revision]) => cluster(of, revision)),
          );
        } else if (each.kind === 'stale') {
          receive({ responseNonce: 'unknown' });
        } else apply();
      }
      // Everything is said in a bounded number of responses.
      for (let left = 3; apply(); left--) expect(left).toBeGreaterThan(0);
      const wanted = [...world.values()].filter(
        ({ name: of }: DiscoveryResource) => asked.has('*') || asked.has(of),
      );
      expect(new Map([...held].sort())).toEqual(
        new Map(wanted.map(({ name: of, version }) => [of, version] as const).sort()),
      );
      expect(subscription.delivery.error).toBe('');
    }),
    { numRuns: runs },
  );
});
