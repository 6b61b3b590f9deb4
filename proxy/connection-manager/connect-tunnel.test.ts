import { expect, test } from 'vitest';
import { type Exchange, exchange, match, route } from '../../test/proxy-exchange.ts';

const CONNECT = 'CONNECT reviews:9080 HTTP/1.1\r\nhost: reviews:9080\r\n\r\n';
const OPENED = 'HTTP/1.1 200 OK\r\n';

function explicit(options: Parameters<typeof exchange>[0] = {}): Exchange {
  return exchange({
    clusters: ['a', 'b', 'PassthroughCluster'],
    ...options,
    config: { explicitProxy: true, ...options.config },
  });
}

const reviews = { domains: ['reviews:9080'] };

test('absolute-form is routed by its own authority', () => {
  const mesh = explicit({ virtualHost: reviews });
  mesh.connect().send('GET http://reviews:9080/x HTTP/1.1\r\nhost: ignored\r\n\r\n');
  expect(mesh.cluster('a').last.path).toBe('/x');
  expect(mesh.cluster('a').last.authority).toBe('reviews:9080');
});

test('a host name without an address is the destination for ORIGINAL_DST clusters', () => {
  const mesh = explicit();
  mesh.connect().send('GET http://example.org/ HTTP/1.1\r\nhost: example.org\r\n\r\n');
  expect(mesh.cluster('a').picks[0]!.originalDestination).toBe('example.org:80');
});

/** The inner connection collects what it writes until the turn of the event loop is over. */
const endOfTurn = () => new Promise((resolve) => setImmediate(resolve));

test('HTTP inside a CONNECT tunnel is served by the same manager, one log line a request', async () => {
  const mesh = explicit({ virtualHost: reviews });
  const client = mesh.connect().send(CONNECT);
  expect(client.text.startsWith(OPENED)).toBe(true);
  // The Host has no port; the tunnel's is meant.
  client.send('GET /r HTTP/1.1\r\nhost: reviews\r\n\r\n');
  const attempt = mesh.cluster('a').last;
  expect(attempt.path).toBe('/r');
  expect(attempt.authority).toBe('reviews');
  expect(mesh.cluster('a').picks[0]!.originalDestination).toBe('reviews:9080');
  attempt.respond(200, ['content-length', '2'], 'ok');
  await endOfTurn();
  expect(client.text.endsWith('ok')).toBe(true);
  expect(mesh.record.path).toBe('/r');
  expect(mesh.record.status).toBe(200);
  client.send('GET /s HTTP/1.1\r\nhost: reviews\r\n\r\n');
  mesh.cluster('a').last.respond(200);
  client.close();
  expect(mesh.records.map((record) => record.path)).toEqual(['/r', '/s']);
  expect(mesh.bugs).toEqual([]);
});

test('a method cut into pieces is recognised', () => {
  const mesh = explicit({ virtualHost: reviews });
  const client = mesh.connect().send(CONNECT);
  for (const byte of 'GET / HTTP/1.1\r\nhost: reviews\r\n\r\n') client.send(byte);
  expect(mesh.cluster('a').tries.length).toBe(1);
});

test('what is written inside a tunnel in the turn in which it ends is not lost', () => {
  const mesh = explicit({ virtualHost: reviews });
  const client = mesh.connect().send(CONNECT);
  client.send('GET /r HTTP/1.1\r\nhost: reviews\r\nconnection: close\r\n\r\n');
  mesh.cluster('a').last.respond(200, ['content-length', '2'], 'ok');
  expect(client.text).toMatch(/connection: close\r\n\r\nok$/);
  expect(client.transport.ended).toBe(true);
});

test('back-pressure inside the tunnel reaches the upstream', async () => {
  const mesh = explicit({ virtualHost: reviews });
  const client = mesh.connect().send(CONNECT);
  client.send('GET / HTTP/1.1\r\nhost: reviews\r\n\r\n');
  const attempt = mesh.cluster('a').last.respond(200, ['content-length', '6'], null);
  client.transport.writable = false;
  // What the transport of the client says is known a turn later outside, and another one later inside.
  for (const byte of 'ab') {
    attempt.data(byte);
    await endOfTurn();
    client.transport.endTurn();
  }
  expect(attempt.paused).toBe(false);
  attempt.data('c');
  expect(attempt.paused).toBe(true);
  client.transport.writable = true;
  client.connection.onTransportDrain();
  expect(attempt.paused).toBe(false);
});

test('other bytes in the tunnel go to the cluster of the virtual host as they are', () => {
  const mesh = explicit({ virtualHost: reviews });
  const client = mesh.connect().send(CONNECT);
  client.send('\x16\x03\x01hello');
  const attempt = mesh.cluster('a').last.ready();
  expect(attempt.tunnelTransport.text).toBe('\x16\x03\x01hello');
  attempt.data('\x16\x03\x03world');
  expect(client.text.endsWith('\x16\x03\x03world')).toBe(true);
  client.connection.receiveEnd();
  expect(attempt.tunnelTransport.ended).toBe(true);
  attempt.endTunnel();
  expect(mesh.record.upstreamCluster).toBe('a');
  expect(mesh.record.bytesReceived).toBe(8);
  expect(mesh.record.bytesSent).toBe(8);
});

test('a tunnel to a host that the mesh does not know passes through by its name', () => {
  const mesh = explicit({ virtualHost: { domains: ['elsewhere'] } });
  const client = mesh.connect().send(CONNECT);
  client.send('\x00\x01');
  const cluster = mesh.cluster('PassthroughCluster');
  expect(cluster.picks[0]!.originalDestination).toBe('reviews:9080');
  cluster.last.fail('connectionFailure', 'ECONNREFUSED');
  expect(client.transport.destroyed).toBe(true);
  expect(mesh.flags).toBe('UF');
});

test('[PR-03] a tunnel in which the server speaks first is opened after the detection timeout', () => {
  const mesh = explicit({ virtualHost: reviews });
  const client = mesh.connect().send(CONNECT);
  expect(mesh.cluster('a').tries.length).toBe(0);
  mesh.clock.advance(1_000);
  mesh.cluster('a').last.ready().data('220 welcome\r\n');
  expect(client.text.endsWith('220 welcome\r\n')).toBe(true);
});

test('a connect route is a tunnel of its own, opened once the upstream is', () => {
  const mesh = explicit({
    routes: [route('/', 'b', {}, { match: match({ path: { kind: 'connect' } }) })],
  });
  const client = mesh.connect().send(CONNECT);
  expect(client.text).toBe('');
  const attempt = mesh.cluster('b').last.ready();
  expect(client.text.startsWith(OPENED)).toBe(true);
  client.send('GET / HTTP/1.1\r\n\r\n');
  expect(attempt.tunnelTransport.text).toBe('GET / HTTP/1.1\r\n\r\n');
  attempt.data('abc');
  expect(client.text.endsWith('abc')).toBe(true);
  client.close();
  expect(attempt.tunnelTransport.destroyed).toBe(true);
  expect(mesh.flags).toBe('DC');
});

test('a connect route whose upstream refuses is answered 503', () => {
  const mesh = explicit({
    routes: [route('/', 'b', {}, { match: match({ path: { kind: 'connect' } }) })],
  });
  const client = mesh.connect().send(CONNECT);
  mesh.cluster('b').last.fail('connectionFailure', 'ECONNREFUSED');
  expect(client.status).toBe(503);
  expect(mesh.flags).toBe('UF');
});

test('CONNECT on a listener that is no explicit proxy is refused', () => {
  const mesh = exchange();
  expect(mesh.connect().send(CONNECT).status).toBe(403);
});

test('a tunnel within a tunnel is refused', () => {
  const mesh = explicit({ virtualHost: reviews });
  const client = mesh.connect().send(CONNECT);
  client.send('CONNECT reviews:9080 HTTP/1.1\r\nhost: reviews:9080\r\n\r\n');
  expect(client.status).toBe(403);
});

test('the client leaves the tunnel while its request is on the way: DC, upstream cancelled', () => {
  const mesh = explicit({ virtualHost: reviews });
  const client = mesh.connect().send(CONNECT);
  client.send('GET /r HTTP/1.1\r\nhost: reviews\r\n\r\n');
  const attempt = mesh.cluster('a').last.ready();
  client.close();
  expect(attempt.resetWith).toBe('localReset');
  expect(mesh.flags).toBe('DC');
});

test.each([
  ['opaque bytes inside', { virtualHost: reviews }],
  [
    'a connect route',
    { routes: [route('/', 'a', {}, { match: match({ path: { kind: 'connect' } }) })] },
  ],
] as const)(
  '[OB-01] a tunnel is an open TCP connection as long as it lasts: %s',
  (_name, options) => {
    const seen: string[] = [];
    const metrics = {
      recordRequest: () => seen.push('request'),
      grpcMessages: () => seen.push('messages'),
      tcpOpened: () => seen.push('opened'),
      tcpClosed: () => seen.push('closed'),
      tcpBytes: (_record: unknown, _direction: unknown, received: number, sent: number) =>
        seen.push(`${received}/${sent}`),
    };
    const mesh = explicit({ ...options, deps: { metrics } });
    const client = mesh.connect().send(CONNECT);
    if (!client.text.startsWith(OPENED)) mesh.cluster('a').last.ready();
    client.send('\x16\x03\x01hello');
    mesh.cluster('a').last.ready().data('bye');
    expect(seen).toEqual(['opened']);
    client.close();
    expect(seen).toEqual(['opened', '8/3', 'closed']);

    const refused = explicit({ ...options, deps: { metrics } });
    const second = refused.connect().send(CONNECT);
    second.send('\x16\x03\x01hello');
    refused.cluster('a').last.fail('connectionFailure', 'ECONNREFUSED');
    const rest = seen.slice(3);
    // A connect route that fails is a request answered 503; inside an open tunnel it is a connection that failed.
    expect(rest).toEqual('routes' in options ? ['request'] : ['opened', '8/0', 'closed']);
  },
);
