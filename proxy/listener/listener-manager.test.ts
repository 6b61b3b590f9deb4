import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import {
  type IssuedCertificate,
  makeAuthority,
  type TestAuthority,
} from '../../test/certificates.ts';
import { ResponseFlag } from '../observe/request-record.ts';
import { ManualClock } from '../tcp/manual-clock.testing.ts';
import { TimerLists } from '../tcp/timer-list.ts';
import {
  bind,
  Client,
  downstreamTls,
  httpChain,
  listenerConfig,
  listenerManager,
  RecordingLog,
} from './listener.testing.ts';

const SERVER = 'spiffe://cluster.local/ns/default/sa/server';
const CLIENT = 'spiffe://cluster.local/ns/default/sa/client';
let authority: TestAuthority;
let server: IssuedCertificate;
let client: IssuedCertificate;
beforeAll(async () => {
  authority = await makeAuthority();
  server = await authority.issue({ uri: [SERVER] });
  client = await authority.issue({ uri: [CLIENT] });
});

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

function setup(change: Parameters<typeof listenerManager>[0] = {}) {
  const all = listenerManager(change);
  cleanups.push(() => all.manager.destroy());
  return all;
}

function meshSetup(change: Parameters<typeof listenerManager>[0] = {}) {
  const all = setup(change);
  expect(all.secrets.setCertificate('default', server)).toBe('');
  expect(all.secrets.setValidation('ROOTCA', { trustedCaPem: authority.certificatePem })).toBe('');
  return all;
}

function clientTo(port: number): Client {
  const made = Client.to(port);
  cleanups.push(() => made.socket.destroy());
  return made;
}

function tlsClientTo(port: number, change: object = {}): Client {
  const made = new Client(
    connectTls({
      port,
      host: '127.0.0.1',
      ca: authority.certificatePem,
      cert: client.certificateChainPem,
      key: client.privateKeyPem,
      ALPNProtocols: ['istio-http/1.1'],
      servername: 'outbound_.80_._.reviews.default.svc.cluster.local',
      checkServerIdentity: () => undefined,
      ...change,
    }),
  );
  cleanups.push(() => made.socket.destroy());
  return made;
}

/** The value of a counter by its dotted or own name. */
function counter(stats: ReturnType<typeof setup>['stats'], name: string): number {
  for (const [, series] of stats.series()) {
    if (series.dotted.endsWith(name) && series.metric !== null) {
      return (series.metric as { value: number }).value;
    }
  }
  throw new Error(`no series ${name}`);
}

describe('ListenerManager', () => {
  test('a plain connection reaches the filter with its addresses and bytes', async () => {
    const { manager, filter } = setup();
    const port = await bind(manager, listenerConfig([httpChain('http')]));
    const peer = clientTo(port);
    peer.socket.write('GET / HTTP/1.1\r\n');
    const http = filter('http');
    await http.until(() => http.accepted[0]?.text === 'GET / HTTP/1.1\r\n');
    const [connection] = http.accepted;
    expect(connection!.info).toMatchObject({
      localAddress: `127.0.0.1:${port}`,
      remoteAddress: `127.0.0.1:${peer.socket.localPort}`,
      mutualTls: false,
      tls: false,
      peerPrincipal: '',
      requestedServerName: '',
    });
    connection!.transport.write('HTTP/1.1 200 OK\r\n');
    await peer.until(() => peer.text === 'HTTP/1.1 200 OK\r\n');
    expect(manager.connectionsActive).toBe(1);
    peer.socket.resetAndDestroy();
    await http.until(() => connection!.closed === 'ECONNRESET');
    expect(manager.connectionsActive).toBe(0);
  });

  test('a port in use is a problem that names listener, address and reason', async () => {
    const { manager } = setup();
    const port = await bind(manager, listenerConfig([httpChain('http')]));
    const result = await manager.set(listenerConfig([httpChain('http')], { name: 'other', port }));
    expect(result).toEqual({
      kind: 'problem',
      detail: `listener 'other' cannot listen on 127.0.0.1:${port}: another process has the port (EADDRINUSE)`,
    });
    expect(manager.listeners.has('other')).toBe(false);
  });

  test('a changed listener keeps its socket: old connections drain, new ones get the new chain', async () => {
    const { manager, filter } = setup();
    const port = await bind(manager, listenerConfig([httpChain('old')]));
    const before = clientTo(port);
    await filter('old').until(() => filter('old').accepted.length === 1);
    const swapped = await manager.set(listenerConfig([httpChain('new')], { version: '2' }));
    expect(swapped).toEqual({ kind: 'listening', address: '127.0.0.1', port });
    expect(filter('old').accepted[0]!.drained).toBe(true);
    filter('old').accepted[0]!.drained = false;
    await manager.set(listenerConfig([httpChain('new')], { version: '2' }));
    expect(filter('old').accepted[0]!.drained).toBe(false);
    clientTo(port);
    await filter('new').until(() => filter('new').accepted.length === 1);
    before.socket.write('still here');
    await filter('old').until(() => filter('old').accepted[0]!.text === 'still here');
  });

  test('[OP-05] draining tells old and new connections, and goes on accepting', async () => {
    const { manager, filter } = setup();
    const port = await bind(manager, listenerConfig([httpChain('http')]));
    clientTo(port);
    const http = filter('http');
    await http.until(() => http.accepted.length === 1);
    manager.drain();
    clientTo(port);
    await http.until(() => http.accepted.length === 2);
    expect(http.accepted.map(({ drained }) => drained)).toEqual([true, true]);
    manager.stopAccepting();
    const refused = clientTo(port);
    await refused.until(() => refused.error === 'ECONNREFUSED');
  });

  test('a removed listener lets its connections end', async () => {
    const { manager, filter } = setup();
    const port = await bind(manager, listenerConfig([httpChain('http')]));
    const peer = clientTo(port);
    const http = filter('http');
    await http.until(() => http.accepted.length === 1);
    manager.remove('test');
    expect(manager.connectionsActive).toBe(1);
    peer.socket.write('more');
    await http.until(() => http.accepted[0]!.text === 'more');
    const refused = clientTo(port);
    await refused.until(() => refused.error === 'ECONNREFUSED');
  });

  test('[A1.5] connections over the limit are refused, those there are untouched', async () => {
    const { manager, filter, stats } = setup({ connectionsPerListenerMax: 2 });
    const port = await bind(manager, listenerConfig([httpChain('http')]));
    const http = filter('http');
    const first = clientTo(port);
    clientTo(port);
    await http.until(() => http.accepted.length === 2);
    const third = clientTo(port);
    await third.until(() => third.closed);
    expect(counter(stats, 'downstream_cx_overflow')).toBe(1);
    first.socket.write('fine');
    await http.until(() => http.accepted.some(({ text }) => text === 'fine'));
  });

  test('[D13] all listeners together keep to the limit of open files', async () => {
    const { manager, filter, stats } = setup({ connectionsMax: 1 });
    const port = await bind(manager, listenerConfig([httpChain('http')]));
    clientTo(port);
    await filter('http').until(() => filter('http').accepted.length === 1);
    const second = clientTo(port);
    await second.until(() => second.closed);
    expect(counter(stats, 'downstream_cx_overflow')).toBe(1);
  });

  test('[A1.5] a listener that ignores the limit takes connections beyond it', async () => {
    const { manager, filter, stats } = setup({ connectionsMax: 1 });
    const config = listenerConfig([httpChain('http')], { ignoresConnectionsMax: true });
    const port = await bind(manager, config);
    clientTo(port);
    clientTo(port);
    await filter('http').until(() => filter('http').accepted.length === 2);
    expect(counter(stats, 'downstream_cx_overflow')).toBe(0);
  });

  test('a connection that matches no chain is closed, logged with NR and counted', async () => {
    const log = new RecordingLog();
    const { manager, stats, logged } = setup();
    const chain = httpChain('http', { match: { destinationPort: 1 } });
    const port = await bind(manager, listenerConfig([chain], { accessLogs: [log] }));
    const peer = clientTo(port);
    await peer.until(() => peer.closed);
    expect(log.records[0]).toMatchObject({ flags: ResponseFlag.NR });
    expect(log.records[0]!.downstream.remoteAddress).toMatch(/^127\.0\.0\.1:\d+$/);
    expect(counter(stats, 'no_filter_chain_match')).toBe(1);
    expect(logged).toEqual(['connection refused: filter chain not found']);
  });
});

describe('mutual TLS', () => {
  test('[SC-01] a verified client reaches the filter with both identities', async () => {
    const { manager, filter, stats } = meshSetup();
    const port = await bind(manager, listenerConfig([httpChain('http', { tls: downstreamTls() })]));
    const peer = tlsClientTo(port);
    peer.socket.write('hello');
    const http = filter('http');
    await http.until(() => http.accepted[0]?.text === 'hello');
    const { info, transport } = http.accepted[0]!;
    expect(info).toMatchObject({
      peerPrincipal: CLIENT,
      localPrincipal: SERVER,
      mutualTls: true,
      tls: true,
      alpnProtocol: 'istio-http/1.1',
      requestedServerName: 'outbound_.80_._.reviews.default.svc.cluster.local',
      peerCertificate: { principal: CLIENT, uriSans: [CLIENT] },
    });
    expect(info.peerCertificate!.sha256).toMatch(/^[0-9a-f]{64}$/);
    transport.write('answer');
    await peer.until(() => peer.text === 'answer');
    expect(counter(stats, 'ssl.handshake')).toBe(1);
    peer.socket.end();
    await http.until(() => http.accepted[0]!.ended);
    transport.closeAfterFlush();
    await peer.until(() => peer.closed);
    while (manager.connectionsActive > 0) await new Promise((resolve) => setImmediate(resolve));
  });

  test('[I4] an aborted TLS session ends in a reset, and is gone here too', async () => {
    const { manager, filter } = meshSetup();
    const port = await bind(manager, listenerConfig([httpChain('http', { tls: downstreamTls() })]));
    const peer = tlsClientTo(port, { allowHalfOpen: true });
    peer.socket.write('x');
    const http = filter('http');
    await http.until(() => http.accepted[0]?.text === 'x');
    http.accepted[0]!.transport.abort();
    await peer.until(() => peer.closed);
    expect([peer.error, peer.ended]).toEqual(['ECONNRESET', false]);
    while (manager.connectionsActive > 0) await new Promise((resolve) => setImmediate(resolve));
  });

  test('[SC-02] plain text to a STRICT port is reset with no answer, logged and counted', async () => {
    const { manager, stats, logged } = meshSetup();
    const port = await bind(manager, listenerConfig([httpChain('http', { tls: downstreamTls() })]));
    const peer = clientTo(port);
    peer.socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n');
    await peer.until(() => peer.closed);
    expect(peer.text).toBe('');
    expect(peer.error).toBe('ECONNRESET');
    expect(logged).toEqual(['connection refused: plain text to a port that takes TLS only']);
    expect(counter(stats, 'weft_tls_required_total{listener="test"}')).toBe(1);
  });

  test('[SC-02] PERMISSIVE takes both on one port', async () => {
    const { manager, filter } = meshSetup();
    const port = await bind(
      manager,
      listenerConfig(
        [
          httpChain('mesh', {
            tls: downstreamTls(),
            match: {
              transportProtocol: 'tls',
              applicationProtocols: ['istio', 'istio-http/1.1'],
            },
          }),
          httpChain('plain', { match: { transportProtocol: 'raw_buffer' } }),
          httpChain('app-tls', { match: { transportProtocol: 'tls' } }),
        ],
        { inspectTls: true },
      ),
    );
    clientTo(port).socket.write('GET / HTTP/1.1\r\n');
    await filter('plain').until(() => filter('plain').accepted[0]?.text === 'GET / HTTP/1.1\r\n');
    tlsClientTo(port).socket.write('inner');
    await filter('mesh').until(() => filter('mesh').accepted[0]?.text === 'inner');
    // The app's own TLS is not ours to end: its bytes go on as they came.
    tlsClientTo(port, { ALPNProtocols: ['http/1.1'] });
    await filter('app-tls').until(() => (filter('app-tls').accepted[0]?.text ?? '') !== '');
    expect(filter('app-tls').accepted[0]!.text.charCodeAt(0)).toBe(0x16);
    expect(filter('app-tls').accepted[0]!.info.tls).toBe(false);
  });

  test('[A1.3] a client without a certificate gets the alert', async () => {
    const { manager, stats } = meshSetup();
    const port = await bind(manager, listenerConfig([httpChain('http', { tls: downstreamTls() })]));
    const peer = tlsClientTo(port, { cert: undefined, key: undefined });
    await peer.until(() => peer.closed);
    expect(peer.error).toBe('ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED');
    expect(counter(stats, 'weft_tls_handshake_fail_total{listener="test",reason="no_cert"}')).toBe(
      1,
    );
    expect(manager.connectionsActive).toBe(0);
  });

  test('a client of another authority is refused', async () => {
    const { manager, filter, logged } = meshSetup();
    const port = await bind(manager, listenerConfig([httpChain('http', { tls: downstreamTls() })]));
    const stranger = await (await makeAuthority('other')).issue({ uri: [CLIENT] });
    const peer = tlsClientTo(port, {
      cert: stranger.certificateChainPem,
      key: stranger.privateKeyPem,
    });
    await peer.until(() => peer.closed);
    expect(filter('http').accepted).toEqual([]);
    expect(logged[0]).toMatch(/certificate verify failed: UNABLE_TO/);
  });

  test('an expired client certificate is refused', async () => {
    const { manager, filter, logged } = meshSetup();
    const port = await bind(manager, listenerConfig([httpChain('http', { tls: downstreamTls() })]));
    const old = await authority.issue({ uri: [CLIENT], notBeforeMs: -50_000, notAfterMs: -10_000 });
    const peer = tlsClientTo(port, { cert: old.certificateChainPem, key: old.privateKeyPem });
    await peer.until(() => peer.closed);
    expect(filter('http').accepted).toEqual([]);
    expect(logged[0]).toMatch(/CERT_HAS_EXPIRED/);
  });

  test('[SC-18] TLS 1.1 is refused', async () => {
    const { manager, stats } = meshSetup();
    const port = await bind(manager, listenerConfig([httpChain('http', { tls: downstreamTls() })]));
    const peer = tlsClientTo(port, {
      minVersion: 'TLSv1.1',
      maxVersion: 'TLSv1.1',
      ciphers: 'DEFAULT@SECLEVEL=0',
    });
    await peer.until(() => peer.closed);
    expect(peer.error).not.toBe('');
    expect(counter(stats, 'reason="protocol"}')).toBe(1);
  });

  test('[SC-05] new handshakes use the new certificate, open connections keep going', async () => {
    const { manager, filter, secrets } = meshSetup();
    const port = await bind(manager, listenerConfig([httpChain('http', { tls: downstreamTls() })]));
    const http = filter('http');
    const before = tlsClientTo(port);
    before.socket.write('a');
    await http.until(() => http.accepted[0]?.text === 'a');
    const renewed = await authority.issue({
      uri: ['spiffe://cluster.local/ns/default/sa/renewed'],
    });
    expect(secrets.setCertificate('default', renewed)).toBe('');
    tlsClientTo(port).socket.write('b');
    await http.until(() => http.accepted[1]?.text === 'b');
    expect(http.accepted[1]!.info.localPrincipal).toBe(renewed.principal);
    before.socket.write('c');
    await http.until(() => http.accepted[0]!.text === 'ac');
  });

  test('[SC-06] two roots can be trusted at once', async () => {
    const { manager, filter, secrets } = meshSetup();
    const next = await makeAuthority('next root');
    const both = `${authority.certificatePem}\n${next.certificatePem}`;
    expect(secrets.setValidation('ROOTCA', { trustedCaPem: both })).toBe('');
    const port = await bind(manager, listenerConfig([httpChain('http', { tls: downstreamTls() })]));
    const issued = await next.issue({ uri: [CLIENT] });
    tlsClientTo(port, { cert: issued.certificateChainPem, key: issued.privateKeyPem });
    tlsClientTo(port);
    await filter('http').until(() => filter('http').accepted.length === 2);
  });

  test('without a certificate of our own the connection is closed and the reason logged', async () => {
    const { manager, logged } = setup();
    const port = await bind(manager, listenerConfig([httpChain('http', { tls: downstreamTls() })]));
    const peer = tlsClientTo(port);
    await peer.until(() => peer.closed);
    expect(logged).toEqual(["connection refused: certificate 'default' has not arrived yet"]);
    expect(manager.connectionsActive).toBe(0);
  });

  test('ALPN without a common protocol goes on without one, as in Envoy', async () => {
    const { manager, filter } = meshSetup();
    const port = await bind(manager, listenerConfig([httpChain('http', { tls: downstreamTls() })]));
    tlsClientTo(port, { ALPNProtocols: ['something-else'] });
    await filter('http').until(() => filter('http').accepted.length === 1);
    expect(filter('http').accepted[0]!.info.alpnProtocol).toBe('');
  });

  test('a client that leaves in the middle of the handshake is gone at once', async () => {
    const clock = new ManualClock();
    const { manager, logged } = meshSetup({ timers: new TimerLists(clock) });
    const port = await bind(manager, listenerConfig([httpChain('http', { tls: downstreamTls() })]));
    const peer = clientTo(port);
    peer.socket.write(await clientHello());
    await once(peer.socket, 'data');
    peer.socket.end();
    await peer.until(() => peer.closed);
    expect(logged.join()).toContain('connection closed during the TLS handshake');
  });

  test('[A1.9] a handshake that stalls is ended after its timeout', async () => {
    const clock = new ManualClock();
    const { manager, logged } = meshSetup({ timers: new TimerLists(clock) });
    const port = await bind(manager, listenerConfig([httpChain('http', { tls: downstreamTls() })]));
    const peer = clientTo(port);
    await once(peer.socket, 'connect');
    while (manager.connectionsActive === 0) await new Promise((resolve) => setImmediate(resolve));
    clock.advance(10_000);
    await peer.until(() => peer.closed);
    expect(logged).toEqual(['connection refused: protocol not clear in time, after 0 bytes']);
  });
});

describe('protocol detection', () => {
  const chains = [
    httpChain('http', { match: { applicationProtocols: ['http/1.1', 'http/1.0'] } }),
    httpChain('opaque'),
  ];
  const config = (change = {}) =>
    listenerConfig(chains, { inspectTls: true, inspectHttp: true, ...change });

  test('[PR-02] HTTP and other bytes on one port go different ways, cut anywhere', async () => {
    const { manager, filter } = setup();
    const port = await bind(manager, config());
    const http = clientTo(port);
    for (const part of ['GE', 'T /x HT', 'TP/1.1\r', '\n']) {
      http.socket.write(part);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await filter('http').until(() => filter('http').accepted[0]?.text === 'GET /x HTTP/1.1\r\n');
    clientTo(port).socket.write('*1\r\n$4\r\nPING\r\n');
    await filter('opaque').until(
      () => filter('opaque').accepted[0]?.text === '*1\r\n$4\r\nPING\r\n',
    );
  });

  test('[A1.4] silence is closed after the timeout', async () => {
    const clock = new ManualClock();
    const { manager, stats } = setup({ timers: new TimerLists(clock) });
    const port = await bind(manager, config({ inspectTimeoutMs: 5_000 }));
    const peer = clientTo(port);
    peer.socket.write('G');
    while (manager.connectionsActive === 0) await new Promise((resolve) => setImmediate(resolve));
    clock.advance(5_000);
    await peer.until(() => peer.closed);
    expect(counter(stats, 'downstream_pre_cx_timeout')).toBe(1);
  });

  test('[PR-03] with continueOnInspectTimeout a server-first protocol gets through', async () => {
    const clock = new ManualClock();
    const { manager, filter } = setup({ timers: new TimerLists(clock) });
    const port = await bind(manager, config({ continueOnInspectTimeout: true }));
    const peer = clientTo(port);
    while (manager.connectionsActive === 0) await new Promise((resolve) => setImmediate(resolve));
    clock.advance(15_000);
    await filter('opaque').until(() => filter('opaque').accepted.length === 1);
    filter('opaque').accepted[0]!.transport.write('220 ready\r\n');
    await peer.until(() => peer.text === '220 ready\r\n');
  });

  test('[PR-02] the preface of HTTP/2 reaches the HTTP chain whole, behind the peek', async () => {
    const { manager, filter } = setup();
    const port = await bind(manager, listenerConfig([httpChain('http')], { inspectHttp: true }));
    const peer = clientTo(port);
    const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
    peer.socket.write(preface);
    await filter('http').until(() => filter('http').accepted[0]?.text === preface);
  });

  test('a broken ClientHello is closed', async () => {
    const { manager, logged } = setup();
    const port = await bind(manager, config());
    const peer = clientTo(port);
    peer.socket.write(Buffer.from([0x16, 3, 1, 0, 2, 2, 0]));
    await peer.until(() => peer.closed);
    expect(logged[0]).toContain('bad ClientHello');
  });
});

/** The first bytes of a TLS client. */
async function clientHello(): Promise<Buffer> {
  const capture = createServer();
  capture.listen(0, '127.0.0.1');
  await once(capture, 'listening');
  const { port } = capture.address() as AddressInfo;
  const client = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false });
  client.on('error', () => {});
  const [socket] = (await once(capture, 'connection')) as [Socket];
  const [hello] = (await once(socket, 'data')) as [Buffer];
  client.destroy();
  socket.destroy();
  capture.close();
  return hello;
}
