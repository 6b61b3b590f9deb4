import { expect, test } from 'vitest';
import {
  DeltaDiscoveryRequest,
  type DeltaDiscoveryResponse,
} from '../../proto/gen/envoy/service/discovery/v3/discovery.ts';
import {
  TYPE_CLUSTER,
  TYPE_ENDPOINT,
  TYPE_LISTENER,
  TYPE_NAME_TABLE,
  TYPE_ROUTE,
} from '../../proto/type-urls.ts';
import { HandClock } from '../clock.testing.ts';
import type { DiscoveryResource } from '../translate/discovery-resource.ts';
import { AdsStream, TYPES_MAX } from './ads-stream.ts';
import { DeltaSubscription } from './delta-subscription.ts';
import { PUSH_ORDER, pushRank, shortTypeName } from './push-order.ts';
import {
  byType,
  cluster,
  edsCluster,
  endpoints,
  listener,
  names,
  route,
} from './resources.testing.ts';

const WORLD = [edsCluster('a'), endpoints('a'), listener('l', 'r'), route('r')];

function open() {
  const clock = new HandClock();
  let nonces = 0;
  let takes = true;
  const sent: DeltaDiscoveryResponse[] = [];
  const settled: number[] = [];
  const stream = new AdsStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>({
    clock,
    subscribe: (typeUrl) => new DeltaSubscription(typeUrl, () => String(++nonces)),
    write: (response) => {
      sent.push(response);
      return takes;
    },
    observer: { pushed: () => {}, answered: () => {}, settled: (ms) => settled.push(ms) },
  });
  const receive = (request: Parameters<typeof DeltaDiscoveryRequest.create>[0]) => {
    const isTaken = stream.receive(DeltaDiscoveryRequest.create(request));
    stream.pump();
    return isTaken;
  };
  /** `CDS a,b -c` of what left since the last call. */
  const said = () =>
    sent.splice(0).map(({ typeUrl, resources, removedResources }) => {
      const added = resources.map(({ name }) => name).join(',');
      const removed = removedResources.map((name) => ` -${name}`).join('');
      return `${shortTypeName(typeUrl)} ${added}${removed}`;
    });
  const ack = (typeUrl: string, error = '') =>
    receive({
      typeUrl,
      responseNonce: stream.subscriptions.get(typeUrl)!.delivery.nonce,
      ...(error === '' ? {} : { errorDetail: { code: 3, message: error } }),
    });
  const setWorld = (...resources: DiscoveryResource[]) => stream.setResources(byType(...resources));
  return {
    clock,
    stream,
    receive,
    said,
    ack,
    setWorld,
    settled,
    stall: (isStalled: boolean) => {
      takes = !isStalled;
    },
  };
}

/** A stream that holds `WORLD` and has acknowledged all of it. */
function synced() {
  const test = open();
  test.setWorld(...WORLD);
  test.receive({ typeUrl: TYPE_CLUSTER });
  test.receive({ typeUrl: TYPE_ENDPOINT, resourceNamesSubscribe: ['a'] });
  test.receive({ typeUrl: TYPE_LISTENER });
  test.receive({ typeUrl: TYPE_ROUTE, resourceNamesSubscribe: ['r'] });
  for (const typeUrl of [TYPE_CLUSTER, TYPE_ENDPOINT, TYPE_LISTENER, TYPE_ROUTE]) test.ack(typeUrl);
  test.said();
  test.settled.length = 0;
  return test;
}

test('[xDS 13] the order is clusters, endpoints, listeners, routes, names', () => {
  expect(PUSH_ORDER.map(shortTypeName)).toEqual(['CDS', 'EDS', 'LDS', 'RDS', 'NDS']);
  expect(pushRank('type.googleapis.com/other')).toBe(5);
});

test('[xDS 13] requests in any order are answered in push order, each step acknowledged', () => {
  const { setWorld, stream, said, ack } = open();
  for (const [typeUrl, name] of [
    [TYPE_ROUTE, 'r'],
    [TYPE_LISTENER, ''],
    [TYPE_ENDPOINT, 'a'],
    [TYPE_CLUSTER, ''],
  ] as const) {
    const resourceNamesSubscribe = name === '' ? [] : [name];
    stream.receive(DeltaDiscoveryRequest.create({ typeUrl, resourceNamesSubscribe }));
  }
  setWorld(...WORLD);
  expect(said()).toEqual(['CDS a', 'EDS a']);
  ack(TYPE_CLUSTER);
  expect(said()).toEqual([]);
  ack(TYPE_ENDPOINT);
  expect(said()).toEqual(['LDS l', 'RDS r']);
});

test('[DS-05] names go when the listeners and routes that they lead to are acknowledged, and to those who ask', () => {
  const { setWorld, receive, said, ack, clock } = open();
  setWorld(...WORLD, names('10.0.0.1'));
  receive({ typeUrl: TYPE_CLUSTER });
  receive({ typeUrl: TYPE_ENDPOINT, resourceNamesSubscribe: ['a'] });
  receive({ typeUrl: TYPE_LISTENER });
  receive({ typeUrl: TYPE_NAME_TABLE });
  ack(TYPE_CLUSTER);
  ack(TYPE_ENDPOINT);
  expect(said()).toEqual(['CDS a', 'EDS a', 'LDS l']);
  receive({ typeUrl: TYPE_ROUTE, resourceNamesSubscribe: ['r'] });
  ack(TYPE_LISTENER);
  expect(said()).toEqual(['RDS r']);
  ack(TYPE_ROUTE, 'refused');
  expect(said()).toEqual(['NDS ']);
  ack(TYPE_NAME_TABLE);
  setWorld(...WORLD, names('10.0.0.1'));
  expect(said()).toEqual([]);
  setWorld(...WORLD, names('10.0.0.2'));
  expect(said()).toEqual(['NDS ']);
  ack(TYPE_NAME_TABLE);
  // Listeners that nobody acknowledges hold names up for a while, not for ever.
  setWorld(...WORLD, listener('l2', 'r'), names('10.0.0.3'));
  expect(said()).toEqual(['LDS l2', 'RDS r']);
  clock.advance(15_000);
  expect(said()).toEqual(['NDS ']);
});

test('[xDS 15] listeners that are asked for first wait a moment for the clusters', () => {
  const { setWorld, receive, said, clock } = open();
  setWorld(...WORLD);
  receive({ typeUrl: TYPE_LISTENER });
  expect(said()).toEqual([]);
  clock.advance(100);
  expect(said()).toEqual(['LDS l']);
});

test('[xDS 13] a route to a new cluster waits for the cluster and its endpoints', () => {
  const { setWorld, said, ack, receive } = synced();
  setWorld(
    edsCluster('a'),
    edsCluster('b'),
    endpoints('a'),
    endpoints('b'),
    WORLD[2]!,
    route('r', 'to b'),
  );
  expect(said()).toEqual(['CDS b']);
  ack(TYPE_CLUSTER);
  expect(said()).toEqual([]);
  receive({ typeUrl: TYPE_ENDPOINT, resourceNamesSubscribe: ['b'] });
  expect(said()).toEqual(['EDS b']);
  ack(TYPE_ENDPOINT);
  expect(said()).toEqual(['RDS r']);
});

test('[xDS 13] the wait ends where the client does not ask for the endpoints, or acknowledge', () => {
  const { setWorld, said, ack, clock } = synced();
  setWorld(edsCluster('a'), edsCluster('b'), endpoints('a'), WORLD[2]!, route('r', 'to b'));
  expect(said()).toEqual(['CDS b']);
  clock.advance(14_999);
  expect(said()).toEqual([]);
  clock.advance(1);
  expect(said()).toEqual(['RDS r']);
  ack(TYPE_ROUTE);
  ack(TYPE_CLUSTER);
  expect(said()).toEqual([]);
});

test('[xDS 13] a refused cluster does not hold routes up for ever', () => {
  const { setWorld, said, ack } = synced();
  setWorld(WORLD[0]!, cluster('b'), WORLD[1]!, WORLD[2]!, route('r', 'to b'));
  expect(said()).toEqual(['CDS b']);
  ack(TYPE_CLUSTER, 'cluster b: bad');
  expect(said()).toEqual(['RDS r']);
});

test('[xDS 13] a cluster is removed after the route that named it has changed', () => {
  const { setWorld, said, ack, settled } = synced();
  setWorld(listener('l', 'r'), route('r', 'elsewhere'));
  expect(said()).toEqual(['RDS r']);
  ack(TYPE_ROUTE);
  expect(said()).toEqual(['CDS  -a']);
  ack(TYPE_CLUSTER);
  expect(said()).toEqual(['EDS  -a']);
  expect(settled).toEqual([]);
  ack(TYPE_ENDPOINT);
  expect(settled).toEqual([0]);
});

test('a listener is replaced on its port in one response', () => {
  const { setWorld, said } = synced();
  setWorld(WORLD[0]!, WORLD[1]!, listener('m', 'r'), WORLD[3]!);
  expect(said()).toEqual(['LDS m -l', 'RDS r']);
});

test('[xDS 11] endpoints are sent again after their cluster, routes after their listener', () => {
  const { setWorld, said, ack } = synced();
  setWorld(edsCluster('a', '2'), WORLD[1]!, WORLD[2]!, WORLD[3]!);
  expect(said()).toEqual(['CDS a', 'EDS a']);
  ack(TYPE_CLUSTER);
  ack(TYPE_ENDPOINT);
  setWorld(edsCluster('a', '2'), WORLD[1]!, listener('l', 'r', '2'), WORLD[3]!);
  expect(said()).toEqual(['LDS l', 'RDS r']);
});

test('[OP-02] a change of endpoints sends endpoints alone', () => {
  const { setWorld, said } = synced();
  setWorld(edsCluster('a'), endpoints('a', 100), listener('l', 'r'), route('r'));
  expect(said()).toEqual(['EDS a']);
});

test('[xDS 14] a type does not wait for the acknowledgement of another', () => {
  const { setWorld, said } = synced();
  setWorld(WORLD[0]!, WORLD[1]!, listener('l', 'r', '2'), WORLD[3]!);
  expect(said()).toEqual(['LDS l', 'RDS r']);
  setWorld(WORLD[0]!, endpoints('a', 100), listener('l', 'r', '2'), WORLD[3]!);
  expect(said()).toEqual(['EDS a']);
});

test('[A6.2] nothing is written while the socket takes nothing, then only the latest', () => {
  const { setWorld, said, stall, stream } = synced();
  stall(true);
  setWorld(WORLD[0]!, endpoints('a', 100), WORLD[2]!, WORLD[3]!);
  expect(said()).toEqual(['EDS a']);
  setWorld(WORLD[0]!, endpoints('a', 100), listener('l', 'r', '2'), WORLD[3]!);
  setWorld(WORLD[0]!, endpoints('a', 100), listener('l', 'r', '3'), WORLD[3]!);
  expect(said()).toEqual([]);
  stall(false);
  stream.drained();
  expect(said()).toEqual([]); // endpoints are not acknowledged yet
  stream.close();
});

test('[A6.3] a stream may ask for a bounded number of types', () => {
  const { receive } = open();
  for (let at = 0; at < TYPES_MAX; at++) expect(receive({ typeUrl: `t/${at}` })).toBe(true);
  expect(receive({ typeUrl: 't/more' })).toBe(false);
});

test('a closed stream keeps no timer', () => {
  const { setWorld, receive, stream, clock } = open();
  setWorld(...WORLD);
  receive({ typeUrl: TYPE_LISTENER });
  expect(clock.timerCount).toBe(1);
  stream.close();
  expect(clock.timerCount).toBe(0);
});

test('[OB-13] the time to converge is from the push to the last acknowledgement', () => {
  const { setWorld, ack, clock, settled } = synced();
  setWorld(WORLD[0]!, WORLD[1]!, listener('l', 'r', '2'), WORLD[3]!);
  clock.advance(20);
  ack(TYPE_LISTENER);
  clock.advance(5);
  ack(TYPE_ROUTE);
  expect(settled).toEqual([25]);
});
