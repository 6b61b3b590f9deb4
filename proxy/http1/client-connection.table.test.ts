import { describe, expect, test } from 'vitest';
import { httpLimits } from '../http/limits.ts';
import { RequestHead } from '../http/message.ts';
import {
  Http1ClientConnection,
  type Http1ClientOptions,
  http1ClientOptions,
} from './client-connection.ts';
import { cuts, RecordingListener, RecordingSink, RecordingTransport } from './recorder.testing.ts';

/**
 * Response bytes and the events they make in the client role, whole, cut at every offset and byte by
 * byte. `after` is what becomes of the connection; where the response is complete, bytes behind it
 * change no event and always burn the connection (A3.2).
 */
interface Row {
  readonly name: string;
  readonly wire: string;
  readonly events: readonly string[];
  readonly after: 'reusable' | 'closed' | 'destroyed' | 'open';
  readonly method?: string;
  readonly upgrade?: string;
  readonly options?: Http1ClientOptions;
  /** The peer half-closes at the end. */
  readonly fin?: boolean;
}

const ok = (fields: string, body = '') => `HTTP/1.1 200 OK\r\n${fields}\r\n${body}`;
const chunked = (body: string) => ok('transfer-encoding: chunked\r\n', body);
const error = (code: string) => [`reset protocolError http1.${code}`];
const small = http1ClientOptions({
  limits: httpLimits({ headBytesMax: 48, headerCountMax: 2, informationalCountMax: 2 }),
});

const ROWS: readonly Row[] = [
  // RFC 9112 §4, §6.3.
  {
    name: '§6.3 content-length',
    wire: ok('Content-Length: 2\r\nx: 1\r\n', 'ab'),
    events: ['200 length=2 [content-length: 2] [x: 1]', 'data ab', 'end'],
    after: 'reusable',
  },
  {
    name: '§6.3 content-length 0',
    wire: ok('content-length: 0\r\n'),
    events: ['200 length=0 [content-length: 0] end'],
    after: 'reusable',
  },
  {
    name: '§7.1 chunked with trailers',
    wire: chunked('2\r\nab\r\n0\r\nx: 1\r\n\r\n'),
    events: ['200', 'data ab', 'trailers [x: 1]'],
    after: 'reusable',
  },
  {
    name: '§7.1 chunked',
    wire: chunked('2;q\r\nab\r\n1\r\nc\r\n0\r\n\r\n'),
    events: ['200', 'data abc', 'end'],
    after: 'reusable',
  },
  {
    name: '§6.3 neither: up to the end of the connection',
    wire: ok('x: 1\r\n', 'abc'),
    events: ['200 [x: 1]', 'data abc', 'end'],
    after: 'closed',
    fin: true,
  },
  {
    name: '§6.3 the same, still open',
    wire: ok('', 'abc'),
    events: ['200', 'data abc'],
    after: 'open',
  },
  {
    name: '§6.3 the same, empty',
    wire: ok(''),
    events: ['200', 'end'],
    after: 'closed',
    fin: true,
  },
  {
    name: '§6.3 response to HEAD has no content',
    method: 'HEAD',
    wire: ok('content-length: 9\r\n'),
    events: ['200 length=9 [content-length: 9] end'],
    after: 'reusable',
  },
  {
    name: '§6.3 chunked response to HEAD',
    method: 'HEAD',
    wire: chunked(''),
    events: ['200 end'],
    after: 'reusable',
  },
  {
    name: '§6.3 204',
    wire: 'HTTP/1.1 204 No Content\r\n\r\n',
    events: ['204 end'],
    after: 'reusable',
  },
  {
    name: '§6.3 304 keeps its content-length',
    wire: 'HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n',
    events: ['304 length=9 [content-length: 9] end'],
    after: 'reusable',
  },
  {
    name: '204 with an empty length',
    wire: 'HTTP/1.1 204 x\r\ncontent-length: 0\r\n\r\n',
    events: ['204 end'],
    after: 'reusable',
  },
  {
    name: '§4 no reason and no blank',
    wire: 'HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n',
    events: ['200 length=0 [content-length: 0] end'],
    after: 'reusable',
  },
  {
    name: '§4 reason with obs-text',
    wire: 'HTTP/1.1 299 \xe9 \t!\r\ncontent-length: 0\r\n\r\n',
    events: ['299 length=0 [content-length: 0] end'],
    after: 'reusable',
  },
  {
    name: '§4 status 999',
    wire: 'HTTP/1.1 999 x\r\ncontent-length: 0\r\n\r\n',
    events: ['999 length=0 [content-length: 0] end'],
    after: 'reusable',
  },
  // RFC 9112 §9: persistence.
  {
    name: '[PR-04] §9.6 connection: close',
    wire: ok('connection: close\r\ncontent-length: 1\r\n', 'x'),
    events: ['200 length=1 [content-length: 1]', 'data x', 'end'],
    after: 'closed',
  },
  {
    name: '§9.3 HTTP/1.0 does not persist',
    wire: 'HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\nx',
    events: ['200 HTTP/1.0 length=1 [content-length: 1]', 'data x', 'end'],
    after: 'closed',
  },
  {
    name: '§9.3 HTTP/1.0 with keep-alive does',
    wire: 'HTTP/1.0 200 OK\r\nconnection: Keep-Alive\r\ncontent-length: 1\r\n\r\nx',
    events: ['200 HTTP/1.0 length=1 [content-length: 1]', 'data x', 'end'],
    after: 'reusable',
  },
  {
    name: '[A3.10] hop-by-hop fields are dropped',
    wire: ok(
      'connection: x-secret\r\nx-secret: 1\r\nkeep-alive: timeout=5\r\nproxy-connection: y\r\nupgrade: h2c\r\ncontent-length: 0\r\n',
    ),
    events: ['200 length=0 [content-length: 0] end'],
    after: 'reusable',
  },
  // RFC 9110 §15.2: 1xx.
  {
    name: '§15.2 interim responses',
    wire: `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 x\r\nlink: y\r\n\r\n${ok('content-length: 0\r\n')}`,
    events: [
      'informational 100',
      'informational 103 [link: y]',
      '200 length=0 [content-length: 0] end',
    ],
    after: 'reusable',
  },
  // RFC 9110 §7.8, §9.3.6: tunnels.
  {
    name: '[PR-09] 101 to what was asked',
    upgrade: 'websocket',
    wire: 'HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\nsec-websocket-accept: z\r\n\r\nRAW',
    events: ['101 tunnel [sec-websocket-accept: z] [upgrade: websocket]', 'data RAW'],
    after: 'open',
  },
  {
    name: '[PR-09] 101 to one of several',
    upgrade: 'a,b',
    wire: 'HTTP/1.1 101 x\r\nconnection: upgrade\r\nupgrade: b\r\n\r\nRAW',
    events: ['101 tunnel [upgrade: b]', 'data RAW', 'end'],
    after: 'open',
    fin: true,
  },
  {
    name: '[PR-10] 2xx to CONNECT',
    method: 'CONNECT',
    upgrade: 'connect',
    wire: 'HTTP/1.1 200 x\r\ncontent-length: 0\r\n\r\nRAW',
    events: ['200 tunnel', 'data RAW'],
    after: 'open',
  },
  {
    name: '[A3.3] another answer to an upgrade is an ordinary response',
    upgrade: 'websocket',
    wire: ok('content-length: 1\r\n', 'x'),
    events: ['200 length=1 [content-length: 1]', 'data x', 'end'],
    after: 'reusable',
  },
  {
    name: '403 to CONNECT',
    method: 'CONNECT',
    upgrade: 'connect',
    wire: 'HTTP/1.1 403 x\r\ncontent-length: 1\r\n\r\nx',
    events: ['403 length=1 [content-length: 1]', 'data x', 'end'],
    after: 'reusable',
  },
  {
    name: '[A3.3] 101 nobody asked for',
    wire: 'HTTP/1.1 101 x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n',
    events: error('unexpected_switching_protocols'),
    after: 'destroyed',
  },
  {
    name: '[A3.3] 101 to another protocol',
    upgrade: 'websocket',
    wire: 'HTTP/1.1 101 x\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n',
    events: error('unexpected_switching_protocols'),
    after: 'destroyed',
  },
  {
    name: '[A3.3] 101 without upgrade',
    upgrade: 'websocket',
    wire: 'HTTP/1.1 101 x\r\nconnection: upgrade\r\n\r\n',
    events: error('unexpected_switching_protocols'),
    after: 'destroyed',
  },
  {
    name: '[A3.3] 101 to CONNECT',
    method: 'CONNECT',
    upgrade: 'connect',
    wire: 'HTTP/1.1 101 x\r\nconnection: upgrade\r\nupgrade: connect\r\n\r\n',
    events: error('unexpected_switching_protocols'),
    after: 'destroyed',
  },
  // [A3.1] what breaks the protocol.
  {
    name: '[A3.1] not HTTP',
    wire: 'SSH-2.0-x\r\n',
    events: error('invalid_version'),
    after: 'destroyed',
  },
  {
    name: '[A3.1] empty line first',
    wire: '\r\nHTTP/1.1 200 OK\r\n',
    events: error('leading_empty_lines'),
    after: 'destroyed',
  },
  {
    name: '[A3.1] HTTP/2',
    wire: 'HTTP/2 200\r\n',
    events: error('unsupported_version'),
    after: 'destroyed',
  },
  {
    name: '[A3.1] HTTP/1.3',
    wire: 'HTTP/1.3 200 x\r\n',
    events: error('unsupported_version'),
    after: 'destroyed',
  },
  {
    name: '[A3.1] status of two digits',
    wire: 'HTTP/1.1 20 x\r\n',
    events: error('invalid_status_line'),
    after: 'destroyed',
  },
  {
    name: '[A3.1] status of four digits',
    wire: 'HTTP/1.1 2000 x\r\n',
    events: error('invalid_status_line'),
    after: 'destroyed',
  },
  {
    name: '[A3.1] status below 100',
    wire: 'HTTP/1.1 099 x\r\n',
    events: error('invalid_status_line'),
    after: 'destroyed',
  },
  {
    name: '[A3.1] two blanks before the status',
    wire: 'HTTP/1.1  200 x\r\n',
    events: error('invalid_status_line'),
    after: 'destroyed',
  },
  {
    name: '[A3.1] NUL in the reason',
    wire: 'HTTP/1.1 200 \0\r\n',
    events: error('invalid_status_line'),
    after: 'destroyed',
  },
  {
    name: '[A3.1] bare LF',
    wire: 'HTTP/1.1 200 OK\n',
    events: error('bare_line_feed'),
    after: 'destroyed',
  },
  {
    name: '[A3.1] bare LF without reason',
    wire: 'HTTP/1.1 200\n',
    events: error('bare_line_feed'),
    after: 'destroyed',
  },
  {
    name: '[A3.1] bare CR in a value',
    wire: ok('x: a\rb\r\n'),
    events: error('bare_carriage_return'),
    after: 'destroyed',
  },
  {
    name: '[A3.1] NUL in a value',
    wire: ok('x: a\0b\r\n'),
    events: error('invalid_field_value'),
    after: 'destroyed',
  },
  {
    name: '[A3.1] obs-fold',
    wire: ok('x: a\r\n b\r\n'),
    events: error('obsolete_line_folding'),
    after: 'destroyed',
  },
  {
    name: '[A3.1] blank before the colon',
    wire: ok('content-length : 1\r\n'),
    events: error('space_before_colon'),
    after: 'destroyed',
  },
  {
    name: '[A3.1] both lengths',
    wire: ok('content-length: 1\r\ntransfer-encoding: chunked\r\n'),
    events: error('content_length_and_chunked_not_allowed'),
    after: 'destroyed',
  },
  {
    name: '[A3.1] differing content-lengths',
    wire: ok('content-length: 1\r\ncontent-length: 2\r\n'),
    events: error('multiple_content_lengths'),
    after: 'destroyed',
  },
  {
    name: '[A3.1] bad content-length',
    wire: ok('content-length: 1 2\r\n'),
    events: error('invalid_content_length'),
    after: 'destroyed',
  },
  {
    name: '[A3.1] gzip, chunked',
    wire: ok('transfer-encoding: gzip, chunked\r\n'),
    events: error('invalid_transfer_encoding'),
    after: 'destroyed',
  },
  {
    name: '[A3.1] chunked in HTTP/1.0',
    wire: 'HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n',
    events: error('transfer_encoding_not_allowed'),
    after: 'destroyed',
  },
  {
    name: '[A3.1] chunked 204',
    wire: 'HTTP/1.1 204 x\r\ntransfer-encoding: chunked\r\n\r\n',
    events: error('transfer_encoding_not_allowed'),
    after: 'destroyed',
  },
  {
    name: '[A3.1] 204 with content-length',
    wire: 'HTTP/1.1 204 x\r\ncontent-length: 1\r\n\r\n',
    events: error('content_length_not_allowed'),
    after: 'destroyed',
  },
  {
    name: '[A3.1] 100 with content-length',
    wire: 'HTTP/1.1 100 x\r\ncontent-length: 1\r\n\r\n',
    events: error('content_length_not_allowed'),
    after: 'destroyed',
  },
  {
    name: '[A3.1] chunked 2xx to CONNECT',
    method: 'CONNECT',
    upgrade: 'connect',
    wire: chunked(''),
    events: error('transfer_encoding_not_allowed'),
    after: 'destroyed',
  },
  {
    name: '[A3.1] bad chunk',
    wire: chunked('2\r\nabc\r\n'),
    events: ['200', 'data ab', ...error('invalid_chunk_end')],
    after: 'destroyed',
  },
  {
    name: '[A3.1] bad chunk size',
    wire: chunked('2 \r\nab\r\n'),
    events: ['200', ...error('invalid_chunk_size')],
    after: 'destroyed',
  },
  {
    name: '[A3.1] forbidden trailer',
    wire: chunked('0\r\nset-cookie: a=b\r\n\r\n'),
    events: ['200', ...error('forbidden_trailer')],
    after: 'destroyed',
  },
  // Limits (A3.4).
  {
    name: '[A3.4] endless head',
    wire: `HTTP/1.1 200 OK\r\nx: ${'y'.repeat(60)}`,
    events: error('headers_too_large'),
    after: 'destroyed',
    options: small,
  },
  {
    name: '[A3.4] too many fields',
    wire: ok('a:\r\nb:\r\nc:\r\n'),
    events: error('too_many_headers'),
    after: 'destroyed',
    options: small,
  },
  {
    name: '[A3.4] endless 1xx',
    wire: 'HTTP/1.1 100 x\r\n\r\n'.repeat(3),
    events: [
      'informational 100',
      'informational 100',
      ...error('too_many_informational_responses'),
    ],
    after: 'destroyed',
    options: small,
  },
  // [I4] truncation.
  {
    name: '[D1] nothing at all',
    wire: 'H',
    events: ['reset connectionTermination http1.upstream_closed_before_response'],
    after: 'destroyed',
    fin: true,
  },
  {
    name: '[I4] head cut short',
    wire: 'HTTP/1.1 200 OK\r\n',
    events: ['reset connectionTermination http1.upstream_closed_before_response'],
    after: 'destroyed',
    fin: true,
  },
  {
    name: '[I4] only an interim response',
    wire: 'HTTP/1.1 100 x\r\n\r\n',
    events: [
      'informational 100',
      'reset connectionTermination http1.upstream_closed_before_response',
    ],
    after: 'destroyed',
    fin: true,
  },
  {
    name: '[I4] content-length cut short',
    wire: ok('content-length: 3\r\n', 'ab'),
    events: [
      '200 length=3 [content-length: 3]',
      'data ab',
      'reset connectionTermination http1.upstream_closed_in_body',
    ],
    after: 'destroyed',
    fin: true,
  },
  {
    name: '[I4] chunked cut short before the last chunk',
    wire: chunked('2\r\nab\r\n'),
    events: ['200', 'data ab', 'reset connectionTermination http1.upstream_closed_in_body'],
    after: 'destroyed',
    fin: true,
  },
  {
    name: '[I4] chunked cut short in the last line',
    wire: chunked('2\r\nab\r\n0\r\n\r'),
    events: ['200', 'data ab', 'reset connectionTermination http1.upstream_closed_in_body'],
    after: 'destroyed',
    fin: true,
  },
];

function play(row: Row, pieces: readonly Buffer[]) {
  const transport = new RecordingTransport();
  const listener = new RecordingListener();
  const connection = new Http1ClientConnection(
    transport,
    listener,
    row.options ?? http1ClientOptions(),
  );
  const sink = new RecordingSink();
  const head = new RequestHead(row.method ?? 'GET', 'http', 'a', '/', [], 'HTTP/1.1');
  head.upgrade = row.upgrade ?? '';
  connection.request(head, row.upgrade === undefined, sink);
  for (const piece of pieces) connection.receive(piece);
  if (row.fin === true) connection.receiveEnd();
  return { transport, listener, connection, events: sink.log.lines };
}

describe('client role', () => {
  for (const row of ROWS) {
    test(row.name, () => {
      for (const { how, pieces } of cuts(row.wire)) {
        const { events, connection, transport, listener } = play(row, pieces);
        expect(events, how).toEqual(row.events);
        const { destroyed, closedAfterFlush } = transport;
        expect({ destroyed, closedAfterFlush }, how).toEqual({
          destroyed: row.after === 'destroyed',
          closedAfterFlush: row.after === 'closed',
        });
        expect(connection.reusable, how).toBe(row.after === 'reusable');
        expect(connection.capacity, how).toBe(row.after === 'reusable' ? 1 : 0);
        expect(connection.activeStreams, how).toBe(row.after === 'open' ? 1 : 0);
        expect(listener.streamEnds, how).toBe(row.after === 'open' ? 0 : 1);
      }
    });
    if (row.after === 'reusable') {
      test(`[A3.2] bytes behind it burn the connection: ${row.name}`, () => {
        for (const { how, pieces } of cuts(`${row.wire}HTTP/1.1 200 OK\r\n\r\n`)) {
          const { events, connection, transport } = play(row, pieces);
          expect(events, how).toEqual(row.events);
          expect(connection.reusable, how).toBe(false);
          expect(connection.closeDetail, how).toBe('http1.unsolicited_bytes');
          expect(transport.destroyed, how).toBe(true);
        }
      });
    }
  }
});
