import { describe, expect, test } from 'vitest';
import { Cluster } from '../../proto/gen/envoy/config/cluster/v3/cluster.ts';
import { ClusterLoadAssignment } from '../../proto/gen/envoy/config/endpoint/v3/endpoint.ts';
import {
  DiscoveryRequest,
  type DiscoveryResponse,
} from '../../proto/gen/envoy/service/discovery/v3/discovery.ts';
import { TYPE_CLUSTER, TYPE_ENDPOINT, TYPE_LISTENER } from '../../proto/type-urls.ts';
import { byName, cluster, endpoints, listener } from './resources.testing.ts';
import { SotwSubscription } from './sotw-subscription.ts';
import type { Resources } from './subscription.ts';

const NOW = 1000;
type Request = Parameters<typeof DiscoveryRequest.create>[0];

function open(typeUrl: string, first: Request = {}) {
  let nonces = 0;
  const subscription = new SotwSubscription(typeUrl, () => String(++nonces));
  const receive = (request: Request) => subscription.receive(DiscoveryRequest.create(request), NOW);
  receive(first);
  let version = '';
  return {
    subscription,
    receive,
    next: (resources: Resources, withRemovals = true) => {
      const response = subscription.next(resources, withRemovals, NOW)?.response ?? null;
      if (response !== null) version = response.versionInfo;
      return response;
    },
    /** As clients do it: the names are in every request. */
    ack: (resourceNames: string[] = []) =>
      receive({
        resourceNames,
        versionInfo: version,
        responseNonce: subscription.delivery.nonce,
      }),
    nack: (message: string, resourceNames: string[] = []) =>
      receive({
        resourceNames,
        responseNonce: subscription.delivery.nonce,
        errorDetail: { code: 3, message },
      }),
  };
}

function names(response: DiscoveryResponse | null): string[] | null {
  if (response === null) return null;
  return response.resources.map(({ typeUrl, value }) =>
    typeUrl === TYPE_ENDPOINT
      ? ClusterLoadAssignment.decode(value).clusterName
      : Cluster.decode(value).name,
  );
}

describe('acknowledgement', () => {
  test('[xDS 1] a refusal is told by its error, not by its version', () => {
    const { subscription, next, nack, ack } = open(TYPE_CLUSTER);
    next(byName(cluster('a')));
    expect(nack('bad')).toBe('nack');
    expect(subscription.delivery.error).toBe('bad');
    next(byName(cluster('a', '2')));
    expect(ack()).toBe('ack');
    expect(subscription.delivery.error).toBe('');
  });

  test('[xDS 2] a nonce of a former stream means nothing', () => {
    const { subscription, next, receive } = open(TYPE_CLUSTER, { responseNonce: '7' });
    expect(names(next(byName(cluster('a'))))).toEqual(['a']);
    expect(receive({ responseNonce: subscription.delivery.nonce })).toBe('ack');
  });

  test('[xDS 3] a request with a stale nonce is ignored whole', () => {
    const { subscription, next, receive } = open(TYPE_ENDPOINT, { resourceNames: ['a'] });
    next(byName(endpoints('a')));
    expect(receive({ resourceNames: ['a', 'b'], responseNonce: 'old' })).toBe('stale');
    expect([...subscription.names.names]).toEqual(['a']);
  });

  test('[xDS 4] what was refused is not sent again until it changes', () => {
    const { next, nack } = open(TYPE_CLUSTER);
    next(byName(cluster('a')));
    nack('bad');
    expect(next(byName(cluster('a')))).toBeNull();
    expect(names(next(byName(cluster('a', '2'))))).toEqual(['a']);
  });

  test('[xDS 5] equal content has an equal version, and a client that brings it hears nothing', () => {
    const version = open(TYPE_CLUSTER).next(byName(cluster('b'), cluster('a')))!.versionInfo;
    const again = open(TYPE_CLUSTER, { versionInfo: version });
    expect(again.next(byName(cluster('a'), cluster('b')))).toBeNull();
    expect(names(again.next(byName(cluster('a', '2'), cluster('b'))))).toEqual(['a', 'b']);
  });
});

describe('subscriptions', () => {
  test('[xDS 7] an empty list means everything only until a name was sent', () => {
    const { subscription, next, ack, receive } = open(TYPE_CLUSTER);
    const world = byName(cluster('a'), cluster('b'));
    expect(names(next(world))).toEqual(['a', 'b']);
    ack(['a']);
    expect(names(next(world))).toEqual(['a']);
    ack(['a']);
    receive({ resourceNames: [], responseNonce: subscription.delivery.nonce });
    expect(subscription.names.wildcard).toBe(false);
    expect(names(next(byName(cluster('a', '2'))))).toEqual([]);
  });

  test('[xDS 7] * beside names means everything', () => {
    const { next } = open(TYPE_CLUSTER, { resourceNames: ['*', 'a'] });
    expect(names(next(byName(cluster('a'), cluster('b'))))).toEqual(['a', 'b']);
  });

  test('[xDS 8] listeners that do not exist are absent; endpoints are answered when they appear', () => {
    const listeners = open(TYPE_LISTENER, { resourceNames: ['echo:80'] });
    expect(listeners.next(byName())?.resources).toEqual([]);
    const load = open(TYPE_ENDPOINT, { resourceNames: ['a'] });
    expect(load.next(byName())).toBeNull();
    expect(names(load.next(byName(endpoints('a'))))).toEqual(['a']);
  });

  test('[xDS 9] of endpoints only what changed is sent, of clusters always all', () => {
    const load = open(TYPE_ENDPOINT, { resourceNames: ['a', 'b'] });
    load.next(byName(endpoints('a'), endpoints('b')));
    load.ack(['a', 'b']);
    expect(names(load.next(byName(endpoints('a'), endpoints('b', 100))))).toEqual(['b']);
    const clusters = open(TYPE_CLUSTER);
    clusters.next(byName(cluster('a'), cluster('b')));
    clusters.ack();
    expect(names(clusters.next(byName(cluster('a'), cluster('b', '2'))))).toEqual(['a', 'b']);
  });

  test('[xDS 9] a cluster that is gone is absent, once removals may go', () => {
    const { next, ack } = open(TYPE_CLUSTER);
    next(byName(cluster('a'), cluster('b')));
    ack();
    const world = byName(cluster('b', '2'));
    expect(names(next(world, false))).toEqual(['b', 'a']);
    ack();
    expect(next(world, false)).toBeNull();
    expect(names(next(world, true))).toEqual(['b']);
    ack();
    expect(next(world, true)).toBeNull();
  });

  test('[xDS 10] a name dropped and asked for again is sent again', () => {
    const { next, ack } = open(TYPE_ENDPOINT, { resourceNames: ['a', 'b'] });
    const world = byName(endpoints('a'), endpoints('b'));
    next(world);
    ack(['a']);
    expect(next(world)).toBeNull();
    ack(['a', 'b']);
    expect(names(next(world))).toEqual(['b']);
  });

  test('[xDS 11] what is owed is sent once more, unchanged', () => {
    const { subscription, next, ack } = open(TYPE_ENDPOINT, { resourceNames: ['a'] });
    const world = byName(endpoints('a'));
    next(world);
    ack(['a']);
    subscription.owe(['a']);
    expect(names(next(world))).toEqual(['a']);
    ack(['a']);
    expect(next(world)).toBeNull();
  });

  test('[xDS 16] an acknowledgement with other names is a new subscription', () => {
    const { next, ack } = open(TYPE_ENDPOINT, { resourceNames: ['a'] });
    const world = byName(endpoints('a'), endpoints('b'));
    expect(names(next(world))).toEqual(['a']);
    ack(['a', 'b']);
    expect(names(next(world))).toEqual(['b']);
    ack(['a', 'b']);
    expect(next(world)).toBeNull();
  });
});

test('[xDS 14] one response is outstanding, the latest state wins', () => {
  const { next, ack } = open(TYPE_LISTENER);
  next(byName(listener('l', 'r', '1')));
  expect(next(byName(listener('l', 'r', '2')))).toBeNull();
  ack();
  const latest = listener('l', 'r', '3');
  expect(next(byName(latest))?.resources[0]?.value).toEqual(latest.any.value);
});
