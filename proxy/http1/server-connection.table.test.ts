import { describe, expect, test } from 'vitest';
import { httpLimits } from '../http/limits.ts';
import { cuts, RecordingHandler, RecordingTransport } from './recorder.testing.ts';
import {
  Http1ServerConnection,
  type Http1ServerOptions,
  http1ServerOptions,
} from './server-connection.ts';

/**
 * Wire bytes and the events they make in the server role. Each row is played whole, cut at every
 * offset, byte by byte, and with another request behind it: that one is served after a row that was
 * accepted, and never after one that was refused.
 */
interface Row {
  readonly name: string;
  readonly wire: string;
  readonly events: readonly string[];
  readonly options?: Http1ServerOptions;
  /** The exchange ends the connection although nothing was refused. */
  readonly closes?: boolean;
}

const HOST = 'host: a\r\n';
const head = (fields: string) => `GET / HTTP/1.1\r\n${HOST}${fields}\r\n`;
const get = (target: string) => `GET ${target} HTTP/1.1\r\n${HOST}\r\n`;
const post = (fields: string, body: string) => `POST / HTTP/1.1\r\n${HOST}${fields}\r\n${body}`;
const chunked = (body: string) => post('transfer-encoding: chunked\r\n', body);
const refused = (code: string, status = 400) => [`refused ${status} http1.${code}`];
const broken = (code: string, ...data: string[]) => [
  'POST / http://a',
  ...data,
  `reset protocolError http1.${code}`,
];

const http10 = http1ServerOptions({ acceptHttp10: true });
const small = http1ServerOptions({
  limits: httpLimits({
    headBytesMax: 64,
    headerCountMax: 3,
    startLineBytesMax: 32,
    chunkExtensionBytesMax: 8,
    trailerBytesMax: 16,
    trailerCountMax: 1,
  }),
});

const ACCEPTED: readonly Row[] = [
  // RFC 9112 §3: request line and target forms.
  { name: '§3 request', wire: get('/p?q=1'), events: ['GET /p?q=1 http://a end'] },
  { name: '§2.2 one empty line before', wire: `\r\n${get('/')}`, events: ['GET / http://a end'] },
  {
    name: '§3.1 any token is a method',
    wire: `M-SEARCH! / HTTP/1.1\r\n${HOST}\r\n`,
    events: ['M-SEARCH! / http://a end'],
  },
  {
    name: '§3.2.1 target bytes outside RFC 3986 that browsers send',
    wire: get('/a|b\\c{d}^"<>`[]?x=[1]'),
    events: ['GET /a|b\\c{d}^"<>`[]?x=[1] http://a end'],
  },
  {
    name: '[PR-15] §3.2.2 absolute-form replaces Host',
    wire: 'GET http://b:8080/x?y HTTP/1.1\r\nhost: a\r\n\r\n',
    events: ['GET /x?y http://b:8080 absolute end'],
  },
  {
    name: '§3.2.2 absolute-form without path, other scheme, empty Host',
    wire: 'GET HTTPS://b HTTP/1.1\r\nhost:\r\n\r\n',
    events: ['GET / https://b absolute end'],
  },
  {
    name: '§3.2.2 absolute-form with a query only',
    wire: 'GET http://b?q HTTP/1.1\r\nhost: b\r\n\r\n',
    events: ['GET /?q http://b absolute end'],
  },
  {
    name: '§3.2.4 asterisk-form',
    wire: `OPTIONS * HTTP/1.1\r\n${HOST}\r\n`,
    events: ['OPTIONS * http://a end'],
  },
  {
    name: '§3.2.4 absolute-form of OPTIONS for the server',
    wire: 'OPTIONS http://b HTTP/1.1\r\nhost: b\r\n\r\n',
    events: ['OPTIONS * http://b absolute end'],
  },
  {
    name: '§3.2 Host with IPv6 and port',
    wire: 'GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n',
    events: ['GET / http://[::1]:80 end'],
  },
  // RFC 9110 §5, RFC 9112 §5: fields.
  {
    name: '§5.1 names in lower case, values trimmed, empty values kept',
    wire: head('X-Foo: \t bar baz \t\r\nAccept:*/*\r\nEmpty:\r\nBlank: \t \r\n'),
    events: ['GET / http://a [x-foo: bar baz] [accept: */*] [empty: ] [blank: ] end'],
  },
  {
    name: '[PR-15] underscores, obs-text and repeated fields pass',
    wire: head('a_b: \xe9\xff\r\nvia: 1\r\nvia: 2\r\n'),
    events: ['GET / http://a [a_b: \xe9\xff] [via: 1] [via: 2] end'],
  },
  // RFC 9110 §7.6.1: hop-by-hop.
  {
    name: '[PR-04] hop-by-hop fields and those named in Connection are dropped',
    wire: head(
      'Connection: keep-alive, X-Mine , ,\r\nx-mine: 1\r\nkeep-alive: timeout=5\r\nproxy-connection: x\r\nx-kept: 1\r\n',
    ),
    events: ['GET / http://a [x-kept: 1] end'],
  },
  {
    name: '[A2.2] framing and routing cannot be named away',
    wire: post('content-length: 2\r\nconnection: content-length, host\r\n', 'ab'),
    events: ['POST / http://a length=2 [content-length: 2]', 'data ab', 'end'],
  },
  {
    name: '§7.6.1 te is dropped but for trailers',
    wire: head('te: gzip;q=0.5, Trailers\r\nconnection: te\r\n'),
    events: ['GET / http://a [te: trailers] end'],
  },
  { name: 'te without trailers', wire: head('te: gzip\r\n'), events: ['GET / http://a end'] },
  {
    name: '[PR-04] connection: close ends the connection',
    wire: head('connection: Close\r\n'),
    events: ['GET / http://a end'],
    closes: true,
  },
  // RFC 9112 §6: bodies.
  {
    name: '§6.2 content-length',
    wire: post('content-length: 5\r\n', 'hello'),
    events: ['POST / http://a length=5 [content-length: 5]', 'data hello', 'end'],
  },
  {
    name: '§6.3 content-length 0 and leading zeros',
    wire: post('content-length: 000\r\n', ''),
    events: ['POST / http://a length=0 [content-length: 000] end'],
  },
  {
    name: '§6.3 equal content-lengths are one',
    wire: post('content-length: 2\r\ncontent-length: 2\r\n', 'ab'),
    events: ['POST / http://a length=2 [content-length: 2]', 'data ab', 'end'],
  },
  {
    name: '§7.1 chunked',
    wire: chunked('5\r\nhello\r\n0A\r\n, world!!!\r\n0\r\n\r\n'),
    events: ['POST / http://a', 'data hello, world!!!', 'end'],
  },
  {
    name: '§7 coding names in any case',
    wire: post('Transfer-Encoding: Chunked\r\n', '1\r\nx\r\n0\r\n\r\n'),
    events: ['POST / http://a', 'data x', 'end'],
  },
  {
    name: '§7.1.1 chunk extensions are dropped',
    wire: chunked('1;a\r\nx\r\n1;b="q\t;"\r\ny\r\n000;z=1\r\n\r\n'),
    events: ['POST / http://a', 'data xy', 'end'],
  },
  {
    name: '§7.1.2 trailers',
    wire: chunked('1\r\nx\r\n0\r\nX-Sum: 7 \r\ny:\r\n\r\n'),
    events: ['POST / http://a', 'data x', 'trailers [x-sum: 7] [y: ]'],
  },
  {
    name: '§7.1 empty chunked body',
    wire: chunked('0\r\n\r\n'),
    events: ['POST / http://a', 'end'],
  },
  {
    name: 'Expect is left to whoever answers',
    wire: post('expect: 100-continue\r\ncontent-length: 1\r\n', 'x'),
    events: [
      'POST / http://a length=1 [expect: 100-continue] [content-length: 1]',
      'data x',
      'end',
    ],
  },
  // RFC 9110 §7.8: upgrade. A tunnel that is not granted leaves an ordinary exchange.
  {
    name: '[PR-09] h2c is not offered',
    wire: head('connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: x\r\n'),
    events: ['GET / http://a end'],
  },
  {
    name: 'upgrade without the connection option is none',
    wire: head('upgrade: websocket\r\n'),
    events: ['GET / http://a end'],
  },
  {
    name: 'upgrade of a request with content is ignored',
    wire: post('connection: upgrade\r\nupgrade: websocket\r\ncontent-length: 1\r\n', 'x'),
    events: ['POST / http://a length=1 [content-length: 1]', 'data x', 'end'],
  },
  // HTTP/1.0.
  {
    name: '[PR-04] HTTP/1.0 where it is accepted, without Host',
    wire: 'GET / HTTP/1.0\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n',
    events: ['GET / http:// HTTP/1.0 end'],
    options: http10,
    closes: true,
  },
  {
    name: '[PR-04] HTTP/1.0 with keep-alive persists',
    wire: 'GET / HTTP/1.0\r\nhost: b\r\nconnection: keep-alive\r\n\r\n',
    events: ['GET / http://b HTTP/1.0 end'],
    options: http10,
  },
  // Limits, met exactly.
  {
    name: '[PR-14] a head of exactly the limit',
    wire: `GET / HTTP/1.1\r\nhost: a\r\nx: ${'y'.repeat(32)}\r\n\r\n`,
    events: [`GET / http://a [x: ${'y'.repeat(32)}] end`],
    options: small,
  },
  {
    name: '[PR-14] a request line and a field count of exactly the limit',
    wire: 'GET /0123456789abcdef HTTP/1.1\r\nhost: a\r\nb:\r\nc:\r\n\r\n',
    events: ['GET /0123456789abcdef http://a [b: ] [c: ] end'],
    options: small,
  },
  {
    name: 'chunk extension and trailers of exactly the limit',
    wire: 'POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1;12345678\r\nx\r\n0\r\nt: 345678901\r\n\r\n',
    events: ['POST / http://a', 'data x', 'trailers [t: 345678901]'],
    options: small,
  },
];

const REFUSED: readonly Row[] = [
  // RFC 9112 §2.2: lines.
  {
    name: '§2.2 bare LF ends the request line',
    wire: 'GET / HTTP/1.1\nhost: a\r\n\r\n',
    events: refused('bare_line_feed'),
  },
  { name: '§2.2 bare LF ends a field', wire: head('x: 1\n'), events: refused('bare_line_feed') },
  {
    name: '§2.2 bare LF ends the head',
    wire: `GET / HTTP/1.1\r\n${HOST}\n`,
    events: refused('bare_line_feed'),
  },
  {
    name: '§2.2 bare CR in the request line',
    wire: 'GET / HTTP/1.1\rX\r\n',
    events: refused('bare_carriage_return'),
  },
  {
    name: '§2.2 bare CR in a value',
    wire: head('x: 1\r2\r\n'),
    events: refused('bare_carriage_return'),
  },
  {
    name: '§2.2 bare CR at the end of the head',
    wire: `GET / HTTP/1.1\r\n${HOST}\rX`,
    events: refused('bare_carriage_return'),
  },
  {
    name: '§2.2 bare CR before the request line',
    wire: '\rGET / HTTP/1.1\r\n',
    events: refused('bare_carriage_return'),
  },
  {
    name: '§2.2 bare LF before the request line',
    wire: '\nGET / HTTP/1.1\r\n',
    events: refused('bare_line_feed'),
  },
  {
    name: '§2.2 two empty lines before',
    wire: `\r\n\r\n${get('/')}`,
    events: refused('leading_empty_lines'),
  },
  {
    name: '§2.2 blank before the first field',
    wire: 'GET / HTTP/1.1\r\n host: a\r\n\r\n',
    events: refused('space_before_first_field'),
  },
  // §3: request line.
  {
    name: '§3 blank before the method',
    wire: ' GET / HTTP/1.1\r\n',
    events: refused('invalid_method'),
  },
  { name: '§3 no token as method', wire: 'G@T / HTTP/1.1\r\n', events: refused('invalid_method') },
  { name: '§3 TLS bytes', wire: '\x16\x03\x01\x02\x00', events: refused('invalid_method') },
  { name: '§3 two blanks', wire: 'GET  / HTTP/1.1\r\n', events: refused('invalid_request_line') },
  { name: '§3 HTTP/0.9', wire: 'GET /\r\n', events: refused('invalid_request_line') },
  { name: '§3 HTTP/0.9 with bare LF', wire: 'GET /\n', events: refused('invalid_request_line') },
  { name: '§3 tab for a blank', wire: 'GET\t/ HTTP/1.1\r\n', events: refused('invalid_method') },
  {
    name: '§3.2 blank in the target',
    wire: 'GET /a b HTTP/1.1\r\n',
    events: refused('invalid_version'),
  },
  {
    name: '§3.2 tab in the target',
    wire: 'GET /a\tb HTTP/1.1\r\n',
    events: refused('invalid_url'),
  },
  {
    name: '§3.2 NUL in the target',
    wire: 'GET /a\0b HTTP/1.1\r\n',
    events: refused('invalid_url'),
  },
  {
    name: '§3.2 DEL in the target',
    wire: 'GET /a\x7f HTTP/1.1\r\n',
    events: refused('invalid_url'),
  },
  { name: '§3.2 fragment', wire: 'GET /a#b HTTP/1.1\r\n', events: refused('invalid_url') },
  {
    name: '§3.2 raw bytes above 0x7f',
    wire: 'GET /\xc3\xa9 HTTP/1.1\r\n',
    events: refused('invalid_url'),
  },
  { name: '§3.2 neither slash nor scheme', wire: get('path'), events: refused('invalid_url') },
  { name: '§3.2.2 other scheme', wire: get('ftp://a/'), events: refused('invalid_url') },
  { name: '§3.2.2 no authority', wire: get('http:///x'), events: refused('invalid_url') },
  { name: '§3.2.2 userinfo', wire: get('http://u:p@a/'), events: refused('invalid_url') },
  { name: '§3.2.2 bad port', wire: get('http://a:99999/'), events: refused('invalid_url') },
  { name: '§3.2.4 asterisk for GET', wire: get('*'), events: refused('invalid_url') },
  { name: '§2.3 no version', wire: 'GET / HTTX/1.1\r\n', events: refused('invalid_version') },
  { name: '§2.3 lower case', wire: 'GET / http/1.1\r\n', events: refused('invalid_version') },
  {
    name: '§2.3 blank after the version',
    wire: 'GET / HTTP/1.1 \r\n',
    events: refused('invalid_version'),
  },
  { name: '§2.3 two digits', wire: 'GET / HTTP/1.10\r\n', events: refused('invalid_version') },
  { name: '§2.3 no digit', wire: 'GET / HTTP/1.x\r\n', events: refused('invalid_version') },
  {
    name: '§2.3 other minor version',
    wire: 'GET / HTTP/1.2\r\n',
    events: refused('unsupported_version', 505),
  },
  {
    name: '§2.3 HTTP/2 preface',
    wire: 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    events: refused('unsupported_version', 505),
  },
  {
    name: '[PR-04] HTTP/1.0 is answered 426',
    wire: `GET / HTTP/1.0\r\n${HOST}\r\n`,
    events: refused('http10_not_accepted', 426),
  },
  // §3.2: Host.
  { name: '§3.2 no Host', wire: 'GET / HTTP/1.1\r\n\r\n', events: refused('missing_host') },
  { name: '§3.2 two Hosts', wire: head(HOST), events: refused('duplicate_host') },
  {
    name: '§3.2 empty Host',
    wire: 'GET / HTTP/1.1\r\nhost:\r\n\r\n',
    events: refused('invalid_host'),
  },
  {
    name: '§3.2 Host with a path',
    wire: 'GET / HTTP/1.1\r\nhost: a/b\r\n\r\n',
    events: refused('invalid_host'),
  },
  {
    name: '§3.2 Host with userinfo',
    wire: 'GET / HTTP/1.1\r\nhost: u@a\r\n\r\n',
    events: refused('invalid_host'),
  },
  {
    name: '§3.2 Host with a blank',
    wire: 'GET / HTTP/1.1\r\nhost: a b\r\n\r\n',
    events: refused('invalid_host'),
  },
  {
    name: '§3.2 Host with a bad port',
    wire: 'GET / HTTP/1.1\r\nhost: a:x\r\n\r\n',
    events: refused('invalid_host'),
  },
  {
    name: '§3.2 two Hosts beside an absolute-form',
    wire: 'GET http://b/ HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n',
    events: refused('duplicate_host'),
  },
  {
    name: '§3.2 bad Host beside an absolute-form',
    wire: 'GET http://b/ HTTP/1.1\r\nhost: @\r\n\r\n',
    events: refused('invalid_host'),
  },
  // §3.2.3: CONNECT.
  {
    name: '§3.2.3 CONNECT without port',
    wire: `CONNECT a HTTP/1.1\r\n${HOST}\r\n`,
    events: refused('invalid_connect'),
  },
  {
    name: '§3.2.3 CONNECT in origin-form',
    wire: `CONNECT /x HTTP/1.1\r\n${HOST}\r\n`,
    events: refused('invalid_connect'),
  },
  {
    name: '§3.2.3 CONNECT in absolute-form',
    wire: `CONNECT http://a/ HTTP/1.1\r\n${HOST}\r\n`,
    events: refused('invalid_connect'),
  },
  {
    name: '§3.2.3 CONNECT in asterisk-form',
    wire: `CONNECT * HTTP/1.1\r\n${HOST}\r\n`,
    events: refused('invalid_connect'),
  },
  {
    name: '§3.2.3 CONNECT to port 0',
    wire: `CONNECT a:0 HTTP/1.1\r\n${HOST}\r\n`,
    events: refused('invalid_connect'),
  },
  {
    name: '§9.3.6 CONNECT with content',
    wire: `CONNECT a:1 HTTP/1.1\r\n${HOST}content-length: 1\r\n\r\n`,
    events: refused('invalid_connect'),
  },
  {
    name: '§9.3.6 chunked CONNECT',
    wire: `CONNECT a:1 HTTP/1.1\r\n${HOST}transfer-encoding: chunked\r\n\r\n`,
    events: refused('invalid_connect'),
  },
  {
    name: 'CONNECT in HTTP/1.0',
    wire: `CONNECT a:1 HTTP/1.0\r\n${HOST}\r\n`,
    events: refused('invalid_connect'),
    options: http10,
  },
  // §5: fields.
  {
    name: '§5.1 blank before the colon',
    wire: head('x : 1\r\n'),
    events: refused('space_before_colon'),
  },
  {
    name: '§5.1 tab before the colon',
    wire: head('transfer-encoding\t: chunked\r\n'),
    events: refused('space_before_colon'),
  },
  { name: '§5.1 no name', wire: head(': 1\r\n'), events: refused('invalid_field_name') },
  { name: '§5.1 no colon', wire: head('x\r\n'), events: refused('invalid_field_name') },
  {
    name: '§5.1 no token as name',
    wire: head('x(y): 1\r\n'),
    events: refused('invalid_field_name'),
  },
  {
    name: '§5.1 obs-text in a name',
    wire: head('x\xe9: 1\r\n'),
    events: refused('invalid_field_name'),
  },
  { name: '§5.1 NUL in a name', wire: head('x\0: 1\r\n'), events: refused('invalid_field_name') },
  { name: '§5.2 obs-fold', wire: head('x: 1\r\n 2\r\n'), events: refused('obsolete_line_folding') },
  {
    name: '§5.2 obs-fold with a tab',
    wire: head('x: 1\r\n\t2\r\n'),
    events: refused('obsolete_line_folding'),
  },
  {
    name: '§5.5 NUL in a value',
    wire: head('x: a\0b\r\n'),
    events: refused('invalid_field_value'),
  },
  {
    name: '§5.5 control in a value',
    wire: head('x: a\x1bb\r\n'),
    events: refused('invalid_field_value'),
  },
  {
    name: '§5.5 DEL in a value',
    wire: head('x: \x7f\r\n'),
    events: refused('invalid_field_value'),
  },
  {
    name: 'more connection options than 16',
    wire: head(`connection: ${'abcdefghijklmnopq'.split('').join(',')}\r\n`),
    events: refused('too_many_connection_options'),
  },
  // §6.3: framing.
  {
    name: '[PR-15] both content-length and transfer-encoding',
    wire: post('content-length: 1\r\ntransfer-encoding: chunked\r\n', ''),
    events: refused('content_length_and_chunked_not_allowed'),
  },
  {
    name: '[PR-15] the same in the other order',
    wire: post('transfer-encoding: chunked\r\ncontent-length: 0\r\n', ''),
    events: refused('content_length_and_chunked_not_allowed'),
  },
  {
    name: '[PR-15] differing content-lengths',
    wire: post('content-length: 1\r\ncontent-length: 2\r\n', ''),
    events: refused('multiple_content_lengths'),
  },
  {
    name: '§6.3 content-length list',
    wire: post('content-length: 1, 1\r\n', ''),
    events: refused('invalid_content_length'),
  },
  {
    name: '§6.3 content-length +1',
    wire: post('content-length: +1\r\n', ''),
    events: refused('invalid_content_length'),
  },
  {
    name: '§6.3 content-length -1',
    wire: post('content-length: -1\r\n', ''),
    events: refused('invalid_content_length'),
  },
  {
    name: '§6.3 content-length 0x1',
    wire: post('content-length: 0x1\r\n', ''),
    events: refused('invalid_content_length'),
  },
  {
    name: '§6.3 content-length 1.0',
    wire: post('content-length: 1.0\r\n', ''),
    events: refused('invalid_content_length'),
  },
  {
    name: '§6.3 content-length empty',
    wire: post('content-length:\r\n', ''),
    events: refused('invalid_content_length'),
  },
  {
    name: '§6.3 content-length beyond 2^53',
    wire: post('content-length: 9007199254740992\r\n', ''),
    events: refused('invalid_content_length'),
  },
  {
    name: '§6.3 content-length of 40 digits',
    wire: post(`content-length: ${'1'.repeat(40)}\r\n`, ''),
    events: refused('invalid_content_length'),
  },
  {
    name: '§6.3 gzip, chunked',
    wire: post('transfer-encoding: gzip, chunked\r\n', ''),
    events: refused('invalid_transfer_encoding'),
  },
  {
    name: '§6.3 chunked, identity',
    wire: post('transfer-encoding: chunked, identity\r\n', ''),
    events: refused('invalid_transfer_encoding'),
  },
  {
    name: '§6.3 identity',
    wire: post('transfer-encoding: identity\r\n', ''),
    events: refused('invalid_transfer_encoding'),
  },
  {
    name: '§6.3 xchunked',
    wire: post('transfer-encoding: xchunked\r\n', ''),
    events: refused('invalid_transfer_encoding'),
  },
  {
    name: '§6.3 chunked with a parameter',
    wire: post('transfer-encoding: chunked;a=b\r\n', ''),
    events: refused('invalid_transfer_encoding'),
  },
  {
    name: '§6.3 empty transfer-encoding',
    wire: post('transfer-encoding:\r\n', ''),
    events: refused('invalid_transfer_encoding'),
  },
  {
    name: '§6.3 chunked twice',
    wire: post('transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n', ''),
    events: refused('invalid_transfer_encoding'),
  },
  {
    name: '§6.1 transfer-encoding in HTTP/1.0',
    wire: 'POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n',
    events: refused('transfer_encoding_not_allowed'),
    options: http10,
  },
  // §7.1: chunked.
  {
    name: '§7.1 size with a sign',
    wire: chunked('+1\r\nx\r\n'),
    events: broken('invalid_chunk_size'),
  },
  { name: '§7.1 negative size', wire: chunked('-1\r\n'), events: broken('invalid_chunk_size') },
  { name: '§7.1 size 0x1', wire: chunked('0x1\r\nx\r\n'), events: broken('invalid_chunk_size') },
  {
    name: '§7.1 blank before the size',
    wire: chunked(' 1\r\nx\r\n'),
    events: broken('invalid_chunk_size'),
  },
  {
    name: '§7.1 blank after the size',
    wire: chunked('1 \r\nx\r\n'),
    events: broken('invalid_chunk_size'),
  },
  {
    name: '§7.1 blank before an extension',
    wire: chunked('1 ;a\r\nx\r\n'),
    events: broken('invalid_chunk_size'),
  },
  {
    name: '§7.1 size with underscore',
    wire: chunked('1_0\r\n'),
    events: broken('invalid_chunk_size'),
  },
  { name: '§7.1 no size', wire: chunked('\r\n'), events: broken('invalid_chunk_size') },
  {
    name: '§7.1 size overflow',
    wire: chunked('10000000000000001\r\nx\r\n'),
    events: broken('invalid_chunk_size'),
  },
  {
    name: '§7.1 size line ends in LF',
    wire: chunked('1\nx\r\n'),
    events: broken('bare_line_feed'),
  },
  {
    name: '§7.1 size line ends in CR',
    wire: chunked('1\rx\r\n'),
    events: broken('bare_carriage_return'),
  },
  {
    name: '§7.1 data longer than its size',
    wire: chunked('1\r\nxy\r\n'),
    events: broken('invalid_chunk_end', 'data x'),
  },
  {
    name: '§7.1 data ends in LF',
    wire: chunked('1\r\nx\n0\r\n'),
    events: broken('invalid_chunk_end', 'data x'),
  },
  {
    name: '§7.1 data ends in CR',
    wire: chunked('1\r\nx\r0\r\n'),
    events: broken('invalid_chunk_end', 'data x'),
  },
  {
    name: '§7.1.1 LF in an extension',
    wire: chunked('1;a\nx\r\n'),
    events: broken('bare_line_feed'),
  },
  {
    name: '§7.1.1 NUL in an extension',
    wire: chunked('1;\0\r\nx\r\n'),
    events: broken('invalid_chunk_extension'),
  },
  {
    name: '§6.5.1 content-length as a trailer',
    wire: chunked('0\r\ncontent-length: 1\r\n\r\n'),
    events: broken('forbidden_trailer'),
  },
  {
    name: '§6.5.1 transfer-encoding as a trailer',
    wire: chunked('1\r\nx\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n'),
    events: broken('forbidden_trailer', 'data x'),
  },
  {
    name: '§6.5.1 host as a trailer',
    wire: chunked('0\r\nHost: b\r\n\r\n'),
    events: broken('forbidden_trailer'),
  },
  {
    name: '§6.5.1 authorization as a trailer',
    wire: chunked('0\r\nauthorization: b\r\n\r\n'),
    events: broken('forbidden_trailer'),
  },
  {
    name: '§7.1.2 bare LF in trailers',
    wire: chunked('0\r\nx: 1\n\r\n'),
    events: broken('bare_line_feed'),
  },
  {
    name: '§7.1.2 bare LF ends the trailers',
    wire: chunked('0\r\n\n'),
    events: broken('bare_line_feed'),
  },
  {
    name: '§7.1.2 obs-fold in trailers',
    wire: chunked('0\r\nx: 1\r\n 2\r\n\r\n'),
    events: broken('obsolete_line_folding'),
  },
  // Limits.
  {
    name: '[PR-14] head one byte over the limit',
    wire: `GET / HTTP/1.1\r\nhost: a\r\nx: ${'y'.repeat(33)}\r\n\r\n`,
    events: refused('headers_too_large', 431),
    options: small,
  },
  {
    name: '[PR-14] head without an end',
    wire: `GET / HTTP/1.1\r\nhost: a\r\nx: ${'y'.repeat(80)}`,
    events: refused('headers_too_large', 431),
    options: small,
  },
  {
    name: '[PR-14] one field too many',
    wire: 'GET / HTTP/1.1\r\na:\r\nb:\r\nc:\r\nd:\r\n\r\n',
    events: refused('too_many_headers', 431),
    options: small,
  },
  {
    name: '§3 request line over its own limit',
    wire: `GET /${'x'.repeat(40)} HTTP/1.1\r\n`,
    events: refused('request_line_too_long', 414),
    options: small,
  },
  {
    name: '§3 method over the limit',
    wire: 'M'.repeat(40),
    events: refused('request_line_too_long', 414),
    options: small,
  },
  {
    name: '§7.1.1 extension over the limit',
    wire: chunked('1;123456789\r\nx\r\n'),
    events: broken('chunk_extension_too_long'),
    options: small,
  },
  {
    name: '§7.1.2 trailers over the limit',
    wire: chunked('0\r\nt: 345678901234567890\r\n\r\n'),
    events: broken('trailers_too_large'),
    options: small,
  },
  {
    name: '§7.1.2 one trailer too many',
    wire: chunked('0\r\na: 1\r\nb: 2\r\n\r\n'),
    events: broken('too_many_headers'),
    options: small,
  },
];

const TRAILING = 'GET /next HTTP/1.1\r\nhost: n\r\n\r\n';
const TRAILING_EVENT = 'GET /next http://n end';

function play(pieces: readonly Buffer[], options = http1ServerOptions()) {
  const transport = new RecordingTransport();
  const handler = new RecordingHandler();
  const connection = new Http1ServerConnection(transport, handler, options);
  for (const piece of pieces) connection.receive(piece);
  return { transport, connection, events: handler.log.lines };
}

describe('server role, accepted', () => {
  for (const row of ACCEPTED) {
    test(row.name, () => {
      for (const { how, pieces } of cuts(row.wire)) {
        const { events, transport, connection } = play(pieces, row.options);
        expect(events, how).toEqual(row.events);
        expect(transport.sent, how).toMatch(/^HTTP\/1\.[01] 200 OK\r\n/);
        expect(transport.closedAfterFlush, how).toBe(row.closes === true);
        expect(connection.state, how).toBe(row.closes === true ? 'closed' : 'idle');
      }
      const next = row.closes === true ? [] : [TRAILING_EVENT];
      for (const { how, pieces } of cuts(row.wire + TRAILING)) {
        expect(play(pieces, row.options).events, how).toEqual([...row.events, ...next]);
      }
    });
  }
});

describe('server role, refused', () => {
  for (const row of REFUSED) {
    test(row.name, () => {
      const last = row.events[row.events.length - 1]!;
      const status = last.startsWith('refused') ? last.split(' ')[1]! : '4';
      for (const { how, pieces } of [...cuts(row.wire), ...cuts(row.wire + TRAILING)]) {
        const { events, transport, connection } = play(pieces, row.options);
        expect(events, how).toEqual(row.events);
        expect(transport.sent, how).toMatch(
          new RegExp(`^HTTP/1.1 ${status}\\d* (.*)\r\n(.*\r\n)*\r\n(\\1)?$`),
        );
        expect(transport.sent, how).toContain('connection: close');
        expect(transport.closedAfterFlush, how).toBe(true);
        expect(connection.state, how).toBe('closed');
        expect(connection.activeStreams, how).toBe(0);
      }
    });
  }
});
