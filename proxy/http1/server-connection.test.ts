import { describe, expect, test } from 'vitest';
import { httpLimits } from '../http/limits.ts';
import { ResponseHead } from '../http/message.ts';
import type { ServerStream } from '../http/stream.ts';
import { type Answer, RecordingHandler, RecordingTransport } from './recorder.testing.ts';
import { Http1ServerConnection, http1ServerOptions } from './server-connection.ts';

const never: Answer = () => {};

function serve(answer: Answer = never, options = http1ServerOptions()) {
  const transport = new RecordingTransport();
  const handler = new RecordingHandler(answer);
  const connection = new Http1ServerConnection(transport, handler, options);
  const receive = (wire: string) => connection.receive(Buffer.from(wire, 'latin1'));
  const stream = (at = 0): ServerStream => handler.streams[at]!;
  return { transport, handler, connection, receive, stream, events: handler.log.lines };
}

const get = (path: string, fields = '') => `GET ${path} HTTP/1.1\r\nhost: a\r\n${fields}\r\n`;
const post = (fields: string, body = '') => `POST / HTTP/1.1\r\nhost: a\r\n${fields}\r\n${body}`;
const bytes = (text: string) => Buffer.from(text, 'latin1');
const response = (status = 200, headers: string[] = []) => new ResponseHead(status, headers);
const EMPTY_OK = 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n';

describe('pipelining', () => {
  test('[PR-04] pipelined requests are answered in order, one at a time', () => {
    const { receive, stream, events, transport, connection } = serve();
    receive(get('/1') + get('/2') + post('content-length: 2\r\n', 'ab'));
    expect(events).toEqual(['GET /1 http://a end']);
    expect(transport.readingPaused).toBe(true);
    expect(connection.state).toBe('response');
    stream(0).writeHead(response(), true);
    expect(events).toEqual(['GET /1 http://a end', 'GET /2 http://a end']);
    stream(1).writeHead(response(404), true);
    expect(events.slice(2)).toEqual([
      'POST / http://a length=2 [content-length: 2]',
      'data ab',
      'end',
    ]);
    stream(2).writeHead(response(), true);
    expect(transport.sent).toBe(
      `${EMPTY_OK}HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n${EMPTY_OK}`,
    );
    expect(transport.readingPaused).toBe(false);
    expect(connection.state).toBe('idle');
  });

  test('a thousand pipelined requests answered at once need no stack', () => {
    const { receive, transport } = serve((stream) => stream.writeHead(response(), true));
    receive(get('/').repeat(1000));
    expect(transport.sent).toBe(EMPTY_OK.repeat(1000));
  });

  test('more pipelined bytes than the limit cut the connection', () => {
    const limits = httpLimits({ pipelinedBytesMax: 64 });
    const { receive, events, transport, connection } = serve(never, http1ServerOptions({ limits }));
    receive(get('/1') + get('/2'));
    receive('x'.repeat(64));
    expect(events[1]).toBe('reset connectionTermination http1.too_much_pipelined');
    expect(transport.destroyed).toBe(true);
    expect(connection.state).toBe('closed');
  });

  test('a late write of an ended stream does not reach the next exchange', () => {
    const { receive, stream, transport } = serve();
    receive(get('/1') + get('/2'));
    stream(0).writeHead(response(), true);
    stream(0).writeData(bytes('poison'), true);
    stream(0).writeHead(response(500), true);
    stream(0).reset('localReset');
    stream(0).pause();
    expect(transport.sent).toBe(EMPTY_OK);
    expect(transport.destroyed).toBe(false);
    expect(transport.readingPaused).toBe(false);
  });
});

describe('response framing', () => {
  const answerWith = (head: ResponseHead, request = get('/')) => {
    const context = serve();
    context.receive(request);
    context.stream().writeHead(head, false);
    return context;
  };

  test('RFC 9112 §7.1 without a length the body is chunked, head and body in one go', () => {
    const { stream, transport } = answerWith(response(200, ['x', '1']));
    stream().writeData(bytes('hello'), false);
    stream().writeData(Buffer.alloc(0), false);
    stream().writeData(bytes('x'.repeat(17)), true);
    expect(transport.sent).toBe(
      `HTTP/1.1 200 OK\r\nx: 1\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n11\r\n${'x'.repeat(17)}\r\n0\r\n\r\n`,
    );
  });

  test('RFC 9112 §7.1.2 trailers end a chunked body; forbidden ones are left out', () => {
    const { stream, transport, connection } = answerWith(response());
    stream().writeTrailers(['grpc-status', '0', 'content-length', '3', 'set-cookie', 'a=b']);
    expect(transport.sent).toMatch(/\r\n\r\n0\r\ngrpc-status: 0\r\n\r\n$/);
    expect(connection.state).toBe('idle');
  });

  test('trailers after a content-length body are dropped', () => {
    const { stream, transport, connection } = answerWith(response(200, ['content-length', '2']));
    stream().writeData(bytes('ab'), false);
    stream().writeTrailers(['x', '1']);
    expect(transport.sent).toBe('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab');
    expect(connection.state).toBe('idle');
  });

  for (const [name, write] of [
    ['more', (stream: ServerStream) => stream.writeData(bytes('abc'), false)],
    ['fewer', (stream: ServerStream) => stream.writeData(bytes('a'), true)],
    ['fewer, then trailers', (stream: ServerStream) => stream.writeTrailers([])],
  ] as const) {
    test(`[I4] ${name} bytes than content-length drop the connection`, () => {
      const { stream, transport, events } = answerWith(response(200, ['content-length', '2']));
      write(stream());
      expect(transport.destroyed).toBe(true);
      expect(transport.sent).toBe('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n');
      expect(events[1]).toBe('reset localReset http1.outgoing_content_length_mismatch');
    });
  }

  for (const [name, head, endStream] of [
    ['a body announced and not sent', response(200, ['content-length', '2']), true],
    ['no number', response(200, ['content-length', 'x']), false],
    ['two values', response(200, ['content-length', '1', 'content-length', '2']), false],
    ['a final head with status 100', response(100), false],
    ['a tunnel nobody asked for', Object.assign(response(101), { upgrade: true }), false],
  ] as const) {
    test(`a head that cannot be framed drops the connection: ${name}`, () => {
      const { receive, stream, transport } = serve();
      receive(get('/'));
      stream().writeHead(head, endStream);
      expect(transport.sent).toBe('');
      expect(transport.destroyed).toBe(true);
    });
  }

  test('data before the head drops the connection', () => {
    const { receive, stream, transport } = serve();
    receive(get('/'));
    stream().writeData(bytes('x'), true);
    expect(transport.destroyed).toBe(true);
  });

  test('RFC 9110 §9.3.2 a response to HEAD keeps its length and sends no content', () => {
    const { stream, transport, connection } = answerWith(
      response(200, ['content-length', '5']),
      'HEAD / HTTP/1.1\r\nhost: a\r\n\r\n',
    );
    stream().writeData(bytes('hello'), true);
    expect(transport.sent).toBe('HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n');
    expect(connection.state).toBe('idle');
  });

  test('RFC 9110 §8.6 204 has no framing, 304 keeps its length', () => {
    const { receive, stream, transport } = serve();
    receive(get('/') + get('/'));
    stream(0).writeHead(response(204, ['content-length', '0']), true);
    stream(1).writeHead(response(304, ['content-length', '7']), true);
    expect(transport.sent).toBe(
      'HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n',
    );
  });

  test('hop-by-hop fields in a response block are not written', () => {
    const { transport } = answerWith(
      response(200, ['transfer-encoding', 'gzip', 'keep-alive', '1', 'proxy-connection', 'x']),
    );
    expect(transport.sent).toBe('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n');
  });

  test('a status without a reason phrase still has the blank (RFC 9112 §4)', () => {
    const { transport } = answerWith(response(299));
    expect(transport.sent).toMatch(/^HTTP\/1.1 299 \r\n/);
  });

  test('100 Continue and other interim responses precede the final one', () => {
    const { receive, stream, transport } = serve();
    receive(post('expect: 100-continue\r\ncontent-length: 1\r\n'));
    stream().writeInformational(response(100));
    stream().writeInformational(response(103, ['link', 'x']));
    stream().writeInformational(response(101));
    receive('x');
    stream().writeHead(response(), true);
    stream().writeInformational(response(100));
    expect(transport.sent).toBe(
      `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n${EMPTY_OK}`,
    );
  });
});

describe('HTTP/1.0', () => {
  const options = http1ServerOptions({ acceptHttp10: true });

  test('[PR-04] a body without length ends with the connection', () => {
    const { receive, stream, transport } = serve(never, options);
    receive('GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n');
    stream().writeInformational(response(103));
    stream().writeHead(response(), false);
    stream().writeData(bytes('abc'), true);
    expect(transport.sent).toBe('HTTP/1.0 200 OK\r\nconnection: close\r\n\r\nabc');
    expect(transport.closedAfterFlush).toBe(true);
  });

  test('[PR-04] keep-alive is confirmed where the length is known', () => {
    const { receive, stream, transport, connection } = serve(never, options);
    receive('GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n');
    stream().writeHead(response(200, ['content-length', '1']), false);
    stream().writeData(bytes('a'), true);
    expect(transport.sent).toBe(
      'HTTP/1.0 200 OK\r\ncontent-length: 1\r\nconnection: keep-alive\r\n\r\na',
    );
    expect(connection.state).toBe('idle');
  });
});

describe('end of the connection', () => {
  test('[PR-04] connection: close of the client is answered in kind', () => {
    const { receive, stream, transport, connection } = serve();
    receive(get('/', 'connection: close\r\n'));
    stream().writeHead(response(), true);
    expect(transport.sent).toBe(
      'HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n',
    );
    expect(transport.closedAfterFlush).toBe(true);
    receive(get('/more'));
    expect(connection.state).toBe('closed');
  });

  test('connection: close of a filter ends the connection', () => {
    const { receive, stream, transport } = serve();
    receive(get('/'));
    stream().writeHead(response(200, ['connection', 'close']), true);
    expect(transport.sent).toContain('connection: close\r\n');
    expect(transport.closedAfterFlush).toBe(true);
  });

  test('[D19] drain closes an idle connection at once', () => {
    const { connection, transport } = serve();
    connection.drain();
    expect(transport.closedAfterFlush).toBe(true);
  });

  test('[D19] drain lets the request under way finish and says close', () => {
    const { connection, receive, stream, transport } = serve();
    receive('GET / HTTP/1.1\r\nho');
    connection.drain();
    expect(transport.closedAfterFlush).toBe(false);
    receive('st: a\r\n\r\n');
    stream().writeHead(response(), true);
    expect(transport.sent).toContain('connection: close\r\n');
    expect(transport.closedAfterFlush).toBe(true);
  });

  test('[D23] a response before the end of its request closes the connection', () => {
    const { receive, stream, transport, events } = serve();
    receive(post('content-length: 10\r\n', 'abc'));
    stream().writeHead(response(413), true);
    expect(transport.sent).toBe(
      'HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n',
    );
    expect(transport.closedAfterFlush).toBe(true);
    receive('defghij');
    expect(events).toEqual(['POST / http://a length=10 [content-length: 10]', 'data abc']);
  });

  test('[D23] unless the rest of the request is at hand', () => {
    const { receive, transport, connection, events } = serve((stream) =>
      stream.writeHead(response(403), true),
    );
    receive(post('content-length: 3\r\n', 'abc') + get('/next'));
    expect(events).toEqual([
      'POST / http://a length=3 [content-length: 3]',
      'GET /next http://a end',
    ]);
    expect(transport.sent).not.toContain('close');
    expect(connection.state).toBe('idle');
    receive(post('content-length: 4\r\n', 'abc'));
    expect(transport.sent).toMatch(/connection: close\r\n\r\n$/);
    expect(connection.state).toBe('closed');
    expect(transport.closedAfterFlush).toBe(true);
  });

  test('[D23] nobody can say whether the rest of a chunked request is at hand', () => {
    const { receive, transport } = serve((stream) => stream.writeHead(response(403), true));
    receive(post('transfer-encoding: chunked\r\n', '1\r\nx\r\n0\r\n\r\n'));
    expect(transport.sent).toMatch(/connection: close\r\n\r\n$/);
    expect(transport.closedAfterFlush).toBe(true);
  });

  test('[D23] a response that begins before the end of its request says close, however it ends', () => {
    const { receive, stream, transport, events } = serve();
    receive(post('content-length: 10\r\n', 'abc'));
    stream().writeHead(response(503), false);
    expect(transport.sent).toContain('connection: close\r\n');
    receive('defghij');
    expect(transport.closedAfterFlush).toBe(false);
    stream().writeData(bytes('no upstream'), true);
    expect(transport.closedAfterFlush).toBe(true);
    receive(get('/next'));
    expect(events.filter((event) => event.startsWith('GET'))).toEqual([]);
  });

  test('[D23] a broken body behind an ended response is not reported', () => {
    const { receive, transport, events } = serve((stream) => stream.writeHead(response(), true));
    receive(post('transfer-encoding: chunked\r\n', 'zz'));
    expect(events).toEqual(['POST / http://a']);
    expect(transport.sent).toBe(
      'HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n',
    );
    expect(transport.closedAfterFlush).toBe(true);
  });

  test('[I4] a client that leaves in its body resets the stream', () => {
    const { receive, connection, events, transport } = serve();
    receive(post('content-length: 10\r\n', 'abc'));
    connection.receiveEnd();
    expect(events.slice(1)).toEqual([
      'data abc',
      'reset connectionTermination http1.downstream_closed',
    ]);
    expect(transport.destroyed).toBe(true);
    connection.close('gone');
    expect(events.length).toBe(3);
  });

  test('a client that leaves before its response resets the stream', () => {
    const { receive, connection, events } = serve();
    receive(get('/'));
    connection.receiveEnd();
    expect(events[1]).toBe('reset connectionTermination http1.downstream_closed');
    expect(connection.activeStreams).toBe(0);
  });

  test('a client that leaves between requests or in a head is let go', () => {
    for (const wire of ['', 'GET / HT']) {
      const { receive, connection, events, transport } = serve();
      receive(wire);
      connection.receiveEnd();
      expect(events).toEqual([]);
      expect(transport.closedAfterFlush).toBe(true);
      expect(transport.sent).toBe('');
    }
  });

  test('a lost transport resets the stream, once', () => {
    const { receive, connection, events, stream } = serve();
    receive(get('/'));
    connection.close('ECONNRESET');
    connection.close('again');
    stream().writeHead(response(), true);
    expect(events).toEqual(['GET / http://a end', 'reset connectionTermination ECONNRESET']);
  });

  test('reset drops the transport and is not called back', () => {
    const { receive, stream, events, transport, connection } = serve();
    receive(get('/') + get('/2'));
    stream().reset('localReset');
    expect(events).toEqual(['GET / http://a end']);
    expect(transport.destroyed).toBe(true);
    expect(connection.activeStreams).toBe(0);
  });

  test('[A3.1] a broken body after the response head truncates visibly', () => {
    const { receive, stream, transport, events } = serve();
    receive(post('transfer-encoding: chunked\r\n'));
    stream().writeHead(response(), false);
    receive('zz');
    expect(transport.destroyed).toBe(true);
    expect(transport.sent).not.toContain('400');
    expect(events[1]).toBe('reset protocolError http1.invalid_chunk_size');
  });
});

describe('timers of the owner', () => {
  test('[A1.9] state tells idle from head, body and response', () => {
    const { connection, receive, stream } = serve();
    expect(connection.state).toBe('idle');
    receive('\r\n');
    expect(connection.state).toBe('idle');
    receive('P');
    expect(connection.state).toBe('head');
    receive(post('content-length: 1\r\n').slice(1));
    expect(connection.state).toBe('body');
    receive('x');
    expect(connection.state).toBe('response');
    stream().writeHead(response(), true);
    expect(connection.state).toBe('idle');
  });

  test('[A1.9] refuse answers 408 in a head and does nothing in an exchange', () => {
    const { connection, receive, transport } = serve();
    receive('GET / HT');
    connection.refuse(408);
    expect(transport.sent).toBe(
      'HTTP/1.1 408 Request Timeout\r\ncontent-length: 15\r\ncontent-type: text/plain\r\n' +
        'connection: close\r\n\r\nRequest Timeout',
    );
    expect(transport.closedAfterFlush).toBe(true);
    const busy = serve();
    busy.receive(get('/'));
    busy.connection.refuse(408);
    expect(busy.transport.sent).toBe('');
  });
});

describe('back-pressure', () => {
  test('[D14] a full transport stops the writer until it drains', () => {
    const { receive, stream, transport, connection, events } = serve();
    receive(get('/'));
    stream().writeHead(response(), false);
    transport.flowing = false;
    expect(stream().writeData(bytes('a'), false)).toBe(true); // collected, nobody was asked
    transport.flush();
    expect(stream().writeData(bytes('b'), false)).toBe(false);
    expect(stream().writeData(bytes('b'), false)).toBe(false);
    transport.flowing = true;
    connection.onTransportDrain();
    connection.onTransportDrain();
    expect(events.slice(1)).toEqual(['drain']);
    expect(stream().writeData(bytes('c'), true)).toBe(true);
  });

  test('[D14] a paused sink pauses the transport, and its end resumes it', () => {
    const { receive, stream, transport } = serve();
    receive(post('content-length: 4\r\n', 'ab'));
    stream().pause();
    expect(transport.readingPaused).toBe(true);
    stream().resume();
    expect(transport.readingPaused).toBe(false);
    stream().pause();
    receive('cd');
    stream().writeHead(response(), true);
    expect(transport.readingPaused).toBe(false);
  });

  test('body chunks are views of what arrived', () => {
    const transport = new RecordingTransport();
    let seen: Buffer | null = null;
    const handler = new RecordingHandler();
    const connection = new Http1ServerConnection(
      transport,
      {
        onRequest: (stream, head, endStream) => ({
          ...handler.onRequest(stream, head, endStream),
          onData: (chunk: Buffer) => {
            seen = chunk;
          },
        }),
        onProtocolError() {},
      },
      http1ServerOptions(),
    );
    connection.receive(bytes(post('content-length: 8\r\n')));
    const piece = bytes('abcd');
    connection.receive(piece);
    expect(seen).toBe(piece);
  });
});

describe('tunnels', () => {
  const websocket = get('/', 'connection: Upgrade\r\nupgrade: WebSocket\r\n');
  const switching = () => Object.assign(response(101, ['upgrade', 'websocket']), { upgrade: true });

  test('[PR-09] 101 turns the stream into a tunnel with half-closes', () => {
    const { receive, stream, events, transport, connection } = serve();
    receive(`${websocket}early`);
    expect(events).toEqual(['GET / http://a upgrade=websocket']);
    stream().writeHead(switching(), false);
    expect(transport.sent).toBe(
      'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n',
    );
    expect(connection.state).toBe('tunnel');
    expect(transport.readingPaused).toBe(false);
    receive('GET / not parsed');
    stream().writeData(bytes('raw'), false);
    expect(transport.sent).toMatch(/\r\n\r\nraw$/);
    stream().writeData(bytes('!'), true);
    expect(transport.ended).toBe(true);
    receive(' on');
    connection.receiveEnd();
    expect(events.slice(1)).toEqual(['data earlyGET / not parsed on', 'end']);
    expect(transport.closedAfterFlush).toBe(true);
    expect(connection.activeStreams).toBe(0);
  });

  test('[PR-09] the client may half-close first', () => {
    const { receive, stream, events, transport, connection } = serve();
    receive(websocket);
    stream().writeHead(switching(), false);
    connection.receiveEnd();
    expect(events.slice(1)).toEqual(['end']);
    expect(transport.closedAfterFlush).toBe(false);
    stream().writeData(bytes('bye'), true);
    expect(transport.sent).toMatch(/bye$/);
    expect(transport.closedAfterFlush).toBe(true);
  });

  test('[PR-09] a refused upgrade is an ordinary exchange and persists', () => {
    const { receive, stream, events, transport } = serve();
    receive(websocket + get('/next'));
    stream().writeHead(response(403), true);
    expect(events).toEqual(['GET / http://a upgrade=websocket', 'end', 'GET /next http://a end']);
    expect(transport.sent).toBe('HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n');
  });

  test('[PR-10] CONNECT: any 2xx opens the tunnel, without framing', () => {
    const { receive, stream, events, transport } = serve();
    receive('CONNECT b:443 HTTP/1.1\r\nhost: b:443\r\n\r\nhello');
    expect(events).toEqual(['CONNECT - http://b:443 upgrade=connect']);
    stream().writeHead(response(200, ['content-length', '0']), false);
    expect(transport.sent).toBe('HTTP/1.1 200 OK\r\n\r\n');
    expect(events[1]).toBe('data hello');
  });

  test('[PR-10] CONNECT: an empty content-length says nothing and is dropped', () => {
    const { receive, events } = serve();
    receive('CONNECT b:443 HTTP/1.1\r\nhost: b:443\r\ncontent-length: 0\r\n\r\n');
    expect(events).toEqual(['CONNECT - http://b:443 upgrade=connect']);
  });

  test('[PR-10] CONNECT refused: what was sent behind it is not read as the next request', () => {
    const { receive, stream, events, transport } = serve();
    receive(`CONNECT b:443 HTTP/1.1\r\nhost: b:443\r\n\r\n${get('/hidden')}`);
    stream().writeHead(response(503), true);
    expect(transport.sent).toContain('connection: close\r\n');
    expect(transport.closedAfterFlush).toBe(true);
    expect(events).toEqual(['CONNECT - http://b:443 upgrade=connect', 'end']);
  });

  test('a lost transport resets the tunnel', () => {
    const { receive, stream, events, connection } = serve();
    receive(websocket);
    stream().writeHead(switching(), false);
    connection.close('ECONNRESET');
    expect(events[1]).toBe('reset connectionTermination ECONNRESET');
  });
});
