import { expect, test } from 'vitest';
import { exchange, managerConfig, route } from '../../test/proxy-exchange.ts';
import { StatsRegistry } from '../observe/stats.ts';
import { requestStages } from './request-stages.ts';

test('a request goes through and its response comes back, logged once', () => {
  const mesh = exchange();
  const client = mesh.connect().get('/x?y=1', ['x-a: 1']);
  const attempt = mesh.cluster('a').last;
  expect(attempt.path).toBe('/x?y=1');
  expect(attempt.endStream).toBe(true);
  expect(attempt.header('x-a')).toBe('1');
  attempt.respond(200, ['content-length', '5', 'server', 'app'], 'hello');
  expect(client.status).toBe(200);
  expect(client.body).toBe('hello');
  expect(client.header('server')).toBe('envoy');
  expect(client.header('date')).not.toBe('');
  expect(mesh.record.status).toBe(200);
  expect(mesh.record.responseCodeDetails).toBe('via_upstream');
  expect(mesh.record.bytesSent).toBe(5);
  expect(mesh.record.upstreamHost).toBe('10.1.0.1:80');
  expect(mesh.flags).toBe('-');
  expect(mesh.bugs).toEqual([]);
});

test('the stages stand in the documented order', () => {
  const stages = requestStages(managerConfig(null), new StatsRegistry().httpScope('test'));
  expect(stages.map((stage) => stage.name)).toEqual([
    'target',
    'path',
    'forwarded fields',
    'peer',
    'request id',
    'route match',
    'inner tunnel',
    'upgrade',
    'fault',
    'expect',
    'router',
  ]);
});

test('one connection carries request after request, pipelined ones in order', () => {
  const mesh = exchange();
  const client = mesh.connect();
  client.send('GET /1 HTTP/1.1\r\nhost: a\r\n\r\nGET /2 HTTP/1.1\r\nhost: a\r\n\r\n');
  expect(mesh.cluster('a').tries.length).toBe(1);
  mesh.cluster('a').last.respond(200, [], 'body1');
  mesh.cluster('a').last.respond(200, [], 'body2');
  expect(mesh.records.map((record) => record.path)).toEqual(['/1', '/2']);
  expect(client.text.indexOf('body1')).toBeLessThan(client.text.indexOf('body2'));
});

test('a request keeps the route table that it began with', () => {
  const mesh = exchange({ config: { routeConfig: null, rdsRouteName: 'r' } });
  const table = (cluster: string) => ({
    ...exchangeTable(cluster),
    name: 'r',
  });
  mesh.tables.set(table('a'));
  const client = mesh.connect().get();
  mesh.tables.set(table('b'));
  mesh.cluster('a').last.respond(200);
  client.get();
  expect(mesh.cluster('b').tries.length).toBe(1);
});

function exchangeTable(cluster: string) {
  const { routeConfig } = exchange({ routes: [route('/', cluster)] }).manager.config;
  if (routeConfig === null) throw new Error('the test table is inline');
  return routeConfig;
}

test('[PR-17] the response tells how long the upstream took', () => {
  const mesh = exchange();
  const client = mesh.connect().get();
  mesh.cluster('a').last.ready();
  mesh.clock.advance(42);
  mesh.cluster('a').last.respond(200);
  expect(client.header('x-envoy-upstream-service-time')).toBe('42');
});

test('[PR-17] the server field follows the configured transformation', () => {
  const server = (
    serverHeader: 'OVERWRITE' | 'APPEND_IF_ABSENT' | 'PASS_THROUGH',
    own: string[],
  ) => {
    const mesh = exchange({ config: { serverHeader, serverName: 'istio-envoy' } });
    const client = mesh.connect().get();
    mesh.cluster('a').last.respond(200, own);
    return client.header('server');
  };
  expect(server('OVERWRITE', ['server', 'app'])).toBe('istio-envoy');
  expect(server('APPEND_IF_ABSENT', ['server', 'app'])).toBe('app');
  expect(server('APPEND_IF_ABSENT', [])).toBe('istio-envoy');
  expect(server('PASS_THROUGH', ['server', 'app'])).toBe('app');
  expect(server('PASS_THROUGH', [])).toBe('');
});

test('[TM-06] a local reply to a gRPC request is trailers-only with the mapped status', () => {
  const mesh = exchange({ routes: [route('/only', 'a')] });
  const client = mesh.connect().get('/svc/Method', ['content-type: application/grpc']);
  expect(client.status).toBe(200);
  expect(client.header('content-type')).toBe('application/grpc');
  expect(client.header('grpc-status')).toBe('12');
  expect(client.body).toBe('');
  expect(mesh.record.grpcStatus).toBe(12);
});

test('[TM-06] the text of a local reply is the grpc-message', () => {
  const mesh = exchange();
  mesh.cluster('a').endpoints = [];
  const client = mesh.connect().get('/', ['content-type: application/grpc+proto']);
  expect(client.header('grpc-status')).toBe('14');
  expect(client.header('grpc-message')).toBe('no healthy upstream');
});

test('[PR-07] grpc-status is read from trailers', () => {
  const mesh = exchange();
  mesh.connect().get('/', ['content-type: application/grpc', 'te: trailers']);
  const attempt = mesh.cluster('a').last.respond(200, [], null);
  attempt.data('frame');
  attempt.endWithTrailers(['grpc-status', '5']);
  expect(mesh.record.grpcStatus).toBe(5);
});

test('a local reply to HEAD has the length and no body', () => {
  const mesh = exchange();
  mesh.cluster('a').endpoints = [];
  const client = mesh.connect().send('HEAD / HTTP/1.1\r\nhost: a\r\n\r\n');
  expect(client.header('content-length')).toBe('19');
  expect(client.body).toBe('');
  expect(client.transport.ended).toBe(false);
});

test('[PR-04] Expect: 100-continue is answered here and taken off', () => {
  const mesh = exchange();
  const client = mesh
    .connect()
    .send('POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n');
  expect(client.text).toBe('HTTP/1.1 100 Continue\r\n\r\n');
  const attempt = mesh.cluster('a').last.ready();
  expect(attempt.header('expect')).toBeUndefined();
  client.send('body');
  expect(attempt.written).toBe('body');
  attempt.respond(200);
  expect(client.status).toBe(200);
});

test('[PR-04] a request that is refused here is not asked for its body', () => {
  const mesh = exchange({ routes: [route('/only', 'a')] });
  const client = mesh
    .connect()
    .send('POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n');
  expect(client.status).toBe(404);
  expect(client.text).not.toContain('100 Continue');
});

test('interim responses of the upstream pass, except the 100 that nobody asked for', () => {
  const mesh = exchange();
  const client = mesh.connect().get();
  mesh.cluster('a').last.informational(100);
  mesh.cluster('a').last.informational(103, ['link', '</style.css>']);
  mesh.cluster('a').last.respond(200);
  expect(client.text).not.toContain('100 Continue');
  expect(client.text.startsWith('HTTP/1.1 103')).toBe(true);
});

test('the request body waits for the upstream, and back-pressure reaches the client', () => {
  const mesh = exchange();
  const client = mesh.connect().send('POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc');
  const attempt = mesh.cluster('a').last;
  expect(client.transport.paused).toBe(true);
  attempt.ready();
  expect(client.transport.paused).toBe(false);
  expect(attempt.written).toBe('abc');
  attempt.writable = false;
  client.send('def');
  expect(client.transport.paused).toBe(true);
  attempt.drain();
  expect(client.transport.paused).toBe(false);
  client.send('ghi');
  expect(attempt.written).toBe('abcdefghi');
  expect(attempt.ended).toBe(true);
  expect(mesh.records).toEqual([]);
  attempt.respond(200);
  expect(mesh.record.bytesReceived).toBe(9);
});

test('a slow client pauses the upstream until it drains', () => {
  const mesh = exchange();
  const client = mesh.connect().get();
  const attempt = mesh.cluster('a').last.respond(200, ['content-length', '6'], null);
  client.transport.writable = false;
  attempt.data('ab');
  client.transport.endTurn();
  attempt.data('c');
  expect(attempt.paused).toBe(true);
  client.transport.writable = true;
  client.connection.onTransportDrain();
  expect(attempt.paused).toBe(false);
  attempt.data('def', true);
  expect(client.body).toBe('abcdef');
});

test('[D23] an early answer reaches the client, and the rest of the upload goes nowhere', () => {
  const mesh = exchange();
  const client = mesh.connect().send('POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc');
  const attempt = mesh.cluster('a').last.ready();
  attempt.respond(413, ['content-length', '3'], 'big');
  expect(client.status).toBe(413);
  expect(client.transport.ended).toBe(true);
  expect(attempt.resetWith).toBe('localReset');
  expect(mesh.record.status).toBe(413);
});

test('request trailers are passed on', () => {
  const mesh = exchange();
  mesh
    .connect()
    .send(
      'POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-t: 1\r\n\r\n',
    );
  const attempt = mesh.cluster('a').last.ready();
  expect(attempt.written).toBe('abc');
  expect(attempt.trailers).toEqual(['x-t', '1']);
});

test('[PR-09] an allowed upgrade becomes a tunnel that outlives the route timeout', () => {
  const mesh = exchange({ routes: [route('/', 'a', { timeoutMs: 100 })] });
  const client = mesh.connect().get('/', ['connection: upgrade', 'upgrade: websocket']);
  const attempt = mesh.cluster('a').last;
  expect(attempt.upgrade).toBe('websocket');
  attempt.switchProtocols();
  expect(client.status).toBe(101);
  client.send('ping');
  expect(attempt.written).toBe('ping');
  attempt.data('pong');
  mesh.clock.advance(1_000);
  expect(client.text.endsWith('pong')).toBe(true);
  expect(mesh.records).toEqual([]);
  client.connection.receiveEnd();
  expect(attempt.ended).toBe(true);
  attempt.data('', true);
  expect(mesh.record.status).toBe(101);
  expect(mesh.record.bytesReceived).toBe(4);
  expect(mesh.record.bytesSent).toBe(4);
});

test('[PR-09] an upgrade that no configuration allows is 403; the route has the last word', () => {
  const none = { upgrades: new Map<string, boolean>() };
  const headers = ['connection: upgrade', 'upgrade: websocket'];
  const refused = exchange({ config: none });
  expect(refused.connect().get('/', headers).status).toBe(403);
  expect(refused.record.responseCodeDetails).toBe('upgrade_failed');
  const allowed = exchange({
    config: none,
    routes: [route('/', 'a', { upgrades: new Map([['websocket', true]]) })],
  });
  allowed.connect().get('/', headers);
  expect(allowed.cluster('a').last.upgrade).toBe('websocket');
  const switchedOff = exchange({
    routes: [route('/', 'a', { upgrades: new Map([['websocket', false]]) })],
  });
  expect(switchedOff.connect().get('/', headers).status).toBe(403);
});

test('[PR-09] an upstream that refuses to switch answers as usual', () => {
  const mesh = exchange();
  const client = mesh.connect().get('/', ['connection: upgrade', 'upgrade: websocket']);
  mesh.cluster('a').last.respond(400, ['content-length', '2'], 'no');
  expect(client.status).toBe(400);
  expect(client.body).toBe('no');
  expect(mesh.record.status).toBe(400);
});

test.each([
  ['/a/../b', { normalizePath: true }, '/b'],
  ['/a//b', { normalizePath: true }, '/a//b'],
  ['/a//b', { mergeSlashes: true }, '/a/b'],
  ['/a/../b', { normalizePath: false }, '/a/../b'],
  ['/a%2fb', { escapedSlashes: 'UNESCAPE_FORWARD' as const }, '/a/b'],
  ['/a?x=%2f', { escapedSlashes: 'REJECT' as const }, '/a?x=%2f'],
])('[TM-28] path %s with %j reaches the app as %s', (path, config, seen) => {
  const mesh = exchange({ config });
  mesh.connect().get(path);
  expect(mesh.cluster('a').last.path).toBe(seen);
});

test('[TM-28] [A2.3] escaped slashes are refused or redirected where so configured', () => {
  const rejected = exchange({ config: { escapedSlashes: 'REJECT' } });
  expect(rejected.connect().get('/a%5Cb').status).toBe(400);
  expect(rejected.record.responseCodeDetails).toBe('path_normalization_failed');
  const redirected = exchange({ config: { escapedSlashes: 'UNESCAPE_REDIRECT' } });
  const client = redirected.connect().get('/a%2Fb?q');
  expect(client.status).toBe(307);
  expect(client.header('location')).toBe('/a/b?q');
});

test('[A1.9] a request head that does not end is answered 408 and closed', () => {
  const mesh = exchange({ config: { requestHeadersTimeoutMs: 10_000 } });
  const client = mesh.connect().send('GET / HT');
  mesh.clock.advance(9_000);
  client.send('TP/1.1\r\n');
  expect(client.text).toBe('');
  mesh.clock.advance(1_000);
  expect(client.status).toBe(408);
  expect(client.transport.ended).toBe(true);
  expect(mesh.record.responseCodeDetails).toBe('request_header_timeout');
});

test('[RS-11] an idle connection is closed, one at work is not', () => {
  const mesh = exchange({ config: { idleTimeoutMs: 1_000, streamIdleTimeoutMs: 0 } });
  const client = mesh.connect().get();
  mesh.clock.advance(2_000);
  expect(client.transport.ended).toBe(false);
  mesh.cluster('a').last.respond(200);
  mesh.clock.advance(999);
  expect(client.transport.ended).toBe(false);
  mesh.clock.advance(1);
  expect(client.transport.ended).toBe(true);
  expect(mesh.records.length).toBe(1);
});

test('[D19] drain lets the request under way finish and says close', () => {
  const mesh = exchange();
  const client = mesh.connect().get();
  client.connection.drain();
  expect(client.transport.ended).toBe(false);
  mesh.cluster('a').last.respond(200, ['content-length', '2'], 'ok');
  expect(client.header('connection')).toBe('close');
  expect(client.body).toBe('ok');
  expect(client.transport.ended).toBe(true);
});

test('[OP-05] an idle connection is not closed under the client: its next response says close', () => {
  const mesh = exchange();
  const client = mesh.connect();
  client.connection.drain();
  expect(client.transport.ended).toBe(false);
  client.get();
  mesh.cluster('a').last.respond(200, ['content-length', '2'], 'ok');
  expect(client.header('connection')).toBe('close');
  expect(client.transport.ended).toBe(true);
});

test('[I5] a drained connection that stays idle is closed: it holds what is no longer in force', () => {
  const mesh = exchange({ config: { idleTimeoutMs: 60_000, drainTimeoutMs: 5_000 } });
  const client = mesh.connect();
  client.connection.drain();
  mesh.clock.advance(4_999);
  expect(client.transport.ended).toBe(false);
  mesh.clock.advance(1);
  expect(client.transport.ended).toBe(true);
});

test('request_timeout: a body that takes too long altogether is 408', () => {
  const mesh = exchange({ config: { requestTimeoutMs: 5_000 } });
  const client = mesh.connect().send('POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc');
  mesh.cluster('a').last.ready();
  mesh.clock.advance(5_000);
  expect(client.status).toBe(408);
  expect(client.body).toBe('request timeout');
  expect(mesh.cluster('a').last.resetWith).toBe('localReset');
});

test('[I4] an upstream body longer than announced ends the exchange visibly', () => {
  const mesh = exchange();
  const client = mesh.connect().get();
  const attempt = mesh.cluster('a').last.respond(200, ['content-length', '3'], null);
  attempt.data('abcdef', true);
  expect(client.transport.destroyed).toBe(true);
  expect(mesh.flags).toBe('UPE');
});

test('a bug in the path costs its connection only and is reported', () => {
  const mesh = exchange({
    config: {
      accessLogs: [
        {
          log() {
            throw new Error('broken sink');
          },
        },
      ],
    },
  });
  const client = mesh.connect().send('nonsense\r\n\r\n');
  expect(mesh.bugs.length).toBe(1);
  expect(client.transport.destroyed).toBe(true);
});

test('[OB-06] requests and connections are counted under the stat prefix', () => {
  const mesh = exchange({ routes: [route('/ok', 'a')] });
  const client = mesh.connect().get('/ok');
  expect(mesh.stat('http.test.downstream_rq_active')).toBe(1);
  mesh.cluster('a').last.respond(200);
  client.get('/none').get('/ok').close();
  mesh.connect().send('bad\r\n\r\n');
  const counted = [
    'downstream_cx_total',
    'downstream_cx_active',
    'downstream_cx_protocol_error',
    'downstream_rq_total',
    'downstream_rq_active',
    'downstream_rq_2xx',
    'downstream_rq_4xx',
    'downstream_rq_rx_reset',
    'no_route',
  ].map((name) => mesh.stat(`http.test.${name}`));
  expect(counted).toEqual([2, 1, 1, 3, 0, 1, 1, 1, 1]);
});
