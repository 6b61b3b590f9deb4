import { describe, expect, test } from 'vitest';
import { headerValue } from '../http/header-block.ts';
import { ResponseHead } from '../http/message.ts';
import { RecordingHandler } from '../http1/recorder.testing.ts';
import { type Http2ServerOptions, http2ServerOptions, NO_EVENTS } from './connection-options.ts';
import { FrameType } from './frame/frame-head.ts';
import { decodePingAck } from './frame/ping.ts';
import { CONNECTION_PREFACE } from './frame-reader.ts';
import { Http2ServerConnection } from './server-connection.ts';
import {
  data,
  END_STREAM,
  frame,
  headers,
  RecordingTransport,
  reset,
  SETTINGS_ACK,
  settings,
} from './wire.testing.ts';

const request = (id: number, method: string, flags: number = END_STREAM) =>
  headers(id, flags, ':method', method, ':scheme', 'http', ':authority', 'a', ':path', '/');
const OK = (...fields: string[]) => new ResponseHead(200, fields);

function server(options: Partial<Http2ServerOptions> = {}) {
  const transport = new RecordingTransport();
  const handler = new RecordingHandler(() => {});
  const pending: boolean[] = [];
  const connection = new Http2ServerConnection(transport, handler, http2ServerOptions(options), {
    ...NO_EVENTS,
    onSettingsPending: (waits) => void pending.push(waits),
  });
  connection.receive(Buffer.concat([Buffer.from(CONNECTION_PREFACE, 'latin1'), settings()]));
  transport.frames();
  return { transport, handler, connection, pending };
}

describe('responses', () => {
  test('what belongs to an HTTP/1.1 connection is left out', () => {
    const { transport, handler, connection } = server();
    connection.receive(request(1, 'GET'));
    const head = OK(
      'connection',
      'close',
      'keep-alive',
      '5',
      'transfer-encoding',
      'chunked',
      'x-a',
      'b',
    );
    head.headers.push(
      'upgrade',
      'h2c',
      'proxy-connection',
      'x',
      'te',
      'trailers',
      'http2-settings',
      'x',
    );
    handler.streams[0]!.writeHead(head, true);
    expect(transport.frames()).toEqual(['Headers 1 [:status: 200] [x-a: b] [te: trailers] end']);
  });

  test.each([
    ['HEAD', 200],
    ['GET', 204],
    ['GET', 304],
  ])('the content of an answer to %s with %i is dropped', (method, status) => {
    const { transport, handler, connection } = server();
    connection.receive(request(1, method));
    const stream = handler.streams[0]!;
    stream.writeHead(new ResponseHead(status, ['content-length', '4']), false);
    stream.writeData(Buffer.from('abcd'), false);
    stream.writeData(Buffer.alloc(0), true);
    const length = status === 204 ? '' : ' [content-length: 4]';
    expect(transport.frames()).toEqual([`Headers 1 [:status: ${status}]${length}`, 'Data 1  end']);
  });

  test.each([
    ['too little', '4', 'abc', true],
    ['too much', '2', 'abc', false],
    ['a length that is none', 'x', '', true],
  ])(
    'content that is not what content-length says resets the stream: %s',
    (_name, length, text, end) => {
      const { transport, handler, connection } = server();
      connection.receive(request(1, 'GET'));
      const stream = handler.streams[0]!;
      stream.writeHead(OK('content-length', length), false);
      stream.writeData(Buffer.from(text), end);
      expect(transport.frames().at(-1)).toBe('RstStream 1 INTERNAL_ERROR');
      expect(handler.log.lines.at(-1)).toBe(
        'reset localReset http2.outgoing_content_length_mismatch',
      );
    },
  );

  test('101 that nobody asked for resets the stream', () => {
    const { transport, handler, connection } = server();
    connection.receive(request(1, 'GET'));
    handler.streams[0]!.writeHead(new ResponseHead(101, []), false);
    expect(transport.frames()).toEqual(['RstStream 1 INTERNAL_ERROR']);
    expect(handler.log.lines.at(-1)).toBe('reset localReset http2.unsolicited_switch_of_protocols');
  });

  test('a head larger than a frame goes on in CONTINUATION', () => {
    const { transport, handler, connection } = server();
    connection.receive(request(1, 'GET'));
    const large = 'v'.repeat(9_000);
    handler.streams[0]!.writeHead(OK('x-a', large, 'x-b', large, 'x-c', large, 'x-d', large), true);
    const wire = transport.take();
    const kinds: number[][] = [];
    for (let at = 0; at < wire.length; at += 9 + wire.readUIntBE(at, 3)) {
      kinds.push([wire[at + 3]!, wire[at + 4]!]);
    }
    expect(kinds).toEqual([
      [FrameType.Headers, 1],
      [FrameType.Continuation, 0],
      [FrameType.Continuation, 4],
    ]);
  });

  test('the frames of a turn leave in one write', () => {
    const { transport, handler, connection } = server();
    const before = transport.written.length;
    connection.receive(Buffer.concat([request(1, 'GET'), request(3, 'GET')]));
    for (const stream of handler.streams) {
      stream.writeHead(OK(), false);
      stream.writeData(Buffer.alloc(1024), true);
    }
    transport.flush();
    expect(transport.written.length).toBe(before + 1);
  });

  test('calls on a stream that is over do nothing', () => {
    const { transport, handler, connection } = server();
    connection.receive(request(1, 'GET'));
    const stream = handler.streams[0]!;
    stream.writeHead(OK(), true);
    transport.frames();
    stream.writeHead(OK(), true);
    stream.writeInformational(new ResponseHead(103, []));
    expect(stream.writeData(Buffer.from('x'), true)).toBe(true);
    stream.writeTrailers(['x', 'y']);
    stream.reset('localReset');
    stream.resume();
    expect(transport.frames()).toEqual([]);
  });
});

describe('[PR-09] WebSocket by extended CONNECT (RFC 8441)', () => {
  const extended = headers(
    1,
    0,
    ...[':method', 'CONNECT', ':protocol', 'websocket', ':scheme', 'http'],
    ...[':authority', 'a', ':path', '/'],
  );

  test('the request is an upgrade with a challenge, 101 is 200 without its answer', () => {
    const { transport, handler, connection } = server();
    connection.receive(extended);
    const head = handler.heads[0]!;
    expect([head.method, head.upgrade]).toEqual(['GET', 'websocket']);
    expect(Buffer.from(headerValue(head.headers, 'sec-websocket-key'), 'base64').length).toBe(16);
    const answer = new ResponseHead(101, [
      'upgrade',
      'websocket',
      'sec-websocket-accept',
      'x',
      'sec-websocket-protocol',
      'chat',
    ]);
    answer.upgrade = true;
    handler.streams[0]!.writeHead(answer, false);
    expect(transport.frames()).toEqual(['Headers 1 [:status: 200] [sec-websocket-protocol: chat]']);
  });

  test('[A3.3] an upstream that answers 200 opens no tunnel', () => {
    const { transport, handler, connection } = server();
    connection.receive(extended);
    handler.streams[0]!.writeHead(OK(), true);
    expect(transport.frames()).toEqual(['Headers 1 [:status: 502] end', 'RstStream 1 NO_ERROR']);
  });
});

describe('[OP-05] drain', () => {
  test('first a GOAWAY for everything, then, when the PING is back, one with the last stream', () => {
    const { transport, handler, connection } = server();
    connection.receive(request(1, 'POST', 0));
    connection.drain();
    const wire = transport.take();
    const ping = wire.subarray(-17);
    expect(wire.readUInt32BE(9)).toBe(0x7fffffff);
    expect(decodePingAck(ping, 9)).toBe(2);
    // On its way when the GOAWAY left: it is served.
    connection.receive(request(3, 'GET'));
    connection.receive(frame(FrameType.Ping, 1, 0, ping.subarray(9)));
    expect(transport.frames()).toEqual(['Goaway 3 NO_ERROR']);
    connection.receive(request(5, 'GET'));
    expect(handler.streams.length).toBe(2);
    handler.streams[1]!.writeHead(OK(), true);
    connection.receive(data(1, END_STREAM, 'x'));
    expect(transport.closedAfterFlush).toBe(false);
    handler.streams[0]!.writeHead(OK(), true);
    expect(transport.closedAfterFlush).toBe(true);
    expect(transport.frames()).toEqual([
      'Headers 3 [:status: 200] end',
      'Headers 1 [:status: 200] end',
    ]);
  });

  test('an idle connection closes after the round trip; a second drain does not wait for it', () => {
    const { transport, connection } = server();
    connection.drain();
    expect(connection.state).toBe('idle');
    connection.drain();
    expect([connection.state, transport.closedAfterFlush]).toEqual(['closed', true]);
  });
});

describe('the life of a connection', () => {
  test('its state, for the timers of its owner', () => {
    const transport = new RecordingTransport();
    const handler = new RecordingHandler(() => {});
    const connection = new Http2ServerConnection(transport, handler, http2ServerOptions());
    expect(connection.state).toBe('head');
    connection.receive(Buffer.concat([Buffer.from(CONNECTION_PREFACE, 'latin1'), settings()]));
    expect(connection.state).toBe('idle');
    connection.receive(request(1, 'POST', 0));
    expect(connection.state).toBe('active');
    connection.refuse(408);
    expect(connection.state).toBe('active');
    connection.receive(reset(1));
    connection.receive(frame(FrameType.Headers, 0, 3));
    expect(connection.state).toBe('head');
    connection.refuse(408);
    expect([connection.state, transport.closedAfterFlush]).toEqual(['closed', true]);
    expect(handler.log.lines.slice(1)).toEqual(['reset remoteReset http2.remote_reset_CANCEL']);
  });

  test('[A1.9] a field block that stands still takes the other streams with it', () => {
    const { transport, handler, connection } = server();
    connection.receive(request(1, 'POST', 0));
    connection.receive(frame(FrameType.Headers, 0, 3));
    connection.refuse(408);
    expect(handler.log.lines.at(-1)).toBe('reset protocolError http2.request_header_timeout');
    expect(transport.frames()).toEqual(['Goaway 1 ENHANCE_YOUR_CALM http2.request_header_timeout']);
  });

  test('RFC 7541 §4.2 a table size that is said twice in one frame is taken twice', () => {
    const { transport, handler, connection } = server();
    connection.receive(Buffer.concat([settings(1, 0, 1, 4096), request(1, 'GET')]));
    handler.streams[0]!.writeHead(OK(), true);
    const [acknowledgement, head] = [9, 9];
    // 001 00000: the least size, 0. 001 11111 e1 1f: the size from now on, 4096. 88: status 200.
    expect(
      transport
        .take()
        .subarray(acknowledgement + head)
        .toString('hex'),
    ).toBe('203fe11f88');
  });

  test('§6.5.3 SETTINGS that are not acknowledged in time', () => {
    const acked = server();
    acked.connection.receive(SETTINGS_ACK);
    acked.connection.settingsTimeout();
    expect(acked.pending).toEqual([true, false]);
    expect(acked.connection.state).toBe('idle');

    const silent = server();
    silent.connection.settingsTimeout();
    expect(silent.transport.frames()).toEqual(['Goaway 0 SETTINGS_TIMEOUT http2.settings_timeout']);
  });

  test('the transport goes: open streams are told, those that have answered are not', () => {
    const { handler, connection } = server();
    connection.receive(request(1, 'POST', 0));
    connection.receive(request(3, 'POST', 0));
    handler.streams[1]!.writeHead(OK(), true);
    connection.close('ECONNRESET');
    connection.close('again');
    expect(handler.log.lines.slice(2)).toEqual(['reset connectionTermination ECONNRESET']);
  });

  test('a peer that half-closes has gone', () => {
    const { handler, connection, transport } = server();
    connection.receive(request(1, 'POST', 0));
    connection.receiveEnd();
    expect(handler.log.lines.at(-1)).toBe('reset connectionTermination http2.connection_closed');
    expect(transport.closedAfterFlush).toBe(true);
  });
});
