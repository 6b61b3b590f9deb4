import { once } from 'node:events';
import { createServer, type Http2Server, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import { createServer as createTlsServer, type TlsOptions } from 'node:tls';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import {
  type IssuedCertificate,
  makeAuthority,
  type TestAuthority,
} from '../../test/certificates.ts';
import { RequestHead } from '../http/message.ts';
import { SettingId } from '../http2/frame/settings.ts';
import { HpackDecoder } from '../http2/hpack/hpack-decoder.ts';
import {
  data,
  END_STREAM,
  goaway,
  headers,
  ping,
  reset,
  SETTINGS_ACK,
  settings,
} from '../http2/wire.testing.ts';
import { ManualClock } from '../tcp/manual-clock.testing.ts';
import { TimerLists } from '../tcp/timer-list.ts';
import type { UpstreamTlsConfig } from '../tls/tls-config.ts';
import {
  clusterConfig,
  clusterManager,
  endpointConfig,
  getRequest,
  loopback,
  NO_CONTEXT,
  RecordingSink,
} from './cluster.testing.ts';
import type { EndpointConfig } from './cluster-config.ts';
import type { LiveCluster } from './live-cluster.ts';
import type { PendingStream } from './upstream.ts';

/** Pools of HTTP/2, against the HTTP/2 of Node and against frames written by hand. */

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turn();
}

type Change = Parameters<typeof clusterConfig>[1];

function clusterOf(port: number, change: Change = {}, timers = new TimerLists()): LiveCluster {
  const { manager } = clusterManager({ timers });
  cleanups.push(() => manager.close());
  manager.setCluster(clusterConfig([{ port }], { httpProtocol: 'HTTP2', ...change }));
  return manager.get('test')!;
}

function send(
  cluster: LiveCluster,
  sink = new RecordingSink(),
  head = getRequest(),
): [RecordingSink, PendingStream] {
  const endpoint = cluster.pickEndpoint(NO_CONTEXT)!;
  return [sink, cluster.openStream(endpoint, head, head.upgrade === '', sink)];
}

function sendMany(cluster: LiveCluster, count: number): RecordingSink[] {
  return Array.from({ length: count }, () => send(cluster)[0]);
}

const outcomes = (sinks: readonly RecordingSink[]) =>
  Promise.all(sinks.map(({ outcome }) => outcome));

/** What is counted as under way; all zero once everything has ended. */
function underWay({ breaker, endpoints }: LiveCluster): object {
  const { requests, pendingRequests } = breaker;
  return { requests, pendingRequests, active: endpoints.map(({ active }) => active) };
}
const NOTHING = { requests: 0, pendingRequests: 0, active: [0] };

interface NodeServer {
  readonly port: number;
  readonly server: Http2Server;
  connections: number;
  readonly streams: ServerHttp2Stream[];
}

/** The HTTP/2 server of Node. `answer`: at once, or left to the test. */
async function nodeServer(
  options: { maxConcurrentStreams?: number; answer?: boolean } = {},
): Promise<NodeServer> {
  const { maxConcurrentStreams, answer = true } = options;
  const server = createServer(
    maxConcurrentStreams === undefined ? {} : { settings: { maxConcurrentStreams } },
  );
  const made: NodeServer = { port: 0, server, connections: 0, streams: [] };
  const sessions = new Set<{ destroy(): void }>();
  server.on('session', (session) => {
    made.connections++;
    sessions.add(session);
    session.on('error', () => {});
    session.on('close', () => sessions.delete(session));
  });
  server.on('stream', (stream: ServerHttp2Stream) => {
    stream.on('error', () => {});
    made.streams.push(stream);
    if (answer) respond(stream);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanups.push(() => {
    server.close();
    for (const session of sessions) session.destroy();
  });
  return Object.assign(made, { port: (server.address() as AddressInfo).port });
}

function respond(stream: ServerHttp2Stream, body = 'hello'): void {
  stream.respond({ ':status': 200 });
  stream.end(body);
}

/** A server of raw frames, which keeps what each connection has sent. */
class FrameServer {
  readonly sockets: Socket[] = [];
  readonly #seen = new Map<Socket, Buffer>();
  port = 0;

  static async start(onConnection: (socket: Socket) => void): Promise<FrameServer> {
    const made = new FrameServer();
    const { port, close } = await loopback((socket) => made.#take(socket, onConnection));
    cleanups.push(close);
    made.port = port;
    return made;
  }

  static async startTls(
    options: TlsOptions,
    onConnection: (socket: Socket) => void,
  ): Promise<FrameServer> {
    const made = new FrameServer();
    const server = createTlsServer(options, (socket) => made.#take(socket, onConnection));
    server.on('tlsClientError', () => {});
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    cleanups.push(() => {
      server.close();
      for (const socket of made.sockets) socket.destroy();
    });
    made.port = (server.address() as AddressInfo).port;
    return made;
  }

  #take(socket: Socket, onConnection: (socket: Socket) => void): void {
    this.sockets.push(socket);
    this.#seen.set(socket, Buffer.alloc(0));
    socket.on('error', () => {});
    socket.on('data', (bytes: Buffer) => {
      this.#seen.set(socket, Buffer.concat([this.#seen.get(socket)!, bytes]));
    });
    socket.on('end', () => socket.end());
    onConnection(socket);
  }

  /** All that has been received, as text. */
  text(index: number): string {
    const socket = this.sockets[index];
    return socket === undefined ? '' : this.#seen.get(socket)!.toString('latin1');
  }

  /** Ids of the streams opened on a connection, in order. */
  streams(index = 0): number[] {
    return this.#frames(index)
      .filter(({ type }) => type === FRAME_HEADERS)
      .map(({ id }) => id);
  }

  /** The client has read our SETTINGS: after its own comes its acknowledgement. */
  settingsTaken(index: number): boolean {
    return this.count(index, FRAME_SETTINGS) >= 2;
  }

  count(index: number, type: number): number {
    return this.#frames(index).filter((frame) => frame.type === type).length;
  }

  /** The values of a field in the requests of a connection; each in one HEADERS frame. */
  fields(index: number, name: string): string[] {
    const decoder = new HpackDecoder(4096, 1 << 20, 1000);
    const values: string[] = [];
    for (const { type, payload } of this.#frames(index)) {
      if (type !== FRAME_HEADERS || !decoder.decode(payload, 0, payload.length)) continue;
      const at = decoder.fields.indexOf(name);
      if (at >= 0) values.push(decoder.fields[at + 1]!);
    }
    return values;
  }

  #frames(index: number): { type: number; id: number; payload: Buffer }[] {
    const socket = this.sockets[index];
    const bytes = socket === undefined ? Buffer.alloc(0) : this.#seen.get(socket)!;
    const found = [];
    for (let at = PREFACE_BYTES; at + 9 <= bytes.length; at += 9 + bytes.readUIntBE(at, 3)) {
      const payload = bytes.subarray(at + 9, at + 9 + bytes.readUIntBE(at, 3));
      found.push({ type: bytes[at + 3]!, id: bytes.readUInt32BE(at + 5), payload });
    }
    return found;
  }
}
const PREFACE_BYTES = 24;
const FRAME_HEADERS = 1;
const FRAME_SETTINGS = 4;
const FRAME_PING = 6;
const FRAME_GOAWAY = 7;

const HELLO = Buffer.concat([settings(), SETTINGS_ACK]);
const answerTo = (id: number) =>
  Buffer.concat([headers(id, 0, ':status', '200'), data(id, END_STREAM, 'ok')]);

describe('HttpPool of HTTP/2', () => {
  test('[PR-06] a hundred requests wait for one connection, and share it with those after', async () => {
    const server = await nodeServer();
    const cluster = clusterOf(server.port);
    const first = sendMany(cluster, 100);
    expect(cluster.breaker).toMatchObject({ connections: 1, pendingRequests: 100 });
    await outcomes(first);
    await outcomes(sendMany(cluster, 50));
    expect(first.every(({ status, body }) => status === 200 && body === 'hello')).toBe(true);
    expect(server.connections).toBe(1);
    expect(underWay(cluster)).toEqual(NOTHING);
    const { stats } = cluster;
    expect([stats.connectionsHttp2.value, stats.connectionsHttp1.value]).toEqual([1, 0]);
    expect(stats.requestsPendingTotal.value).toBe(100);
  });

  test('a request on a shared connection is told that others were there before', async () => {
    const server = await nodeServer();
    const cluster = clusterOf(server.port);
    const [first, second] = sendMany(cluster, 2);
    await outcomes([first!, second!]);
    expect([first!.reusedAtStart, second!.reusedAtStart]).toEqual([false, true]);
  });

  test('a connection ahead is opened when the last one is nearly full, and only one', async () => {
    const server = await nodeServer({ answer: false, maxConcurrentStreams: 10 });
    const cluster = clusterOf(server.port);
    const first = send(cluster)[0];
    await until(() => server.streams.length === 1);
    await until(() => first.stream !== null);
    // SETTINGS have come with the first stream.
    const more = sendMany(cluster, 6);
    await until(() => server.streams.length === 7);
    expect(cluster.breaker.connections).toBe(1);
    more.push(send(cluster)[0]);
    expect(cluster.breaker.connections).toBe(2);
    await until(() => server.connections === 2);
    await until(() => more.every(({ stream }) => stream !== null));
    for (const stream of server.streams) respond(stream);
    await until(() => server.streams.length === 8);
    for (const stream of server.streams) if (!stream.headersSent) respond(stream);
    await outcomes([first, ...more]);
    expect(server.connections).toBe(2);
    expect(underWay(cluster)).toEqual(NOTHING);
  });

  test('what a server allows is kept for the next connection: it is not asked for more', async () => {
    const server = await FrameServer.start((socket) =>
      socket.write(Buffer.concat([settings(SettingId.MaxConcurrentStreams, 1), SETTINGS_ACK])),
    );
    const cluster = clusterOf(server.port, { connectionsMax: 3 });
    const first = send(cluster)[0];
    await until(() => server.streams().length === 1 && cluster.breaker.connections === 2);
    server.sockets[0]!.write(answerTo(1));
    await first.outcome;
    server.sockets[0]!.destroy();
    await until(() => cluster.breaker.connections < 2);
    const sinks = sendMany(cluster, 3);
    await until(() => server.sockets.length >= 4 && sinks.every(({ stream }) => stream !== null));
    const opened = server.sockets.map((_, index) => server.streams(index).length);
    expect(Math.max(...opened)).toBe(1);
  });

  test('a server that allows no stream costs one connection a request, and keeps none', async () => {
    const server = await FrameServer.start((socket) => {
      socket.write(Buffer.concat([settings(SettingId.MaxConcurrentStreams, 0), SETTINGS_ACK]));
      socket.once('data', () => socket.write(reset(1, 7)));
    });
    const cluster = clusterOf(server.port);
    for (let count = 1; count <= 3; count++) {
      const [sink] = send(cluster);
      await sink.outcome;
      expect(sink.reset).toBe('remoteRefused: http2.remote_reset_REFUSED_STREAM');
      await until(() => cluster.breaker.connections === 0);
      expect(server.sockets.length).toBe(count);
    }
    expect(underWay(cluster)).toEqual(NOTHING);
  });

  test('[RFC 9113 §5.1.2] a limit that is lowered under running streams keeps new ones off', async () => {
    const server = await FrameServer.start((socket) => socket.write(HELLO));
    const cluster = clusterOf(server.port);
    const running = sendMany(cluster, 3);
    await until(() => server.streams().length === 3);
    server.sockets[0]!.write(settings(SettingId.MaxConcurrentStreams, 2));
    // Its successor is there before the next request.
    await until(() => server.sockets.length === 2);
    const next = send(cluster)[0];
    await until(() => server.streams(1).length === 1);
    expect(server.streams(0)).toEqual([1, 3, 5]);
    server.sockets[0]!.write(Buffer.concat([answerTo(1), answerTo(3), answerTo(5)]));
    server.sockets[1]!.write(answerTo(1));
    await outcomes([...running, next]);
    expect(underWay(cluster)).toEqual(NOTHING);
  });

  test('[RFC 9113 §6.8] a GOAWAY ends streams above its last one as refused, the others run on', async () => {
    const server = await FrameServer.start((socket) => socket.write(HELLO));
    const cluster = clusterOf(server.port);
    const [first, second, third] = sendMany(cluster, 3);
    await until(() => server.streams().length === 3);
    server.sockets[0]!.write(goaway(3));
    await third!.outcome;
    expect(third!.reset).toBe('remoteRefused: http2.goaway');
    expect(underWay(cluster)).toEqual({ requests: 2, pendingRequests: 0, active: [2] });
    // Its successor is there before the next request.
    await until(() => server.sockets.length === 2);
    const next = send(cluster)[0];
    await until(() => server.streams(1).length === 1);
    server.sockets[1]!.write(answerTo(1));
    server.sockets[0]!.write(Buffer.concat([answerTo(1), answerTo(3)]));
    await outcomes([first!, second!, next]);
    expect([first!.status, second!.status, next.status]).toEqual([200, 200, 200]);
    await until(() => cluster.breaker.connections === 1);
    expect(server.count(0, FRAME_GOAWAY)).toBe(1);
    expect(cluster.stats.connectionsCloseNotify.value).toBe(1);
    expect(underWay(cluster)).toEqual(NOTHING);
  });

  test('the endpoint has lost a refused stream by the time that its request is told', async () => {
    const server = await FrameServer.start((socket) => socket.write(HELLO));
    const cluster = clusterOf(server.port);
    const counted: number[] = [];
    class Counting extends RecordingSink {
      override onReset(...args: Parameters<RecordingSink['onReset']>): void {
        counted.push(cluster.endpoints[0]!.active);
        super.onReset(...args);
      }
    }
    const sinks = [new Counting(), new Counting(), new Counting()];
    for (const sink of sinks) send(cluster, sink);
    await until(() => server.streams().length === 3);
    server.sockets[0]!.write(reset(3, 7));
    await sinks[1]!.outcome;
    server.sockets[0]!.write(goaway(1));
    await sinks[2]!.outcome;
    server.sockets[0]!.destroy();
    await sinks[0]!.outcome;
    expect(counted).toEqual([2, 1, 0]);
    expect(sinks.map((sink) => sink.reset)).toEqual([
      'connectionTermination: http2.connection_closed',
      'remoteRefused: http2.remote_reset_REFUSED_STREAM',
      'remoteRefused: http2.goaway',
    ]);
    expect(underWay(cluster)).toEqual(NOTHING);
  });

  test('an idle connection that says GOAWAY after load is replaced once; one without load is not', async () => {
    const server = await FrameServer.start((socket) => socket.write(HELLO));
    const cluster = clusterOf(server.port);
    const first = send(cluster)[0];
    await until(() => server.streams().length === 1);
    server.sockets[0]!.write(answerTo(1));
    await first.outcome;
    server.sockets[0]!.write(goaway(1));
    await until(() => server.sockets.length === 2);
    await until(() => server.settingsTaken(1));
    server.sockets[1]!.write(goaway(0));
    await until(() => cluster.breaker.connections === 0);
    await turn();
    expect(server.sockets.length).toBe(2);
  });

  test('[RS-11] a connection takes requestsPerConnectionMax requests, its successor is there in time', async () => {
    const server = await nodeServer();
    const cluster = clusterOf(server.port, { requestsPerConnectionMax: 5 });
    const sinks = sendMany(cluster, 12);
    await outcomes(sinks);
    expect(sinks.every(({ status }) => status === 200)).toBe(true);
    expect(cluster.stats.connectionsMaxRequests.value).toBe(2);
    expect(server.connections).toBeLessThanOrEqual(4);
    expect(underWay(cluster)).toEqual(NOTHING);
  });

  test('[RS-11] an idle connection says GOAWAY after the idle timeout and is not replaced', async () => {
    const clock = new ManualClock();
    const server = await FrameServer.start((socket) => socket.write(HELLO));
    const cluster = clusterOf(server.port, { idleTimeoutMs: 1_000 }, new TimerLists(clock));
    const [first] = send(cluster);
    await until(() => server.streams().length === 1);
    clock.advance(1_500);
    expect(cluster.stats.connectionsIdleTimeout.value).toBe(0);
    server.sockets[0]!.write(answerTo(1));
    await first.outcome;
    clock.advance(999);
    expect(cluster.stats.connectionsIdleTimeout.value).toBe(0);
    clock.advance(1);
    expect(cluster.stats.connectionsIdleTimeout.value).toBe(1);
    await until(() => cluster.breaker.connections === 0);
    await turn();
    expect(server.sockets.length).toBe(1);
    expect(server.count(0, FRAME_GOAWAY)).toBe(1);
  });

  test('[D9] drained: running streams end in their time, the next request has a new connection', async () => {
    const server = await nodeServer({ answer: false });
    const cluster = clusterOf(server.port);
    const running = send(cluster)[0];
    await until(() => server.streams.length === 1);
    cluster.endpoints[0]!.drainPools();
    const next = send(cluster)[0];
    await until(() => server.streams.length === 2);
    expect(server.connections).toBe(2);
    for (const stream of server.streams) respond(stream);
    await outcomes([running, next]);
    expect([running.status, next.status]).toEqual([200, 200]);
    await until(() => cluster.breaker.connections === 1);
  });

  test('[RS-13] with one connection allowed, requests beyond its streams wait for them', async () => {
    const server = await nodeServer({ maxConcurrentStreams: 2 });
    const cluster = clusterOf(server.port, { connectionsMax: 1 });
    const first = send(cluster)[0];
    await first.outcome;
    const sinks = sendMany(cluster, 20);
    await outcomes(sinks);
    expect(sinks.every(({ status }) => status === 200)).toBe(true);
    expect(server.connections).toBe(1);
    expect(cluster.stats.connectionsOverflow.value).toBeGreaterThan(0);
  });

  test('[RS-13] max_requests counts streams, and max_pending_requests those without a connection', async () => {
    const server = await nodeServer({ answer: false });
    const cluster = clusterOf(server.port, { requestsMax: 2, pendingRequestsMax: 2 });
    const sinks = sendMany(cluster, 3);
    expect(sinks[2]!.failure).toBe('overflow: max_pending_requests');
    await until(() => server.streams.length === 2);
    expect(send(cluster)[0].failure).toBe('overflow: max_requests');
    for (const stream of server.streams) respond(stream);
    await outcomes(sinks.slice(0, 2));
    expect(underWay(cluster)).toEqual(NOTHING);
  });

  test('[D1] a connection that dies ends its streams and has a successor', async () => {
    const server = await FrameServer.start((socket) => socket.write(HELLO));
    const cluster = clusterOf(server.port);
    const sinks = sendMany(cluster, 5);
    await until(() => server.streams().length === 5);
    server.sockets[0]!.resetAndDestroy();
    await outcomes(sinks);
    expect(new Set(sinks.map((sink) => sink.reset))).toEqual(
      new Set(['connectionTermination: ECONNRESET']),
    );
    expect(underWay(cluster)).toEqual(NOTHING);
    await until(() => server.sockets.length === 2);
  });

  test('a server that does not answer a PING in time is left, its streams end', async () => {
    const clock = new ManualClock();
    const server = await FrameServer.start((socket) => socket.write(HELLO));
    const { http2 } = clusterConfig();
    const cluster = clusterOf(
      server.port,
      { http2: { ...http2, keepaliveIntervalMs: 10_000, keepaliveTimeoutMs: 3_000 } },
      new TimerLists(clock),
    );
    const [sink] = send(cluster);
    await until(() => server.streams().length === 1 && server.settingsTaken(0));
    clock.advance(10_000);
    await until(() => server.count(0, FRAME_PING) === 1);
    // An answer to another PING than ours is none.
    server.sockets[0]!.write(ping(1, '........'));
    clock.advance(3_500);
    await sink.outcome;
    expect(sink.reset).toMatch(/^connectionTermination/);
    expect(cluster.stats.keepaliveTimeouts.value).toBe(1);
    expect(underWay(cluster)).toEqual(NOTHING);
  });

  test('[RFC 8441] an upgrade waits for the SETTINGS that allow it', async () => {
    const server = await FrameServer.start(() => {});
    const cluster = clusterOf(server.port);
    const [sink] = send(cluster, new RecordingSink(), webSocket());
    const [plain] = send(cluster);
    await until(() => server.streams().length === 1);
    expect(sink.stream).toBeNull();
    expect(cluster.breaker).toMatchObject({ connections: 1, pendingRequests: 1 });
    server.sockets[0]!.write(
      Buffer.concat([settings(SettingId.EnableConnectProtocol, 1), SETTINGS_ACK, answerTo(1)]),
    );
    await plain.outcome;
    await until(() => sink.stream !== null);
    await until(() => server.streams().length === 2);
    expect(cluster.breaker).toMatchObject({ connections: 1, pendingRequests: 0, requests: 1 });
  });

  test('[RFC 8441] an upgrade that is given up meanwhile is not sent', async () => {
    const server = await FrameServer.start(() => {});
    const cluster = clusterOf(server.port);
    const [, pending] = send(cluster, new RecordingSink(), webSocket());
    await until(() => server.sockets.length === 1 && server.count(0, FRAME_SETTINGS) > 0);
    pending.cancel();
    expect(underWay(cluster)).toEqual(NOTHING);
  });

  test('[RFC 8441] an upgrade does not go through connections for ever that end before they say anything', async () => {
    const server = await FrameServer.start((socket) => socket.once('data', () => socket.destroy()));
    const cluster = clusterOf(server.port);
    const [sink] = send(cluster, new RecordingSink(), webSocket());
    await sink.outcome;
    expect(sink.failure).toBe('connectionFailure: no connection that takes upgrades');
    expect(server.sockets.length).toBe(2);
    expect(underWay(cluster)).toEqual(NOTHING);
  });
});

function webSocket(): RequestHead {
  const head = new RequestHead('GET', 'http', 'test', '/', [], 'HTTP/2');
  head.upgrade = 'websocket';
  return head;
}

describe('[PR-06] HTTP/1.1 where TLS offers to share HTTP/2', () => {
  let authority: TestAuthority;
  let server: IssuedCertificate;
  beforeAll(async () => {
    authority = await makeAuthority();
    server = await authority.issue({ uri: ['spiffe://cluster.local/ns/default/sa/server'] });
  });

  const TLS: UpstreamTlsConfig = {
    certificateSecret: '',
    validationSecret: 'ROOTCA',
    subjectAltNames: [],
    alpnProtocols: ['weft-h2', 'istio-http/1.1'],
    minVersion: 'TLSv1.2',
    maxVersion: 'TLSv1.3',
    ciphers: '',
    sni: '',
  };

  /** A cluster of `http` and a server that prefers its own order of names, like every sidecar. */
  async function setup(
    names: readonly string[],
    onConnection: (socket: Socket) => void,
    clock = new ManualClock(),
  ): Promise<[LiveCluster, FrameServer]> {
    const listening = await FrameServer.startTls(
      {
        cert: server.certificateChainPem,
        key: server.privateKeyPem,
        ALPNProtocols: [...names],
      },
      onConnection,
    );
    const { manager, deps } = clusterManager({ timers: new TimerLists(clock) });
    cleanups.push(() => manager.close());
    deps.secrets.setValidation('ROOTCA', { trustedCaPem: authority.certificatePem });
    manager.setCluster(
      clusterConfig([{ port: listening.port }], { httpProtocol: 'HTTP1', tls: TLS }),
    );
    return [manager.get('test')!, listening];
  }

  test('a sidecar that knows the name gets all requests over one connection', async () => {
    const [cluster, listening] = await setup(['weft-h2', 'istio-http/1.1'], (socket) =>
      socket.write(HELLO),
    );
    const sinks = sendMany(cluster, 20);
    expect(cluster.breaker.connections).toBe(1);
    await until(() => listening.streams().length === 20);
    for (const id of listening.streams()) listening.sockets[0]!.write(answerTo(id));
    await outcomes(sinks);
    expect(listening.sockets.length).toBe(1);
    expect(listening.fields(0, 'x-weft-orig-proto')).toEqual(Array(20).fill('HTTP/1.1'));
  });

  test('one that does not gets HTTP/1.1, with a connection for each request that waits', async () => {
    const answer = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';
    const [cluster, listening] = await setup(['istio-http/1.1'], () => {});
    const sinks = sendMany(cluster, 5);
    expect(cluster.breaker.connections).toBe(1);
    await until(() => listening.sockets.length === 5 && listening.text(4).includes('GET / '));
    const told = [0, 1, 2, 3, 4].filter((at) => listening.text(at).includes('x-weft-'));
    expect(told, 'its app would see the field').toEqual([]);
    for (const socket of listening.sockets) socket.write(answer);
    await outcomes(sinks);
    const { stats } = cluster;
    expect([stats.connectionsHttp1.value, stats.connectionsHttp2.value]).toEqual([5, 0]);
    // It is known by now: so many at once need so many connections.
    const more = sendMany(cluster, 7);
    expect(cluster.breaker.connections).toBe(7);
    await until(() => listening.text(6).includes('GET / '));
    await until(() => listening.sockets.every((_, index) => listening.text(index) !== ''));
    for (const { stream } of more) stream?.reset('localReset');
  });

  test('an upgrade takes a connection of HTTP/1.1 for itself', async () => {
    const [cluster, listening] = await setup(['weft-h2', 'istio-http/1.1'], () => {});
    const head = webSocket();
    head.originalVersion = 'HTTP/1.1';
    const [sink] = send(cluster, new RecordingSink(), head);
    await until(() => listening.text(0).includes('\r\n\r\n'));
    expect(listening.text(0)).toMatch(/^GET \/ HTTP\/1\.1\r\n[\s\S]*upgrade: websocket/i);
    sink.stream!.reset('localReset');
  });

  test('a sidecar that vanished without a word is left within 26 s', async () => {
    const clock = new ManualClock();
    const [cluster, listening] = await setup(['weft-h2'], (socket) => socket.write(HELLO), clock);
    const [sink] = send(cluster);
    await until(() => listening.streams().length === 1 && listening.settingsTaken(0));
    clock.advance(15_000);
    await until(() => listening.count(0, FRAME_PING) === 1);
    clock.advance(10_499);
    expect(sink.reset).toBe('');
    clock.advance(1);
    await sink.outcome;
    expect(sink.reset).toMatch(/^connectionTermination/);
    expect(cluster.stats.keepaliveTimeouts.value).toBe(1);
  });
});

describe('connections ahead of load', () => {
  async function addressed(count: number): Promise<[LiveCluster, NodeServer[]]> {
    const servers = await Promise.all(Array.from({ length: count }, () => nodeServer()));
    const cluster = clusterOf(servers[0]!.port);
    return [cluster, servers];
  }
  const assign = (
    cluster: LiveCluster,
    servers: readonly { port: number }[],
    change: Partial<EndpointConfig> = {},
  ) =>
    cluster.setAssignment({
      version: '2',
      endpoints: servers.map(({ port }) => endpointConfig({ port, ...change })),
    });

  test('new endpoints of a cluster with load get a connection each, four at most', async () => {
    const [cluster, servers] = await addressed(8);
    await outcomes([send(cluster)[0]]);
    assign(cluster, servers);
    await until(() => cluster.stats.connectionsHttp2.value === 5);
    expect(servers.map(({ connections }) => connections)).toEqual([1, 1, 1, 1, 1, 0, 0, 0]);
    assign(cluster, servers);
    expect(cluster.breaker.connections).toBe(5);
  });

  test('without load none is opened, however many come', async () => {
    const [cluster, servers] = await addressed(1);
    const many = Array.from({ length: 10_000 }, (_, index) => ({ port: 10_000 + index }));
    assign(cluster, [...servers, ...many]);
    expect(cluster.breaker.connections).toBe(0);
  });

  test('load of more than a minute ago counts no more', async () => {
    const clock = new ManualClock();
    const servers = [await nodeServer(), await nodeServer()];
    const cluster = clusterOf(servers[0]!.port, {}, new TimerLists(clock));
    await outcomes([send(cluster)[0]]);
    clock.advance(60_000);
    assign(cluster, servers);
    expect(cluster.breaker.connections).toBe(1);
  });

  test('an endpoint that becomes healthy counts as new, one that is unhealthy does not', async () => {
    const [cluster, servers] = await addressed(2);
    await outcomes([send(cluster)[0]]);
    const endpoints = (health: 'HEALTHY' | 'UNHEALTHY') => [
      endpointConfig({ port: servers[0]!.port }),
      endpointConfig({ port: servers[1]!.port, health }),
    ];
    cluster.setAssignment({ version: '2', endpoints: endpoints('UNHEALTHY') });
    expect(cluster.breaker.connections).toBe(1);
    cluster.setAssignment({ version: '3', endpoints: endpoints('HEALTHY') });
    await until(() => servers[1]!.connections === 1);
  });
});
