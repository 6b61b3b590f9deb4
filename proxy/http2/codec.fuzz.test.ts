import http2 from 'node:http2';
import net from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { httpLimits } from '../http/limits.ts';
import { RequestHead, ResponseHead } from '../http/message.ts';
import type { ServerStream, Stream } from '../http/stream.ts';
import {
  describeFields,
  RecordingHandler,
  RecordingListener,
  RecordingSink,
} from '../http1/recorder.testing.ts';
import { DEFAULT_TRANSPORT_OPTIONS, SocketTransport } from '../tcp/socket-transport.ts';
import { TimerLists } from '../tcp/timer-list.ts';
import { Http2ClientConnection } from './client-connection.ts';
import { http2ClientOptions, http2ServerOptions } from './connection-options.ts';
import { CONNECTION_PREFACE } from './frame-reader.ts';
import { HpackDecoder } from './hpack/hpack-decoder.ts';
import { HpackEncoder } from './hpack/hpack-encoder.ts';
import { huffmanEncode } from './hpack/huffman-encoder.ts';
import { ReceiveBudget } from './receive-budget.ts';
import { Http2ServerConnection } from './server-connection.ts';
import {
  block,
  data,
  frame,
  goaway,
  headers,
  ping,
  priority,
  RecordingTransport,
  reset,
  SETTINGS_ACK,
  settings,
  windowUpdate,
} from './wire.testing.ts';

/** At most 5 000 whatever is asked for: each run plays its input three times. */
const RUNS = { numRuns: Math.min(5_000, Number(process.env['WEFT_FUZZ_RUNS'] ?? 300)) };

const limits = httpLimits({ headBytesMax: 512, headerCountMax: 6, informationalCountMax: 2 });
const REQUEST = [':method', 'POST', ':scheme', 'http', ':authority', 'a', ':path', '/'];
const CONNECT = [':method', 'CONNECT', ':authority', 'a:1'];

/** Frames, good and bad, on few streams, so that random input meets every state. */
const id = fc.constantFrom(0, 1, 1, 1, 2, 3, 3, 5, 7, 0x7fffffff);
const flags = fc.constantFrom(0, 1, 4, 5, 8, 0xd, 0x20, 0x25, 0xff);
const known = fc.oneof(
  fc.tuple(id, flags).map(([id, flags]) => headers(id, flags & 5, ...REQUEST)),
  fc.tuple(id, flags).map(([id, flags]) => headers(id, flags & 5, ':status', '200')),
  fc.tuple(id, flags).map(([id, flags]) => headers(id, flags & 5, ':status', '103')),
  fc.tuple(id, flags).map(([id, flags]) => headers(id, flags & 5, 'x-t', '1')),
  fc.tuple(id, flags).map(([id, flags]) => headers(id, flags & 5, ...CONNECT)),
  fc
    .tuple(id, flags)
    .map(([id, flags]) => headers(id, flags & 5, ...REQUEST, 'content-length', '2')),
  fc
    .tuple(id, flags)
    .map(([id, flags]) => headers(id, flags & 5, ...REQUEST, 'x', 'y'.repeat(600))),
  fc.tuple(id, fc.boolean()).map(([id, end]) => data(id, end ? 1 : 0, 'ab')),
  fc.tuple(id, fc.boolean()).map(([id, end]) => data(id, end ? 1 : 0)),
  fc.tuple(id, fc.nat(6)).map(([id, pad]) => frame(0, 9, id, [pad, 97, 98, 0, 0])),
  id.map((id) => frame(1, 0, id, block(...REQUEST).subarray(0, 9))),
  id.map((id) => frame(9, 4, id, block(...REQUEST).subarray(9))),
  id.map((id) => reset(id)),
  fc
    .tuple(id, fc.constantFrom(0, 1, 1000, 0x7fffffff))
    .map(([id, bytes]) => windowUpdate(id, bytes)),
  fc.constantFrom(settings(), SETTINGS_ACK, ping(), ping(1), goaway(0), goaway(1), goaway(5, 2)),
  fc.constantFrom(
    settings(4, 0),
    settings(4, 1, 1, 0),
    settings(3, 1),
    settings(1, 100),
    settings(5, 20_000),
  ),
  fc.tuple(id, id).map(([id, on]) => priority(id, on)),
);
const wild = fc
  .tuple(fc.nat(11), flags, id, fc.uint8Array({ maxLength: 24 }))
  .map(([type, flags, id, payload]) => frame(type, flags, id, payload));
const noise = fc.uint8Array({ maxLength: 12 }).map((bytes) => Buffer.from(bytes));
const wire = fc
  .array(
    fc.oneof(
      { weight: 12, arbitrary: known },
      { weight: 2, arbitrary: wild },
      { weight: 1, arbitrary: noise },
    ),
    { maxLength: 16, size: 'max' },
  )
  .map((parts) => Buffer.concat(parts));
const cutting = fc.array(fc.nat(40), { maxLength: 40, size: 'max' });

function pieces(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const out: Buffer[] = [];
  let at = 0;
  for (const size of sizes) {
    if (at + size >= bytes.length) break;
    if (size === 0) continue;
    out.push(bytes.subarray(at, at + size));
    at += size;
  }
  if (at < bytes.length) out.push(bytes.subarray(at));
  return out;
}

/** Tunnels where asked, answers with trailers when the request is complete. */
function answer(stream: ServerStream, head: RequestHead, complete: boolean): void {
  if (head.upgrade !== '') {
    stream.writeHead(Object.assign(new ResponseHead(200, []), { upgrade: true }), false);
    return;
  }
  if (!complete) return;
  stream.writeHead(new ResponseHead(200, []), false);
  stream.writeData(Buffer.from('body'), false);
  stream.writeTrailers(['x-t', '1']);
}

function serve(chunks: readonly Buffer[], fin: boolean) {
  const transport = new RecordingTransport();
  const handler = new RecordingHandler(answer);
  const options = http2ServerOptions({ limits, nowMs: () => 0, streamsMax: 3 });
  const connection = new Http2ServerConnection(transport, handler, options);
  for (const chunk of chunks) {
    connection.receive(chunk);
    transport.flush();
  }
  if (fin) connection.receiveEnd();
  const { state, activeStreams } = connection;
  return { events: handler.log.lines, frames: transport.frames(), state, activeStreams };
}

function receive(chunks: readonly Buffer[], method: string, upgrade: string, fin: boolean) {
  const transport = new RecordingTransport();
  const options = http2ClientOptions({ limits, nowMs: () => 0 });
  const connection = new Http2ClientConnection(transport, new RecordingListener(), options);
  const sinks = [new RecordingSink(), new RecordingSink()];
  for (const sink of sinks) {
    const head = new RequestHead(method, 'http', 'a', '/', [], 'HTTP/1.1');
    head.upgrade = upgrade;
    const stream = connection.request(head, false, sink);
    stream.writeData(Buffer.from('body'), sink === sinks[0]);
  }
  for (const chunk of chunks) {
    connection.receive(chunk);
    transport.flush();
  }
  if (fin) connection.receiveEnd();
  const { reusable, activeStreams } = connection;
  return {
    events: sinks.map(({ log }) => log.lines),
    frames: transport.frames(),
    reusable,
    activeStreams,
  };
}

describe('fuzz', () => {
  const hello = Buffer.concat([Buffer.from(CONNECTION_PREFACE, 'latin1'), settings()]);

  test('fuzz: server role: any bytes end in events, a stream or a connection error, and cutting changes nothing', () => {
    fc.assert(
      fc.property(wire, cutting, fc.boolean(), fc.boolean(), (tail, sizes, fin, greeted) => {
        const bytes = greeted ? Buffer.concat([hello, tail]) : tail;
        const whole = serve([bytes], fin);
        expect(serve(pieces(bytes, sizes), fin)).toEqual(whole);
        expect(serve(pieces(bytes, Array(bytes.length).fill(1)), fin)).toEqual(whole);
        if (fin || whole.state === 'closed') expect(whole.activeStreams).toBe(0);
      }),
      RUNS,
    );
  });

  test('fuzz: client role: any bytes end in events or an error, and cutting changes nothing', () => {
    const asked = fc.constantFrom(['GET', ''], ['HEAD', ''], ['CONNECT', 'connect']);
    fc.assert(
      fc.property(wire, cutting, asked, fc.boolean(), (tail, sizes, [method, upgrade], fin) => {
        const bytes = Buffer.concat([settings(), tail]);
        const whole = receive([bytes], method!, upgrade!, fin);
        expect(receive(pieces(bytes, sizes), method!, upgrade!, fin)).toEqual(whole);
        const single = Array(bytes.length).fill(1);
        expect(receive(pieces(bytes, single), method!, upgrade!, fin)).toEqual(whole);
        if (fin) expect(whole.activeStreams).toBe(0);
      }),
      RUNS,
    );
  });

  test('fuzz: HPACK decoder: any bytes are decoded or refused, within the limits', () => {
    const decoder = new HpackDecoder(256, 1024, 8);
    const piece = fc.oneof(
      fc.uint8Array({ maxLength: 8 }),
      fc.constantFrom([0x82], [0x88], [0xbe], [0xbf], [0x20], [0x3f, 0x00], [0x40, 1, 97, 1, 98]),
      fc.string({ unit: 'binary-ascii', maxLength: 40 }).map((text) => {
        const out = Buffer.alloc(200);
        const end = huffmanEncode(text, out, 4);
        return [0x40, 1, 97, 0x80 | (end - 4), ...out.subarray(4, end)];
      }),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (parts) => {
        const bytes = Buffer.concat(parts.map((part) => Buffer.from(part)));
        decoder.decode(bytes, 0, bytes.length);
        expect(decoder.tableSizeBytes).toBeLessThanOrEqual(256);
        expect(decoder.fields.join('').length).toBeLessThanOrEqual(1024);
        expect(decoder.fields.length).toBe(2 * decoder.count);
      }),
      { numRuns: RUNS.numRuns * 10 },
    );
  });

  const name = fc.oneof(
    fc.constantFrom(
      'x-a',
      'x-b',
      'x-c',
      'user-agent',
      'accept',
      'etag',
      'set-cookie',
      'x-request-id',
    ),
    fc
      .string({ unit: fc.constantFrom(...'abcxyz019-_!~'), minLength: 1, maxLength: 12 })
      .map((text) => `x-${text}`),
  );
  const value = fc.oneof(
    fc.constantFrom('', '1', 'gzip', 'a longer value that is worth a place in the table'),
    fc
      .string({ unit: fc.constantFrom(...'aZ09 ,;="/~!'), maxLength: 60 })
      .map((text) => text.trim()),
    fc.integer({ min: 1, max: 3 }).map((size) => 'v'.repeat(size * 1500)),
  );
  const fields = fc.array(fc.tuple(name, value), { maxLength: 8 }).map((pairs) => pairs.flat());

  test('fuzz: what our encoder writes our decoder reads, through changes of the table size', () => {
    const size = fc.option(fc.constantFrom(0, 31, 32, 100, 300, 4096, 65_536), { nil: -1 });
    const encoder = new HpackEncoder();
    const decoder = new HpackDecoder(4096, 1 << 20, 100);
    const out = Buffer.alloc(64 * 1024);
    fc.assert(
      fc.property(fields, size, size, (block, first, second) => {
        if (first >= 0) encoder.setPeerTableBytes(first);
        if (second >= 0) encoder.setPeerTableBytes(second);
        let end = encoder.begin(out, 0);
        for (let at = 0; at < block.length; at += 2) {
          end = encoder.field(out, end, encoder.slot(block[at]!), block[at + 1]!);
        }
        expect(decoder.decode(out, 0, end)).toBe(true);
        expect(decoder.fields).toEqual(block);
      }),
      { numRuns: RUNS.numRuns * 5 },
    );
  });

  test('fuzz: what one role writes the other reads back, through windows of any size', () => {
    const chunks = fc.array(fc.nat(5_000), { maxLength: 6 });
    const windows = fc.tuple(
      fc.integer({ min: 1, max: 3_000 }),
      fc.integer({ min: 70_000, max: 90_000 }),
    );
    fc.assert(
      fc.property(
        fields,
        chunks,
        fc.boolean(),
        windows,
        fc.boolean(),
        (block, sizes, trailers, [stream, all], paused) => {
          const small = {
            streamWindowBytes: stream,
            connectionWindowBytes: all,
            windowBytesMax: 5_000,
            nowMs: () => 0,
          };
          const up = new RecordingTransport();
          const down = new RecordingTransport();
          const client = new Http2ClientConnection(
            up,
            new RecordingListener(),
            http2ClientOptions(small),
          );
          const handler = new RecordingHandler((stream, _head, complete) => {
            if (complete) stream.writeHead(new ResponseHead(200, []), true);
          });
          const server = new Http2ServerConnection(down, handler, http2ServerOptions(small));
          const sink = new RecordingSink();
          const text = sizes.map((size, at) => String.fromCharCode(97 + at).repeat(size));
          const request = client.request(
            new RequestHead('PUT', 'http', 'a', '/', block, 'HTTP/1.1'),
            false,
            sink,
          );
          for (const part of text) request.writeData(Buffer.from(part), false);
          if (trailers) request.writeTrailers(['x-t', '1']);
          else request.writeData(Buffer.alloc(0), true);
          for (let turn = 0, quiet = 0; quiet < 2 && turn < 100_000; turn++) {
            const toServer = up.take();
            if (toServer.length > 0) server.receive(toServer);
            if (paused && turn === 3) handler.streams[0]?.pause();
            if (paused && quiet === 1) handler.streams[0]?.resume();
            const toClient = down.take();
            if (toClient.length > 0) client.receive(toClient);
            quiet = toServer.length + toClient.length === 0 ? quiet + 1 : 0;
          }
          const body = text.join('');
          const expected = [`PUT / http://a HTTP/2${describeFields(block)}`];
          if (body !== '') expected.push(`data ${body}`);
          expected.push(trailers ? 'trailers [x-t: 1]' : 'end');
          expect(handler.log.lines.filter((line) => line !== 'drain')).toEqual(expected);
          expect(sink.log.lines.filter((line) => line !== 'drain')).toEqual(['200 HTTP/2 end']);
        },
      ),
      { numRuns: Math.min(RUNS.numRuns, 300) },
    );
  });
});

/** What the users of both ends may do with a stream, in any order. */
const action = fc.tuple(
  fc.constantFrom('open', 'write', 'end', 'trailers', 'pause', 'resume', 'reset', 'answer', 'turn'),
  fc.boolean(),
  fc.nat(3),
  fc.nat(30_000),
);

describe('fuzz: users that do what they like', () => {
  test('fuzz: no credit is lost and no stream left behind', () => {
    fc.assert(
      fc.property(
        fc.array(action, { maxLength: 80, size: 'max' }),
        fc.boolean(),
        fc.constantFrom(0, 30_000, 1_000_000),
        (actions, pausing, budgetBytes) => {
          let paused = pausing;
          const receiveBudget = new ReceiveBudget(budgetBytes);
          const options = {
            receiveBudget,
            streamWindowBytes: 20_000,
            connectionWindowBytes: 65_535,
            windowBytesMax: 20_000,
            nowMs: () => 0,
          };
          const up = new RecordingTransport();
          const down = new RecordingTransport();
          const client = new Http2ClientConnection(
            up,
            new RecordingListener(),
            http2ClientOptions(options),
          );
          const handler = new RecordingHandler((stream, _head, complete) => {
            if (paused && !complete) stream.pause();
          });
          const server = new Http2ServerConnection(down, handler, http2ServerOptions(options));
          const turn = () => {
            server.receive(up.take());
            client.receive(down.take());
          };
          const settle = () => {
            for (let count = 0; count < 40; count++) turn();
          };
          turn();
          const requests: Stream[] = [];
          const post = () => new RequestHead('POST', 'http', 'a', '/', [], 'HTTP/1.1');
          for (const [what, byServer, index, size] of actions) {
            if (what === 'turn') turn();
            if (what === 'open') requests.push(client.request(post(), false, new RecordingSink()));
            const streams: readonly Stream[] = byServer ? handler.streams : requests;
            const stream = streams[streams.length - 1 - index];
            if (stream === undefined) continue;
            if (what === 'write') stream.writeData(Buffer.alloc(size), false);
            if (what === 'end') stream.writeData(Buffer.alloc(0), true);
            if (what === 'trailers') stream.writeTrailers(['x-t', '1']);
            if (what === 'pause') stream.pause();
            if (what === 'resume') stream.resume();
            if (what === 'reset') stream.reset('localReset');
            if (what === 'answer')
              handler.streams.at(-1 - index)?.writeHead(new ResponseHead(200, []), false);
          }
          settle();
          // What is held for a paused reader is thrown away with its stream.
          for (const stream of [...handler.streams, ...requests]) stream.reset('localReset');
          settle();
          expect([client.activeStreams, server.activeStreams, server.slotsUsed]).toEqual([0, 0, 0]);
          expect([client.reusable, server.state]).toEqual([true, 'idle']);

          paused = false;
          // More than all windows, both ways: it stops for ever if credit has been lost.
          const sink = new RecordingSink();
          let echoed = 0;
          sink.onData = (chunk) => {
            echoed += chunk.length;
          };
          client.request(post(), false, sink).writeData(Buffer.alloc(200_000), true);
          for (let count = 0; count < 200; count++) turn();
          const answer = handler.streams.at(-1)!;
          answer.writeHead(new ResponseHead(200, []), false);
          answer.writeData(Buffer.alloc(200_000), true);
          for (let count = 0; count < 200; count++) turn();
          const received =
            handler.log.lines.at(-1) === 'end' && handler.log.lines.at(-2)!.length - 5;
          expect([received, echoed, client.activeStreams]).toEqual([200_000, 200_000, 0]);
          client.close('closed');
          server.close('closed');
          expect(receiveBudget.usedBytes).toBe(0);
        },
      ),
      { numRuns: Math.min(2 * RUNS.numRuns, 1_000) },
    );
  });
});

/** One connection for all runs, so that both tables live through all of it. */
describe('fuzz: node:http2 as the oracle of HPACK', () => {
  const timers = new TimerLists();
  const open: { destroy(): unknown }[] = [];
  const servers: { close(): unknown }[] = [];
  let client: Http2ClientConnection;
  let nodeSession: http2.ClientHttp2Session;
  let nodeSaw: string[] = [];
  let weSaw: string[] = [];

  beforeAll(async () => {
    const nodeServer = http2.createServer();
    nodeServer.on('session', (session) => open.push(session));
    nodeServer.on('stream', (stream, _headers, _flags, raw) => {
      nodeSaw = raw as unknown as string[];
      (stream as http2.ServerHttp2Stream).respond({ ':status': 204 }, { endStream: true });
    });
    const ourServer = net.createServer({ allowHalfOpen: true }, (socket) => {
      open.push(socket);
      const transport = new SocketTransport(socket, timers, DEFAULT_TRANSPORT_OPTIONS);
      const handler = new RecordingHandler((stream, head) => {
        weSaw = head.headers;
        stream.writeHead(new ResponseHead(204, []), true);
      });
      transport.attach(new Http2ServerConnection(transport, handler, http2ServerOptions()));
    });
    servers.push(nodeServer, ourServer);
    const port = async (server: net.Server | http2.Http2Server) => {
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      return (server.address() as net.AddressInfo).port;
    };
    const socket = net.connect({
      port: await port(nodeServer),
      host: '127.0.0.1',
      allowHalfOpen: true,
    });
    open.push(socket);
    await new Promise((resolve) => socket.once('connect', resolve));
    const transport = new SocketTransport(socket, timers, DEFAULT_TRANSPORT_OPTIONS);
    client = new Http2ClientConnection(transport, new RecordingListener(), http2ClientOptions());
    transport.attach(client);
    nodeSession = http2.connect(`http://127.0.0.1:${await port(ourServer)}`);
    open.push(nodeSession);
  });
  afterAll(() => {
    for (const resource of open) resource.destroy();
    for (const server of servers) server.close();
  });

  const name = fc.constantFrom(
    'x-a',
    'x-b',
    'x-c',
    'accept',
    'etag',
    'authorization',
    'user-agent',
  );
  const value = fc.oneof(
    fc.constantFrom('1', 'gzip, deflate', 'a longer value that is worth a place in the table'),
    fc.string({
      unit: fc.constantFrom(...'aZ09.,;="/~!#$%&()*+<>?@[]^`{|}'),
      minLength: 1,
      maxLength: 60,
    }),
    fc.integer({ min: 1, max: 2 }).map((size) => 'v'.repeat(size * 900)),
  );
  const fields = fc
    .uniqueArray(fc.tuple(name, value), { selector: ([name]) => name, maxLength: 6 })
    .map((pairs) => pairs.flat());
  const runs = { numRuns: Math.min(RUNS.numRuns, 300) };

  test('fuzz: Node reads what our encoder writes', async () => {
    await fc.assert(
      fc.asyncProperty(fields, async (block) => {
        const sink = new RecordingSink();
        const status = new Promise<number>((resolve) => {
          sink.onResponse = (head) => resolve(head.status);
          sink.onReset = () => resolve(0);
        });
        client.request(new RequestHead('GET', 'http', 'a', '/', block, 'HTTP/1.1'), true, sink);
        expect(await status).toBe(204);
        expect(nodeSaw).toEqual([
          ':method',
          'GET',
          ':scheme',
          'http',
          ':authority',
          'a',
          ':path',
          '/',
          ...block,
        ]);
      }),
      runs,
    );
  });

  test('fuzz: we read what Node’s encoder writes', async () => {
    await fc.assert(
      fc.asyncProperty(fields, async (block) => {
        const request = nodeSession.request([
          ':method',
          'GET',
          ':scheme',
          'http',
          ':authority',
          'a',
          ':path',
          '/',
          ...block,
        ]);
        request.resume();
        await new Promise((resolve, reject) => request.once('end', resolve).once('error', reject));
        expect(weSaw).toEqual(block);
      }),
      runs,
    );
  });
});
