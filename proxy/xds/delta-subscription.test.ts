import { expect, test } from 'vitest';
import {
  DeltaDiscoveryResponse,
  type Resource,
} from '../../proto/gen/envoy/service/discovery/v3/discovery.ts';
import { runToEnd } from '../../proto/steps.ts';
import { TYPE_CLUSTER, TYPE_ENDPOINT } from '../../proto/type-urls.ts';
import { DeltaSubscription } from './delta-subscription.ts';

function response(names: readonly string[], removed: string[] = [], typeUrl = TYPE_ENDPOINT) {
  return DeltaDiscoveryResponse.create({
    typeUrl,
    nonce: 'n1',
    resources: names.map(
      (name): Partial<Resource> => ({
        name,
        version: '1',
        resource: { typeUrl, value: new Uint8Array() },
      }),
    ),
    removedResources: removed,
  });
}

test('rule 7: a wildcard type subscribes with an empty list', () => {
  const request = new DeltaSubscription(TYPE_CLUSTER, true).open()!;
  expect(request).toMatchObject({
    typeUrl: TYPE_CLUSTER,
    resourceNamesSubscribe: [],
    responseNonce: '',
  });
});

test('a type that is subscribed by name says nothing before a name is wanted', () => {
  const subscription = new DeltaSubscription(TYPE_ENDPOINT, false);
  expect(subscription.open()).toBeNull();
  expect(subscription.setNames(new Set(['a', 'b']), true)).toMatchObject({
    resourceNamesSubscribe: ['a', 'b'],
  });
});

test('only what changed is subscribed and unsubscribed', () => {
  const subscription = new DeltaSubscription(TYPE_ENDPOINT, false);
  subscription.setNames(new Set(['a', 'b']), true);
  expect(subscription.setNames(new Set(['b', 'c']), true)).toMatchObject({
    resourceNamesSubscribe: ['c'],
    resourceNamesUnsubscribe: ['a'],
    initialResourceVersions: new Map(),
  });
  expect(subscription.setNames(new Set(['c', 'b']), true)).toBeNull();
});

test('rules 5 and 12: the first request of a new stream carries the versions held, later ones do not', () => {
  const subscription = new DeltaSubscription(TYPE_ENDPOINT, false);
  subscription.setNames(new Set(['a']), true);
  subscription.accept('a', '7');
  subscription.close();
  const first = subscription.open()!;
  expect([...first.initialResourceVersions]).toEqual([['a', '7']]);
  expect(first.resourceNamesSubscribe).toEqual(['a']);
  expect(subscription.setNames(new Set(['a', 'b']), true)!.initialResourceVersions.size).toBe(0);
});

test('rule 10: what is unsubscribed is no longer held, so that a later subscription gets it anew', () => {
  const subscription = new DeltaSubscription(TYPE_ENDPOINT, false);
  subscription.setNames(new Set(['a']), true);
  subscription.accept('a', '7');
  subscription.setNames(new Set(), true);
  subscription.setNames(new Set(['a']), true);
  subscription.close();
  expect(subscription.open()!.initialResourceVersions.size).toBe(0);
});

test('names that change while there is no stream are said in the first request of the next', () => {
  const subscription = new DeltaSubscription(TYPE_ENDPOINT, false);
  expect(subscription.setNames(new Set(['a']), false)).toBeNull();
  expect(subscription.open()!.resourceNamesSubscribe).toEqual(['a']);
});

test('rule 1: an answer is a NACK if and only if it has error_detail', () => {
  const subscription = new DeltaSubscription(TYPE_ENDPOINT, false);
  expect(subscription.answer(response(['a']), '')).toMatchObject({
    responseNonce: 'n1',
    errorDetail: undefined,
  });
  expect(subscription.answer(response(['a']), 'a: bad').errorDetail).toMatchObject({
    code: 3,
    message: 'a: bad',
  });
  expect(subscription.answer(response(['a']), 'x'.repeat(1e6)).errorDetail!.message.length).toBe(
    16_384,
  );
});

test.each([
  ['rule 6: a resource twice', response(['a', 'a']), 'stands in one response twice'],
  ['a resource that is sent and removed', response(['a'], ['a']), 'sent and removed'],
  ['a resource without a name', response(['']), 'has no name'],
])('%s makes the response invalid', (_name, invalid, problem) => {
  expect(runToEnd(new DeltaSubscription(TYPE_ENDPOINT, false).checkResponse(invalid))).toContain(
    problem,
  );
});

test('rule 17: a resource of another type makes the response invalid', () => {
  const invalid = response(['a'], [], TYPE_CLUSTER);
  expect(runToEnd(new DeltaSubscription(TYPE_ENDPOINT, false).checkResponse(invalid))).toContain(
    TYPE_CLUSTER,
  );
});
