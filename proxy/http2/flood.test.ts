import { describe, expect, test } from 'vitest';
import { ResponseHead } from '../http/message.ts';
import type { ServerStream } from '../http/stream.ts';
import { answerWhenComplete, RecordingHandler } from '../http1/recorder.testing.ts';
import { http2ServerOptions, NO_EVENTS } from './connection-options.ts';
import { FLOOD_NAMES } from './flood-guard.ts';
import { CONNECTION_PREFACE } from './frame-reader.ts';
import { Http2ServerConnection } from './server-connection.ts';
import {
  block,
  data,
  END_STREAM,
  frame,
  headers,
  ping,
  priority,
  RecordingTransport,
  reset,
  settings,
  windowUpdate,
} from './wire.testing.ts';

/** Abuse (RFC 9113 §10.5): bounded, counted, answered with ENHANCE_YOUR_CALM; and what is none. */

const REQUEST = [':method', 'GET', ':scheme', 'http', ':authority', 'a', ':path', '/'];
const open = (id: number) => headers(id, 0, ...REQUEST);
const get = (id: number) => headers(id, END_STREAM, ...REQUEST);

function server(options: { streamsMax?: number; answer?: boolean } = {}) {
  const transport = new RecordingTransport();
  const handler = new RecordingHandler(options.answer === false ? () => {} : answerWhenComplete);
  const floods: string[] = [];
  const clock = { nowMs: 0 };
  const connection = new Http2ServerConnection(
    transport,
    handler,
    http2ServerOptions({ streamsMax: options.streamsMax ?? 100, nowMs: () => clock.nowMs }),
    { ...NO_EVENTS, onFlood: (kind) => void floods.push(FLOOD_NAMES[kind]!) },
  );
  connection.receive(Buffer.concat([Buffer.from(CONNECTION_PREFACE, 'latin1'), settings()]));
  transport.frames();
  return { transport, handler, connection, floods, clock };
}

/** Sends `make(n)` until the connection ends, at most `most` times; how often it took. */
function flood(
  peer: ReturnType<typeof server>,
  make: (count: number) => Buffer,
  most = 20_000,
): number {
  for (let count = 1; count <= most; count++) {
    peer.connection.receive(make(count));
    if (peer.connection.state === 'closed') return count;
  }
  return Number.POSITIVE_INFINITY;
}

describe('[A2.8] floods end the connection', () => {
  test.each([
    [
      'rapid_reset',
      400,
      (count: number) => Buffer.concat([open(2 * count - 1), reset(2 * count - 1)]),
    ],
    [
      'provoked_reset',
      100,
      (count: number) => Buffer.concat([open(2 * count - 1), windowUpdate(2 * count - 1, 0)]),
    ],
    ['provoked_reset', 100, (count: number) => headers(2 * count - 1, END_STREAM, 'x', 'y')],
    ['settings', 100, () => settings()],
    ['ping', 500, () => ping()],
    ['ping', 500, () => ping(1)],
    ['priority', 1000, (count: number) => priority(2 * count + 1, 1)],
    ['window_update', 2000, () => windowUpdate(0, 1)],
    ['unknown_frame', 500, () => frame(0xee, 0, 0)],
  ])('%s after %i', (name, burst, make) => {
    const peer = server({ answer: false });
    const count = flood(peer, make);
    expect(count).toBeGreaterThan(burst);
    expect(count).toBeLessThan(2 * burst + 300);
    expect(peer.floods).toEqual([name]);
    expect(peer.transport.frames().at(-1)).toMatch(`ENHANCE_YOUR_CALM http2.flood_${name}`);
  });

  test('empty DATA', () => {
    const peer = server({ answer: false });
    peer.connection.receive(open(1));
    expect(flood(peer, () => data(1, 0))).toBe(501);
    expect(peer.floods).toEqual(['empty_data']);
  });

  test('streams beyond the limit are refused, and when there is no end to them the connection ends', () => {
    const peer = server({ streamsMax: 1, answer: false });
    peer.connection.receive(open(1));
    expect(flood(peer, (count) => get(2 * count + 1))).toBe(1001);
    expect(peer.floods).toEqual(['refused_stream']);
  });

  test('CONTINUATION: many small frames, or a block without end', () => {
    const small = server();
    small.connection.receive(frame(1, 0, 1, block(...REQUEST)));
    expect(flood(small, () => frame(9, 0, 1))).toBeLessThan(40);
    expect(small.floods).toEqual(['continuation']);

    const large = server();
    large.connection.receive(frame(1, 0, 1, block(...REQUEST)));
    expect(flood(large, () => frame(9, 0, 1, Buffer.alloc(16_384)))).toBeLessThan(9);
    expect(large.transport.frames().at(-1)).toMatch(
      'ENHANCE_YOUR_CALM http2.header_block_too_large',
    );
  });

  test('replies that the peer does not read', () => {
    const peer = server({ answer: false });
    peer.transport.flowing = false;
    peer.connection.receive(ping());
    peer.transport.flush();
    // Data keeps the budget of pings from running dry; the replies pile up all the same.
    peer.connection.receive(open(1));
    const count = flood(peer, () => Buffer.concat([ping(), data(1, 0, 'x')]));
    expect(count).toBeLessThan(1100);
    expect(peer.floods).toEqual(['unread_replies']);
  });
});

describe('what is no flood', () => {
  test('a client that cancels every other request for a long time', () => {
    const peer = server();
    const count = flood(peer, (count) =>
      Buffer.concat([get(4 * count - 3), open(4 * count - 1), reset(4 * count - 1)]),
    );
    expect(count).toBe(Number.POSITIVE_INFINITY);
  });

  test('a ping now and then, for years', () => {
    const peer = server();
    const count = flood(peer, () => {
      peer.clock.nowMs += 1000;
      return Buffer.concat([ping(), settings(), priority(1, 3), windowUpdate(0, 1)]);
    });
    expect(count).toBe(Number.POSITIVE_INFINITY);
  });

  test('pings among data, as gRPC sends them', () => {
    const peer = server({ answer: false });
    peer.connection.receive(open(1));
    const count = flood(peer, () => Buffer.concat([data(1, 0, 'x'), ping()]));
    expect(count).toBe(Number.POSITIVE_INFINITY);
  });
});

describe('[A2.8] a reset stream counts until its upstream work has ended', () => {
  test('slots are kept by holdSlot and given back by releaseSlot', () => {
    const peer = server({ streamsMax: 2, answer: false });
    const { connection, handler, transport } = peer;
    for (const id of [1, 3]) {
      connection.receive(open(id));
      handler.streams.at(-1)!.holdSlot();
      connection.receive(reset(id));
    }
    expect([connection.activeStreams, connection.slotsUsed]).toEqual([0, 2]);
    connection.receive(get(5));
    expect(transport.frames()).toEqual(['RstStream 5 REFUSED_STREAM']);
    (handler.streams[0] as ServerStream).releaseSlot();
    (handler.streams[0] as ServerStream).releaseSlot();
    expect(connection.slotsUsed).toBe(1);
    connection.receive(get(7));
    expect(handler.streams.length).toBe(3);
    handler.streams[2]!.writeHead(new ResponseHead(200, []), true);
    expect(connection.slotsUsed).toBe(1);
  });

  test('a stream that ends properly while it is held gives its slot back when it is released', () => {
    const { connection, handler } = server({ streamsMax: 1, answer: false });
    connection.receive(get(1));
    const stream = handler.streams[0]!;
    stream.holdSlot();
    stream.writeHead(new ResponseHead(200, []), true);
    expect(connection.slotsUsed).toBe(1);
    stream.releaseSlot();
    expect(connection.slotsUsed).toBe(0);
  });
});

describe('[A2.12] header bombs', () => {
  test('a table entry of 4 KiB referred to 16,000 times makes no list of 64 MB', () => {
    const { connection, handler, transport } = server();
    const large = Buffer.concat([
      Buffer.from([0x40, 1, 0x78, 0x7f, 0x80 + ((3900 - 127) & 0x7f), (3900 - 127) >> 7]),
      Buffer.alloc(3900, 'y'),
    ]);
    connection.receive(frame(1, 5, 1, Buffer.concat([block(...REQUEST), large])));
    expect(handler.log.lines.length).toBe(1);
    transport.frames();
    connection.receive(
      frame(1, 5, 3, Buffer.concat([block(...REQUEST), Buffer.alloc(16_000, 0xbe)])),
    );
    expect(handler.log.lines.at(-1)).toBe('refused 431 http2.headers_too_large');
    expect(transport.frames()).toEqual(['Headers 3 [:status: 431] [content-length: 0] end']);
    // The table is in step all the same.
    connection.receive(frame(1, 5, 5, Buffer.concat([block(...REQUEST), Buffer.from([0xbe])])));
    expect(handler.log.lines.at(-1)).toBe(`GET / http://a HTTP/2 [x: ${'y'.repeat(3900)}] end`);
  });

  test('10,000 cookie crumbs are counted one by one', () => {
    const { connection, handler } = server();
    const crumb = Buffer.from([0x00 | 0x0f, 0x11, 1, 0x61]); // cookie (32): a
    const crumbs = Buffer.concat([block(...REQUEST), Buffer.alloc(16_000, crumb)]);
    connection.receive(frame(1, 5, 1, crumbs));
    expect(handler.log.lines).toEqual(['refused 431 http2.headers_too_large']);
  });
});
