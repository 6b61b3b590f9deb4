import { expect, test } from 'vitest';
import { type Exchange, exchange, retryPolicy, route } from '../../test/proxy-exchange.ts';
import { RetryOn } from './retry-on.ts';
import type { RetryPolicyConfig, RouteActionConfig } from './route-config.ts';

/** RS-01: what a mesh route without a policy has of gRPC. */
const DEFAULT = RetryOn.GRPC_UNAVAILABLE | RetryOn.GRPC_CANCELLED;
const GRPC = ['content-type: application/grpc', 'te: trailers'];
const HEAD = ['content-type', 'application/grpc'];

function mesh(
  retryOn: number = DEFAULT,
  parts: Partial<RetryPolicyConfig> = {},
  action: Partial<RouteActionConfig> = {},
): Exchange {
  return exchange({
    routes: [route('/', 'a', { retry: retryPolicy(retryOn, parts), ...action })],
    virtualHost: { includeAttemptCount: true },
  });
}

const STATUSES: readonly [number, number, boolean][] = [
  [RetryOn.GRPC_CANCELLED, 1, true],
  [RetryOn.GRPC_DEADLINE_EXCEEDED, 4, true],
  [RetryOn.GRPC_RESOURCE_EXHAUSTED, 8, true],
  [RetryOn.GRPC_INTERNAL, 13, true],
  [RetryOn.GRPC_UNAVAILABLE, 14, true],
  [RetryOn.GRPC_UNAVAILABLE, 13, false],
  [RetryOn.GRPC_UNAVAILABLE, 0, false],
  [RetryOn.FIVE_XX, 14, false],
];
test.each(STATUSES)(
  '[RS-02] [RS-07] condition %i, grpc-status %i in trailers before any message: repeated %s',
  (on, status, repeated) => {
    const exchanged = mesh(on);
    const client = exchanged.connect().get('/', GRPC);
    const cluster = exchanged.cluster('a');
    cluster.last.respond(200, HEAD, null);
    if (status !== 0 && on !== RetryOn.FIVE_XX) expect(client.text).toBe('');
    cluster.last.endWithTrailers(['grpc-status', String(status)]);
    exchanged.clock.advance(25);
    expect(cluster.tries.length).toBe(repeated ? 2 : 1);
    if (!repeated) return expect(client.text).toContain(`grpc-status: ${status}\r\n`);

    expect(client.text).toBe('');
    expect(cluster.last.header('x-envoy-attempt-count')).toBe('2');
    cluster.last.respond(200, HEAD, null);
    cluster.last.data('message');
    expect(client.text).toContain('message');
    cluster.last.endWithTrailers(['grpc-status', '0']);
    expect(exchanged.record.attempts).toBe(2);
    expect(exchanged.record.grpcStatus).toBe(0);
    expect(cluster.events).toEqual(['retrySuccess']);
    expect(cluster.retriesHeld).toBe(0);
  },
);

test('[RS-07] after a message nothing is repeated', () => {
  const exchanged = mesh();
  const client = exchanged.connect().get('/', GRPC);
  const { last, tries } = exchanged.cluster('a');
  last.respond(200, HEAD, null);
  last.data('message');
  last.endWithTrailers(['grpc-status', '14']);
  exchanged.clock.advance(1000);
  expect(tries.length).toBe(1);
  expect(client.text).toContain('grpc-status: 14');
  expect(exchanged.record.grpcStatus).toBe(14);
  expect(exchanged.flags).toBe('-');
});

test('[RS-07] an empty DATA frame is no message', () => {
  const exchanged = mesh();
  exchanged.connect().get('/', GRPC);
  const { last, tries } = exchanged.cluster('a');
  last.respond(200, HEAD, null);
  last.data('');
  last.endWithTrailers(['grpc-status', '14']);
  exchanged.clock.advance(25);
  expect(tries.length).toBe(2);
});

test('[RS-07] [OB-08] with the tries used up the last answer is the client’s, flagged URX', () => {
  const exchanged = mesh(DEFAULT, { retriesMax: 1 });
  const client = exchanged.connect().get('/', GRPC);
  const cluster = exchanged.cluster('a');
  for (const _ of [1, 2]) {
    cluster.last.respond(200, HEAD, null);
    cluster.last.endWithTrailers([
      'grpc-status',
      '14',
      'grpc-message',
      `try ${cluster.tries.length}`,
    ]);
    exchanged.clock.advance(25);
  }
  expect(client.status).toBe(200);
  expect(client.text).toContain('grpc-message: try 2');
  expect(exchanged.record.grpcStatus).toBe(14);
  expect(exchanged.flags).toBe('URX');
  expect(cluster.events).toEqual(['retryLimitExceeded']);
  expect(exchanged.record.attempts).toBe(2);
});

test('[RS-07] a head without status passes at once where the request goes on: its client may wait for it', () => {
  const exchanged = mesh();
  const client = exchanged
    .connect()
    .send(
      'POST / HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n',
    );
  exchanged.cluster('a').last.respond(200, HEAD, null);
  expect(client.status).toBe(200);
});

test('[RS-07] Trailers-Only is repeated also while the request goes on', () => {
  const exchanged = mesh();
  exchanged
    .connect()
    .send(
      'POST / HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n',
    );
  const cluster = exchanged.cluster('a');
  cluster.last.respond(200, [...HEAD, 'grpc-status', '14']);
  exchanged.clock.advance(25);
  expect(cluster.tries.length).toBe(2);
  cluster.last.ready();
  expect(cluster.last.written).toBe('x');
});

test('[RS-07] a server stream that stays silent shows its head after a second', () => {
  const exchanged = mesh();
  const client = exchanged.connect().get('/', GRPC);
  const cluster = exchanged.cluster('a');
  cluster.last.respond(200, HEAD, null);
  exchanged.clock.advance(999);
  expect(client.text).toBe('');
  exchanged.clock.advance(1);
  expect(client.status).toBe(200);
  cluster.last.endWithTrailers(['grpc-status', '14']);
  exchanged.clock.advance(25);
  expect(cluster.tries.length).toBe(1);
  expect(client.text).toContain('grpc-status: 14');
});

test.each([
  ['no gRPC condition is set', RetryOn.FIVE_XX, GRPC, 200, HEAD],
  ['the request is not gRPC', DEFAULT, [], 200, HEAD],
  ['the response is not gRPC', DEFAULT, GRPC, 200, ['content-type', 'text/html']],
  ['the response has another status', DEFAULT, GRPC, 500, HEAD],
] as const)('[RS-07] a head is not kept back where %s', (_why, on, fields, status, head) => {
  const exchanged = mesh(on);
  const client = exchanged.connect().get('/', fields);
  exchanged.cluster('a').last.respond(status, head, null);
  expect(client.status).toBe(status);
});

test('[RS-04] the timeout of a try goes on while its head is kept back', () => {
  const exchanged = mesh(DEFAULT | RetryOn.RESET, { perTryTimeoutMs: 300 });
  exchanged.connect().get('/', GRPC);
  const cluster = exchanged.cluster('a');
  cluster.last.respond(200, HEAD, null);
  exchanged.clock.advance(300);
  expect(cluster.tries[0]!.resetWith).toBe('localReset');
  exchanged.clock.advance(25);
  expect(cluster.tries.length).toBe(2);
  expect(cluster.events).toEqual(['perTryTimeout']);
});

test('[TM-17] the timeout of the route ends a call whose head is kept back with a local reply', () => {
  const exchanged = mesh(DEFAULT, {}, { timeoutMs: 500 });
  const client = exchanged.connect().get('/', GRPC);
  exchanged.cluster('a').last.respond(200, HEAD, null);
  exchanged.clock.advance(500);
  expect(client.header('grpc-status')).toBe('14');
  expect(exchanged.flags).toBe('UT');
  expect(exchanged.cluster('a').last.resetWith).toBe('localReset');
});

test('[RS-02] a reset while the head is kept back counts as one before the response', () => {
  const exchanged = mesh(DEFAULT | RetryOn.RESET);
  exchanged.connect().get('/', GRPC);
  const cluster = exchanged.cluster('a');
  cluster.last.respond(200, HEAD, null);
  cluster.last.die('remoteReset');
  exchanged.clock.advance(25);
  expect(cluster.tries.length).toBe(2);

  const plain = mesh();
  const client = plain.connect().get('/', GRPC);
  plain.cluster('a').last.respond(200, HEAD, null);
  plain.cluster('a').last.die('remoteReset');
  expect(client.header('grpc-status')).toBe('14');
  expect(plain.flags).toBe('UR');
});

test('a client that leaves while the head is kept back cancels the try', () => {
  const exchanged = mesh();
  const client = exchanged.connect().get('/', GRPC);
  exchanged.cluster('a').last.respond(200, HEAD, null);
  client.close();
  expect(exchanged.cluster('a').last.resetWith).toBe('localReset');
  expect(exchanged.flags).toBe('DC');
  exchanged.clock.advance(5000);
  expect(exchanged.bugs).toEqual([]);
});

test('[RS-08] x-envoy-retry-grpc-on asks for it without a policy, and is taken off', () => {
  const exchanged = exchange({ virtualHost: { includeAttemptCount: true } });
  exchanged
    .connect()
    .get('/', [...GRPC, 'x-envoy-retry-grpc-on: resource-exhausted', 'x-envoy-max-retries: 2']);
  const cluster = exchanged.cluster('a');
  expect(cluster.last.header('x-envoy-retry-grpc-on')).toBeUndefined();
  for (const tries of [2, 3]) {
    cluster.last.respond(200, HEAD, null);
    cluster.last.endWithTrailers(['grpc-status', '8']);
    exchanged.clock.advance(250);
    expect(cluster.tries.length).toBe(tries);
    expect(cluster.last.header('x-envoy-attempt-count')).toBe(String(tries));
  }
});

test('[RS-02] a server that says it is overloaded is left alone', () => {
  const exchanged = mesh();
  exchanged.connect().get('/', GRPC);
  const { last, tries } = exchanged.cluster('a');
  last.respond(200, [...HEAD, 'x-envoy-overloaded', 'true'], null);
  last.endWithTrailers(['grpc-status', '14']);
  exchanged.clock.advance(250);
  expect(tries.length).toBe(1);
});

const OUTCOMES: readonly [
  string,
  (last: ReturnType<Exchange['cluster']>['last']) => void,
  number,
][] = [
  ['OK in trailers', (last) => end(last, '0'), 200],
  ['UNAVAILABLE in trailers', (last) => end(last, '14'), 503],
  ['INVALID_ARGUMENT in trailers', (last) => end(last, '3'), 400],
  ['no status in trailers', (last) => end(last, ''), 500],
  ['Trailers-Only INTERNAL', (last) => last.respond(200, [...HEAD, 'grpc-status', '13']), 500],
  ['no trailers at all', (last) => last.respond(200, HEAD, 'message'), 500],
  ['HTTP 503', (last) => last.respond(503, ['content-type', 'text/plain'], 'x'), 503],
  ['a reset amid the messages', (last) => cutShort(last), 0],
];
test.each(OUTCOMES)('[RS-15] %s: what the endpoint is judged by', (_what, answer, outcome) => {
  const exchanged = exchange();
  exchanged.connect().get('/', GRPC);
  const { last } = exchanged.cluster('a');
  answer(last);
  expect(last.endpoint.outcomes).toEqual([outcome]);
});

function end(last: ReturnType<Exchange['cluster']>['last'], status: string): void {
  last.respond(200, HEAD, null);
  last.data('message');
  last.endWithTrailers(status === '' ? ['x-other', '1'] : ['grpc-status', status]);
}

function cutShort(last: ReturnType<Exchange['cluster']>['last']): void {
  last.respond(200, HEAD, null);
  last.data('message');
  last.die('remoteReset');
}
