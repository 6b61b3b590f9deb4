import { describe, expect, test } from 'vitest';
import { RequestHead, ResponseHead } from '../http/message.ts';
import type { ServerStream } from '../http/stream.ts';
import {
  answerWhenComplete,
  RecordingHandler,
  RecordingListener,
  RecordingSink,
} from '../http1/recorder.testing.ts';
import { Http2ClientConnection } from './client-connection.ts';
import {
  type Http2ServerOptions,
  http2ClientOptions,
  http2ServerOptions,
  NO_EVENTS,
} from './connection-options.ts';
import { FLOOD_NAMES } from './flood-guard.ts';
import { CONNECTION_PREFACE } from './frame-reader.ts';
import { ReceiveBudget } from './receive-budget.ts';
import { Http2ServerConnection } from './server-connection.ts';
import {
  block,
  data,
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
  windowUpdate,
} from './wire.testing.ts';

/** Abuse (RFC 9113 §10.5): bounded, counted, answered with ENHANCE_YOUR_CALM; and what is none. */

const REQUEST = [':method', 'GET', ':scheme', 'http', ':authority', 'a', ':path', '/'];
const RESPONSE = [':status', '200'];
const open = (id: number) => headers(id, 0, ...REQUEST);
const get = (id: number) => headers(id, END_STREAM, ...REQUEST);
const odd = (count: number) => 2 * count - 1;
const both = (...frames: readonly Buffer[]) => Buffer.concat(frames);

function server(options: Partial<Http2ServerOptions> & { answer?: boolean } = {}) {
  const transport = new RecordingTransport();
  const handler = new RecordingHandler(options.answer === false ? () => {} : answerWhenComplete);
  const floods: string[] = [];
  const clock = { nowMs: 0 };
  const connection = new Http2ServerConnection(
    transport,
    handler,
    http2ServerOptions({ streamsMax: 100, nowMs: () => clock.nowMs, ...options }),
    { ...NO_EVENTS, onFlood: (kind) => void floods.push(FLOOD_NAMES[kind]!) },
  );
  connection.receive(both(Buffer.from(CONNECTION_PREFACE, 'latin1'), settings(), SETTINGS_ACK));
  transport.frames();
  const ended = () => connection.state === 'closed';
  return { transport, handler, connection, floods, clock, ended };
}

/** A client role with requests under way; `request` sends one more. */
function client() {
  const transport = new RecordingTransport();
  const floods: string[] = [];
  const clock = { nowMs: 0 };
  const listener = new RecordingListener();
  const connection = new Http2ClientConnection(
    transport,
    listener,
    http2ClientOptions({ nowMs: () => clock.nowMs }),
    { ...NO_EVENTS, onFlood: (kind) => void floods.push(FLOOD_NAMES[kind]!) },
  );
  const sinks: RecordingSink[] = [];
  const request = (endStream = true) => {
    sinks.push(new RecordingSink());
    const head = new RequestHead('GET', 'http', 'a', '/', [], 'HTTP/1.1');
    return connection.request(head, endStream, sinks.at(-1)!);
  };
  connection.receive(both(settings(), SETTINGS_ACK));
  transport.frames();
  return {
    transport,
    connection,
    floods,
    clock,
    listener,
    sinks,
    request,
    ended: () => !connection.reusable,
  };
}

type Peer = ReturnType<typeof server> | ReturnType<typeof client>;

/** Sends `make(n)` until the connection ends, at most `most` times; how often it took. */
function flood(peer: Peer, make: (count: number) => Buffer, most = 20_000): number {
  for (let count = 1; count <= most; count++) {
    peer.connection.receive(make(count));
    if (peer.transport.flowing) peer.transport.flush();
    if (peer.ended()) return count;
  }
  return Number.POSITIVE_INFINITY;
}

function expectCalm(peer: Peer, name: string): void {
  expect(peer.floods).toEqual([name]);
  expect(peer.transport.frames().at(-1)).toMatch(`ENHANCE_YOUR_CALM http2.flood_${name}`);
  expect(peer.transport.closedAfterFlush).toBe(true);
  expect(peer.connection.activeStreams).toBe(0);
}

/** Name of the counter, what it is about, the burst that is allowed, the frames of one go. */
type Row = [kind: string, about: string, burst: number, make: (count: number) => Buffer];

/** What either role can be sent without a stream. */
const ANY_ROLE: Row[] = [
  ['settings', 'CVE-2019-9515', 100, () => settings()],
  ['settings', 'acknowledgements of nothing', 100, () => SETTINGS_ACK],
  ['settings', 'windows up and down', 100, (count) => settings(4, count % 2)],
  ['ping', 'CVE-2019-9512', 500, () => ping()],
  ['ping', 'answers to nothing', 500, () => ping(1)],
  ['window_update', 'of the connection', 2000, () => windowUpdate(0, 1)],
  ['unknown_frame', 'small', 500, () => frame(0xee, 0, 0)],
  ['unknown_frame', 'large', 500, () => frame(0xee, 0, 0, Buffer.alloc(16_384))],
  ['priority', 'of streams to come', 1000, (count) => priority(2 * count + 1, 1)],
];

const SERVER_ROLE: Row[] = [
  ['rapid_reset', 'CVE-2023-44487', 500, (count) => both(open(odd(count)), reset(odd(count)))],
  [
    'rapid_reset',
    'CVE-2023-44487, a hundred at a time',
    500,
    (count) => {
      const ids = Array.from({ length: 100 }, (_, index) => odd(100 * (count - 1) + index + 1));
      return both(...ids.map((id) => get(id)), ...ids.map((id) => reset(id)));
    },
  ],
  [
    'provoked_reset',
    'CVE-2025-8671: WINDOW_UPDATE of 0',
    100,
    (count) => both(open(odd(count)), windowUpdate(odd(count), 0)),
  ],
  [
    'provoked_reset',
    'CVE-2025-8671: a window beyond 2^31-1',
    100,
    (count) => both(open(odd(count)), windowUpdate(odd(count), 0x7fff_ffff)),
  ],
  [
    'provoked_reset',
    'CVE-2025-8671: DATA behind END_STREAM',
    100,
    (count) => both(get(odd(count)), data(odd(count), 0, 'x')),
  ],
  [
    'provoked_reset',
    'CVE-2025-8671: HEADERS behind END_STREAM',
    100,
    (count) => both(get(odd(count)), get(odd(count))),
  ],
  [
    'provoked_reset',
    'CVE-2025-8671: a stream that depends on itself',
    100,
    (count) => both(open(odd(count)), priority(odd(count), odd(count))),
  ],
  [
    'provoked_reset',
    'CVE-2025-8671: more data than announced',
    100,
    (count) =>
      both(headers(odd(count), 0, ...REQUEST, 'content-length', '1'), data(odd(count), 0, 'xy')),
  ],
  [
    'provoked_reset',
    'trailers without END_STREAM',
    100,
    (count) => both(open(odd(count)), headers(odd(count), 0, 'x-t', '1')),
  ],
  [
    'provoked_reset',
    'malformed requests',
    100,
    (count) => headers(odd(count), END_STREAM, 'x', 'y'),
  ],
  ['provoked_reset', 'empty HEADERS (CVE-2019-9518)', 100, (count) => headers(odd(count), 0)],
  [
    'provoked_reset',
    'heads with too many fields',
    100,
    (count) => headers(odd(count), 0, ...REQUEST, ...Array(220).fill('x')),
  ],
  [
    'closed_stream',
    'RST_STREAM on what is over',
    1000,
    (count) => (count === 1 ? both(open(1), reset(1)) : reset(1)),
  ],
  [
    'closed_stream',
    'HEADERS on what we have reset',
    1000,
    (count) =>
      count === 1 ? both(open(1), windowUpdate(1, 0)) : headers(1, END_STREAM, 'x-t', '1'),
  ],
  ['window_update', 'of a stream', 2000, (count) => (count === 1 ? open(1) : windowUpdate(1, 1))],
];

describe('[A2.8] server role: floods end the connection', () => {
  test.each([...ANY_ROLE, ...SERVER_ROLE])('%s: %s, after %i', (kind, about, burst, make) => {
    const peer = server({ answer: false });
    const count = flood(peer, make) * (about.includes('a hundred at a time') ? 100 : 1);
    expect(count).toBeGreaterThan(burst);
    expect(count).toBeLessThanOrEqual(burst + 120);
    expectCalm(peer, kind);
  });

  test.each([
    ['without padding', () => data(1, 0)],
    ['of padding only', () => frame(0, 8, 1, [3, 0, 0, 0])],
    ['of a pad length only', () => frame(0, 8, 1, [0])],
  ])('[CVE-2019-9518] empty DATA %s', (_how, make) => {
    const peer = server({ answer: false });
    peer.connection.receive(open(1));
    expect(flood(peer, make)).toBe(501);
    expectCalm(peer, 'empty_data');
  });

  test('streams beyond the limit are refused, and when there is no end to them the connection ends', () => {
    const peer = server({ streamsMax: 1, answer: false });
    peer.connection.receive(open(1));
    expect(flood(peer, (count) => get(2 * count + 1))).toBe(1001);
    expect(peer.handler.streams.length).toBe(1);
    expectCalm(peer, 'refused_stream');
  });

  test('streams opened and left take their slots and no more', () => {
    const peer = server({ answer: false });
    for (let count = 1; count <= 300; count++) peer.connection.receive(open(odd(count)));
    expect([peer.connection.slotsUsed, peer.handler.streams.length]).toEqual([100, 100]);
    const refused = peer.transport.frames().filter((line) => line.endsWith('REFUSED_STREAM'));
    expect(refused.length).toBe(200);
  });

  test('[CVE-2024-27316] CONTINUATION: many small frames, or a block without end', () => {
    const small = server();
    small.connection.receive(frame(1, 0, 1, block(...REQUEST)));
    expect(flood(small, () => frame(9, 0, 1))).toBeLessThan(40);
    expectCalm(small, 'continuation');

    const large = server();
    large.connection.receive(frame(1, 0, 1, block(...REQUEST)));
    expect(flood(large, () => frame(9, 0, 1, Buffer.alloc(16_384)))).toBeLessThan(9);
    expect(large.transport.frames().at(-1)).toMatch(
      'ENHANCE_YOUR_CALM http2.header_block_too_large',
    );
    expect(large.floods).toEqual(['continuation']);
  });

  test('[CVE-2019-9511] windows of one byte: a response does not leave in 65,000 frames', () => {
    const peer = server({ answer: false });
    peer.connection.receive(both(settings(4, 1), get(1)));
    peer.handler.streams[0]!.writeHead(new ResponseHead(200, []), false);
    peer.handler.streams[0]!.writeData(Buffer.alloc(65_000), true);
    expect(flood(peer, () => windowUpdate(1, 1))).toBe(1001);
    expectCalm(peer, 'window_dribble');
  });

  test('[CVE-2019-9517] a window of one byte now and then does not count as progress', () => {
    const peer = server({ answer: false });
    peer.connection.receive(both(settings(4, 1), get(1)));
    peer.handler.streams[0]!.writeHead(new ResponseHead(200, []), false);
    peer.handler.streams[0]!.writeData(Buffer.alloc(65_000), true);
    for (let minute = 0; minute < 5; minute++) {
      peer.clock.nowMs += 60_000;
      peer.connection.receive(windowUpdate(1, 1));
    }
    expect(peer.connection.resetStalled(peer.clock.nowMs - 200_000)).toBe(0);
    expect(peer.connection.activeStreams).toBe(0);
    expect(peer.transport.frames().at(-1)).toBe('RstStream 1 FLOW_CONTROL_ERROR');
  });
});

describe('[A2.8] what a peer makes us write and does not read', () => {
  function unreading(options = {}) {
    const peer = server({ answer: false, ...options });
    peer.transport.flowing = false;
    peer.connection.receive(ping());
    peer.transport.flush();
    return peer;
  }

  test('acknowledgements', () => {
    const peer = unreading();
    // Data keeps the budget of pings from running dry; the replies pile up all the same.
    peer.connection.receive(open(1));
    const count = flood(peer, () => both(ping(), data(1, 0, 'x')));
    expect(count).toBeLessThan(1100);
    expectCalm(peer, 'unread_replies');
  });

  test('responses that are heads only: a stream that has ended leaves room for the next', () => {
    const peer = unreading({ answer: true });
    expect(flood(peer, (count) => get(odd(count)))).toBeLessThan(1100);
    expectCalm(peer, 'unread_replies');
  });

  test('large response heads count by their size', () => {
    const peer = unreading();
    const count = flood(peer, (count) => {
      peer.handler.streams
        .at(-1)
        ?.writeHead(new ResponseHead(200, ['x', 'y'.repeat(40_000)]), true);
      return get(odd(count));
    });
    expect(count).toBeLessThan(110);
    expectCalm(peer, 'unread_replies');
  });

  test('credit', () => {
    const peer = unreading({ streamWindowBytes: 32 });
    peer.connection.receive(open(1));
    expect(flood(peer, () => data(1, 0, 'x'.repeat(20)))).toBeLessThan(1100);
    expectCalm(peer, 'unread_replies');
  });
});

describe('[A3] client role: what a server sends without end', () => {
  test.each(ANY_ROLE)('%s: %s, after %i', (kind, _about, burst, make) => {
    const peer = client();
    peer.request();
    const count = flood(peer, make);
    expect(count).toBeGreaterThan(burst);
    expect(count).toBeLessThanOrEqual(burst + 20);
    expectCalm(peer, kind);
    expect(peer.sinks[0]!.log.lines).toEqual([`reset protocolError http2.flood_${kind}`]);
    expect(peer.connection.closeDetail).toBe(`http2.flood_${kind}`);
  });

  test.each<[string, string, number, (id: number) => Buffer]>([
    [
      'provoked_reset',
      'responses without a status',
      100,
      (id) => headers(id, END_STREAM, 'x', 'y'),
    ],
    ['provoked_reset', 'DATA before the response', 100, (id) => data(id, 0, 'x')],
    ['provoked_reset', 'WINDOW_UPDATE of 0', 100, (id) => windowUpdate(id, 0)],
    [
      'provoked_reset',
      'trailers without END_STREAM',
      100,
      (id) => both(headers(id, 0, ...RESPONSE), headers(id, 0, 'x-t', '1')),
    ],
    [
      'provoked_reset',
      'fields without end',
      100,
      (id) => headers(id, 0, ...RESPONSE, ...Array(220).fill('x')),
    ],
  ])('%s: %s', (kind, _about, burst, make) => {
    const peer = client();
    const count = flood(peer, (count) => {
      peer.request();
      return make(odd(count));
    });
    expect(count).toBe(burst + 1);
    expectCalm(peer, kind);
    expect(peer.sinks.every(({ log }) => log.lines.at(-1)!.startsWith('reset '))).toBe(true);
  });

  test('empty DATA, CONTINUATION, GOAWAY, frames on closed streams', () => {
    const empty = client();
    empty.request();
    empty.connection.receive(headers(1, 0, ...RESPONSE));
    expect(flood(empty, () => data(1, 0))).toBe(501);
    expectCalm(empty, 'empty_data');

    const continuation = client();
    continuation.request();
    continuation.connection.receive(frame(1, 0, 1, block(...RESPONSE)));
    expect(flood(continuation, () => frame(9, 0, 1))).toBeLessThan(40);
    expectCalm(continuation, 'continuation');

    const away = client();
    away.request();
    for (let count = 0; count < 21; count++) away.connection.receive(goaway(1));
    expectCalm(away, 'goaway');

    const closed = client();
    closed.request().reset('localReset');
    expect(flood(closed, () => headers(1, 0, ...RESPONSE))).toBeGreaterThan(1000);
    expectCalm(closed, 'closed_stream');
  });

  test('[A3.4] 1xx without end', () => {
    const peer = client();
    peer.request();
    for (let count = 0; count < 17; count++)
      peer.connection.receive(headers(1, 0, ':status', '103'));
    expect(peer.sinks[0]!.log.lines.at(-1)).toBe(
      'reset protocolError http2.too_many_informational_responses',
    );
    expect(peer.connection.reusable).toBe(true);
  });

  test('a server may refuse and reset every request, for ever', () => {
    const peer = client();
    const count = flood(peer, (count) => {
      peer.request();
      return reset(odd(count), count % 2 === 0 ? 7 : 2);
    });
    expect(count).toBe(Number.POSITIVE_INFINITY);
  });

  test('one that answers and does not read gets no more requests until it reads', () => {
    const peer = client();
    peer.transport.flowing = false;
    peer.request();
    peer.transport.flush();
    let answered = 0;
    while (peer.connection.capacity > 0) {
      answered++;
      peer.request();
      peer.connection.receive(headers(odd(answered), END_STREAM, ...RESPONSE));
      if (answered > 5000) break;
    }
    expect(answered).toBeLessThan(600);
    expect(peer.connection.reusable).toBe(true);
    const told = peer.listener.streamEnds;
    peer.transport.flowing = true;
    peer.transport.flush();
    peer.connection.onTransportDrain();
    expect(peer.connection.capacity).toBeGreaterThan(0);
    expect(peer.listener.streamEnds).toBe(told + 1);
  });
});

/** Each is played long enough that what is spent beyond what is earned would run dry. */
describe('what is no flood', () => {
  test('a client that hedges: three calls, two of which it cancels at once', () => {
    const peer = server();
    const count = flood(peer, (count) => {
      const first = 6 * count - 5;
      return both(get(first), open(first + 2), open(first + 4), reset(first + 2), reset(first + 4));
    });
    expect(count).toBe(Number.POSITIVE_INFINITY);
  });

  test('100,000 calls a second, half of them cancelled, in an order that chance makes', () => {
    const peer = server();
    let random = 12_345;
    const count = flood(
      peer,
      (count) => {
        peer.clock.nowMs += 0.01;
        random = (random * 1_103_515_245 + 12_345) % 2_147_483_648;
        const id = odd(count);
        return random < 1_073_741_824 ? both(open(id), reset(id)) : get(id);
      },
      60_000,
    );
    expect(count).toBe(Number.POSITIVE_INFINITY);
  });

  test('a thousand calls a second whose deadlines of 100 ms all pass', () => {
    const peer = server({ answer: false, streamsMax: 256 });
    const count = flood(peer, (count) => {
      peer.clock.nowMs += 1;
      return count > 101 ? both(open(odd(count)), reset(odd(count - 101))) : open(odd(count));
    });
    expect(count).toBe(Number.POSITIVE_INFINITY);
  });

  test('responses that are cancelled while they come: pages that are left, watches that end', () => {
    const peer = server({ answer: false });
    const count = flood(peer, (count) => {
      peer.connection.receive(get(odd(count)));
      peer.handler.streams.at(-1)!.writeHead(new ResponseHead(200, []), false);
      return reset(odd(count));
    });
    expect(count).toBe(Number.POSITIVE_INFINITY);
  });

  test('a malformed request between good ones, of one of many users', () => {
    const peer = server();
    const count = flood(peer, (count) =>
      both(get(4 * count - 3), headers(4 * count - 1, END_STREAM, 'x', 'y')),
    );
    expect(count).toBe(Number.POSITIVE_INFINITY);
  });

  test('a ping now and then, for years', () => {
    const peer = server();
    const count = flood(peer, () => {
      peer.clock.nowMs += 1000;
      return both(ping(), settings(), priority(1, 3), windowUpdate(0, 1));
    });
    expect(count).toBe(Number.POSITIVE_INFINITY);
  });

  test('pings among data, as gRPC sends them, either way', () => {
    const upload = server({ answer: false });
    upload.connection.receive(open(1));
    expect(flood(upload, () => both(data(1, 0, 'x'), ping()))).toBe(Number.POSITIVE_INFINITY);

    const download = server({ answer: false });
    download.connection.receive(get(1));
    const [stream] = download.handler.streams;
    stream!.writeHead(new ResponseHead(200, []), false);
    const count = flood(download, () => {
      stream!.writeData(Buffer.alloc(1000), false);
      return both(ping(), windowUpdate(0, 1000), windowUpdate(1, 1000));
    });
    expect(count).toBe(Number.POSITIVE_INFINITY);
  });

  test('a ping behind each RST_STREAM, as Go sends it', () => {
    const peer = server();
    const count = flood(peer, (count) => {
      const first = 4 * count - 3;
      return both(get(first), open(first + 2), reset(first + 2), ping());
    });
    expect(count).toBe(Number.POSITIVE_INFINITY);
  });

  test('256 streams at once, credit for stream and connection after each small DATA frame', () => {
    const peer = server({ answer: false, streamsMax: 256 });
    for (let count = 1; count <= 256; count++) peer.connection.receive(get(odd(count)));
    for (const stream of peer.handler.streams) stream.writeHead(new ResponseHead(200, []), false);
    const count = flood(peer, (count) => {
      const index = count % 256;
      peer.handler.streams[index]!.writeData(Buffer.alloc(20), false);
      return both(windowUpdate(odd(index + 1), 20), windowUpdate(0, 20));
    });
    expect(count).toBe(Number.POSITIVE_INFINITY);
  });

  test('two window updates for each of 5,000 small DATA frames that were in flight, in one go, as HAProxy sends them', () => {
    const peer = server({ answer: false });
    peer.connection.receive(get(1));
    const [stream] = peer.handler.streams;
    stream!.writeHead(new ResponseHead(200, []), false);
    for (let frame = 0; frame < 5_000; frame++) stream!.writeData(Buffer.alloc(10), false);
    const count = flood(peer, () => both(windowUpdate(1, 10), windowUpdate(0, 10)), 5_000);
    expect(count).toBe(Number.POSITIVE_INFINITY);
    // What was not earned is one all the same.
    const more = flood(peer, () => both(windowUpdate(1, 1), windowUpdate(0, 1)), 20_000);
    expect(more).toBeLessThan(10_000);
  });

  test('a stream window and a priority with each request, as curl and browsers send them', () => {
    const peer = server();
    const count = flood(peer, (count) => {
      const id = odd(count);
      const update = frame(16, 0, 0, [0, 0, 0, id & 0xff, 117, 61, 49]);
      return both(priority(id, 0), get(id), windowUpdate(id, 10_000_000 % 65_535), update);
    });
    expect(count).toBe(Number.POSITIVE_INFINITY);
  });

  test('small windows that are used whole: 1 KiB at a time', () => {
    const peer = server({ answer: false });
    peer.connection.receive(both(settings(4, 1024), get(1)));
    const [stream] = peer.handler.streams;
    stream!.writeHead(new ResponseHead(200, []), false);
    const count = flood(peer, () => {
      stream!.writeData(Buffer.alloc(1024), false);
      return both(windowUpdate(1, 1024), windowUpdate(0, 1024));
    });
    expect(count).toBe(Number.POSITIVE_INFINITY);
  });

  test('late frames of uploads that were answered early', () => {
    const peer = server({ answer: false });
    const count = flood(peer, (count) => {
      const id = odd(count);
      peer.connection.receive(open(id));
      peer.handler.streams.at(-1)!.writeHead(new ResponseHead(413, []), true);
      return both(data(id, 0, 'x'.repeat(1000)), headers(id, END_STREAM, 'x-t', '1'));
    });
    expect(count).toBe(Number.POSITIVE_INFINITY);
  });

  test('client role: a server that gives credit with every response', () => {
    const peer = client();
    const count = flood(peer, (count) => {
      const id = odd(count);
      peer.request();
      return both(
        windowUpdate(id, 100),
        windowUpdate(0, 100),
        headers(id, END_STREAM, ...RESPONSE),
        ping(),
      );
    });
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

describe('[A2.12] what requests make us hold', () => {
  const large = ['x', 'y'.repeat(50_000)];

  test('heads of streams that stay open: 256 KiB a connection, and what the budget of the process gives', () => {
    const receiveBudget = new ReceiveBudget(4 * 1024 * 1024);
    const peers = Array.from({ length: 30 }, () => server({ answer: false, receiveBudget }));
    for (const { connection } of peers) {
      for (let count = 1; count <= 100; count++)
        connection.receive(
          both(
            frame(1, 0, odd(count), block(...REQUEST, 'x', 'y'.repeat(16_000))),
            frame(9, 4, odd(count), block('z', 'y'.repeat(16_000))),
          ),
        );
    }
    const heads = peers.reduce((sum, { handler }) => sum + handler.streams.length, 0);
    expect(heads * 32_000).toBeLessThan(30 * 256 * 1024 + 4 * 1024 * 1024);
    expect(peers.at(-1)!.handler.streams.length).toBeGreaterThanOrEqual(8);
    expect(peers.at(-1)!.transport.frames().at(-1)).toMatch('REFUSED_STREAM');
    for (const { connection } of peers) connection.close('closed');
    expect(receiveBudget.usedBytes).toBe(0);
  });

  test('the head of a reset stream is counted while its slot is kept', () => {
    const receiveBudget = new ReceiveBudget(4 * 1024 * 1024);
    const { connection, handler } = server({ answer: false, receiveBudget });
    for (let count = 1; count <= 10; count++) {
      const id = odd(count);
      const fields = block(...REQUEST, ...large);
      connection.receive(
        both(
          frame(1, 0, id, fields.subarray(0, 16_000)),
          frame(9, 0, id, fields.subarray(16_000, 32_000)),
          frame(9, 0, id, fields.subarray(32_000, 48_000)),
          frame(9, 4, id, fields.subarray(48_000)),
        ),
      );
      handler.streams.at(-1)!.holdSlot();
      connection.receive(reset(id));
    }
    expect(handler.streams.length).toBe(10);
    expect(receiveBudget.usedBytes).toBeGreaterThan(200_000);
    for (const stream of handler.streams) stream.releaseSlot();
    expect(receiveBudget.usedBytes).toBe(0);
  });

  test('RFC 7541 §4.2 more than two table size updates in front of a block are a coding error', () => {
    const two = server();
    two.connection.receive(
      frame(1, 5, 1, both(Buffer.from([0x20, 0x3f, 0x09]), block(...REQUEST))),
    );
    expect(two.connection.state).not.toBe('closed');
    const three = server();
    three.connection.receive(
      frame(1, 5, 1, both(Buffer.from([0x20, 0x20, 0x20]), block(...REQUEST))),
    );
    expect(three.transport.frames().at(-1)).toMatch('COMPRESSION_ERROR http2.header_compression');
  });
});
