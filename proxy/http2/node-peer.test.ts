import http2 from 'node:http2';
import net from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { until } from '../../test/harness/until.ts';
import { RequestHead, ResponseHead } from '../http/message.ts';
import type { BodySink, ServerHandler, ServerStream } from '../http/stream.ts';
import { RecordingListener, RecordingSink } from '../http1/recorder.testing.ts';
import { DEFAULT_TRANSPORT_OPTIONS, SocketTransport } from '../tcp/socket-transport.ts';
import { TimerLists } from '../tcp/timer-list.ts';
import { Http2ClientConnection } from './client-connection.ts';
import {
  type Http2ServerOptions,
  http2ClientOptions,
  http2ServerOptions,
} from './connection-options.ts';
import { Http2ServerConnection } from './server-connection.ts';

/** node:http2 as a foreign peer of both roles, over loopback. */

const timers = new TimerLists();
const open: { close?(): unknown; destroy?(): unknown }[] = [];
afterEach(() => {
  for (const resource of open.splice(0).reverse()) {
    if (resource.destroy !== undefined) resource.destroy();
    else resource.close!();
  }
});

async function listen(server: net.Server | http2.Http2Server): Promise<number> {
  open.push({ close: () => server.close() });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as net.AddressInfo).port;
}

/** Echoes the body with its trailers, after 103. */
const echo: ServerHandler = {
  onRequest(stream: ServerStream, head: RequestHead, endStream: boolean): BodySink {
    stream.writeInformational(new ResponseHead(103, ['link', '</a>; rel=preload']));
    const tunnel = head.upgrade === 'connect';
    const headers = ['x-saw', `${head.method} ${head.path}`];
    if (head.contentLength >= 0) headers.push('content-length', `${head.contentLength}`);
    stream.writeHead(new ResponseHead(200, headers), endStream && !tunnel);
    return {
      onData(chunk, end) {
        if (!stream.writeData(chunk, end)) stream.pause();
      },
      onTrailers: (trailers) => stream.writeTrailers(trailers),
      onReset() {},
      onDrain: () => stream.resume(),
    };
  },
  onProtocolError() {},
};

/** A server of ours and a client session of Node's. */
async function nodeClient(
  handler: ServerHandler = echo,
  options: Partial<Http2ServerOptions> = {},
) {
  const connections: Http2ServerConnection[] = [];
  const port = await listen(
    net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      open.push(socket);
      const transport = new SocketTransport(socket, timers, DEFAULT_TRANSPORT_OPTIONS);
      const connection = new Http2ServerConnection(transport, handler, http2ServerOptions(options));
      connections.push(connection);
      transport.attach(connection);
    }),
  );
  const session = http2.connect(`http://127.0.0.1:${port}`);
  session.on('error', () => {});
  open.push(session);
  await new Promise((resolve) => session.once('connect', resolve));
  return { session, connections };
}

interface Answer {
  readonly head: http2.IncomingHttpHeaders;
  readonly informational: number[];
  readonly trailers: http2.IncomingHttpHeaders;
  readonly body: Buffer;
}

function answerOf(stream: http2.ClientHttp2Stream): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    const informational: number[] = [];
    let head: http2.IncomingHttpHeaders = {};
    let trailers: http2.IncomingHttpHeaders = {};
    stream.on('headers', (fields) => informational.push(Number(fields[':status'])));
    stream.on('response', (fields) => {
      head = fields;
    });
    stream.on('trailers', (fields) => {
      trailers = fields;
    });
    stream.on('data', (part: Buffer) => parts.push(part));
    stream.on('error', reject);
    stream.on('end', () => resolve({ head, informational, trailers, body: Buffer.concat(parts) }));
  });
}

const pattern = (bytes: number) =>
  Buffer.from(Uint8Array.from({ length: bytes }, (_, at) => at % 251));

describe('server role', () => {
  test('requests without body, on one connection, one after another and at once', async () => {
    const { session, connections } = await nodeClient();
    const first = await answerOf(session.request({ ':path': '/a?b=c' }));
    expect(first.head[':status']).toBe(200);
    expect(first.head['x-saw']).toBe('GET /a?b=c');
    expect(first.informational).toEqual([103]);
    const many = await Promise.all(
      Array.from({ length: 200 }, (_, at) => answerOf(session.request({ ':path': `/${at}` }))),
    );
    expect(many.map(({ head }) => head['x-saw'])).toEqual(many.map((_, at) => `GET /${at}`));
    expect(connections[0]!.activeStreams).toBe(0);
  });

  test('bodies of every size come back, trailers and content-length with them', async () => {
    const { session } = await nodeClient();
    for (const bytes of [1, 16_384, 16_385, 65_535, 70_000, 3_000_000]) {
      const stream = session.request(
        { ':method': 'PUT', ':path': '/', 'content-length': bytes },
        { waitForTrailers: true },
      );
      stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': `${bytes}` }));
      stream.end(pattern(bytes));
      const { body, head, trailers } = await answerOf(stream);
      expect(body.equals(pattern(bytes))).toBe(true);
      expect(head['content-length']).toBe(`${bytes}`);
      expect(trailers['x-sum']).toBe(`${bytes}`);
    }
  });

  test('cookie crumbs arrive as one field', async () => {
    let cookie: string[] = [];
    const { session } = await nodeClient({
      ...echo,
      onRequest(stream, head, endStream) {
        cookie = head.headers.filter((_, at) => at % 2 === 1 && head.headers[at - 1] === 'cookie');
        return echo.onRequest(stream, head, endStream);
      },
    });
    await answerOf(session.request({ ':path': '/', cookie: ['a=1', 'b=2', 'c=3'] }));
    expect(cookie).toEqual(['a=1; b=2; c=3']);
  });

  test('a reader that stops stops its writer, and not the other streams', async () => {
    const held: ServerStream[] = [];
    let received = 0;
    const { session } = await nodeClient({
      onRequest(stream, head, endStream) {
        if (head.path !== '/slow') return echo.onRequest(stream, head, endStream);
        held.push(stream);
        stream.pause();
        return {
          onData(chunk, end) {
            received += chunk.length;
            if (end) stream.writeHead(new ResponseHead(200, []), true);
          },
          onTrailers() {},
          onReset() {},
          onDrain() {},
        };
      },
      onProtocolError() {},
    });
    const slow = session.request({ ':method': 'POST', ':path': '/slow' });
    const answered = answerOf(slow);
    slow.end(pattern(2_000_000));
    await until('the slow request', () => held.length === 1);
    const { body } = await answerOf(
      session.request({ ':method': 'POST', ':path': '/' }).end(pattern(100_000)),
    );
    expect(body.length).toBe(100_000);
    expect(received).toBe(0);
    held[0]!.resume();
    expect((await answered).head[':status']).toBe(200);
    expect(received).toBe(2_000_000);
  });

  test('a client that does not read stops the response, which then goes on', async () => {
    const { session } = await nodeClient({
      ...echo,
      onRequest(stream) {
        stream.writeHead(new ResponseHead(200, []), false);
        let left = 40;
        const more = () => {
          while (left > 0) if (!stream.writeData(pattern(100_000), --left === 0)) return;
        };
        more();
        return { onData() {}, onTrailers() {}, onReset() {}, onDrain: more };
      },
    });
    const stream = session.request({ ':path': '/' });
    stream.pause();
    await new Promise((resolve) => stream.once('response', resolve));
    const answered = answerOf(stream);
    stream.resume();
    expect((await answered).body.length).toBe(4_000_000);
  });

  test('CONNECT is a tunnel, half-closed by either side', async () => {
    const { session } = await nodeClient();
    const stream = session.request({ ':method': 'CONNECT', ':authority': 'db:5432' });
    stream.write('ping');
    const answered = answerOf(stream);
    await new Promise((resolve) => stream.once('response', resolve));
    stream.end('pong');
    expect((await answered).body.toString()).toBe('pingpong');
  });

  test('extended CONNECT is an upgrade (RFC 8441)', async () => {
    const heads: RequestHead[] = [];
    const { session } = await nodeClient({
      ...echo,
      onRequest(stream, head) {
        heads.push(head);
        stream.writeHead(
          Object.assign(
            new ResponseHead(101, ['upgrade', 'websocket', 'sec-websocket-accept', 'x']),
            { upgrade: true },
          ),
          false,
        );
        return {
          onData: (chunk, end) => void stream.writeData(chunk, end),
          onTrailers() {},
          onReset() {},
          onDrain() {},
        };
      },
    });
    await until('the peer’s settings', () => session.remoteSettings?.enableConnectProtocol);
    const stream = session.request({
      ':method': 'CONNECT',
      ':protocol': 'websocket',
      ':path': '/chat',
    });
    stream.end('frames');
    const { head, body } = await answerOf(stream);
    expect([head[':status'], head['sec-websocket-accept'], head['upgrade']]).toEqual([
      200,
      undefined,
      undefined,
    ]);
    expect(body.toString()).toBe('frames');
    expect([heads[0]!.method, heads[0]!.upgrade, heads[0]!.path]).toEqual([
      'GET',
      'websocket',
      '/chat',
    ]);
    const key = heads[0]!.headers.indexOf('sec-websocket-key');
    expect(Buffer.from(heads[0]!.headers[key + 1]!, 'base64').length).toBe(16);
  });

  test('a drain takes what is on its way, and then no more', async () => {
    const streams: ServerStream[] = [];
    const { session, connections } = await nodeClient({
      ...echo,
      onRequest(stream) {
        streams.push(stream);
        return { onData() {}, onTrailers() {}, onReset() {}, onDrain() {} };
      },
    });
    const goaways: number[] = [];
    session.on('goaway', (code) => goaways.push(code));
    const first = answerOf(session.request({ ':path': '/1' }));
    await until('the first request', () => streams.length === 1);
    connections[0]!.drain();
    await until('GOAWAY', () => goaways.length === 2);
    expect(goaways).toEqual([0, 0]);
    streams[0]!.writeHead(new ResponseHead(200, []), true);
    expect((await first).head[':status']).toBe(200);
    await until('the end', () => session.closed || session.destroyed);
  });

  test('a malformed request is answered 400, one that is too large 431', async () => {
    const { session } = await nodeClient();
    const raw = (headers: string[]) =>
      answerOf(
        session.request([':method', 'GET', ':scheme', 'http', ':authority', 'a', ...headers]),
      );
    expect(
      (await raw([':path', 'no-slash']).catch((error: Error) => error.message)) as unknown,
    ).toSatisfy((answer: Answer | string) =>
      typeof answer === 'string'
        ? /PROTOCOL_ERROR/.test(answer)
        : Number(answer.head[':status']) === 400,
    );
    const large = await raw([':path', '/', 'x-large', 'y'.repeat(61 * 1024)]);
    expect(large.head[':status']).toBe(431);
    // Neither was the end of the connection.
    expect((await raw([':path', '/'])).head[':status']).toBe(200);
  });
});

/** A server of Node's and a client connection of ours. */
async function ourClient(
  onStream: (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => void,
  settings: http2.Settings = {},
) {
  const server = http2.createServer({ settings });
  const sessions: http2.ServerHttp2Session[] = [];
  server.on('session', (session) => {
    sessions.push(session);
    open.push(session);
    session.on('error', () => {});
  });
  server.on('stream', (stream, headers) => {
    stream.on('error', () => {});
    onStream(stream as http2.ServerHttp2Stream, headers);
  });
  const port = await listen(server);
  const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
  open.push(socket);
  await new Promise((resolve) => socket.once('connect', resolve));
  const transport = new SocketTransport(socket, timers, DEFAULT_TRANSPORT_OPTIONS);
  const listener = new RecordingListener();
  const connection = new Http2ClientConnection(transport, listener, http2ClientOptions());
  transport.attach(connection);
  return { connection, sessions };
}

const get = (path: string, headers: string[] = []) =>
  new RequestHead('GET', 'http', 'a:80', path, headers, 'HTTP/1.1');
const done = (sink: RecordingSink) =>
  until('the response', () => /^(end|trailers|reset)| end$/.test(sink.log.lines.at(-1) ?? ''));

describe('client role', () => {
  test('responses with and without body, 1xx and trailers', async () => {
    const { connection } = await ourClient((stream, headers) => {
      stream.additionalHeaders({ ':status': 103, link: '</a>' });
      if (headers[':path'] === '/empty') {
        stream.respond({ ':status': 204, 'x-a': 'b' }, {
          endStream: true,
          sendDate: false,
        } as object);
        return;
      }
      stream.respond({ ':status': 200, 'content-length': 5 }, {
        waitForTrailers: true,
        sendDate: false,
      } as object);
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      stream.end('hello');
    });
    const [empty, full] = [new RecordingSink(), new RecordingSink()];
    connection.request(get('/empty'), true, empty);
    connection.request(get('/full'), true, full);
    await done(empty);
    await done(full);
    const date = (line: string) => line.replace(/ \[date: [^\]]*\]/, '');
    expect(empty.log.lines.map(date)).toEqual([
      'informational 103 HTTP/2 [link: </a>]',
      '204 HTTP/2 [x-a: b] end',
    ]);
    expect(full.log.lines.map(date)).toEqual([
      'informational 103 HTTP/2 [link: </a>]',
      '200 HTTP/2 length=5 [content-length: 5]',
      'data hello',
      'trailers [grpc-status: 0]',
    ]);
    expect(connection.activeStreams).toBe(0);
  });

  test('an upload of 3 MB through small windows comes back whole', async () => {
    const { connection } = await ourClient(
      (stream) => {
        stream.respond({ ':status': 200 });
        stream.pipe(stream);
      },
      { initialWindowSize: 1_000 },
    );
    const body = pattern(3_000_000);
    const received: Buffer[] = [];
    let ended = false;
    let at = 0;
    const write = () => {
      while (at < body.length) {
        const chunk = body.subarray(at, at + 50_000);
        at += chunk.length;
        if (!stream.writeData(chunk, at === body.length)) return;
      }
    };
    const stream = connection.request(
      new RequestHead('POST', 'http', 'a', '/', ['content-length', '3000000'], 'HTTP/1.1'),
      false,
      {
        onInformational() {},
        onResponse() {},
        onData(chunk, end) {
          received.push(chunk);
          ended = end;
        },
        onTrailers() {},
        onReset() {},
        onDrain: write,
      },
    );
    write();
    await until('the echo', () => ended);
    expect(Buffer.concat(received).equals(body)).toBe(true);
  });

  test('the capacity follows the peer’s limit, and extended CONNECT its setting', async () => {
    const { connection } = await ourClient(() => {}, {
      maxConcurrentStreams: 2,
      enableConnectProtocol: true,
    });
    expect(connection.capacity).toBe(100);
    await until('SETTINGS', () => connection.capacity === 2);
    expect(connection.extendedConnect).toBe(true);
    connection.request(get('/'), true, new RecordingSink());
    connection.request(get('/'), true, new RecordingSink());
    expect(connection.capacity).toBe(0);
    const third = new RecordingSink();
    connection.request(get('/'), true, third);
    expect(third.log.lines).toEqual(['reset localReset http2.no_capacity']);
  });

  test('a WebSocket upgrade becomes extended CONNECT, and its challenge is answered here', async () => {
    let seen: http2.IncomingHttpHeaders = {};
    const { connection } = await ourClient(
      (stream, headers) => {
        seen = headers;
        stream.respond({ ':status': 200 });
        stream.pipe(stream);
      },
      { enableConnectProtocol: true },
    );
    await until('SETTINGS', () => connection.extendedConnect);
    const sink = new RecordingSink();
    const head = get('/chat', [
      'sec-websocket-key',
      'dGhlIHNhbXBsZSBub25jZQ==',
      'sec-websocket-version',
      '13',
    ]);
    head.upgrade = 'websocket';
    const stream = connection.request(head, false, sink);
    stream.writeData(Buffer.from('early'), false);
    await until('the echo', () => sink.log.lines.includes('data early'));
    stream.writeData(Buffer.from('!'), true);
    await done(sink);
    expect(seen[':protocol']).toBe('websocket');
    expect(seen[':method']).toBe('CONNECT');
    expect(seen['sec-websocket-key']).toBe(undefined);
    expect(sink.log.lines[0]).toMatch(
      /^101 HTTP\/2 tunnel .*\[upgrade: websocket\] \[sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\]$/,
    );
    expect(sink.log.lines.at(-1)).toBe('end');
  });

  test('GOAWAY ends the connection after what is under way', async () => {
    const waiting: http2.ServerHttp2Stream[] = [];
    const { connection, sessions } = await ourClient((stream) => void waiting.push(stream));
    const sink = new RecordingSink();
    connection.request(get('/'), true, sink);
    await until('the request', () => waiting.length === 1);
    sessions[0]!.goaway(0, 1);
    await until('GOAWAY', () => !connection.reusable);
    waiting[0]!.respond({ ':status': 200 });
    waiting[0]!.end('ok');
    await done(sink);
    expect(sink.log.lines.at(-1)).toBe('end');
    expect(connection.closeDetail).toBe('http2.goaway');
  });

  test('a reset is told with its code, and a refused stream as such', async () => {
    const { connection } = await ourClient((stream, headers) =>
      stream.close(headers[':path'] === '/refuse' ? 7 : 2),
    );
    const [refused, failed] = [new RecordingSink(), new RecordingSink()];
    connection.request(get('/refuse'), true, refused);
    connection.request(get('/fail'), true, failed);
    await done(refused);
    await done(failed);
    expect(refused.log.lines).toEqual(['reset remoteRefused http2.remote_reset_REFUSED_STREAM']);
    expect(failed.log.lines).toEqual(['reset remoteReset http2.remote_reset_INTERNAL_ERROR']);
  });

  test('a response of 30 MB comes whole', async () => {
    const { connection } = await ourClient((stream) => {
      stream.respond({ ':status': 200 });
      stream.end(pattern(30_000_000));
    });
    const sink = new RecordingSink();
    let bytes = 0;
    sink.onData = (chunk, end) => {
      bytes += chunk.length;
      if (end) sink.log.add('end');
    };
    connection.request(get('/'), true, sink);
    await done(sink);
    expect(bytes).toBe(30_000_000);
  });
});
