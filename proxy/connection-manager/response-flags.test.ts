import { expect, test } from 'vitest';
import { exchange, retryPolicy, route } from '../../test/proxy-exchange.ts';
import { RetryOn } from '../router/retry-on.ts';

/** OB-08: each end of a request, its status, flag, body and details (Envoy's texts). */
const BEFORE_HEADERS = 'upstream connect error or disconnect/reset before headers. ';

test('[OB-08] [TM-01] NR: a known host with no matching route is 404 with an empty body', () => {
  const mesh = exchange({ routes: [route('/only', 'a')] });
  const client = mesh.connect().get('/other');
  expect(client.status).toBe(404);
  expect(client.header('content-length')).toBe('0');
  expect(client.body).toBe('');
  expect(mesh.flags).toBe('NR');
  expect(mesh.record.responseCodeDetails).toBe('route_not_found');
});

test('[OB-08] NR: a host that no virtual host has', () => {
  const mesh = exchange({ virtualHost: { domains: ['b.example'] } });
  expect(mesh.connect().get().status).toBe(404);
  expect(mesh.flags).toBe('NR');
});

test('[OB-08] NR: the RDS table has not arrived', () => {
  const mesh = exchange({ config: { routeConfig: null, rdsRouteName: 'absent' } });
  expect(mesh.connect().get().status).toBe(404);
  expect(mesh.flags).toBe('NR');
  expect(mesh.record.responseCodeDetails).toBe('route_configuration_not_found');
});

test('[OB-08] [TM-09] NC: the route names a cluster that is not there', () => {
  const mesh = exchange({ routes: [route('/', 'outbound|80|v9|a')] });
  const client = mesh.connect().get();
  expect(client.status).toBe(503);
  expect(client.body).toBe('');
  expect(mesh.flags).toBe('NC');
  expect(mesh.record.responseCodeDetails).toBe('cluster_not_found');
  expect(mesh.record.upstreamCluster).toBe('outbound|80|v9|a');
});

test('[OB-08] [RS-19] UH: no endpoint to pick', () => {
  const mesh = exchange();
  mesh.cluster('a').endpoints = [];
  const client = mesh.connect().get();
  expect(client.status).toBe(503);
  expect(client.body).toBe('no healthy upstream');
  expect(client.header('content-type')).toBe('text/plain');
  expect(mesh.flags).toBe('UH');
  expect(mesh.record.responseCodeDetails).toBe('no_healthy_upstream');
});

test('[OB-08] [RS-10] UF: connection refused', () => {
  const mesh = exchange();
  const client = mesh.connect().get();
  mesh.cluster('a').last.fail('connectionFailure', 'ECONNREFUSED');
  expect(client.status).toBe(503);
  expect(client.body).toBe(`${BEFORE_HEADERS}reset reason: remote connection failure`);
  expect(mesh.flags).toBe('UF');
  expect(mesh.record.responseCodeDetails).toBe(
    'upstream_reset_before_response_started{remote_connection_failure,delayed_connect_error:_Connection_refused}',
  );
  expect(mesh.record.upstreamTransportFailureReason).toContain('Connection refused');
});

test('[OB-08] [RS-10] UF: connect timeout', () => {
  const mesh = exchange();
  const client = mesh.connect().get();
  mesh.cluster('a').last.fail('connectTimeout', 'timed out');
  expect(client.status).toBe(503);
  expect(client.body).toBe(`${BEFORE_HEADERS}reset reason: connection timeout`);
  expect(mesh.flags).toBe('UF');
});

test('[OB-08] [A3.7] UF: the TLS reason is for the log and not for the client', () => {
  const mesh = exchange();
  const client = mesh.connect().get();
  mesh.cluster('a').last.fail('connectionFailure', 'TLS_error:SAN mismatch');
  expect(client.body).not.toContain('SAN');
  expect(mesh.record.responseCodeDetails).toContain('TLS_error:SAN_mismatch');
  expect(mesh.record.upstreamTransportFailureReason).toBe('TLS_error:SAN mismatch');
});

test('[OB-08] [RS-13] UO: the circuit breaker says so in a header', () => {
  const mesh = exchange();
  const client = mesh.connect().get();
  mesh.cluster('a').last.fail('overflow');
  expect(client.status).toBe(503);
  expect(client.header('x-envoy-overloaded')).toBe('true');
  expect(client.body).toBe(`${BEFORE_HEADERS}reset reason: overflow`);
  expect(mesh.flags).toBe('UO');
  expect(mesh.cluster('a').last.endpoint.outcomes).toEqual([]);
});

test('[OB-08] UR: a request that was refused is said twice more without a policy, then answered 503', () => {
  const mesh = exchange();
  const client = mesh.connect().get();
  const cluster = mesh.cluster('a');
  cluster.last.die('remoteRefused');
  cluster.last.die('remoteRefused');
  expect(client.text).toBe('');
  cluster.last.die('remoteRefused');
  expect(client.status).toBe(503);
  expect(cluster.tries.length).toBe(3);
  expect(client.body).toBe(`${BEFORE_HEADERS}reset reason: remote refused stream reset`);
  expect(mesh.flags).toBe('UR');
  // Only what was not repeated counts against the endpoint.
  expect(cluster.tries.flatMap(({ endpoint }) => endpoint.outcomes)).toContain(0);
});

test.each([
  ['connectionTermination', 503, 'UC', 'connection termination'],
  ['remoteReset', 503, 'UR', 'remote reset'],
  ['protocolError', 502, 'UPE', 'protocol error'],
] as const)('[OB-08] %s before the response head is %i %s', (reason, status, flag, text) => {
  const mesh = exchange();
  const client = mesh.connect().get();
  mesh.cluster('a').last.die(reason);
  expect(client.status).toBe(status);
  expect(client.body).toBe(`${BEFORE_HEADERS}reset reason: ${text}`);
  expect(mesh.flags).toBe(flag);
  expect(mesh.record.responseCodeDetails).toBe(
    `upstream_reset_before_response_started{${text.replaceAll(' ', '_')}}`,
  );
});

test('[OB-08] UC after the response head cuts the client off and keeps the status', () => {
  const mesh = exchange();
  const client = mesh.connect().get();
  const attempt = mesh.cluster('a').last.respond(200, ['content-length', '10'], null);
  attempt.data('half');
  attempt.die();
  expect(client.transport.destroyed).toBe(true);
  expect(mesh.record.status).toBe(200);
  expect(mesh.flags).toBe('UC');
  expect(mesh.record.responseCodeDetails).toBe(
    'upstream_reset_after_response_started{connection_termination}',
  );
});

test('[OB-08] URX: retries are used up', () => {
  const retry = retryPolicy(RetryOn.CONNECT_FAILURE, { retriesMax: 1 });
  const mesh = exchange({ routes: [route('/', 'a', { retry })] });
  const client = mesh.connect().get();
  mesh.cluster('a').last.fail('connectionFailure', '');
  mesh.clock.advance(25);
  mesh.cluster('a').last.fail('connectionFailure', '');
  expect(client.status).toBe(503);
  expect(client.body).toBe(
    `${BEFORE_HEADERS}retried and the latest reset reason: remote connection failure`,
  );
  expect(mesh.flags).toBe('UF,URX');
  expect(mesh.record.attempts).toBe(2);
});

test('[OB-08] [TM-17] UT: the route timeout', () => {
  const mesh = exchange({ routes: [route('/', 'a', { timeoutMs: 500 })] });
  const client = mesh.connect().get();
  const attempt = mesh.cluster('a').last.ready();
  expect(attempt.header('x-envoy-expected-rq-timeout-ms')).toBe('500');
  mesh.clock.advance(499);
  expect(client.text).toBe('');
  mesh.clock.advance(1);
  expect(client.status).toBe(504);
  expect(client.body).toBe('upstream request timeout');
  expect(mesh.flags).toBe('UT');
  expect(mesh.record.responseCodeDetails).toBe('response_timeout');
  expect(attempt.resetWith).toBe('localReset');
});

test('[OB-08] DC: the client goes while it waits', () => {
  const mesh = exchange();
  const client = mesh.connect().get();
  const attempt = mesh.cluster('a').last.ready();
  client.close();
  expect(attempt.resetWith).toBe('localReset');
  expect(mesh.record.status).toBe(0);
  expect(mesh.flags).toBe('DC');
  expect(mesh.record.responseCodeDetails).toBe('downstream_remote_disconnect');
});

test('[OB-08] DC: the client goes while the connection is being made', () => {
  const mesh = exchange();
  const client = mesh.connect().get();
  client.close();
  expect(mesh.cluster('a').last.cancelled).toBe(true);
  expect(mesh.flags).toBe('DC');
});

test('[OB-08] SI: nothing moves for the stream idle timeout', () => {
  const mesh = exchange({ config: { streamIdleTimeoutMs: 1_000 } });
  const client = mesh.connect().get();
  mesh.cluster('a').last.ready();
  mesh.clock.advance(1_000);
  expect(client.status).toBe(504);
  expect(client.body).toBe('stream timeout');
  expect(mesh.flags).toBe('SI');
  expect(mesh.record.responseCodeDetails).toBe('stream_idle_timeout');
});

test('[OB-08] SI: a body that stops arriving is 408', () => {
  const mesh = exchange({ config: { streamIdleTimeoutMs: 1_000 } });
  const client = mesh.connect().send('POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc');
  mesh.cluster('a').last.ready();
  mesh.clock.advance(999);
  client.send('d');
  mesh.clock.advance(999);
  expect(client.text).toBe('');
  mesh.clock.advance(1);
  expect(client.status).toBe(408);
  expect(mesh.flags).toBe('SI');
});

test('[OB-08] DPE: bytes that are no request are answered by the codec and logged', () => {
  const mesh = exchange();
  const client = mesh.connect().send('GET / HTTP/1.1\r\nhost : a\r\n\r\n');
  expect(client.status).toBe(400);
  expect(mesh.flags).toBe('DPE');
  expect(mesh.record.responseCodeDetails).toBe('http1.space_before_colon');
});

test('[OB-08] DPE: a body that breaks its framing cancels the upstream', () => {
  const mesh = exchange();
  const client = mesh
    .connect()
    .send('POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n');
  expect(client.status).toBe(400);
  expect(mesh.record.status).toBe(400);
  expect(mesh.flags).toBe('DPE');
  expect(mesh.cluster('a').tries.every((attempt) => attempt.cancelled)).toBe(true);
});

function withDurationMax(retryOn = 0) {
  const mesh = exchange({ routes: [route('/', 'a', { retry: retryPolicy(retryOn) })] });
  const cluster = mesh.cluster('a');
  cluster.config = { ...cluster.config, streamDurationMaxMs: 2_000 };
  return { mesh, cluster, client: mesh.connect().get() };
}

test('[OB-08] UMSDR: max_stream_duration of the cluster', () => {
  const { mesh, cluster, client } = withDurationMax();
  mesh.clock.advance(5_000);
  // The clock of a try runs from its stream on.
  cluster.last.ready();
  mesh.clock.advance(1_999);
  expect(client.text).toBe('');
  mesh.clock.advance(1);
  expect(client.status).toBe(504);
  expect(client.body).toBe('upstream max stream duration reached');
  expect(cluster.last.resetWith).toBe('localReset');
  expect(cluster.events).toEqual(['maxDuration']);
  expect(mesh.flags).toBe('UMSDR');
});

test('[OB-08] UMSDR: a response under way is cut', () => {
  const { mesh, cluster, client } = withDurationMax(RetryOn.RESET);
  cluster.last.respond(200, [], null);
  cluster.last.data('part');
  mesh.clock.advance(2_000);
  expect(client.transport.destroyed || client.transport.ended).toBe(true);
  expect(cluster.tries.length).toBe(1);
  expect(mesh.flags).toBe('UMSDR');
});

test('[RS-02] a try that max_stream_duration ended is repeated where resets are, with a clock of its own', () => {
  const { mesh, cluster, client } = withDurationMax(RetryOn.RESET);
  cluster.last.ready();
  mesh.clock.advance(2_025);
  expect(cluster.tries.length).toBe(2);
  // No stream yet: nothing runs.
  mesh.clock.advance(10_000);
  cluster.last.ready();
  mesh.clock.advance(1_999);
  cluster.last.respond(200, [], 'ok');
  expect(client.status).toBe(200);
  mesh.clock.advance(10_000);
  expect(mesh.flags).toBe('-');
});

test('[OB-08] DT: max_stream_duration of the route', () => {
  const streamDuration = { maxMs: 2_000, grpcTimeoutMaxMs: -1, grpcTimeoutOffsetMs: 0 };
  const mesh = exchange({ routes: [route('/', 'a', { streamDuration })] });
  const client = mesh.connect().get();
  mesh.cluster('a').last.ready();
  mesh.clock.advance(2_000);
  expect(client.status).toBe(504);
  expect(client.body).toBe('downstream duration timeout');
  expect(mesh.record.responseCodeDetails).toBe('max_duration_timeout');
  expect(mesh.flags).toBe('DT');
  expect(mesh.cluster('a').last.resetWith).toBe('localReset');
});

test('a request to the proxy itself does not circle', () => {
  const mesh = exchange();
  const client = mesh.connect({ localAddress: '10.1.0.1:80' }).get();
  expect(client.status).toBe(508);
  expect(mesh.record.responseCodeDetails).toBe('loop_detected');
  expect(mesh.cluster('a').tries).toEqual([]);
});

test('[LB-06] a redirected connection may go on to the very address that it dialled', () => {
  const mesh = exchange();
  const client = mesh.connect({ localAddress: '10.1.0.1:80' }, '10.1.0.1:80').get();
  mesh.cluster('a').last.respond(200);
  expect(client.status).toBe(200);
  expect(mesh.cluster('a').picks[0]!.originalDestination).toBe('10.1.0.1:80');
});

test('a request to an outbound listener of this proxy does not circle', () => {
  const mesh = exchange({ deps: { isOwnListener: (address) => address === '10.1.0.1:80' } });
  expect(mesh.connect({}, '10.1.0.1:80').get().status).toBe(508);
});
