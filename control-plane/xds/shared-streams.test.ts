import { expect, test } from 'vitest';
import {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
  DiscoveryRequest,
  DiscoveryResponse,
} from '../../proto/gen/envoy/service/discovery/v3/discovery.ts';
import { TYPE_CLUSTER, TYPE_ENDPOINT } from '../../proto/type-urls.ts';
import { DeltaSubscription } from './delta-subscription.ts';
import { byName, cluster, endpoints } from './resources.testing.ts';
import { frameDelta, frameStateOfTheWorld } from './response-body.ts';
import { SotwSubscription } from './sotw-subscription.ts';
import type { NextNonce, Resources } from './subscription.ts';
import { FRAME_HEAD_BYTES } from './write-framed.ts';

const STREAMS = 1000;
const NAMES = Array.from({ length: 200 }, (_, at) => `service-${at}`);

function nonces(): NextNonce {
  let last = 0;
  return (atLeast) => {
    last = Math.max(last + 1, atLeast);
    return String(last);
  };
}

/** Strings of their own, as each stream decodes them. */
function ownNames(): string[] {
  return NAMES.map((name) => Buffer.from(name).toString());
}

function open(typeUrl: string, resourceNamesSubscribe: string[]) {
  const subscription = new DeltaSubscription(typeUrl, nonces());
  subscription.receive(DeltaDiscoveryRequest.create({ typeUrl, resourceNamesSubscribe }), 1);
  return subscription;
}

/** What each stream is sent, acknowledged. */
function pushed(subscriptions: readonly DeltaSubscription[], resources: Resources) {
  return subscriptions.map((subscription) => {
    const push = subscription.next(resources, true, 1)!;
    const responseNonce = subscription.delivery.nonce;
    subscription.receive(DeltaDiscoveryRequest.create({ responseNonce }), 1);
    return push.response;
  });
}

function distinct<T>(values: Iterable<T>): number {
  return new Set(values).size;
}

test('[OP-02] a thousand streams are sent the very same bytes, encoded once, and so is a change', () => {
  const streams = Array.from({ length: STREAMS }, () => open(TYPE_ENDPOINT, ownNames()));
  const world = byName(...NAMES.map((name) => endpoints(name)));
  const first = pushed(streams, world);
  expect(first[0]!.resources.length).toBe(NAMES.length);
  expect(distinct(first.map(({ resources }) => resources))).toBe(1);
  expect(distinct(first.map(frameDelta))).toBe(1);

  const changed = new Map(world).set(NAMES[7]!, endpoints(NAMES[7]!, 100));
  const second = pushed(streams, changed);
  expect(second[0]!.resources.map(({ name }) => name)).toEqual([NAMES[7]]);
  expect(distinct(second.map(frameDelta))).toBe(1);
  const decoded = DeltaDiscoveryResponse.decode(frameDelta(second[0]!).subarray(FRAME_HEAD_BYTES));
  expect(DeltaDiscoveryResponse.encode(decoded).finish()).toEqual(
    DeltaDiscoveryResponse.encode(second[0]!).finish(),
  );
});

test('a thousand streams that ask for the same names and hold the same keep no list of their own', () => {
  const named = Array.from({ length: STREAMS }, () => open(TYPE_ENDPOINT, ownNames()));
  const wildcards = Array.from({ length: STREAMS }, () => open(TYPE_CLUSTER, []));
  const assignments = byName(...NAMES.map((name) => endpoints(name)));
  const clusters = byName(...NAMES.map((name) => cluster(name)));
  pushed(named, assignments);
  pushed(wildcards, clusters);
  expect(distinct(named.map(({ names }) => names.names))).toBe(1);
  for (const [streams, world] of [
    [named, assignments],
    [wildcards, clusters],
  ] as const) {
    expect(distinct(streams.map(({ agreed }) => agreed))).toBe(1);
    expect(streams[0]!.agreed).toBe(world);
    expect(Math.max(...streams.map(({ heldAloneCount }) => heldAloneCount))).toBe(0);
    expect(streams[0]!.held.size).toBe(NAMES.length);
  }
});

test('names that one stream adds or drops are no others’', () => {
  const [one, other] = [open(TYPE_ENDPOINT, ownNames()), open(TYPE_ENDPOINT, ownNames())];
  const world = byName(...[...NAMES, 'more'].map((name) => endpoints(name)));
  pushed([one, other], world);
  one.receive(
    DeltaDiscoveryRequest.create({
      resourceNamesSubscribe: ['more'],
      resourceNamesUnsubscribe: [NAMES[0]!],
    }),
    1,
  );
  expect(one.held.has('more')).toBe(false);
  expect(pushed([one], world)[0]!.resources.map(({ name }) => name)).toEqual(['more']);
  expect(one.held.has('more')).toBe(true);
  expect(one.held.has(NAMES[0]!)).toBe(false);
  expect(other.held.has('more')).toBe(false);
  expect(other.held.has(NAMES[0]!)).toBe(true);
  expect(other.next(world, true, 1)).toBeNull();
});

test('[xDS 2] a nonce differs from all before on its stream though bodies are shared', () => {
  const stream = open(TYPE_ENDPOINT, ownNames());
  const world = byName(...NAMES.map((name) => endpoints(name)));
  const seen: string[] = [];
  for (let time = 0; time < 3; time++) {
    seen.push(...pushed([stream], world).map(({ nonce }) => nonce));
    stream.owe(NAMES);
  }
  expect(distinct(seen)).toBe(3);
  expect([...seen].sort((a, b) => Number(a) - Number(b))).toEqual(seen);
});

test('a stream with another nonce is written a message of its own, and the others’ stays as it was', () => {
  const world = byName(...NAMES.map((name) => endpoints(name)));
  const [early, late] = [
    open(TYPE_ENDPOINT, ownNames()),
    new DeltaSubscription(TYPE_ENDPOINT, () => '999999'),
  ];
  late.receive(DeltaDiscoveryRequest.create({ resourceNamesSubscribe: ownNames() }), 1);
  const [first, second] = pushed([early, late], world) as [
    DeltaDiscoveryResponse,
    DeltaDiscoveryResponse,
  ];
  const written = frameDelta(first);
  const copy = Buffer.from(written);
  expect(DeltaDiscoveryResponse.decode(frameDelta(second).subarray(FRAME_HEAD_BYTES)).nonce).toBe(
    '999999',
  );
  expect(written.equals(copy)).toBe(true);
});

test('state-of-the-world streams share their bytes too', () => {
  const world = byName(...NAMES.map((name) => cluster(name)));
  const responses = Array.from({ length: 10 }, () => {
    const subscription = new SotwSubscription(TYPE_CLUSTER, nonces());
    subscription.receive(DiscoveryRequest.create({ typeUrl: TYPE_CLUSTER }), 1);
    return subscription.next(world, true, 1)!.response;
  });
  expect(distinct(responses.map(frameStateOfTheWorld))).toBe(1);
  const bytes = frameStateOfTheWorld(responses[0]!).subarray(FRAME_HEAD_BYTES);
  expect(DiscoveryResponse.encode(DiscoveryResponse.decode(bytes)).finish()).toEqual(
    DiscoveryResponse.encode(responses[0]!).finish(),
  );
});
