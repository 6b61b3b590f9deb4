import { describe, expect, test } from 'vitest';
import { RequestHead } from '../http/message.ts';
import { Http1ClientConnection, http1ClientOptions } from './client-connection.ts';
import { RecordingListener, RecordingSink, RecordingTransport } from './recorder.testing.ts';

function connect() {
  const transport = new RecordingTransport();
  const listener = new RecordingListener();
  const connection = new Http1ClientConnection(transport, listener, http1ClientOptions());
  const receive = (wire: string) => connection.receive(Buffer.from(wire, 'latin1'));
  const request = (head: RequestHead, endStream: boolean) => {
    const sink = new RecordingSink();
    return { stream: connection.request(head, endStream, sink), events: sink.log.lines };
  };
  return { transport, listener, connection, receive, request };
}

function head(method: string, headers: string[] = [], upgrade = ''): RequestHead {
  const made = new RequestHead(method, 'http', 'b:80', '/p?q', headers, 'HTTP/1.1');
  made.upgrade = upgrade;
  return made;
}

const bytes = (text: string) => Buffer.from(text, 'latin1');
const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n';

describe('request heads', () => {
  const rows: readonly (readonly [string, RequestHead, boolean, string])[] = [
    [
      'host first, fields in order',
      head('GET', ['x', '1', 'via', 'y']),
      true,
      'GET /p?q HTTP/1.1\r\nhost: b:80\r\nx: 1\r\nvia: y\r\n\r\n',
    ],
    [
      'RFC 9110 §8.6 POST without content says so',
      head('POST'),
      true,
      'POST /p?q HTTP/1.1\r\nhost: b:80\r\ncontent-length: 0\r\n\r\n',
    ],
    [
      'RFC 9112 §6.3 content-length is used',
      head('PUT', ['content-length', '3']),
      false,
      'PUT /p?q HTTP/1.1\r\nhost: b:80\r\ncontent-length: 3\r\n\r\n',
    ],
    [
      'RFC 9112 §7.1 no length: chunked',
      head('GET'),
      false,
      'GET /p?q HTTP/1.1\r\nhost: b:80\r\ntransfer-encoding: chunked\r\n\r\n',
    ],
    [
      '[PR-09] upgrade',
      head('GET', ['upgrade', 'h2c', 'connection', 'x', 'host', 'evil'], 'websocket'),
      false,
      'GET /p?q HTTP/1.1\r\nhost: b:80\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n',
    ],
    [
      '[PR-10] CONNECT in authority-form, without framing',
      head('CONNECT', [], 'connect'),
      false,
      'CONNECT b:80 HTTP/1.1\r\nhost: b:80\r\n\r\n',
    ],
    [
      'RFC 9110 §10.1.4 te is named in connection',
      head('GET', ['te', 'trailers']),
      true,
      'GET /p?q HTTP/1.1\r\nhost: b:80\r\nte: trailers\r\nconnection: te\r\n\r\n',
    ],
    [
      'framing fields of the block are not written',
      head('GET', ['transfer-encoding', 'gzip', 'keep-alive', '1', 'proxy-connection', 'x']),
      true,
      'GET /p?q HTTP/1.1\r\nhost: b:80\r\n\r\n',
    ],
  ];
  for (const [name, given, endStream, wire] of rows) {
    test(name, () => {
      const { transport, request } = connect();
      request(given, endStream);
      expect(transport.sent).toBe(wire);
    });
  }

  test('a head that contradicts its length is not sent, and the connection stays usable', () => {
    const { transport, request, connection } = connect();
    const { events } = request(head('PUT', ['content-length', '3']), true);
    expect(events).toEqual(['reset localReset http1.invalid_outgoing_head']);
    expect(transport.sent).toBe('');
    expect(connection.capacity).toBe(1);
  });

  test('[A2.6] a path that would end the request line is not sent', () => {
    for (const path of ['', '/a b', '/a\r\nx: y', '/\u010a', '/a#b', '/\x7f']) {
      const { transport, request } = connect();
      const given = head('GET');
      given.path = path;
      expect(request(given, true).events).toEqual(['reset localReset http1.invalid_outgoing_head']);
      expect(transport.sent).toBe('');
    }
  });

  test('a second request while one is under way is refused', () => {
    const { request, connection } = connect();
    request(head('GET'), true);
    expect(connection.capacity).toBe(0);
    expect(request(head('GET'), true).events).toEqual(['reset localReset http1.no_capacity']);
    expect(connection.activeStreams).toBe(1);
  });
});

describe('exchanges', () => {
  test('requests follow each other on one connection', () => {
    const { transport, listener, request, receive, connection } = connect();
    for (let count = 1; count <= 3; count++) {
      const { stream, events } = request(head('POST'), false);
      stream.writeData(bytes('ab'), false);
      stream.writeTrailers(['x', '1']);
      receive(OK);
      expect(events).toEqual(['200 length=0 [content-length: 0] end']);
      expect(listener.streamEnds).toBe(count);
      expect(connection.capacity).toBe(1);
    }
    expect(transport.sent).toBe(
      'POST /p?q HTTP/1.1\r\nhost: b:80\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nx: 1\r\n\r\n'.repeat(
        3,
      ),
    );
  });

  test('[D23] an early response is delivered and burns the connection', () => {
    const { transport, request, receive, connection, listener } = connect();
    const { stream, events } = request(head('POST', ['content-length', '9']), false);
    stream.writeData(bytes('abc'), false);
    receive('HTTP/1.1 413 x\r\ncontent-length: 2\r\n\r\nno');
    expect(events).toEqual(['413 length=2 [content-length: 2]', 'data no', 'end']);
    expect(connection.reusable).toBe(false);
    expect(connection.closeDetail).toBe('http1.response_before_request_end');
    expect(transport.destroyed).toBe(true);
    expect(listener.streamEnds).toBe(1);
    expect(stream.writeData(bytes('defghi'), true)).toBe(true);
    expect(events.length).toBe(3);
  });

  test('[D23] an early response whose request still ends in time does not', () => {
    const { request, receive, connection } = connect();
    const { stream } = request(head('POST'), false);
    receive('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nn');
    stream.writeData(bytes('abc'), true);
    receive('o');
    expect(connection.capacity).toBe(1);
  });

  test('100 Continue is passed up before the body is sent', () => {
    const { request, receive, transport } = connect();
    const { stream, events } = request(
      head('POST', ['expect', '100-continue', 'content-length', '1']),
      false,
    );
    receive('HTTP/1.1 100 Continue\r\n\r\n');
    expect(events).toEqual(['informational 100']);
    stream.writeData(bytes('x'), true);
    receive(OK);
    expect(transport.sent).toMatch(/expect: 100-continue\r\n.*\r\n\r\nx$/s);
  });

  for (const [name, write] of [
    ['more', 'abc'],
    ['fewer', 'a'],
  ] as const) {
    test(`[A2.6] ${name} bytes than content-length burn the connection`, () => {
      const { request, connection, transport, listener } = connect();
      const { stream, events } = request(head('POST', ['content-length', '2']), false);
      stream.writeData(bytes(write), true);
      expect(events).toEqual(['reset localReset http1.outgoing_content_length_mismatch']);
      expect(transport.destroyed).toBe(true);
      expect(connection.reusable).toBe(false);
      expect(listener.streamEnds).toBe(1);
    });
  }

  test('reset drops the transport, tells the pool and not the sink', () => {
    const { request, connection, transport, listener, receive } = connect();
    const { stream, events } = request(head('GET'), true);
    stream.reset('localReset');
    stream.reset('localReset');
    receive(OK);
    expect(events).toEqual([]);
    expect(transport.destroyed).toBe(true);
    expect(connection.reusable).toBe(false);
    expect(listener.streamEnds).toBe(1);
  });

  test('[A3.2] [D5] bytes on an idle connection burn it', () => {
    const { connection, transport, listener, receive } = connect();
    receive('HTTP/1.1 408 Request Timeout\r\n\r\n');
    expect(connection.reusable).toBe(false);
    expect(connection.closeDetail).toBe('http1.unsolicited_bytes');
    expect(transport.destroyed).toBe(true);
    expect(listener.streamEnds).toBe(1);
  });

  test('[D5] bytes behind a response never answer the next request', () => {
    const { connection, request, receive } = connect();
    const states: boolean[] = [];
    const first = request(head('GET'), true);
    receive(OK + OK.replace('200', '299'));
    states.push(connection.reusable, connection.capacity > 0);
    expect(states).toEqual([false, false]);
    expect(first.events).toEqual(['200 length=0 [content-length: 0] end']);
  });

  test('a connection that ends while idle tells the pool', () => {
    const { connection, listener } = connect();
    connection.receiveEnd();
    expect(connection.reusable).toBe(false);
    expect(listener.streamEnds).toBe(1);
  });

  test('[I4] a lost transport is not the end of a body up to the end of the connection', () => {
    const { connection, request, receive } = connect();
    const { events } = request(head('GET'), true);
    receive('HTTP/1.1 200 OK\r\n\r\nabc');
    connection.close('ECONNRESET');
    connection.close('again');
    expect(events).toEqual(['200', 'data abc', 'reset connectionTermination ECONNRESET']);
  });

  test('[D4] the idle time that the peer announces is told', () => {
    const { connection, request, receive } = connect();
    expect(connection.peerKeepAliveTimeoutMs).toBe(-1);
    request(head('GET'), true);
    receive('HTTP/1.1 200 OK\r\nkeep-alive: max=3, timeout=5\r\ncontent-length: 0\r\n\r\n');
    expect(connection.peerKeepAliveTimeoutMs).toBe(5000);
  });
});

describe('back-pressure', () => {
  test('[A3.5] a full transport stops the writer until it drains', () => {
    const { connection, request, transport } = connect();
    const { stream, events } = request(head('POST'), false);
    transport.flowing = false;
    expect(stream.writeData(bytes('a'), false)).toBe(true); // collected, nobody was asked
    transport.flush();
    expect(stream.writeData(bytes('b'), false)).toBe(false);
    transport.flowing = true;
    connection.onTransportDrain();
    connection.onTransportDrain();
    expect(events).toEqual(['drain']);
    expect(stream.writeData(bytes('c'), false)).toBe(true);
  });

  test('[A3.5] a large chunk goes to the transport at once, behind what was collected', () => {
    const { request, transport } = connect();
    const { stream } = request(head('POST', ['content-length', '10001']), false);
    const large = Buffer.alloc(10_000, 'x');
    transport.flowing = false;
    expect(stream.writeData(bytes('a'), false)).toBe(true);
    expect(stream.writeData(large, false)).toBe(false);
    expect(transport.sent.endsWith(`\r\n\r\na${large}`)).toBe(true);
  });

  test('[D14] pause stops reading, and the end of the exchange resumes it', () => {
    const { request, transport, receive } = connect();
    const { stream } = request(head('GET'), true);
    stream.pause();
    expect(transport.readingPaused).toBe(true);
    stream.resume();
    expect(transport.readingPaused).toBe(false);
    stream.pause();
    receive(OK);
    expect(transport.readingPaused).toBe(false);
  });
});

describe('tunnels', () => {
  const switched = 'HTTP/1.1 101 x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n';

  test('[PR-09] data before the 101 waits for it', () => {
    const { request, receive, transport } = connect();
    const { stream, events } = request(head('GET', [], 'websocket'), false);
    const sent = transport.sent;
    expect(stream.writeData(bytes('early'), false)).toBe(false);
    expect(transport.sent).toBe(sent);
    receive(`${switched}hi`);
    expect(transport.sent).toBe(`${sent}early`);
    expect(events).toEqual(['101 tunnel [upgrade: websocket]', 'drain', 'data hi']);
  });

  test('[A3.3] data before a refused upgrade is never sent', () => {
    const { request, receive, transport, connection } = connect();
    const { stream, events } = request(head('GET', [], 'websocket'), false);
    const sent = transport.sent;
    stream.writeData(bytes('GET /smuggled HTTP/1.1\r\n\r\n'), false);
    receive(OK);
    stream.writeData(bytes('more'), true);
    expect(transport.sent).toBe(sent);
    expect(events).toEqual(['200 length=0 [content-length: 0] end']);
    expect(connection.capacity).toBe(1);
  });

  test('data before the 101 is bounded', () => {
    const { request, transport } = connect();
    const { stream, events } = request(head('CONNECT', [], 'connect'), false);
    stream.writeData(Buffer.alloc(1024 * 1024), false);
    stream.writeData(bytes('x'), false);
    expect(events).toEqual(['reset localReset http1.too_much_before_tunnel']);
    expect(transport.destroyed).toBe(true);
  });

  test('[PR-11] both half-closes end the tunnel', () => {
    for (const localFirst of [true, false]) {
      const { request, receive, transport, connection, listener } = connect();
      const { stream, events } = request(head('GET', [], 'websocket'), false);
      receive(switched);
      expect(connection.reusable).toBe(false);
      if (localFirst) stream.writeData(bytes('bye'), true);
      connection.receiveEnd();
      if (!localFirst) {
        expect(listener.streamEnds).toBe(0);
        stream.writeData(bytes('bye'), true);
      }
      expect(events).toEqual(['101 tunnel [upgrade: websocket]', 'end']);
      expect(transport.sent).toMatch(/bye$/);
      expect(transport.ended).toBe(true);
      expect(transport.closedAfterFlush).toBe(true);
      expect(listener.streamEnds).toBe(1);
    }
  });
});
