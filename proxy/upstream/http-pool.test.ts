import { once } from 'node:events';
import http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../tcp/manual-clock.testing.ts';
import { TimerLists } from '../tcp/timer-list.ts';
import {
  answering,
  closedPort,
  clusterConfig,
  clusterManager,
  getRequest,
  type LoopbackServer,
  loopback,
  NO_CONTEXT,
  RecordingSink,
} from './cluster.testing.ts';
import type { LiveCluster } from './live-cluster.ts';
import type { PendingStream } from './upstream.ts';

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

async function serve(onSocket = answering('hello')): Promise<LoopbackServer> {
  const server = await loopback(onSocket);
  cleanups.push(() => server.close());
  return server;
}

function clusterOf(
  port: number,
  change: Parameters<typeof clusterConfig>[1] = {},
  deps: Parameters<typeof clusterManager>[0] = {},
): LiveCluster {
  const { manager } = clusterManager(deps);
  cleanups.push(() => manager.close());
  manager.setCluster(clusterConfig([{ port }], change));
  return manager.get('test')!;
}

function send(cluster: LiveCluster, sink = new RecordingSink()): [RecordingSink, PendingStream] {
  const endpoint = cluster.pickEndpoint(NO_CONTEXT)!;
  return [sink, cluster.openStream(endpoint, getRequest(), true, sink)];
}

async function get(cluster: LiveCluster): Promise<RecordingSink> {
  const [sink] = send(cluster);
  await sink.outcome;
  return sink;
}

const ended = () => new Promise<void>((resolve) => setImmediate(resolve));

describe('HttpPool', () => {
  test('requests one after another share a connection, and the second knows that it is reused', async () => {
    const server = await serve();
    const cluster = clusterOf(server.port);
    const first = await get(cluster);
    expect(first).toMatchObject({ status: 200, body: 'hello', reusedAtStart: false });
    expect(first.connection).toMatchObject({
      remoteAddress: `127.0.0.1:${server.port}`,
      mutualTls: false,
      reused: true,
    });
    expect(await get(cluster)).toMatchObject({ status: 200, reusedAtStart: true });
    expect(server.connections).toBe(1);
    const { stats, breaker } = cluster;
    expect(stats.requestsTotal.value).toBe(2);
    expect(stats.connectionsTotal.value).toBe(1);
    expect([breaker.connections, breaker.requests, breaker.pendingRequests]).toEqual([1, 0, 0]);
    expect(cluster.endpoints[0]).toMatchObject({ active: 0, requestsTotal: 2 });
  });

  test('requests at the same time get a connection each', async () => {
    const server = await serve();
    const cluster = clusterOf(server.port);
    const sinks = await Promise.all(Array.from({ length: 10 }, () => get(cluster)));
    expect(sinks.every(({ status }) => status === 200)).toBe(true);
    expect(server.connections).toBe(10);
    expect(cluster.breaker.connections).toBe(10);
  });

  test('[RS-10] a refused connection is a connectionFailure in the words that Envoy uses', async () => {
    const cluster = clusterOf(await closedPort());
    const sink = await get(cluster);
    expect(sink.failure).toBe('connectionFailure: delayed connect error: Connection refused');
    expect(cluster.stats.connectFails.value).toBe(1);
    expect(cluster.breaker.connections).toBe(0);
    expect(cluster.breaker.pendingRequests).toBe(0);
  });

  test('[RS-10] a connection that does not come up in time is a connectTimeout', async () => {
    // A TLS server that never answers the ClientHello stands for a host that drops packets.
    const server = await serve(() => {});
    const clock = new ManualClock();
    const { manager, deps } = clusterManager({ timers: new TimerLists(clock) });
    cleanups.push(() => manager.close());
    deps.secrets.setValidation('ROOTCA', { trustedCaPem: ROOT_PEM });
    manager.setCluster(
      clusterConfig([{ port: server.port }], {
        connectTimeoutMs: 250,
        tls: {
          certificateSecret: '',
          validationSecret: 'ROOTCA',
          subjectAltNames: [],
          alpnProtocols: [],
          minVersion: 'TLSv1.2',
          maxVersion: 'TLSv1.3',
          ciphers: '',
          sni: '',
        },
      }),
    );
    const cluster = manager.get('test')!;
    const [sink] = send(cluster);
    clock.advance(249);
    expect(sink.failure).toBe('');
    clock.advance(1);
    expect(sink.failure).toBe('connectTimeout: connection timeout');
    expect(cluster.stats.connectTimeouts.value).toBe(1);
  });

  test('[RS-13] one connection: further requests wait for it', async () => {
    const server = await serve();
    const cluster = clusterOf(server.port, { connectionsMax: 1 });
    const sinks = await Promise.all(Array.from({ length: 5 }, () => get(cluster)));
    expect(sinks.every(({ status }) => status === 200)).toBe(true);
    expect(server.connections).toBe(1);
    expect(cluster.stats.connectionsOverflow.value).toBeGreaterThan(0);
  });

  test('[RS-13] requests over pendingRequestsMax overflow', async () => {
    const server = await serve();
    const cluster = clusterOf(server.port, { connectionsMax: 1, pendingRequestsMax: 2 });
    const sinks = Array.from({ length: 4 }, () => send(cluster)[0]);
    expect(sinks.map(({ failure }) => failure)).toEqual([
      '',
      '',
      'overflow: max_pending_requests',
      'overflow: max_pending_requests',
    ]);
    expect(cluster.stats.requestsPendingOverflow.value).toBe(2);
    await Promise.all(sinks.map(({ outcome }) => outcome));
    expect(cluster.breaker.pendingRequests).toBe(0);
  });

  test('[RS-13] requests over requestsMax overflow, and their slots come back', async () => {
    const server = await serve(() => {});
    const cluster = clusterOf(server.port, { requestsMax: 1 });
    const [first] = send(cluster);
    await first.until(() => first.stream !== null);
    expect(send(cluster)[0].failure).toBe('overflow: max_requests');
    first.stream!.reset('localReset');
    expect(cluster.breaker.requests).toBe(0);
    const [third, pending] = send(cluster);
    expect(third.failure).toBe('');
    pending.cancel();
  });

  test('[RS-13] retries over the limit are refused and counted', async () => {
    const cluster = clusterOf(1, { retriesMax: 1 });
    expect(cluster.tryRetry()).toBe(true);
    expect(cluster.tryRetry()).toBe(false);
    cluster.endRetry();
    expect(cluster.tryRetry()).toBe(true);
    expect(cluster.stats.requestsRetry.value).toBe(2);
    expect(cluster.stats.requestsRetryOverflow.value).toBe(1);
  });

  test('a cancelled request is told nothing, and its connection serves the next one', async () => {
    const server = await serve();
    const cluster = clusterOf(server.port);
    const [sink, pending] = send(cluster);
    pending.cancel();
    expect((await get(cluster)).status).toBe(200);
    expect(sink.stream).toBeNull();
    expect(sink.failure).toBe('');
  });

  test('[RS-11] a connection goes after requestsPerConnectionMax requests', async () => {
    const server = await serve();
    const cluster = clusterOf(server.port, { requestsPerConnectionMax: 2 });
    for (let index = 0; index < 4; index++) expect((await get(cluster)).status).toBe(200);
    expect(server.connections).toBe(2);
    expect(cluster.stats.connectionsMaxRequests.value).toBe(2);
  });

  test('[RS-11] an idle connection is closed after the idle timeout', async () => {
    const server = await serve();
    const clock = new ManualClock();
    const cluster = clusterOf(
      server.port,
      { idleTimeoutMs: 1_000 },
      { timers: new TimerLists(clock) },
    );
    await get(cluster);
    clock.advance(999);
    expect(cluster.stats.connectionsIdleTimeout.value).toBe(0);
    clock.advance(1);
    expect(cluster.stats.connectionsIdleTimeout.value).toBe(1);
    while (cluster.breaker.connections > 0) await ended();
    await get(cluster);
    expect(server.connections).toBe(2);
  });

  test('[D4] a peer that names its keep-alive timeout is left before it closes', async () => {
    const server = await serve(answering('x', 'keep-alive: timeout=5\r\n'));
    const clock = new ManualClock();
    const cluster = clusterOf(server.port, {}, { timers: new TimerLists(clock) });
    await get(cluster);
    clock.advance(4_500);
    expect(cluster.stats.connectionsIdleTimeout.value).toBe(1);
  });

  test('[D5] unsolicited bytes burn the connection, and the next request gets a fresh one', async () => {
    const server = await serve();
    const cluster = clusterOf(server.port);
    await get(cluster);
    for (const socket of server.sockets) {
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison');
    }
    while (cluster.breaker.connections > 0) await ended();
    expect(await get(cluster)).toMatchObject({ body: 'hello', reusedAtStart: false });
  });

  test('[D1] a connection lost before the response is a reset', async () => {
    const server = await serve((socket) => socket.on('data', () => socket.resetAndDestroy()));
    const cluster = clusterOf(server.port);
    const sink = await get(cluster);
    expect(sink.reset).toBe('connectionTermination: ECONNRESET');
    expect(cluster.breaker.requests).toBe(0);
    expect(cluster.endpoints[0]!.active).toBe(0);
  });

  test('a failed connection fails all that waits; what they ask for next is tried anew', async () => {
    const cluster = clusterOf(await closedPort());
    const retried = new RecordingSink();
    class Retrying extends RecordingSink {
      override onStreamFailure(...args: Parameters<RecordingSink['onStreamFailure']>): void {
        super.onStreamFailure(...args);
        send(cluster, retried);
      }
    }
    const first = new Retrying();
    const second = new RecordingSink();
    send(cluster, first);
    send(cluster, second);
    await retried.outcome;
    expect(first.failure).toContain('Connection refused');
    expect(second.failure).toContain('Connection refused');
    expect(retried.failure).toContain('Connection refused');
    while (cluster.breaker.connections > 0) await ended();
    expect(cluster.breaker.pendingRequests).toBe(0);
  });

  test('an endpoint that leaves while its connection is made keeps no connection', async () => {
    const server = await serve();
    const cluster = clusterOf(server.port);
    const [sink] = send(cluster);
    cluster.setAssignment({ version: '2', endpoints: [] });
    await sink.outcome;
    expect(sink).toMatchObject({ status: 200, body: 'hello' });
    while (cluster.breaker.connections > 0) await ended();
  });

  test('[RS-13] a request that waited for a connection overflows where requestsMax is reached by then', async () => {
    const server = await serve(() => {});
    const cluster = clusterOf(server.port, { requestsMax: 1 });
    const sinks = [send(cluster)[0], send(cluster)[0]];
    await sinks[1]!.until(() => sinks.some(({ failure }) => failure !== ''));
    expect(sinks.map(({ failure }) => failure).sort()).toEqual(['', 'overflow: max_requests']);
    expect(cluster.breaker.pendingRequests).toBe(0);
  });

  test('[D9] a removed endpoint finishes its request and then closes', async () => {
    let answer: (() => void) | null = null;
    const server = await serve((socket) => {
      socket.on('data', () => {
        answer = () => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok');
      });
      socket.on('end', () => socket.end());
    });
    const cluster = clusterOf(server.port);
    const [sink] = send(cluster);
    while (answer === null) await ended();
    cluster.setAssignment({ version: '2', endpoints: [] });
    expect(cluster.pickEndpoint(NO_CONTEXT)).toBeNull();
    (answer as () => void)();
    await sink.outcome;
    expect(sink).toMatchObject({ status: 200, body: 'ok' });
    while (cluster.breaker.connections > 0) await ended();
  });
});

describe('upgrades over HTTP/2 (RFC 8441 §3: not before the SETTINGS that allow them)', () => {
  async function http2Server(enableConnectProtocol: boolean): Promise<{ port: number }> {
    const server = http2.createServer({ settings: { enableConnectProtocol } });
    const sessions = new Set<http2.ServerHttp2Session>();
    server.on('session', (session) => sessions.add(session));
    server.on('stream', (stream: http2.ServerHttp2Stream, fields: http2.IncomingHttpHeaders) => {
      stream.on('error', () => {});
      stream.respond({ ':status': 200, 'x-protocol': String(fields[':protocol'] ?? '') });
      if (fields[':protocol'] === undefined) stream.end('plain');
      else stream.write('tunnel');
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    cleanups.push(() => {
      for (const session of sessions) session.destroy();
      server.close();
    });
    return { port: (server.address() as AddressInfo).port };
  }

  function upgrade(cluster: LiveCluster): [RecordingSink, PendingStream] {
    const sink = new RecordingSink();
    const head = getRequest('/ws');
    head.upgrade = 'websocket';
    const endpoint = cluster.pickEndpoint(NO_CONTEXT)!;
    return [sink, cluster.openStream(endpoint, head, false, sink)];
  }

  test('the first request of a connection waits for them, others go ahead', async () => {
    const cluster = clusterOf((await http2Server(true)).port, { httpProtocol: 'HTTP2' });
    const [sink] = upgrade(cluster);
    const [plain] = send(cluster);
    await plain.outcome;
    await sink.until(() => sink.body !== '' || sink.reset !== '');
    expect(sink).toMatchObject({ status: 101, body: 'tunnel', reset: '', failure: '' });
    expect(plain).toMatchObject({ status: 200, body: 'plain' });
    expect(cluster.stats.connectionsTotal.value).toBe(1);
    expect(cluster.breaker.pendingRequests).toBe(0);
    sink.stream!.reset('localReset');
  });

  test('where they do not allow it the request fails at once and is not sent', async () => {
    const cluster = clusterOf((await http2Server(false)).port, { httpProtocol: 'HTTP2' });
    const [sink] = upgrade(cluster);
    await sink.outcome;
    expect(sink.reset).toBe('localReset: http2.extended_connect_not_enabled');
    expect(cluster.stats.connectionsTotal.value).toBe(1);
    expect([cluster.breaker.pendingRequests, cluster.breaker.requests]).toEqual([0, 0]);
  });

  test('one that waits is cancelled like any other', async () => {
    const server = await serve(() => {});
    const cluster = clusterOf(server.port, { httpProtocol: 'HTTP2' });
    const [, pending] = upgrade(cluster);
    const [plain] = send(cluster);
    await plain.until(() => plain.stream !== null);
    expect(cluster.breaker.pendingRequests).toBe(1);
    pending.cancel();
    expect(cluster.breaker.pendingRequests).toBe(0);
    expect(cluster.stats.connectionsTotal.value).toBe(1);
  });

  test('a second connection that ends before its SETTINGS fails those that wait for them', async () => {
    const server = await serve((socket) => {
      socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    });
    const cluster = clusterOf(server.port, { httpProtocol: 'HTTP2' });
    const [sink] = upgrade(cluster);
    await sink.outcome;
    expect(sink.failure).toMatch(/^connectionFailure: /);
    expect(server.connections).toBe(2);
    expect([cluster.breaker.pendingRequests, cluster.breaker.requests]).toEqual([0, 0]);
  });
});

test.each([
  ['HTTP1', 'HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n'],
  ['HTTP2', 'HTTP/1.1 200 OK\r\n\r\n'],
] as const)('[OB-06] a server that breaks %s is counted', async (httpProtocol, answer) => {
  const server = await serve((socket) => socket.on('data', () => socket.write(answer)));
  const cluster = clusterOf(server.port, { httpProtocol });
  const [sink] = send(cluster);
  await sink.outcome;
  expect(sink.reset).toMatch(/^protocolError: /);
  const { connectionsProtocolError, connectionsDestroyed } = cluster.stats;
  while (connectionsDestroyed.value === 0) await ended();
  // A connection that had work is replaced once, and the next one ends in the same way.
  expect(connectionsProtocolError.value).toBe(connectionsDestroyed.value);
  expect((await get(clusterOf((await serve()).port))).status).toBe(200);
});

/** A root that signed nothing; any well-formed certificate does. */
const ROOT_PEM = await (await import('../../test/certificates.ts'))
  .makeAuthority()
  .then(({ certificatePem }) => certificatePem);
