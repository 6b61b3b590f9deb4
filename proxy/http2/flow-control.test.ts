import { describe, expect, test } from 'vitest';
import { RequestHead, ResponseHead } from '../http/message.ts';
import type { ServerStream } from '../http/stream.ts';
import { RecordingHandler, RecordingListener, RecordingSink } from '../http1/recorder.testing.ts';
import { BandwidthEstimate } from './bandwidth-estimate.ts';
import { Http2ClientConnection } from './client-connection.ts';
import {
  type Http2ServerOptions,
  http2ClientOptions,
  http2ServerOptions,
  NO_EVENTS,
} from './connection-options.ts';
import { CONNECTION_PREFACE } from './frame-reader.ts';
import { ReceiveBudget } from './receive-budget.ts';
import { ReceiveWindow } from './receive-window.ts';
import { Http2ServerConnection } from './server-connection.ts';
import {
  data,
  END_STREAM,
  headers,
  RecordingTransport,
  settings,
  windowUpdate,
} from './wire.testing.ts';

const REQUEST = [':method', 'POST', ':scheme', 'http', ':authority', 'a', ':path', '/'];

function server(options: Partial<Http2ServerOptions> = {}, peerSettings: readonly number[] = []) {
  const transport = new RecordingTransport();
  const handler = new RecordingHandler(() => {});
  const clock = { nowMs: 0 };
  let stalls = 0;
  const connection = new Http2ServerConnection(
    transport,
    handler,
    http2ServerOptions({ nowMs: () => clock.nowMs, ...options }),
    { ...NO_EVENTS, onSendStalled: () => void stalls++ },
  );
  connection.receive(
    Buffer.concat([Buffer.from(CONNECTION_PREFACE, 'latin1'), settings(...peerSettings)]),
  );
  transport.frames();
  const request = (id: number): ServerStream => {
    connection.receive(headers(id, END_STREAM, ...REQUEST));
    return handler.streams.at(-1)!;
  };
  const upload = (id: number): ServerStream => {
    connection.receive(headers(id, 0, ...REQUEST));
    return handler.streams.at(-1)!;
  };
  return { transport, handler, connection, clock, request, upload, stalls: () => stalls };
}

const OK = () => new ResponseHead(200, []);
const text = (line: string) => line.replace(/(?<=^Data \d+ )x+/, (run) => `${run.length}`);

describe('sending (RFC 9113 §5.2, §6.9)', () => {
  test('a stream sends what its window lets it, and goes on when it is opened', () => {
    const peer = server({}, [4, 10]);
    const stream = peer.request(1);
    stream.writeHead(OK(), false);
    expect(stream.writeData(Buffer.from('x'.repeat(25)), true)).toBe(true);
    expect(peer.transport.frames().map(text)).toEqual(['Headers 1 [:status: 200]', 'Data 1 10']);
    peer.connection.receive(windowUpdate(1, 10));
    expect(peer.transport.frames().map(text)).toEqual(['Data 1 10']);
    peer.connection.receive(windowUpdate(1, 100));
    expect(peer.transport.frames().map(text)).toEqual(['Data 1 5 end']);
    expect(peer.connection.activeStreams).toBe(0);
  });

  test('the writer is told to wait, and told when it may go on; trailers wait for the data', () => {
    const peer = server({}, [4, 10]);
    const stream = peer.request(1);
    stream.writeHead(OK(), false);
    expect(stream.writeData(Buffer.from('x'.repeat(10)), false)).toBe(true);
    expect(stream.writeData(Buffer.from('x'.repeat(10)), false)).toBe(false);
    peer.connection.receive(windowUpdate(1, 5));
    expect(peer.handler.log.lines.at(-1)).not.toBe('drain');
    peer.connection.receive(windowUpdate(1, 5));
    expect(peer.handler.log.lines.at(-1)).toBe('drain');
    stream.writeData(Buffer.from('x'.repeat(3)), false);
    stream.writeTrailers(['x-t', '1']);
    peer.transport.frames();
    peer.connection.receive(windowUpdate(1, 5));
    expect(peer.transport.frames().map(text)).toEqual(['Data 1 3', 'Headers 1 [x-t: 1] end']);
  });

  test('§6.9.2 SETTINGS change the windows of streams that are open, below zero too', () => {
    const peer = server({}, [4, 10]);
    const stream = peer.request(1);
    stream.writeHead(OK(), false);
    stream.writeData(Buffer.from('x'.repeat(10)), false);
    peer.connection.receive(settings(4, 4));
    stream.writeData(Buffer.from('x'.repeat(10)), true);
    peer.transport.frames();
    peer.connection.receive(windowUpdate(1, 6));
    expect(peer.transport.frames()).toEqual([]);
    peer.connection.receive(settings(4, 8));
    expect(peer.transport.frames().map(text)).toEqual(['Settings ack', 'Data 1 4']);
  });

  test('an empty last frame needs no window', () => {
    const peer = server({}, [4, 0]);
    const stream = peer.request(1);
    stream.writeHead(OK(), false);
    stream.writeData(Buffer.alloc(0), true);
    expect(peer.transport.frames().at(-1)).toBe('Data 1  end');
  });

  test('streams take turns frame by frame when the connection is the bottleneck', () => {
    const peer = server({}, [4, 1_000_000]);
    const streams = [1, 3, 5].map((id) => peer.request(id));
    for (const stream of streams) stream.writeHead(OK(), false);
    for (const stream of streams) stream.writeData(Buffer.alloc(60_000, 'x'), true);
    peer.transport.frames();
    peer.connection.receive(windowUpdate(0, 4 * 16_384));
    const turns = peer.transport.frames().map((line) => line.slice(0, 6));
    expect(turns.slice(0, 4)).toEqual(['Data 3', 'Data 5', 'Data 3', 'Data 5']);
  });

  test('a transport that is full stops the writers of all streams', () => {
    const peer = server({}, [4, 1_000_000]);
    peer.connection.receive(windowUpdate(0, 1_000_000));
    const [first, second] = [peer.request(1), peer.request(3)];
    first.writeHead(OK(), false);
    second.writeHead(OK(), false);
    peer.transport.flowing = false;
    expect(first.writeData(Buffer.alloc(20_000, 'x'), false)).toBe(false);
    expect(second.writeData(Buffer.alloc(10, 'x'), false)).toBe(false);
    peer.transport.flowing = true;
    peer.transport.frames();
    peer.connection.onTransportDrain();
    expect(peer.transport.frames().map(text)).toEqual(['Data 1 3616', 'Data 3 10']);
    expect(peer.handler.log.lines.filter((line) => line === 'drain').length).toBe(2);
  });

  test('[CVE-2019-9517] a window kept closed is reported, and what waits for it can be reset', () => {
    const peer = server({}, [4, 0]);
    for (const id of [1, 3]) {
      const stream = peer.request(id);
      stream.writeHead(OK(), false);
      stream.writeData(Buffer.from('x'), false);
      peer.clock.nowMs += 1000;
    }
    expect(peer.stalls()).toBe(1);
    expect(peer.connection.resetStalled(0)).toBe(1);
    expect(peer.handler.log.lines.at(-1)).toBe('reset remoteReset http2.window_kept_closed');
    expect(peer.transport.frames().at(-1)).toBe('RstStream 1 FLOW_CONTROL_ERROR');
    peer.connection.receive(windowUpdate(3, 5));
    expect(peer.connection.resetStalled(10_000)).toBe(0);
    expect(peer.connection.activeStreams).toBe(1);
  });
});

describe('receiving', () => {
  const small = { streamWindowBytes: 100, connectionWindowBytes: 70_000 };

  test('credit comes back in steps of half a window, when the reader has taken it', () => {
    const peer = server(small);
    const stream = peer.upload(1);
    peer.connection.receive(data(1, 0, 'x'.repeat(49)));
    expect(peer.transport.frames()).toEqual([]);
    stream.pause();
    peer.connection.receive(data(1, 0, 'x'.repeat(40)));
    expect(peer.transport.frames()).toEqual([]);
    expect(peer.handler.log.lines.at(-1)).toBe(`data ${'x'.repeat(49)}`);
    stream.resume();
    expect(peer.handler.log.lines.at(-1)).toBe(`data ${'x'.repeat(89)}`);
    expect(peer.transport.frames()[0]).toBe('WindowUpdate 1 89');
  });

  test('§6.9 a peer that sends more than it may: the stream, or the connection', () => {
    const peer = server({ streamWindowBytes: 70_000, connectionWindowBytes: 100_000 });
    for (const id of [1, 3]) peer.upload(id).pause();
    for (let frame = 0; frame < 5; frame++) peer.connection.receive(data(1, 0, 'x'.repeat(14_000)));
    peer.connection.receive(data(1, 0, 'x'));
    expect(peer.handler.log.lines.at(-1)).toBe('reset protocolError http2.window_exceeded');
    expect(peer.transport.frames()).toContain('RstStream 1 FLOW_CONTROL_ERROR');

    const receiveBudget = new ReceiveBudget(0);
    const other = server({ streamWindowBytes: 70_000, receiveBudget });
    for (const id of [1, 3]) other.upload(id).pause();
    for (let frame = 0; frame < 4; frame++)
      other.connection.receive(data(1, 0, 'x'.repeat(16_000)));
    other.connection.receive(data(3, 0, 'x'.repeat(2_000)));
    expect(other.transport.frames().at(-1)).toMatch('FLOW_CONTROL_ERROR http2.window_exceeded');
  });

  test('the credit of streams that are gone goes back to the connection', () => {
    const peer = server({
      streamWindowBytes: 65_535,
      connectionWindowBytes: 65_535,
      receiveBudget: new ReceiveBudget(0),
    });
    const stream = peer.upload(1);
    stream.pause();
    for (let frame = 0; frame < 3; frame++) peer.connection.receive(data(1, 0, 'x'.repeat(16_000)));
    stream.reset('localReset');
    const settingsAside = () => peer.transport.frames().filter((line) => line !== 'Settings');
    expect(settingsAside()).toEqual(['RstStream 1 INTERNAL_ERROR', 'WindowUpdate 0 48000', 'Ping']);
    // On its way when it was reset:
    for (let frame = 0; frame < 3; frame++) peer.connection.receive(data(1, 0, 'x'.repeat(16_000)));
    expect(settingsAside()).toEqual(['WindowUpdate 0 48000']);
  });

  test('§6.9.2 until our SETTINGS are acknowledged the peer may count with 65,535', () => {
    const peer = server(small);
    peer.upload(1);
    peer.connection.receive(data(1, 0, 'x'.repeat(16_000)));
    expect(peer.handler.log.lines.at(-1)).toBe(`data ${'x'.repeat(16_000)}`);
  });

  test('the end and trailers wait behind data that is held', () => {
    const peer = server();
    const stream = peer.upload(1);
    stream.pause();
    peer.connection.receive(data(1, 0, 'abc'));
    peer.connection.receive(data(1, 0, 'def'));
    peer.connection.receive(headers(1, END_STREAM, 'x-t', '1'));
    expect(peer.handler.log.lines.length).toBe(1);
    stream.resume();
    expect(peer.handler.log.lines.slice(1)).toEqual(['data abcdef', 'trailers [x-t: 1]']);
  });

  test('a response that has come whole is delivered even after its connection has gone', () => {
    const transport = new RecordingTransport();
    const connection = new Http2ClientConnection(
      transport,
      new RecordingListener(),
      http2ClientOptions(),
    );
    const sink = new RecordingSink();
    const stream = connection.request(
      new RequestHead('GET', 'http', 'a', '/', [], 'HTTP/1.1'),
      true,
      sink,
    );
    stream.pause();
    connection.receive(settings());
    connection.receive(headers(1, 0, ':status', '200'));
    connection.receive(data(1, END_STREAM, 'whole'));
    connection.close('closed');
    stream.resume();
    expect(sink.log.lines).toEqual(['200 HTTP/2', 'data whole', 'end']);
  });
});

describe('windows adapt to the bandwidth-delay product', () => {
  test('a client that receives a large part of its window in a round trip doubles it', () => {
    const up = new RecordingTransport();
    const down = new RecordingTransport();
    const client = new Http2ClientConnection(
      up,
      new RecordingListener(),
      http2ClientOptions({
        streamWindowBytes: 65_535,
        connectionWindowBytes: 65_535,
        windowBytesMax: 500_000,
      }),
    );
    const handler = new RecordingHandler((stream, _head, complete) => {
      if (!complete) return;
      stream.writeHead(OK(), false);
      stream.writeData(Buffer.alloc(5_000_000, 'x'), true);
    });
    const peer = new Http2ServerConnection(down, handler, http2ServerOptions());
    let received = 0;
    const sink = new RecordingSink();
    sink.onData = (chunk) => {
      received += chunk.length;
    };
    client.request(new RequestHead('GET', 'http', 'a', '/', [], 'HTTP/1.1'), true, sink);
    let largest = 0;
    let turns = 0;
    for (; received < 5_000_000 && turns < 1000; turns++) {
      peer.receive(up.take());
      const bytes = down.take();
      largest = Math.max(largest, bytes.length);
      client.receive(bytes);
    }
    expect(received).toBe(5_000_000);
    expect(largest).toBeGreaterThan(4 * 65_535);
    expect(turns).toBeLessThan(60);
  });

  test('the estimate grows with what comes between a ping and its answer, up to its bound', () => {
    const estimate = new BandwidthEstimate(100, 350);
    expect([estimate.begin(), estimate.begin()]).toEqual([true, false]);
    estimate.onData(33);
    expect([estimate.end(true), estimate.windowBytes]).toEqual([false, 100]);
    estimate.begin();
    estimate.onData(34);
    expect([estimate.end(true), estimate.windowBytes]).toEqual([true, 200]);
    estimate.begin();
    estimate.onData(1000);
    expect([estimate.end(true), estimate.windowBytes]).toEqual([true, 350]);
    expect(estimate.begin()).toBe(false);
  });

  test('a window that grows lets more in at once', () => {
    const window = new ReceiveWindow(10);
    expect([window.receive(10), window.grow(30), window.receive(20), window.receive(1)]).toEqual([
      true,
      20,
      true,
      false,
    ]);
  });
});
