import { describe, expect, test } from 'vitest';
import { RequestHead } from '../http/message.ts';
import { RecordingListener, RecordingSink } from '../http1/recorder.testing.ts';
import { Http2ClientConnection } from './client-connection.ts';
import { http2ClientOptions } from './connection-options.ts';
import {
  data,
  END_STREAM,
  frame,
  goaway,
  headers,
  ping,
  RecordingTransport,
  reset,
  settings,
  windowUpdate,
} from './wire.testing.ts';

/**
 * Wire bytes and the events they make in the client role, with one request on stream 1 under way. Each row
 * is played whole, cut at every offset and byte by byte.
 */
interface Row {
  readonly name: string;
  /** Behind empty SETTINGS. */
  readonly wire: readonly Buffer[];
  readonly events: readonly string[];
  /** Behind the request and the acknowledgement; left out where nothing is said. */
  readonly frames?: readonly string[];
  readonly method?: string;
  readonly upgrade?: string;
  /** The request is not complete. */
  readonly uploading?: boolean;
}

const ok = (flags = 0, ...fields: readonly string[]) =>
  headers(1, flags, ':status', '200', ...fields);
const failed = (name: string, code: string, ...wire: readonly Buffer[]): Row => ({
  name,
  wire,
  events: [`reset protocolError http2.${code}`],
  frames: ['RstStream 1 PROTOCOL_ERROR'],
});
const broken = (name: string, error: string, code: string, ...wire: readonly Buffer[]): Row => ({
  name,
  wire,
  events: [`reset protocolError http2.${code}`],
  frames: [`Goaway 0 ${error} http2.${code}`],
});

const ROWS: readonly Row[] = [
  {
    name: '§8.1 response without content',
    wire: [ok(END_STREAM)],
    events: ['200 HTTP/2 end'],
    frames: [],
  },
  {
    name: '§8.1 content and trailers (gRPC)',
    wire: [ok(), data(1, 0, 'ab'), data(1, 0, 'c'), headers(1, END_STREAM, 'grpc-status', '0')],
    events: ['200 HTTP/2', 'data abc', 'trailers [grpc-status: 0]'],
    frames: [],
  },
  {
    name: '§8.1 several 1xx',
    wire: [
      headers(1, 0, ':status', '100'),
      headers(1, 0, ':status', '103', 'link', '<a>'),
      ok(END_STREAM),
    ],
    events: ['informational 100 HTTP/2', 'informational 103 HTTP/2 [link: <a>]', '200 HTTP/2 end'],
  },
  {
    name: '§8.1.1 content-length that is true',
    wire: [ok(0, 'content-length', '2'), data(1, END_STREAM, 'ab')],
    events: ['200 HTTP/2 length=2 [content-length: 2]', 'data ab', 'end'],
  },
  {
    name: 'RFC 9110 §8.6 the length of an answer to HEAD is not that of its content',
    wire: [ok(END_STREAM, 'content-length', '9')],
    events: ['200 HTTP/2 length=9 [content-length: 9] end'],
    method: 'HEAD',
  },
  {
    name: 'RFC 9110 §15.4.5 nor that of 304',
    wire: [headers(1, END_STREAM, ':status', '304', 'content-length', '9')],
    events: ['304 HTTP/2 length=9 [content-length: 9] end'],
  },
  {
    name: '§8.2.3 set-cookie is no cookie: fields stay apart',
    wire: [ok(END_STREAM, 'set-cookie', 'a=1', 'set-cookie', 'b=2')],
    events: ['200 HTTP/2 [set-cookie: a=1] [set-cookie: b=2] end'],
  },
  {
    name: '§8.1 the response is complete before its request: CANCEL',
    wire: [ok(END_STREAM)],
    events: ['200 HTTP/2 end'],
    frames: ['RstStream 1 CANCEL'],
    uploading: true,
  },
  {
    name: '§8.1 RST_STREAM NO_ERROR behind a complete response',
    wire: [ok(), data(1, END_STREAM, 'x'), reset(1, 0)],
    events: ['200 HTTP/2', 'data x', 'end'],
    uploading: true,
  },
  {
    name: '§8.7 REFUSED_STREAM',
    wire: [reset(1, 7)],
    events: ['reset remoteRefused http2.remote_reset_REFUSED_STREAM'],
    frames: [],
  },
  {
    name: '§6.4 a reset within the content',
    wire: [ok(), data(1, 0, 'x'), reset(1, 2)],
    events: ['200 HTTP/2', 'data x', 'reset remoteReset http2.remote_reset_INTERNAL_ERROR'],
  },
  {
    name: '§6.8 GOAWAY that covers the request: it is finished',
    wire: [goaway(1), ok(END_STREAM)],
    events: ['200 HTTP/2 end'],
    frames: ['Goaway 0 NO_ERROR'],
  },
  {
    name: '§6.8 GOAWAY that does not: it may be tried again',
    wire: [goaway(0, 11), ok(END_STREAM)],
    events: ['reset remoteRefused http2.goaway'],
    frames: ['Goaway 0 NO_ERROR'],
  },
  {
    name: '§8.5 2xx to CONNECT is a tunnel',
    wire: [ok(), data(1, 0, 'a'), data(1, END_STREAM, 'b')],
    events: ['200 HTTP/2 tunnel', 'data ab', 'end'],
    frames: [],
    method: 'CONNECT',
    upgrade: 'connect',
  },
  {
    name: '§8.5 anything else is a response, and the request is complete',
    wire: [headers(1, 0, ':status', '403'), data(1, END_STREAM, 'no')],
    events: ['403 HTTP/2', 'data no', 'end'],
    frames: ['Data 1  end'],
    method: 'CONNECT',
    upgrade: 'connect',
  },
  { name: '§6.7 PING', wire: [ping()], events: [], frames: ['Ping ack'] },
  failed('§8.3.2 no :status', 'invalid_status', headers(1, END_STREAM, 'x', 'y')),
  failed('§8.3.2 :status of two digits', 'invalid_status', headers(1, END_STREAM, ':status', '20')),
  failed('§8.3.2 :status 099', 'invalid_status', headers(1, END_STREAM, ':status', '099')),
  failed('§8.3 :path in a response', 'unexpected_pseudo_header', ok(END_STREAM, ':path', '/')),
  failed('§8.6 101', 'unexpected_switching_protocols', headers(1, 0, ':status', '101')),
  failed(
    '§8.1 1xx with END_STREAM',
    'informational_with_end_stream',
    headers(1, END_STREAM, ':status', '103'),
  ),
  failed('§8.1 DATA before HEADERS', 'data_before_response_head', data(1, 0, 'x')),
  failed('§8.2.1 LF in a value (A3.1)', 'invalid_field', ok(END_STREAM, 'x', 'a\nset-cookie: b')),
  failed(
    '§8.2.2 transfer-encoding (A3.1)',
    'connection_specific_field',
    ok(END_STREAM, 'transfer-encoding', 'chunked'),
  ),
  failed(
    '§8.1.1 content-length without content',
    'content_length_mismatch',
    ok(END_STREAM, 'content-length', '1'),
  ),
  failed('[A3.4] endless 1xx', 'too_many_informational_responses', headers(1, 0, ':status', '100')),
  failed('[A3.4] an endless field list', 'headers_too_large', ok(END_STREAM, 'x', 'y'.repeat(300))),
  {
    name: '§8.1.1 content of 204',
    wire: [headers(1, 0, ':status', '204'), data(1, END_STREAM, 'x')],
    events: ['204 HTTP/2', 'reset protocolError http2.content_length_mismatch'],
  },
  {
    name: '§8.1 a field section behind the head that ends nothing',
    wire: [ok(), headers(1, 0, 'x', 'y')],
    events: ['200 HTTP/2', 'reset protocolError http2.trailers_without_end_stream'],
  },
  broken(
    '§3.4 no SETTINGS first is for the server; §5.1 a stream nobody opened',
    'PROTOCOL_ERROR',
    'frame_on_idle_stream',
    headers(3, 0, ':status', '200'),
  ),
  broken(
    '§8.4 PUSH_PROMISE, which we have refused',
    'PROTOCOL_ERROR',
    'push_promise_refused',
    frame(5, 4, 1, [0, 0, 0, 2]),
  ),
  broken(
    '§5.1.1 a stream of the server',
    'PROTOCOL_ERROR',
    'bad_stream_id',
    headers(2, 0, ':status', '200'),
  ),
  broken('§6.5.2 a server may not allow push', 'PROTOCOL_ERROR', 'bad_enable_push', settings(2, 1)),
  broken('§6.9 WINDOW_UPDATE of 0', 'PROTOCOL_ERROR', 'zero_window_increment', windowUpdate(0, 0)),
];

function play(row: Row, pieces: readonly Buffer[]) {
  const transport = new RecordingTransport();
  const listener = new RecordingListener();
  const limits = {
    ...http2ClientOptions().limits,
    headBytesMax: 256,
    informationalCountMax: row.name.includes('endless 1xx') ? 0 : 2,
  };
  const connection = new Http2ClientConnection(transport, listener, http2ClientOptions({ limits }));
  const head = new RequestHead(row.method ?? 'GET', 'http', 'a:1', '/', [], 'HTTP/1.1');
  head.upgrade = row.upgrade ?? '';
  const sink = new RecordingSink();
  connection.request(head, row.uploading !== true, sink);
  transport.frames();
  for (const piece of pieces) {
    connection.receive(piece);
    transport.flush();
  }
  return { connection, transport, events: sink.log.lines };
}

describe('client role', () => {
  test.each(ROWS.map((row) => [row.name, row] as const))('%s', (_name, row) => {
    const wire = Buffer.concat([settings(), ...row.wire]);
    const whole = play(row, [wire]);
    expect(whole.events).toEqual(row.events);
    const frames = whole.transport.frames();
    expect(frames[0]).toBe('Settings ack');
    if (row.frames !== undefined) expect(frames.slice(1)).toEqual(row.frames);
    const single = play(
      row,
      Array.from(wire, (byte) => Buffer.from([byte])),
    );
    expect(single.events, 'byte by byte').toEqual(row.events);
    expect(single.transport.frames(), 'byte by byte').toEqual(frames);
    for (let at = 1; at < wire.length; at++) {
      const cut = play(row, [wire.subarray(0, at), wire.subarray(at)]);
      expect(cut.events, `cut at ${at}`).toEqual(row.events);
      expect(cut.transport.frames(), `cut at ${at}`).toEqual(frames);
    }
    expect(whole.connection.reusable).toBe(!frames.some((line) => line.startsWith('Goaway')));
  });

  test('the preface, our settings and a request, as they leave', () => {
    const transport = new RecordingTransport();
    const connection = new Http2ClientConnection(
      transport,
      new RecordingListener(),
      http2ClientOptions(),
    );
    const head = new RequestHead('POST', 'https', 'a:1', '/p?q', [], 'HTTP/1.1');
    head.headers.push('host', 'x', 'connection', 'close', 'transfer-encoding', 'chunked');
    head.headers.push(
      'te',
      'gzip',
      'upgrade',
      'h2c',
      'keep-alive',
      '1',
      'x-a',
      'b',
      'te',
      'trailers',
    );
    const stream = connection.request(head, false, new RecordingSink());
    stream.writeData(Buffer.from('body'), false);
    stream.writeTrailers(['x-t', '1', 'authorization', 'dropped', ':status', '200']);
    expect(transport.frames()).toEqual([
      'preface',
      'Settings',
      'Headers 1 [:method: POST] [:scheme: https] [:authority: a:1] [:path: /p?q] [x-a: b] [te: trailers]',
      'Data 1 body',
      'Headers 1 [x-t: 1] end',
    ]);
  });

  test.each([
    ['content-length that cannot be true', ['content-length', '3'], true, '/'],
    ['content-length twice', ['content-length', '3', 'content-length', '4'], false, '/'],
    ['a path that splits the request line', [], true, '/a b'],
    ['an empty path', [], true, ''],
  ])('a request that cannot be sent is not sent: %s', (_name, fields, endStream, path) => {
    const transport = new RecordingTransport();
    const connection = new Http2ClientConnection(
      transport,
      new RecordingListener(),
      http2ClientOptions(),
    );
    transport.frames();
    const sink = new RecordingSink();
    connection.request(
      new RequestHead('PUT', 'http', 'a', path, fields, 'HTTP/1.1'),
      endStream,
      sink,
    );
    expect(sink.log.lines).toEqual(['reset localReset http2.invalid_outgoing_head']);
    expect(transport.frames()).toEqual([]);
    expect(connection.activeStreams).toBe(0);
  });

  test('content that is not what content-length said resets the stream', () => {
    const transport = new RecordingTransport();
    const connection = new Http2ClientConnection(
      transport,
      new RecordingListener(),
      http2ClientOptions(),
    );
    const sink = new RecordingSink();
    const head = new RequestHead('PUT', 'http', 'a', '/', ['content-length', '3'], 'HTTP/1.1');
    const stream = connection.request(head, false, sink);
    transport.frames();
    stream.writeData(Buffer.from('ab'), true);
    expect(sink.log.lines).toEqual(['reset localReset http2.outgoing_content_length_mismatch']);
    expect(transport.frames()).toEqual(['RstStream 1 CANCEL']);
  });

  test('a pool can shut the connection down: what is under way is finished', () => {
    const transport = new RecordingTransport();
    const listener = new RecordingListener();
    const connection = new Http2ClientConnection(transport, listener, http2ClientOptions());
    const sink = new RecordingSink();
    connection.request(new RequestHead('GET', 'http', 'a', '/', [], 'HTTP/1.1'), true, sink);
    connection.receive(settings());
    connection.shutdown();
    expect([connection.capacity, connection.reusable]).toEqual([0, false]);
    connection.receive(ok(END_STREAM));
    expect(sink.log.lines).toEqual(['200 HTTP/2 end']);
    expect(transport.closedAfterFlush).toBe(true);
  });

  test('the transport goes: every stream is told, once', () => {
    const connection = new Http2ClientConnection(
      new RecordingTransport(),
      new RecordingListener(),
      http2ClientOptions(),
    );
    const sinks = [new RecordingSink(), new RecordingSink()];
    for (const sink of sinks) {
      connection.request(new RequestHead('GET', 'http', 'a', '/', [], 'HTTP/1.1'), true, sink);
    }
    connection.close('ECONNRESET');
    connection.close('again');
    for (const sink of sinks)
      expect(sink.log.lines).toEqual(['reset connectionTermination ECONNRESET']);
    expect(connection.reusable).toBe(false);
  });
});
