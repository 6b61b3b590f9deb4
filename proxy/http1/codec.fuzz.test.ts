import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { httpLimits } from '../http/limits.ts';
import { RequestHead, ResponseHead } from '../http/message.ts';
import type { ServerStream } from '../http/stream.ts';
import { Http1ClientConnection, http1ClientOptions } from './client-connection.ts';
import {
  describeFields,
  RecordingHandler,
  RecordingListener,
  RecordingSink,
  RecordingTransport,
} from './recorder.testing.ts';
import { Http1ServerConnection, http1ServerOptions } from './server-connection.ts';

const RUNS = { numRuns: Number(process.env['WEFT_FUZZ_RUNS'] ?? 300) };

const limits = httpLimits({
  headBytesMax: 256,
  headerCountMax: 6,
  startLineBytesMax: 128,
  chunkExtensionBytesMax: 16,
  trailerBytesMax: 64,
  trailerCountMax: 2,
});

/** Pieces of messages, good and bad, so that random input gets past the first byte. */
const fragment = fc.oneof(
  fc.constantFrom(
    'GET / HTTP/1.1\r\n',
    'POST /a HTTP/1.1\r\n',
    'CONNECT a:1 HTTP/1.1\r\n',
    'GET http://b/ HTTP/1.0\r\n',
    'HTTP/1.1 200 OK\r\n',
    'HTTP/1.1 100 \r\n',
    'HTTP/1.1 101 \r\n',
    'HTTP/1.1 204 \r\n',
    'HTTP/1.0 200\r\n',
    'host: a\r\n',
    'Content-Length: 3\r\n',
    'content-length: 0\r\n',
    'transfer-encoding: chunked\r\n',
    'connection: close\r\n',
    'connection: upgrade, x\r\n',
    'upgrade: websocket\r\n',
    'x: y\r\n',
    '\r\n',
    '\r',
    '\n',
    ' ',
    ':',
    ';',
    '0\r\n',
    '3\r\nabc\r\n',
    '3;x=y\r\nabc\r\n',
    '3',
    'abc',
  ),
  fc.string({ unit: 'binary', maxLength: 4 }).map((text) => text.replace(/[^\0-\xff]/g, '')),
);
const wire = fc
  .array(fragment, { maxLength: 24 })
  .map((parts) => Buffer.from(parts.join(''), 'latin1'));
const cutting = fc.array(fc.nat(40), { maxLength: 40 });

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

/** Switches protocols where asked, else answers when the request is complete. */
function answer(stream: ServerStream, head: RequestHead, complete: boolean): void {
  if (head.upgrade !== '') {
    const status = head.upgrade === 'connect' ? 200 : 101;
    stream.writeHead(Object.assign(new ResponseHead(status, []), { upgrade: true }), false);
  } else if (complete) {
    stream.writeHead(new ResponseHead(200, []), true);
  }
}

function serve(chunks: readonly Buffer[], acceptHttp10: boolean, fin: boolean) {
  const transport = new RecordingTransport();
  const handler = new RecordingHandler(answer);
  const options = http1ServerOptions({ limits, acceptHttp10 });
  const connection = new Http1ServerConnection(transport, handler, options);
  for (const chunk of chunks) connection.receive(chunk);
  if (fin) connection.receiveEnd();
  const { sent, destroyed, closedAfterFlush, readingPaused } = transport;
  const { state } = connection;
  return { events: handler.log.lines, sent, destroyed, closedAfterFlush, readingPaused, state };
}

function receive(chunks: readonly Buffer[], method: string, upgrade: string, fin: boolean) {
  const transport = new RecordingTransport();
  const listener = new RecordingListener();
  const connection = new Http1ClientConnection(transport, listener, http1ClientOptions({ limits }));
  const head = new RequestHead(method, 'http', 'a', '/', [], 'HTTP/1.1');
  head.upgrade = upgrade;
  const sink = new RecordingSink();
  connection.request(head, upgrade === '', sink);
  for (const chunk of chunks) connection.receive(chunk);
  if (fin) connection.receiveEnd();
  const { destroyed, closedAfterFlush } = transport;
  const { reusable } = connection;
  return { events: sink.log.lines, destroyed, closedAfterFlush, reusable };
}

describe('fuzz', () => {
  test('fuzz: server role: any bytes end in events or a refusal, and cutting changes nothing', () => {
    fc.assert(
      fc.property(wire, cutting, fc.boolean(), fc.boolean(), (bytes, sizes, http10, fin) => {
        const whole = serve([bytes], http10, fin);
        expect(serve(pieces(bytes, sizes), http10, fin)).toEqual(whole);
        expect(serve(pieces(bytes, Array(bytes.length).fill(1)), http10, fin)).toEqual(whole);
        expect(whole.readingPaused).toBe(false);
      }),
      RUNS,
    );
  });

  test('fuzz: client role: any bytes end in events or an error, and cutting changes nothing', () => {
    const asked = fc.constantFrom(
      ['GET', ''],
      ['HEAD', ''],
      ['GET', 'websocket'],
      ['CONNECT', 'connect'],
    );
    fc.assert(
      fc.property(wire, cutting, asked, fc.boolean(), (bytes, sizes, [method, upgrade], fin) => {
        const whole = receive([bytes], method!, upgrade!, fin);
        expect(receive(pieces(bytes, sizes), method!, upgrade!, fin)).toEqual(whole);
        const single = Array(bytes.length).fill(1);
        expect(receive(pieces(bytes, single), method!, upgrade!, fin)).toEqual(whole);
      }),
      RUNS,
    );
  });

  const token = fc.string({
    unit: fc.constantFrom(...'abcxyz019-_!~'),
    minLength: 1,
    maxLength: 12,
  });
  const name = token.map((text) => `x-${text}`);
  const value = fc
    .string({ unit: fc.constantFrom(...'aZ09 \t,;="/\xe9\xff'), maxLength: 20 })
    .map((text) => text.trim());
  const headers = fc.array(fc.tuple(name, value), { maxLength: 5 }).map((pairs) => pairs.flat());
  const chunks = fc.array(fc.string({ unit: 'binary-ascii', maxLength: 30 }), { maxLength: 5 });
  const ending = fc.constantFrom<'length' | 'chunked' | 'trailers'>(
    'length',
    'chunked',
    'trailers',
  );

  test('fuzz: what one role writes the other reads back, both ways', () => {
    fc.assert(
      fc.property(headers, chunks, ending, cutting, (block, parts, end, sizes) => {
        const body = parts.join('');
        const expected: string[] = body === '' ? [] : [`data ${body}`];
        expected.push(end === 'trailers' ? `trailers [x-t: 1]` : 'end');
        const length = end === 'length' ? ['content-length', `${body.length}`] : [];
        const write = (stream: Pick<ServerStream, 'writeData' | 'writeTrailers'>) => {
          for (const part of parts) stream.writeData(Buffer.from(part, 'latin1'), false);
          if (end === 'trailers') stream.writeTrailers(['x-t', '1']);
          else stream.writeData(Buffer.alloc(0), true);
        };

        const upstream = new RecordingTransport();
        const client = new Http1ClientConnection(
          upstream,
          new RecordingListener(),
          http1ClientOptions(),
        );
        const sink = new RecordingSink();
        const head = new RequestHead('PUT', 'http', 'b:1', '/p', [...block, ...length], 'HTTP/1.1');
        write(client.request(head, false, sink));

        const downstream = new RecordingTransport();
        const handler = new RecordingHandler(() => {});
        const server = new Http1ServerConnection(downstream, handler, http1ServerOptions());
        for (const piece of pieces(Buffer.from(upstream.sent, 'latin1'), sizes)) {
          server.receive(piece);
        }
        const said = length.length > 0 ? ` length=${body.length}` : '';
        const fields = describeFields([...block, ...length]);
        const empty = length.length > 0 && body === '';
        expect(handler.log.lines).toEqual([
          `PUT /p http://b:1${said}${fields}${empty ? ' end' : ''}`,
          ...(empty ? [] : expected),
        ]);

        const stream = handler.streams[0]!;
        stream.writeHead(new ResponseHead(299, [...block, ...length]), false);
        write(stream);
        for (const piece of pieces(Buffer.from(downstream.sent, 'latin1'), sizes)) {
          client.receive(piece);
        }
        expect(sink.log.lines).toEqual([
          `299${said}${fields}${empty ? ' end' : ''}`,
          ...(empty ? [] : expected),
        ]);
        expect(client.capacity).toBe(1);
        expect(server.state).toBe('idle');
      }),
      RUNS,
    );
  });
});
