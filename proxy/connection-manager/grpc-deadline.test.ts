import { expect, test } from 'vitest';
import { type Exchange, exchange, retryPolicy, route } from '../../test/proxy-exchange.ts';
import { RetryOn } from '../router/retry-on.ts';
import type { RouteActionConfig, StreamDurationConfig } from '../router/route-config.ts';

const GRPC = 'content-type: application/grpc';

function mesh(action: Partial<RouteActionConfig>, config = {}): Exchange {
  return exchange({ routes: [route('/', 'a', action)], config });
}

function duration(parts: Partial<StreamDurationConfig>): Partial<RouteActionConfig> {
  return {
    streamDuration: { maxMs: -1, grpcTimeoutMaxMs: -1, grpcTimeoutOffsetMs: 0, ...parts },
  };
}

/** What the mesh sends where no timeout is configured. */
const MESH_DEFAULT = duration({ maxMs: 0, grpcTimeoutMaxMs: 0 });

test('[PR-07] [RS-12] the deadline of the client ends a call whose server never answers with DEADLINE_EXCEEDED', () => {
  const exchanged = mesh(MESH_DEFAULT);
  const client = exchanged.connect().get('/', [GRPC, 'grpc-timeout: 500m']);
  exchanged.cluster('a').last.ready();
  exchanged.clock.advance(499);
  expect(client.text).toBe('');
  exchanged.clock.advance(1);
  expect(client.status).toBe(200);
  expect(client.header('grpc-status')).toBe('4');
  expect(client.header('grpc-message')).toBe('downstream duration timeout');
  expect(exchanged.flags).toBe('DT');
  expect(exchanged.record.grpcStatus).toBe(4);
  expect(exchanged.cluster('a').last.resetWith).toBe('localReset');
});

test('[PR-07] the deadline also ends a stream that is being answered, by a reset', () => {
  const exchanged = mesh(MESH_DEFAULT);
  const client = exchanged.connect().get('/', [GRPC, 'grpc-timeout: 1S']);
  exchanged.cluster('a').last.respond(200, ['content-type', 'application/grpc'], null);
  exchanged.clock.advance(1000);
  expect(client.transport.destroyed || client.transport.ended).toBe(true);
  expect(exchanged.record.responseCodeDetails).toBe('max_duration_timeout');
  expect(exchanged.cluster('a').last.resetWith).toBe('localReset');
});

test('[PR-07] without a deadline a call may last for hours', () => {
  const exchanged = mesh(MESH_DEFAULT, { streamIdleTimeoutMs: 0 });
  const client = exchanged.connect().get('/', [GRPC]);
  exchanged.cluster('a').last.ready();
  exchanged.clock.advance(12 * 3_600_000);
  expect(client.text).toBe('');
  exchanged.cluster('a').last.respond(200, ['grpc-status', '0']);
  expect(client.status).toBe(200);
});

test('[PR-07] [RS-11] a stream both ways may say nothing for hours where stream_idle_timeout is 0, and 5 min by default', () => {
  for (const [streamIdleTimeoutMs, hours] of [
    [0, 12],
    [300_000, 0],
  ] as const) {
    const exchanged = mesh(MESH_DEFAULT, { streamIdleTimeoutMs });
    const client = exchanged
      .connect()
      .send(`POST / HTTP/1.1\r\nhost: a\r\n${GRPC}\r\ntransfer-encoding: chunked\r\n\r\n`);
    const { last } = exchanged.cluster('a');
    last.respond(200, ['content-type', 'application/grpc'], null);
    last.data('first');
    exchanged.clock.advance(hours === 0 ? 299_999 : hours * 3_600_000);
    client.send('4\r\nnext\r\n');
    expect(last.written).toBe('next');
    exchanged.clock.advance(299_999);
    last.data('second');
    expect(client.text).toContain('second');
    exchanged.clock.advance(300_000);
    expect(exchanged.records.length).toBe(hours === 0 ? 1 : 0);
  }
});

const EFFECTIVE: readonly [string, Partial<StreamDurationConfig>, string, number, string][] = [
  ['the maximum caps it', { grpcTimeoutMaxMs: 200 }, '1S', 200, '200m'],
  ['a shorter one holds', { grpcTimeoutMaxMs: 200 }, '100m', 100, '100m'],
  ['the offset shortens it', { grpcTimeoutMaxMs: 0, grpcTimeoutOffsetMs: 30 }, '100m', 70, '70m'],
  ['not read without a maximum', { maxMs: 300 }, '100m', 300, '300m'],
  ['malformed is no deadline', { grpcTimeoutMaxMs: 0, maxMs: 300 }, '5x', 300, '300m'],
  ['absent: the stream duration', { grpcTimeoutMaxMs: 0, maxMs: 300 }, '', 300, '300m'],
];
test.each(EFFECTIVE)(
  '[PR-07] grpc-timeout, %s: %o %s ends after %i ms and is passed on as %s',
  (_what, parts, sent, ms, told) => {
    const exchanged = mesh(duration(parts));
    const client = exchanged
      .connect()
      .get('/', sent === '' ? [GRPC] : [GRPC, `grpc-timeout: ${sent}`]);
    expect(exchanged.cluster('a').last.header('grpc-timeout')).toBe(told);
    exchanged.clock.advance(ms - 1);
    expect(client.text).toBe('');
    exchanged.clock.advance(1);
    expect(client.header('grpc-status')).toBe('4');
  },
);

test('[PR-07] a deadline that the offset uses up is over before an upstream is asked', () => {
  const exchanged = mesh(duration({ grpcTimeoutMaxMs: 0, grpcTimeoutOffsetMs: 100 }));
  const client = exchanged.connect().get('/', [GRPC, 'grpc-timeout: 100m']);
  expect(client.header('grpc-status')).toBe('4');
  expect(exchanged.cluster('a').tries).toEqual([]);
});

test('max_stream_duration of the connection manager holds where the route sets none', () => {
  const exchanged = mesh({}, { streamDurationMaxMs: 700 });
  const client = exchanged.connect().get();
  exchanged.clock.advance(700);
  expect(client.status).toBe(504);
  expect(exchanged.flags).toBe('DT');

  const own = mesh(duration({ maxMs: 0 }), { streamDurationMaxMs: 700 });
  const unlimited = own.connect().get();
  own.clock.advance(10_000);
  expect(unlimited.text).toBe('');
});

const DEPRECATED: readonly [number, number, string, number, string][] = [
  // max_grpc_timeout, offset, grpc-timeout, ends after, passed on
  [1000, 0, '400m', 400, '400m'],
  [1000, 0, '4S', 1000, '1000m'],
  [1000, 0, '', 1000, '1000m'],
  [0, 0, '400m', 400, '400m'],
  [0, 100, '400m', 300, '300m'],
  [0, 400, '400m', 400, '400m'],
];
test.each(DEPRECATED)(
  '[PR-07] max_grpc_timeout %i, offset %i, grpc-timeout "%s": 504 is UNAVAILABLE after %i ms, told as %s',
  (grpcTimeoutMaxMs, grpcTimeoutOffsetMs, sent, ms, told) => {
    const exchanged = mesh({ timeoutMs: 60_000, grpcTimeoutMaxMs, grpcTimeoutOffsetMs });
    const client = exchanged
      .connect()
      .get('/', sent === '' ? [GRPC] : [GRPC, `grpc-timeout: ${sent}`]);
    const { last } = exchanged.cluster('a');
    expect(last.header('grpc-timeout')).toBe(told);
    expect(last.header('x-envoy-expected-rq-timeout-ms')).toBe(String(ms));
    exchanged.clock.advance(ms - 1);
    expect(client.text).toBe('');
    exchanged.clock.advance(1);
    expect(client.header('grpc-status')).toBe('14');
    expect(client.header('grpc-message')).toBe('upstream request timeout');
    expect(exchanged.flags).toBe('UT');
  },
);

test('[PR-07] the second try is told what the first has left of max_grpc_timeout', () => {
  const exchanged = mesh({
    grpcTimeoutMaxMs: 0,
    retry: retryPolicy(RetryOn.RESET),
  });
  exchanged.connect().get('/', [GRPC, 'grpc-timeout: 1S']);
  const cluster = exchanged.cluster('a');
  cluster.last.ready();
  exchanged.clock.advance(300);
  cluster.last.die('remoteReset');
  exchanged.clock.advance(1);
  expect(cluster.tries.map((attempt) => attempt.header('grpc-timeout'))).toEqual(['1000m', '699m']);
});

test('[PR-07] grpc-timeout of a request that is not gRPC changes nothing', () => {
  const exchanged = mesh({ grpcTimeoutMaxMs: 0, timeoutMs: 900 });
  const client = exchanged.connect().get('/', ['grpc-timeout: 1m']);
  expect(exchanged.cluster('a').last.header('grpc-timeout')).toBe('1m');
  exchanged.clock.advance(899);
  expect(client.text).toBe('');
});
