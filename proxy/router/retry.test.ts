import { expect, test } from 'vitest';
import { type Exchange, exchange, retryPolicy, route } from '../../test/proxy-exchange.ts';
import { parseRetryOn, RetryOn } from './retry-on.ts';
import { backoffMs } from './retry-policy.ts';
import type { RetryPolicyConfig } from './route-config.ts';

/** RS-01: what Istio gives a route that has no policy. */
const ISTIO_DEFAULT_RETRY_ON = parseRetryOn(
  'connect-failure,refused-stream,unavailable,cancelled',
).bits;

function withRetry(retryOn: number, parts: Partial<RetryPolicyConfig> = {}): Exchange {
  return exchange({ routes: [route('/', 'a', { retry: retryPolicy(retryOn, parts) })] });
}

const POST = 'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbody';

test('[RS-01] the default retries a refused connection on another host, twice', () => {
  const mesh = withRetry(ISTIO_DEFAULT_RETRY_ON, {
    skipPreviousHosts: true,
    hostSelectionAttemptsMax: 5,
  });
  const client = mesh.connect().get();
  const cluster = mesh.cluster('a');
  cluster.last.fail('connectionFailure', 'ECONNREFUSED');
  expect(client.text).toBe('');
  mesh.clock.advance(1);
  expect(cluster.tries.length).toBe(2);
  expect(cluster.picks[1]!.tried).toEqual([cluster.tries[0]!.endpoint]);
  expect(cluster.picks[1]!.repicksMax).toBe(5);
  expect(cluster.tries[1]!.endpoint).not.toBe(cluster.tries[0]!.endpoint);
  cluster.last.respond(200, [], 'ok');
  expect(client.status).toBe(200);
  expect(mesh.record.attempts).toBe(2);
  expect(cluster.retriesHeld).toBe(0);
});

test('[OB-06] retries that helped, retries used up and timeouts are counted', () => {
  const mesh = exchange({
    routes: [
      route('/', 'a', { retry: retryPolicy(RetryOn.FIVE_XX, { retriesMax: 1 }), timeoutMs: 1_000 }),
    ],
  });
  const cluster = mesh.cluster('a');
  mesh.connect().get();
  cluster.last.respond(503, []);
  mesh.clock.advance(25);
  cluster.last.respond(200, []);
  expect(cluster.events).toEqual(['retrySuccess']);

  mesh.connect().get();
  cluster.last.respond(503, []);
  mesh.clock.advance(25);
  cluster.last.respond(503, []);
  expect(cluster.events).toEqual(['retrySuccess', 'retryLimitExceeded']);

  mesh.connect().get();
  mesh.clock.advance(1_000);
  expect(cluster.events.at(-1)).toBe('timeout');

  mesh.connect().get();
  cluster.last.respond(200, []);
  expect(cluster.events.length).toBe(3);
});

test('[RS-09] the last hop is tried again where nothing was sent, also a POST, and not after that', () => {
  const mesh = withRetry(RetryOn.RESET_BEFORE_REQUEST);
  const cluster = mesh.cluster('a');
  const refused = mesh.connect();
  refused.send(POST);
  for (const tries of [1, 2]) {
    expect(cluster.tries.length).toBe(tries);
    cluster.last.fail('connectionFailure', 'ECONNREFUSED');
    mesh.clock.advance(250);
  }
  cluster.last.respond(200, [], 'ok');
  expect(refused.status).toBe(200);
  expect(cluster.last.written).toBe('body');
  expect(cluster.tries.length).toBe(3);

  const sent = mesh.connect();
  sent.send(POST);
  cluster.last.die();
  mesh.clock.advance(250);
  expect(sent.status).toBe(503);
  expect(cluster.tries.length).toBe(4);
});

test.each([500, 502, 503])('[RS-01] the default does not retry a plain %i', (status) => {
  const mesh = withRetry(ISTIO_DEFAULT_RETRY_ON);
  const client = mesh.connect().get();
  mesh.cluster('a').last.respond(status, [], 'x');
  expect(client.status).toBe(status);
  expect(mesh.record.attempts).toBe(1);
  expect(mesh.flags).toBe('-');
});

test.each([
  ['14', true],
  ['1', true],
  ['13', false],
  ['0', false],
] as const)('[RS-01] [RS-07] grpc-status %s in the head is retried: %s', (grpcStatus, retried) => {
  const mesh = withRetry(ISTIO_DEFAULT_RETRY_ON);
  mesh.connect().get('/', ['content-type: application/grpc']);
  mesh.cluster('a').last.respond(200, ['grpc-status', grpcStatus]);
  mesh.clock.advance(25);
  expect(mesh.cluster('a').tries.length).toBe(retried ? 2 : 1);
});

test('[RS-02] every token of a retry_on list is known, numbers are status codes', () => {
  const parsed = parseRetryOn('5xx,gateway-error, reset,reset-before-request,connect-failure');
  expect(parsed.bits).toBe(
    RetryOn.FIVE_XX |
      RetryOn.GATEWAY_ERROR |
      RetryOn.RESET |
      RetryOn.RESET_BEFORE_REQUEST |
      RetryOn.CONNECT_FAILURE,
  );
  expect(
    parseRetryOn(
      'retriable-4xx,refused-stream,retriable-status-codes,retriable-headers,envoy-ratelimited,' +
        'http3-post-connect-failure,cancelled,deadline-exceeded,internal,resource-exhausted,unavailable',
    ),
  ).toMatchObject({ unknown: [] });
  expect(parseRetryOn('503,429')).toEqual({
    bits: RetryOn.RETRIABLE_STATUS_CODES,
    statusCodes: [503, 429],
    unknown: [],
  });
  expect(parseRetryOn('5xx,sometimes,99').unknown).toEqual(['sometimes', '99']);
});

const STATUS_ROWS: readonly [string, number, number, boolean][] = [
  ['5xx', RetryOn.FIVE_XX, 500, true],
  ['5xx', RetryOn.FIVE_XX, 499, false],
  ['gateway-error', RetryOn.GATEWAY_ERROR, 502, true],
  ['gateway-error', RetryOn.GATEWAY_ERROR, 504, true],
  ['gateway-error', RetryOn.GATEWAY_ERROR, 500, false],
  ['retriable-4xx', RetryOn.RETRIABLE_4XX, 409, true],
  ['retriable-4xx', RetryOn.RETRIABLE_4XX, 404, false],
  ['retriable-status-codes', RetryOn.RETRIABLE_STATUS_CODES, 418, true],
  ['retriable-status-codes', RetryOn.RETRIABLE_STATUS_CODES, 202, true],
  ['retriable-status-codes', RetryOn.RETRIABLE_STATUS_CODES, 503, false],
  ['connect-failure', RetryOn.CONNECT_FAILURE, 503, false],
];
test.each(STATUS_ROWS)('[RS-02] %s (%i) on status %i is retried: %s', (_token, on, status, yes) => {
  const mesh = withRetry(on, { retriableStatusCodes: [418, 202] });
  mesh.connect().get();
  mesh.cluster('a').last.respond(status, [], 'x');
  mesh.clock.advance(25);
  expect(mesh.cluster('a').tries.length).toBe(yes ? 2 : 1);
});

test('[RS-02] an overloaded or rate-limited upstream is not asked again', () => {
  for (const field of ['x-envoy-overloaded', 'x-envoy-ratelimited']) {
    const mesh = withRetry(RetryOn.FIVE_XX);
    mesh.connect().get();
    mesh.cluster('a').last.respond(503, [field, 'true'], 'x');
    mesh.clock.advance(25);
    expect(mesh.cluster('a').tries.length).toBe(1);
  }
});

test('[RS-02] 5xx covers resets, reset-before-request only what was never sent', () => {
  const reset = withRetry(RetryOn.FIVE_XX);
  reset.connect().send(POST);
  reset.cluster('a').last.die();
  reset.clock.advance(25);
  expect(reset.cluster('a').tries.length).toBe(2);

  const before = withRetry(RetryOn.RESET_BEFORE_REQUEST);
  before.connect().send(POST);
  before.cluster('a').last.die();
  before.clock.advance(25);
  expect(before.cluster('a').tries.length).toBe(1);

  const never = withRetry(RetryOn.RESET_BEFORE_REQUEST);
  never.connect().send(POST);
  never.cluster('a').last.fail('connectionFailure', '');
  never.clock.advance(25);
  expect(never.cluster('a').tries.length).toBe(2);
});

test.each([
  [404, ['x-again', 'yes'], true],
  [200, ['x-again', 'yes'], true],
  [404, ['x-again', 'no'], false],
  [404, [], false],
  [418, [], true],
  [503, ['x-again', 'yes', 'x-envoy-overloaded', 'true'], false],
] as const)('[RS-02] retriable-headers: %i %j is retried: %s', (status, fields, retried) => {
  const exact = (value: string) => ({ kind: 'exact', value, ignoreCase: false }) as const;
  const mesh = withRetry(RetryOn.RETRIABLE_HEADERS, {
    retriableHeaders: [
      { name: 'x-again', value: exact('yes'), invert: false, missingAsEmpty: false },
      { name: ':status', value: exact('418'), invert: false, missingAsEmpty: false },
    ],
  });
  mesh.connect().get();
  mesh.cluster('a').last.respond(status, fields);
  mesh.clock.advance(25);
  expect(mesh.cluster('a').tries.length).toBe(retried ? 2 : 1);
});

test('[RS-02] envoy-ratelimited: a policy may insist on a rate-limited upstream', () => {
  const mesh = withRetry(RetryOn.ENVOY_RATELIMITED);
  mesh.connect().get();
  mesh.cluster('a').last.respond(429, ['x-envoy-ratelimited', 'true']);
  mesh.clock.advance(25);
  mesh.cluster('a').last.respond(429, []);
  mesh.clock.advance(25);
  expect(mesh.cluster('a').tries.length).toBe(2);
});

test('[RS-02] attempts counts re-tries, not the first try', () => {
  const mesh = withRetry(RetryOn.FIVE_XX, { retriesMax: 3 });
  const client = mesh.connect().get();
  for (let n = 0; n < 4; n++) {
    mesh.cluster('a').last.respond(503, [], `no ${n}`);
    mesh.clock.advance(250);
  }
  expect(mesh.cluster('a').tries.length).toBe(4);
  expect(client.body).toContain('no 3');
  expect(mesh.flags).toBe('URX');
});

test('[RS-03] back-off has full jitter under (2^N − 1) × base, capped', () => {
  const policy = retryPolicy(RetryOn.FIVE_XX);
  const almostOne = 1 - Number.EPSILON;
  expect([1, 2, 3, 4, 9].map((retry) => backoffMs(policy, retry, almostOne))).toEqual([
    24, 74, 174, 249, 249,
  ]);
  expect(backoffMs(policy, 5, 0)).toBe(0);
});

test('[RS-04] a try that is too slow is given up and another begins', () => {
  const retry = retryPolicy(RetryOn.GATEWAY_ERROR, { perTryTimeoutMs: 100 });
  const mesh = exchange({ routes: [route('/', 'a', { retry, timeoutMs: 1_000 })] });
  const client = mesh.connect().get();
  const first = mesh.cluster('a').last.ready();
  expect(first.header('x-envoy-expected-rq-timeout-ms')).toBe('100');
  mesh.clock.advance(101);
  expect(first.resetWith).toBe('localReset');
  expect(first.endpoint.outcomes).toEqual([0]);
  mesh.cluster('a').last.respond(200, [], 'ok');
  expect(client.status).toBe(200);
});

test('[RS-04] the last slow try is 504 UT', () => {
  const mesh = withRetry(RetryOn.CONNECT_FAILURE, { perTryTimeoutMs: 100 });
  const client = mesh.connect().get();
  mesh.cluster('a').last.ready();
  mesh.clock.advance(100);
  expect(client.status).toBe(504);
  expect(mesh.flags).toBe('UT');
  expect(mesh.record.responseCodeDetails).toBe('upstream_per_try_timeout');
});

test('[RS-04] [TM-17] retries stop when the total timeout is out', () => {
  const retry = retryPolicy(RetryOn.FIVE_XX, { retriesMax: 100, backoffBaseMs: 100 });
  const mesh = exchange({
    routes: [route('/', 'a', { retry, timeoutMs: 250 })],
    random: () => 0.99,
  });
  const client = mesh.connect().get();
  mesh.cluster('a').last.respond(503, [], 'x');
  mesh.clock.advance(100);
  expect(mesh.cluster('a').last.header('x-envoy-expected-rq-timeout-ms')).toBe('151');
  mesh.cluster('a').last.respond(503, [], 'x');
  mesh.clock.advance(150);
  expect(client.status).toBe(504);
  expect(mesh.flags).toBe('UT');
});

test('[RS-06] a body within the bound is sent again whole', () => {
  const mesh = withRetry(RetryOn.FIVE_XX);
  const client = mesh.connect().send('POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 8\r\n\r\nabcd');
  const first = mesh.cluster('a').last.ready();
  client.send('efgh');
  expect(first.written).toBe('abcdefgh');
  first.respond(503, [], 'x');
  mesh.clock.advance(25);
  const second = mesh.cluster('a').last.ready();
  expect(second.written).toBe('abcdefgh');
  expect(second.ended).toBe(true);
  second.respond(200, [], 'ok');
  expect(client.status).toBe(200);
});

test('[RS-06] [A2.7] a body past the bound is not kept, and the request not repeated', () => {
  const mesh = withRetry(RetryOn.FIVE_XX);
  const size = 70 * 1024;
  const client = mesh
    .connect()
    .send(`POST / HTTP/1.1\r\nhost: a\r\ncontent-length: ${size}\r\n\r\n`);
  const first = mesh.cluster('a').last.ready();
  client.send(Buffer.alloc(size, 0x61));
  expect(first.written.length).toBe(size);
  first.respond(503, [], 'x');
  mesh.clock.advance(250);
  expect(mesh.cluster('a').tries.length).toBe(1);
  expect(client.status).toBe(503);
});

test('[RS-08] the local app asks with header fields, which the upstream does not see', () => {
  const mesh = exchange();
  mesh
    .connect()
    .get('/', [
      'x-envoy-retry-on: 5xx',
      'x-envoy-max-retries: 2',
      'x-envoy-upstream-rq-timeout-ms: 700',
    ]);
  const first = mesh.cluster('a').last;
  expect(first.header('x-envoy-retry-on')).toBeUndefined();
  expect(first.header('x-envoy-upstream-rq-timeout-ms')).toBeUndefined();
  expect(first.header('x-envoy-expected-rq-timeout-ms')).toBe('700');
  for (let n = 0; n < 3; n++) {
    mesh.cluster('a').last.respond(500, [], 'x');
    mesh.clock.advance(25);
  }
  expect(mesh.cluster('a').tries.length).toBe(3);
});

test('[RS-08] x-envoy-attempt-count tells the upstream which try it is', () => {
  const mesh = exchange({
    routes: [route('/', 'a', { retry: retryPolicy(RetryOn.FIVE_XX) })],
    virtualHost: { includeAttemptCount: true },
  });
  mesh.connect().get();
  expect(mesh.cluster('a').last.header('x-envoy-attempt-count')).toBe('1');
  mesh.cluster('a').last.respond(500, [], 'x');
  mesh.clock.advance(25);
  expect(mesh.cluster('a').last.header('x-envoy-attempt-count')).toBe('2');
});

test('[RS-13] the retry breaker ends retrying with UO and gives its share back', () => {
  const mesh = withRetry(RetryOn.FIVE_XX);
  mesh.cluster('a').retriesMax = 0;
  const client = mesh.connect().get();
  mesh.cluster('a').last.respond(503, [], 'x');
  expect(client.status).toBe(503);
  expect(mesh.flags).toBe('UO');
  expect(mesh.cluster('a').retriesHeld).toBe(0);
});

test('[D4] a GET on a reused connection that dies unanswered is sent again, once, unasked', () => {
  const mesh = exchange();
  const client = mesh.connect().get();
  mesh.cluster('a').last.ready(true).die();
  expect(mesh.cluster('a').tries.length).toBe(2);
  mesh.cluster('a').last.ready(true).die();
  expect(mesh.cluster('a').tries.length).toBe(2);
  expect(client.status).toBe(503);
  expect(mesh.flags).toBe('UC');
});

test('[D4] [I2] a POST that may have reached the upstream is not sent twice', () => {
  const mesh = exchange();
  const client = mesh.connect().send(POST);
  mesh.cluster('a').last.ready(true).die();
  expect(mesh.cluster('a').tries.length).toBe(1);
  expect(client.status).toBe(503);
});

test('[D4] a GET on a fresh connection is not sent twice without a policy', () => {
  const mesh = exchange();
  mesh.connect().get();
  mesh.cluster('a').last.ready(false).die();
  expect(mesh.cluster('a').tries.length).toBe(1);
});

test('no retry once part of an answer has been passed on', () => {
  const mesh = withRetry(RetryOn.FIVE_XX);
  const client = mesh.connect().get();
  mesh.cluster('a').last.informational(103, ['link', '</x>']);
  mesh.cluster('a').last.respond(503, [], 'x');
  mesh.clock.advance(250);
  expect(mesh.cluster('a').tries.length).toBe(1);
  expect(client.text).toContain('103');
});

test('the client goes during back-off: no further try, nothing held', () => {
  const mesh = withRetry(RetryOn.FIVE_XX);
  const client = mesh.connect().get();
  mesh.cluster('a').last.respond(503, [], 'x');
  expect(mesh.cluster('a').retriesHeld).toBe(1);
  client.close();
  mesh.clock.advance(1_000);
  expect(mesh.cluster('a').tries.length).toBe(1);
  expect(mesh.cluster('a').retriesHeld).toBe(0);
  expect(mesh.flags).toBe('DC');
});
