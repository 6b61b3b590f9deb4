import { describe, expect, test } from 'vitest';
import { httpLimits } from '../http/limits.ts';
import { ResponseHead } from '../http/message.ts';
import type { ServerStream } from '../http/stream.ts';
import { type Answer, answerWhenComplete, RecordingHandler } from '../http1/recorder.testing.ts';
import { type Http2ServerOptions, http2ServerOptions } from './connection-options.ts';
import { CONNECTION_PREFACE } from './frame-reader.ts';
import { Http2ServerConnection } from './server-connection.ts';
import {
  block,
  data,
  END_HEADERS,
  END_STREAM,
  frame,
  goaway,
  headers,
  ping,
  priority,
  RecordingTransport,
  reset,
  SETTINGS_ACK,
  settings,
  uint32,
  windowUpdate,
} from './wire.testing.ts';

/**
 * Wire bytes, the events they make in the server role and the frames they are answered with. Each row is
 * played whole, cut at every offset, byte by byte, and with another request behind it: that one is served
 * unless the row ended the connection.
 */
interface Row {
  readonly name: string;
  /** Behind the connection preface and empty SETTINGS. */
  readonly wire: readonly Buffer[];
  readonly events: readonly string[];
  /** Behind our own SETTINGS and the acknowledgement; left out where nothing is said. */
  readonly frames?: readonly string[];
  readonly options?: Partial<Http2ServerOptions>;
  readonly answer?: Answer;
}

const GET = [':method', 'GET', ':scheme', 'http', ':authority', 'a', ':path', '/'];
const POST = [':method', 'POST', ':scheme', 'http', ':authority', 'a', ':path', '/'];
const CONNECT = [':method', 'CONNECT', ':authority', 'db:5432'];
const EXTENDED = [
  ...[':method', 'CONNECT', ':protocol', 'websocket', ':scheme', 'http'],
  ...[':authority', 'a', ':path', '/chat'],
];
const get = (id: number, ...fields: readonly string[]) =>
  headers(id, END_STREAM, ...GET, ...fields);
const post = (id: number, ...fields: readonly string[]) => headers(id, 0, ...POST, ...fields);
const OK = (id: number) => `Headers ${id} [:status: 200] end`;
const SERVED = 'GET / http://a HTTP/2 end';
const UPLOAD = 'POST / http://a HTTP/2';

/** A request that is refused while the connection lives. */
const malformed = (name: string, code: string, ...fields: readonly string[]): Row => ({
  name,
  wire: [headers(1, END_STREAM, ...fields)],
  events: [`refused 400 http2.${code}`],
  frames: ['Headers 1 [:status: 400] [content-length: 0] end', 'RstStream 1 PROTOCOL_ERROR'],
});
/** What ends the connection. */
const broken = (name: string, code: string, detail: string, ...wire: readonly Buffer[]): Row => ({
  name,
  wire,
  events: [`refused 400 http2.${detail}`],
  frames: [`Goaway 0 ${code} http2.${detail}`],
});
const idle: Answer = () => {};

const ACCEPTED: readonly Row[] = [
  { name: '§8.1 request without content', wire: [get(1)], events: [SERVED], frames: [OK(1)] },
  {
    name: '§8.1 request with content and trailers',
    wire: [post(1), data(1, 0, 'ab'), data(1, 0, 'c'), headers(1, END_STREAM, 'x-t', '1')],
    events: [UPLOAD, 'data abc', 'trailers [x-t: 1]'],
    frames: [OK(1)],
  },
  {
    name: '§5.1 several streams at once',
    wire: [post(1), post(3), data(3, END_STREAM, 'y'), data(1, END_STREAM, 'x')],
    events: [UPLOAD, UPLOAD, 'data y', 'end', 'data x', 'end'],
    frames: [OK(3), OK(1)],
  },
  {
    name: '§6.1 padding is dropped, an empty last frame ends the stream',
    wire: [post(1), frame(0, 0x8, 1, [3, 97, 98, 0, 0, 0]), data(1, END_STREAM)],
    events: [UPLOAD, 'data ab', 'end'],
    frames: [OK(1)],
  },
  {
    name: '§6.1 a frame of padding only ends the stream',
    wire: [post(1), frame(0, 0x9, 1, [3, 0, 0, 0])],
    events: [UPLOAD, 'end'],
    frames: [OK(1)],
  },
  {
    name: '§6.2 padded HEADERS with a priority, which is ignored (§5.3)',
    wire: [frame(1, 0x2d, 1, [2, ...uint32(0), 255, ...block(...GET), 0, 0])],
    events: [SERVED],
    frames: [OK(1)],
  },
  {
    name: '§6.10 a field block in three frames, one of them empty',
    wire: [
      frame(1, END_STREAM, 1, block(...GET).subarray(0, 7)),
      frame(9, 0, 1),
      frame(9, END_HEADERS, 1, block(...GET).subarray(7)),
    ],
    events: [SERVED],
    frames: [OK(1)],
  },
  {
    name: '§6.3 PRIORITY in any state is ignored',
    wire: [priority(1, 0), get(1), priority(1, 3), priority(77, 1)],
    events: [SERVED],
    frames: [OK(1)],
  },
  {
    name: '§4.1, §5.5 unknown types, flags and the reserved bit are ignored',
    wire: [frame(0xfa, 0xff, 0x80000001, 'whatever'), get(0x80000001), frame(0x20, 0, 0)],
    events: [SERVED],
    frames: [OK(1)],
  },
  { name: '§6.7 PING is answered', wire: [ping()], events: [], frames: ['Ping ack'] },
  {
    name: '§6.7 an acknowledgement that nobody asked for',
    wire: [ping(1)],
    events: [],
    frames: [],
  },
  {
    name: '§6.5 SETTINGS are acknowledged, unknown ones ignored',
    wire: [settings(0x99, 7, 0x1, 100, 0x3, 0), SETTINGS_ACK],
    events: [],
    frames: ['Settings ack'],
  },
  {
    name: '§6.9 WINDOW_UPDATE on a stream that is closed',
    wire: [get(1), windowUpdate(1, 10), windowUpdate(0, 10)],
    events: [SERVED],
    frames: [OK(1)],
  },
  {
    name: '§6.4 RST_STREAM ends the stream; another on it is ignored',
    wire: [post(1), reset(1), reset(1)],
    events: [UPLOAD, 'reset remoteReset http2.remote_reset_CANCEL'],
    frames: [],
  },
  {
    name: '§5.1 what was on its way when we reset the stream is ignored',
    wire: [post(1), data(1, 0, 'x'), headers(1, END_STREAM, 'x-t', '1'), windowUpdate(1, 1)],
    events: [UPLOAD],
    frames: ['RstStream 1 INTERNAL_ERROR'],
    answer: (stream, _head, complete) => {
      if (!complete) stream.reset('localReset');
    },
  },
  {
    name: '§8.1 a response before the end of its request: the rest is of no use',
    wire: [post(1), data(1, 0, 'x'), data(1, END_STREAM, 'y')],
    events: [UPLOAD],
    frames: ['Headers 1 [:status: 200] end', 'RstStream 1 NO_ERROR'],
    answer: (stream, _head, complete) => {
      if (!complete) answerWhenComplete(stream, _head, true);
    },
  },
  {
    name: '§8.2.3 cookie crumbs are joined in the place of the first',
    wire: [get(1, 'cookie', 'a=1', 'x', 'y', 'cookie', 'b=2')],
    events: ['GET / http://a HTTP/2 [cookie: a=1; b=2] [x: y] end'],
  },
  {
    name: '§8.2.2 te: trailers is kept',
    wire: [get(1, 'te', 'trailers')],
    events: ['GET / http://a HTTP/2 [te: trailers] end'],
  },
  {
    name: '§8.3.1 host in place of, or equal to, :authority',
    wire: [
      get(1, 'host', 'a'),
      headers(3, END_STREAM, ':method', 'GET', ':scheme', 'https', ':path', '/', 'host', 'b'),
    ],
    events: [SERVED, 'GET / https://b HTTP/2 end'],
  },
  {
    name: '§8.3.1 OPTIONS *',
    wire: [
      headers(
        1,
        END_STREAM,
        ':method',
        'OPTIONS',
        ':scheme',
        'http',
        ':authority',
        'a',
        ':path',
        '*',
      ),
    ],
    events: ['OPTIONS * http://a HTTP/2 end'],
  },
  {
    name: '§8.1.1 content-length that is true, twice',
    wire: [post(1, 'content-length', '3', 'content-length', '3'), data(1, END_STREAM, 'abc')],
    events: [`${UPLOAD} length=3 [content-length: 3]`, 'data abc', 'end'],
  },
  {
    name: 'RFC 9110 §6.5.1 what policy has decided on is dropped from trailers',
    wire: [
      post(1),
      headers(1, END_STREAM, 'authorization', 'x', 'content-length', '3', 'x-t', '1'),
    ],
    events: [UPLOAD, 'trailers [x-t: 1]'],
  },
  {
    name: '§8.5 CONNECT: early data waits for the tunnel, then passes both ways',
    wire: [headers(1, 0, ...CONNECT), data(1, 0, 'ab'), data(1, END_STREAM, 'c')],
    events: ['CONNECT - http://db:5432 HTTP/2 upgrade=connect', 'data abc', 'end'],
    frames: ['Headers 1 [:status: 200]', 'Data 1  end'],
    answer: (stream, head, complete) => {
      if (complete) stream.writeData(Buffer.alloc(0), true);
      else answerTunnel(stream, head.upgrade);
    },
  },
  {
    name: '§8.5 CONNECT that is refused: its early data is dropped',
    wire: [headers(1, 0, ...CONNECT), data(1, 0, 'ab')],
    events: ['CONNECT - http://db:5432 HTTP/2 upgrade=connect'],
    frames: ['Headers 1 [:status: 503] end', 'RstStream 1 NO_ERROR'],
    answer: (stream) => stream.writeHead(new ResponseHead(503, []), true),
  },
  {
    name: '§6.8 GOAWAY of the client: what is open is finished',
    wire: [post(1), goaway(0), data(1, END_STREAM, 'x')],
    events: [UPLOAD, 'data x', 'end'],
    frames: [OK(1), 'Goaway 1 NO_ERROR'],
  },
  {
    name: '§5.1.2 streams beyond the limit are refused',
    wire: [post(1), post(3), data(1, END_STREAM)],
    events: [UPLOAD, 'end'],
    frames: ['RstStream 3 REFUSED_STREAM', OK(1)],
    options: { streamsMax: 1 },
  },
];

function answerTunnel(stream: ServerStream, upgrade: string): void {
  const status = upgrade === 'connect' ? 200 : 101;
  stream.writeHead(Object.assign(new ResponseHead(status, []), { upgrade: true }), false);
}

const STREAM_ERRORS: readonly Row[] = [
  malformed('§8.3.1 no :method', 'missing_pseudo_header', ...GET.slice(2)),
  malformed('§8.3.1 no :scheme', 'missing_pseudo_header', ...GET.slice(0, 2), ...GET.slice(4)),
  malformed('§8.3.1 no :path', 'missing_pseudo_header', ...GET.slice(0, 6)),
  malformed('§8.3.1 empty :path', 'invalid_url', ...GET.slice(0, 7), ''),
  malformed('§8.3.1 :path that is no path', 'invalid_url', ...GET.slice(0, 7), 'x'),
  malformed(
    '§8.3.1 a blank in :path splits a request line',
    'invalid_url',
    ...GET.slice(0, 7),
    '/ HTTP/1.1',
  ),
  malformed('§8.3.1 a fragment', 'invalid_url', ...GET.slice(0, 7), '/#x'),
  malformed('§8.3.1 * with GET', 'invalid_url', ...GET.slice(0, 7), '*'),
  malformed(
    '§8.3.1 another scheme',
    'invalid_scheme',
    ':method',
    'GET',
    ':scheme',
    'ftp',
    ...GET.slice(4),
  ),
  malformed('§8.3.1 no authority', 'missing_authority', ...GET.slice(0, 4), ...GET.slice(6)),
  malformed('§8.3.1 userinfo', 'invalid_authority', ...GET.slice(0, 5), 'u@a', ...GET.slice(6)),
  malformed('§8.3.1 host differs', 'host_differs_from_authority', ...GET, 'host', 'b'),
  malformed('two hosts', 'host_differs_from_authority', ...GET, 'host', 'a', 'host', 'b'),
  malformed('§8.3 method that is no token', 'invalid_method', ':method', 'G T', ...GET.slice(2)),
  malformed('§8.3 :path twice', 'duplicate_pseudo_header', ...GET, ':path', '/'),
  malformed(
    '§8.3 :path twice, the first one empty',
    'duplicate_pseudo_header',
    ':path',
    '',
    ...GET,
  ),
  malformed('§8.3 pseudo-header behind a field', 'pseudo_header_after_field', 'x', 'y', ...GET),
  malformed('§8.3 :status in a request', 'unexpected_pseudo_header', ':status', '200', ...GET),
  malformed('§8.3 unknown pseudo-header', 'invalid_field', ':x', 'y', ...GET),
  malformed('§8.2.1 upper case', 'invalid_field', ...GET, 'X-a', 'b'),
  malformed('§8.2.1 colon in a name', 'invalid_field', ...GET, 'a:b', 'c'),
  malformed('§8.2.1 empty name', 'invalid_field', ...GET, '', 'c'),
  malformed('§8.2.1 blank in a name', 'invalid_field', ...GET, 'a b', 'c'),
  malformed('§8.2.1 CR in a value', 'invalid_field', ...GET, 'x', 'a\rb'),
  malformed('§8.2.1 LF in a value', 'invalid_field', ...GET, 'x', 'a\nb: c'),
  malformed('§8.2.1 NUL in a value', 'invalid_field', ...GET, 'x', 'a\0b'),
  malformed('§8.2.1 leading blank', 'invalid_field', ...GET, 'x', ' a'),
  malformed('§8.2.1 trailing tab', 'invalid_field', ...GET, 'x', 'a\t'),
  malformed('§8.2.1 CR in :path', 'invalid_field', ...GET.slice(0, 7), '/a\r'),
  malformed('§8.2.2 connection', 'connection_specific_field', ...GET, 'connection', 'close'),
  malformed(
    '§8.2.2 transfer-encoding',
    'connection_specific_field',
    ...POST,
    'transfer-encoding',
    'chunked',
  ),
  malformed('§8.2.2 upgrade', 'connection_specific_field', ...GET, 'upgrade', 'h2c'),
  malformed('§8.2.2 keep-alive', 'connection_specific_field', ...GET, 'keep-alive', '1'),
  malformed(
    '§8.2.2 proxy-connection',
    'connection_specific_field',
    ...GET,
    'proxy-connection',
    'x',
  ),
  malformed('§8.2.2 te but trailers', 'invalid_te', ...GET, 'te', 'trailers, gzip'),
  malformed(
    '§8.1.1 content-length without content',
    'content_length_mismatch',
    ...POST,
    'content-length',
    '1',
  ),
  malformed('content-length +1', 'invalid_content_length', ...POST, 'content-length', '+1'),
  malformed('content-length 1, 2', 'invalid_content_length', ...POST, 'content-length', '1, 2'),
  malformed(
    'content-length twice',
    'invalid_content_length',
    ...POST,
    'content-length',
    '0',
    'content-length',
    '1',
  ),
  malformed(
    '§8.5 CONNECT with a path',
    'invalid_connect',
    ...CONNECT,
    ':path',
    '/',
    ':scheme',
    'http',
  ),
  malformed(
    '§8.5 CONNECT without a port',
    'invalid_connect',
    ':method',
    'CONNECT',
    ':authority',
    'db',
  ),
  malformed('RFC 8441 §4 :protocol without CONNECT', 'invalid_connect', ':protocol', 'x', ...GET),
  malformed(
    'RFC 8441 §4 :protocol without :path',
    'missing_pseudo_header',
    ...EXTENDED.slice(0, 8),
  ),
  {
    ...malformed('RFC 8441 §4 not offered', 'invalid_connect', ...EXTENDED),
    options: { extendedConnect: false },
  },
  {
    name: '[A2.12] too many fields: 431, and the table goes on',
    wire: [get(1, 'a', '1', 'b', '2', 'cookie', 'x', 'cookie', 'y')],
    events: ['refused 431 http2.too_many_headers'],
    frames: ['Headers 1 [:status: 431] [content-length: 0] end'],
    options: { limits: httpLimits({ headerCountMax: 3 }) },
  },
  {
    name: '[PR-14] a field list too large: 431, and the rest of the request is of no use',
    wire: [post(1, 'x-large', 'y'.repeat(100)), data(1, END_STREAM, 'x')],
    events: ['refused 431 http2.headers_too_large'],
    frames: ['Headers 1 [:status: 431] [content-length: 0] end', 'RstStream 1 NO_ERROR'],
    options: { limits: httpLimits({ headBytesMax: 256 }) },
  },
  {
    name: '§8.1.1 more data than content-length says, nothing answered yet: 400',
    wire: [post(1, 'content-length', '2'), data(1, 0, 'abc')],
    events: [
      `${UPLOAD} length=2 [content-length: 2]`,
      'reset protocolError http2.content_length_mismatch',
    ],
    options: {},
  },
  {
    name: '§8.1.1 less data than content-length says',
    wire: [post(1, 'content-length', '2'), data(1, END_STREAM)],
    events: [
      `${UPLOAD} length=2 [content-length: 2]`,
      'reset protocolError http2.content_length_mismatch',
    ],
    frames: ['Headers 1 [:status: 400] [content-length: 0] end', 'RstStream 1 PROTOCOL_ERROR'],
  },
  {
    name: '§8.1.1 trailers before content-length is reached',
    wire: [post(1, 'content-length', '2'), headers(1, END_STREAM, 'x', 'y')],
    events: [
      `${UPLOAD} length=2 [content-length: 2]`,
      'reset protocolError http2.content_length_mismatch',
    ],
  },
  {
    name: '§8.1 a second field section that does not end the stream',
    wire: [post(1), headers(1, 0, 'x', 'y')],
    events: [UPLOAD, 'reset protocolError http2.trailers_without_end_stream'],
    frames: ['Headers 1 [:status: 400] [content-length: 0] end', 'RstStream 1 PROTOCOL_ERROR'],
  },
  {
    name: '§8.1 pseudo-header in trailers',
    wire: [post(1), headers(1, END_STREAM, ':method', 'GET')],
    events: [UPLOAD, 'reset protocolError http2.unexpected_pseudo_header'],
  },
  {
    name: '§5.1 DATA after END_STREAM',
    wire: [get(1), data(1, 0, 'x')],
    events: [SERVED, 'reset protocolError http2.frame_after_end_stream'],
    frames: ['RstStream 1 STREAM_CLOSED'],
    answer: idle,
  },
  {
    name: '§5.1 HEADERS after END_STREAM',
    wire: [get(1), headers(1, END_STREAM, 'x', 'y')],
    events: [SERVED, 'reset protocolError http2.frame_after_end_stream'],
    frames: ['RstStream 1 STREAM_CLOSED'],
    answer: idle,
  },
  {
    name: '§6.9 WINDOW_UPDATE of 0 on a stream',
    wire: [post(1), windowUpdate(1, 0)],
    events: [UPLOAD, 'reset protocolError http2.zero_window_increment'],
    frames: ['RstStream 1 PROTOCOL_ERROR'],
  },
  {
    name: '§6.9.1 a stream’s window beyond 2^31-1',
    wire: [post(1), windowUpdate(1, 0x7fffffff)],
    events: [UPLOAD, 'reset protocolError http2.window_overflow'],
    frames: ['RstStream 1 FLOW_CONTROL_ERROR'],
  },
  {
    name: 'RFC 7540 §5.3.1 a stream that depends on itself',
    wire: [frame(1, 0x25, 1, [...uint32(1), 15, ...block(...GET)])],
    events: ['refused 400 http2.stream_depends_on_itself'],
    frames: ['RstStream 1 PROTOCOL_ERROR'],
  },
];

const CONNECTION_ERRORS: readonly Row[] = [
  broken(
    '§4.2 a frame larger than we allow',
    'FRAME_SIZE_ERROR',
    'frame_too_large',
    frame(0, 0, 1, 'x'.repeat(16_385)).subarray(0, 12),
  ),
  broken('§5.1 DATA on an idle stream', 'PROTOCOL_ERROR', 'frame_on_idle_stream', data(1, 0, 'x')),
  broken('§5.1 RST_STREAM on an idle stream', 'PROTOCOL_ERROR', 'frame_on_idle_stream', reset(1)),
  broken(
    '§5.1 WINDOW_UPDATE on an idle stream',
    'PROTOCOL_ERROR',
    'frame_on_idle_stream',
    windowUpdate(1, 1),
  ),
  broken('§5.1.1 a stream of ours', 'PROTOCOL_ERROR', 'bad_stream_id', get(2)),
  broken('§6.1 DATA on stream 0', 'PROTOCOL_ERROR', 'stream_id_missing', data(0, 0, 'x')),
  broken('§6.2 HEADERS on stream 0', 'PROTOCOL_ERROR', 'stream_id_missing', get(0)),
  broken(
    '§6.2 HEADERS shorter than what its flags say',
    'FRAME_SIZE_ERROR',
    'bad_frame_size',
    frame(1, 0x24, 1, [0, 0]),
  ),
  broken(
    '§6.2 padding beyond the frame',
    'PROTOCOL_ERROR',
    'padding_exceeds_frame',
    frame(1, 0xc, 1, [9, 0, 0]),
  ),
  broken(
    '§6.3 PRIORITY of 4 bytes',
    'FRAME_SIZE_ERROR',
    'bad_frame_size',
    frame(2, 0, 1, [0, 0, 0, 0]),
  ),
  broken('§6.3 PRIORITY on stream 0', 'PROTOCOL_ERROR', 'stream_id_missing', priority(0, 1)),
  broken(
    '§6.4 RST_STREAM of 3 bytes',
    'FRAME_SIZE_ERROR',
    'bad_frame_size',
    frame(3, 0, 1, [0, 0, 0]),
  ),
  broken('§6.4 RST_STREAM on stream 0', 'PROTOCOL_ERROR', 'stream_id_missing', reset(0)),
  broken('§6.5 SETTINGS on a stream', 'PROTOCOL_ERROR', 'stream_id_not_allowed', frame(4, 0, 1)),
  broken('§6.5 SETTINGS of 5 bytes', 'FRAME_SIZE_ERROR', 'bad_frame_size', frame(4, 0, 0, 'abcde')),
  broken(
    '§6.5 an acknowledgement with a payload',
    'FRAME_SIZE_ERROR',
    'bad_frame_size',
    frame(4, 1, 0, 'abcdef'),
  ),
  broken('§6.5.2 ENABLE_PUSH 2', 'PROTOCOL_ERROR', 'bad_enable_push', settings(2, 2)),
  broken(
    '§6.5.2 INITIAL_WINDOW_SIZE 2^31',
    'FLOW_CONTROL_ERROR',
    'bad_initial_window',
    settings(4, 0x80000000),
  ),
  broken(
    '§6.5.2 MAX_FRAME_SIZE 16383',
    'PROTOCOL_ERROR',
    'bad_max_frame_size',
    settings(5, 16_383),
  ),
  broken(
    '§6.5.2 MAX_FRAME_SIZE 2^24',
    'PROTOCOL_ERROR',
    'bad_max_frame_size',
    settings(5, 1 << 24),
  ),
  broken(
    'RFC 8441 §3 ENABLE_CONNECT_PROTOCOL 2',
    'PROTOCOL_ERROR',
    'bad_enable_connect_protocol',
    settings(8, 2),
  ),
  broken(
    'RFC 8441 §3 and back to 0',
    'PROTOCOL_ERROR',
    'bad_enable_connect_protocol',
    settings(8, 1, 8, 0),
  ),
  broken(
    '§8.4 PUSH_PROMISE of a client',
    'PROTOCOL_ERROR',
    'push_promise_refused',
    frame(5, 4, 1, [0, 0, 0, 2]),
  ),
  broken('§6.7 PING of 6 bytes', 'FRAME_SIZE_ERROR', 'bad_frame_size', frame(6, 0, 0, 'abcdef')),
  broken(
    '§6.7 PING on a stream',
    'PROTOCOL_ERROR',
    'stream_id_not_allowed',
    frame(6, 0, 1, 'abcdefgh'),
  ),
  broken(
    '§6.8 GOAWAY on a stream',
    'PROTOCOL_ERROR',
    'stream_id_not_allowed',
    frame(7, 0, 1, 'abcdefgh'),
  ),
  broken('§6.8 GOAWAY of 7 bytes', 'FRAME_SIZE_ERROR', 'bad_frame_size', frame(7, 0, 0, 'abcdefg')),
  broken(
    '§6.9 WINDOW_UPDATE of 3 bytes',
    'FRAME_SIZE_ERROR',
    'bad_frame_size',
    frame(8, 0, 0, 'abc'),
  ),
  broken('§6.9 WINDOW_UPDATE of 0', 'PROTOCOL_ERROR', 'zero_window_increment', windowUpdate(0, 0)),
  broken(
    '§6.9.1 the window beyond 2^31-1',
    'FLOW_CONTROL_ERROR',
    'window_overflow',
    windowUpdate(0, 0x7fffffff),
  ),
  broken(
    '§6.10 CONTINUATION out of nothing',
    'PROTOCOL_ERROR',
    'unexpected_continuation',
    frame(9, 4, 1),
  ),
  broken(
    '§6.10 another frame within a field block',
    'PROTOCOL_ERROR',
    'continuation_expected',
    frame(1, 0, 1, block(...GET)),
    ping(),
  ),
  broken(
    '§6.10 CONTINUATION of another stream',
    'PROTOCOL_ERROR',
    'continuation_expected',
    frame(1, 0, 1, block(...GET)),
    frame(9, 4, 3),
  ),
  broken(
    '§4.3 a block that cannot be decoded',
    'COMPRESSION_ERROR',
    'header_compression',
    frame(1, 5, 1, [0xff]),
  ),
  {
    name: '§5.1 DATA on a stream that has ended both ways',
    wire: [get(1), data(1, 0, 'x')],
    events: [SERVED, 'refused 400 http2.frame_on_closed_stream'],
    frames: [OK(1), 'Goaway 1 STREAM_CLOSED http2.frame_on_closed_stream'],
  },
  {
    name: '§5.1 HEADERS on a stream that has ended both ways',
    wire: [get(1), get(1)],
    events: [SERVED, 'refused 400 http2.frame_on_closed_stream'],
    frames: [OK(1), 'Goaway 1 STREAM_CLOSED http2.frame_on_closed_stream'],
  },
  {
    name: '§5.1.1 a stream that was passed over',
    wire: [get(5), get(3)],
    events: [SERVED, 'refused 400 http2.stream_id_not_ascending'],
    frames: [OK(5), 'Goaway 5 PROTOCOL_ERROR http2.stream_id_not_ascending'],
  },
  {
    name: '§6.1 padding of DATA beyond the frame; the open stream is told',
    wire: [post(1), frame(0, 0x8, 1, [5, 1, 2])],
    events: [UPLOAD, 'reset protocolError http2.padding_exceeds_frame'],
    frames: ['Goaway 1 PROTOCOL_ERROR http2.padding_exceeds_frame'],
  },
];

function play(row: Row, pieces: readonly Buffer[]) {
  const transport = new RecordingTransport();
  const handler = new RecordingHandler(row.answer ?? answerWhenComplete);
  const options = http2ServerOptions({ nowMs: () => 0, ...row.options });
  const connection = new Http2ServerConnection(transport, handler, options);
  for (const piece of pieces) {
    connection.receive(piece);
    transport.flush();
  }
  return { connection, transport, events: handler.log.lines };
}

const HELLO = Buffer.concat([Buffer.from(CONNECTION_PREFACE, 'latin1'), settings()]);
/** Frames that every connection begins with: our SETTINGS, the acknowledgement. */
const OPENING = ['Settings', 'Settings ack'];

describe.each([
  ['accepted', ACCEPTED],
  ['stream errors', STREAM_ERRORS],
  ['connection errors', CONNECTION_ERRORS],
])('server role: %s', (_kind, rows) => {
  test.each(rows.map((row) => [row.name, row] as const))('%s', (_name, row) => {
    const wire = Buffer.concat([HELLO, ...row.wire]);
    const whole = play(row, [wire]);
    expect(whole.events).toEqual(row.events);
    const frames = whole.transport.frames();
    expect(frames.slice(0, 2)).toEqual(OPENING);
    if (row.frames !== undefined) expect(frames.slice(2)).toEqual(row.frames);

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

    // With another request behind it, on the same connection.
    const behind = play(row, [Buffer.concat([wire, get(99)])]);
    const before = whole.events.filter((line) => line === SERVED).length;
    const alive = whole.connection.state !== 'closed';
    expect(alive, 'lives on').toBe(row.frames?.at(-1)?.startsWith('Goaway') !== true);
    const served = behind.events.filter((line) => line === SERVED).length;
    expect(served).toBe(before + (alive ? 1 : 0));
    expect(whole.transport.closedAfterFlush).toBe(whole.connection.state === 'closed');
  });
});

describe('server role: the connection preface', () => {
  test.each([
    ['HTTP/1.1', 'GET / HTTP/1.1\r\n\r\n', 'bad_connection_preface'],
    ['one byte wrong', `${CONNECTION_PREFACE.slice(0, -1)}x`, 'bad_connection_preface'],
    [
      'no SETTINGS behind it',
      `${CONNECTION_PREFACE}${ping().toString('latin1')}`,
      'settings_expected',
    ],
    [
      'an acknowledgement behind it',
      `${CONNECTION_PREFACE}${SETTINGS_ACK.toString('latin1')}`,
      'settings_expected',
    ],
  ])('§3.4 %s', (_name, text, code) => {
    const wire = Buffer.from(text, 'latin1');
    const { events, transport, connection } = play({ name: '', wire: [], events: [] }, [wire]);
    expect(events).toEqual([`refused 400 http2.${code}`]);
    expect(transport.frames().at(-1)).toBe(`Goaway 0 PROTOCOL_ERROR http2.${code}`);
    expect(connection.state).toBe('closed');
  });
});
