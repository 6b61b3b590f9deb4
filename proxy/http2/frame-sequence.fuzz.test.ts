import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RequestHead, ResponseHead } from '../http/message.ts';
import type { ServerStream } from '../http/stream.ts';
import { RecordingHandler, RecordingListener, RecordingSink } from '../http1/recorder.testing.ts';
import { Http2ClientConnection } from './client-connection.ts';
import { http2ClientOptions, http2ServerOptions } from './connection-options.ts';
import { CONNECTION_PREFACE } from './frame-reader.ts';
import { ReceiveBudget } from './receive-budget.ts';
import { Http2ServerConnection } from './server-connection.ts';
import {
  block,
  data,
  END_HEADERS,
  END_STREAM,
  frame,
  ping,
  priority,
  RecordingTransport,
  reset,
  SETTINGS_ACK,
  settings,
  windowUpdate,
} from './wire.testing.ts';

/**
 * Sequences of frames that follow the protocol, as long as nobody spoils them: all of one is accepted; one with a few
 * bytes or frames changed ends in events, a stream error or a connection error, however it is cut.
 */

const RUNS = { numRuns: Math.min(5_000, Number(process.env['WEFT_FUZZ_RUNS'] ?? 300)) };

const WHAT = [
  ...['open', 'open', 'data', 'data', 'data', 'end', 'trailers', 'reset', 'windowUpdate'],
  ...['ping', 'settings', 'priority', 'unknown'],
] as const;

interface Move {
  readonly what: (typeof WHAT)[number];
  /** Which of the open streams. */
  readonly pick: number;
  readonly size: number;
  /** Padding, priorities, CONTINUATION, content-length. */
  readonly odd: number;
}

const moves = fc.array(
  fc.record<Move>({
    what: fc.constantFrom(...WHAT),
    pick: fc.nat(7),
    size: fc.nat(120),
    odd: fc.nat(15),
  }),
  { maxLength: 40, size: 'max' },
);

/** A stream that the peer has not ended; `left`: bytes that it has still to send, -1 = any. */
interface OpenStream {
  readonly id: number;
  headSent: boolean;
  left: number;
}

/** HEADERS in one of the ways that the protocol knows. */
function fieldFrames(id: number, endStream: boolean, fields: Buffer, odd: number): Buffer[] {
  const end = endStream ? END_STREAM : 0;
  switch (odd % 5) {
    case 0: {
      const middle = Math.floor(fields.length / 2);
      return [
        Buffer.concat([
          frame(1, end, id, fields.subarray(0, middle)),
          frame(9, 0, id),
          frame(9, END_HEADERS, id, fields.subarray(middle)),
        ]),
      ];
    }
    case 1:
      return [
        frame(
          1,
          end | END_HEADERS | 8,
          id,
          Buffer.concat([Buffer.from([3]), fields, Buffer.alloc(3)]),
        ),
      ];
    case 2: {
      const dependency = Buffer.from([0, 0, 0, 0, 15]);
      return [frame(1, end | END_HEADERS | 0x20, id, Buffer.concat([dependency, fields]))];
    }
    default:
      return [frame(1, end | END_HEADERS, id, fields)];
  }
}

function dataFrame(id: number, endStream: boolean, bytes: number, odd: number): Buffer {
  const end = endStream ? END_STREAM : 0;
  if (odd % 4 !== 0) return data(id, end, 'd'.repeat(bytes));
  return frame(
    0,
    end | 8,
    id,
    Buffer.concat([Buffer.from([2]), Buffer.alloc(bytes, 'd'), Buffer.alloc(2)]),
  );
}

/** The frames of a peer; `open` begins a stream, or the response on one that has been asked for. */
function write(
  list: readonly Move[],
  streams: OpenStream[],
  open: (move: Move, streams: OpenStream[]) => Buffer[],
): Buffer[] {
  const frames: Buffer[] = [];
  for (const move of list) {
    const { what, size, odd } = move;
    const sending = streams.filter(({ headSent }) => headSent);
    const stream = sending[move.pick % Math.max(1, sending.length)];
    const close = () => void streams.splice(streams.indexOf(stream!), 1);
    switch (what) {
      case 'open':
        frames.push(...open(move, streams));
        break;
      case 'ping':
        frames.push(ping());
        break;
      case 'settings':
        frames.push(settings(odd % 2 === 0 ? 1 : 3, 100 + size));
        break;
      case 'unknown':
        frames.push(frame(0xb0 + odd, odd, odd % 2, Buffer.alloc(size)));
        break;
      case 'priority':
        frames.push(priority(101 + 2 * odd, 1));
        break;
      case 'windowUpdate':
        frames.push(windowUpdate(stream === undefined ? 0 : stream.id, 1 + size));
        break;
      case 'data': {
        if (stream === undefined) break;
        const bytes = stream.left < 0 ? size : Math.min(size, stream.left);
        if (stream.left > 0) stream.left -= bytes;
        frames.push(dataFrame(stream.id, false, bytes, odd));
        break;
      }
      case 'end':
        if (stream === undefined) break;
        frames.push(dataFrame(stream.id, true, Math.max(0, stream.left), odd));
        close();
        break;
      case 'trailers':
        if (stream === undefined || stream.left > 0) break;
        frames.push(...fieldFrames(stream.id, true, block('x-t', `${size}`), odd));
        close();
        break;
      case 'reset':
        if (stream === undefined) break;
        frames.push(reset(stream.id));
        close();
        break;
    }
  }
  return frames;
}

function requests(list: readonly Move[]): Buffer[] {
  let id = -1;
  return write(list, [], ({ size, odd }, streams) => {
    id += 2;
    const endStream = size % 3 === 0;
    const fields = [':method', 'POST', ':scheme', 'http', ':authority', 'a', ':path', `/${size}`];
    const left = odd > 8 && !endStream ? size : -1;
    if (left >= 0) fields.push('content-length', `${left}`);
    if (!endStream) streams.push({ id, headSent: true, left });
    return fieldFrames(id, endStream, block(...fields), odd);
  });
}

const ASKED = 6;

function responses(list: readonly Move[]): Buffer[] {
  const streams = Array.from({ length: ASKED }, (_, at) => ({
    id: 2 * at + 1,
    headSent: false,
    left: -1,
  }));
  return write(list, streams, ({ pick, size, odd }) => {
    const waiting = streams.filter(({ headSent }) => !headSent);
    const stream = waiting[pick % Math.max(1, waiting.length)];
    if (stream === undefined) return [];
    const early = odd === 3 ? fieldFrames(stream.id, false, block(':status', '103'), size) : [];
    const endStream = size % 4 === 0;
    const fields = [':status', '200'];
    if (odd > 8 && !endStream) {
      stream.left = size;
      fields.push('content-length', `${size}`);
    }
    stream.headSent = true;
    if (endStream) streams.splice(streams.indexOf(stream), 1);
    return [...early, ...fieldFrames(stream.id, endStream, block(...fields), odd)];
  });
}

/** What spoils a sequence: frames left out, sent twice or in another order; bytes that are others; its end missing. */
const spoiling = fc.array(
  fc.record({
    how: fc.constantFrom('drop', 'twice', 'swap', 'byte', 'byte', 'noise', 'end'),
    at: fc.nat(10_000),
    value: fc.nat(255),
  }),
  { minLength: 1, maxLength: 3 },
);
type Spoiling = { readonly how: string; readonly at: number; readonly value: number };

function spoil(frames: readonly Buffer[], spoilings: readonly Spoiling[]): Buffer {
  const list = [...frames];
  const later: Spoiling[] = [];
  for (const spoiling of spoilings) {
    const at = spoiling.at % Math.max(1, list.length);
    if (list.length === 0) break;
    if (spoiling.how === 'drop') list.splice(at, 1);
    else if (spoiling.how === 'twice') list.splice(at, 0, list[at]!);
    else if (spoiling.how === 'swap') list.push(...list.splice(at, 1));
    else if (spoiling.how === 'noise')
      list.splice(at, 0, Buffer.alloc(1 + (spoiling.value % 12), spoiling.value));
    else later.push(spoiling);
  }
  let bytes = Buffer.concat(list);
  for (const { how, at, value } of later) {
    if (bytes.length === 0) break;
    if (how === 'byte') bytes[at % bytes.length] = value;
    else bytes = bytes.subarray(0, at % bytes.length);
  }
  return bytes;
}

function pieces(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const out: Buffer[] = [];
  let at = 0;
  for (const size of sizes) {
    if (at + size >= bytes.length) break;
    out.push(bytes.subarray(at, at + size));
    at += size;
  }
  if (at < bytes.length) out.push(bytes.subarray(at));
  return out;
}

function answer(stream: ServerStream, _head: RequestHead, complete: boolean): void {
  if (!complete) return;
  stream.writeHead(new ResponseHead(200, []), false);
  stream.writeData(Buffer.from('body'), false);
  stream.writeTrailers(['x-t', '1']);
}

function serve(chunks: readonly Buffer[]) {
  const transport = new RecordingTransport();
  const handler = new RecordingHandler(answer);
  const receiveBudget = new ReceiveBudget(1_000_000);
  const options = http2ServerOptions({ receiveBudget, nowMs: () => 0 });
  const connection = new Http2ServerConnection(transport, handler, options);
  const hello = [Buffer.from(CONNECTION_PREFACE, 'latin1'), settings(), SETTINGS_ACK];
  connection.receive(Buffer.concat(hello));
  for (const chunk of chunks) {
    connection.receive(chunk);
    transport.flush();
  }
  const { state, activeStreams } = connection;
  const result = { events: handler.log.lines, frames: transport.frames(), state, activeStreams };
  connection.close('closed');
  expect([connection.activeStreams, receiveBudget.usedBytes]).toEqual([0, 0]);
  return result;
}

function ask(chunks: readonly Buffer[]) {
  const transport = new RecordingTransport();
  const receiveBudget = new ReceiveBudget(1_000_000);
  const options = http2ClientOptions({ receiveBudget, nowMs: () => 0 });
  const connection = new Http2ClientConnection(transport, new RecordingListener(), options);
  const sinks = Array.from({ length: ASKED }, () => new RecordingSink());
  sinks.forEach((sink, at) => {
    const head = new RequestHead('POST', 'http', 'a', '/', [], 'HTTP/1.1');
    const stream = connection.request(head, at % 2 === 0, sink);
    if (at % 3 === 0) stream.writeData(Buffer.from('body'), false);
  });
  connection.receive(Buffer.concat([settings(), SETTINGS_ACK]));
  for (const chunk of chunks) {
    connection.receive(chunk);
    transport.flush();
  }
  const { reusable, activeStreams } = connection;
  const events = sinks.map(({ log }) => [...log.lines]);
  const result = { events, frames: transport.frames(), reusable, activeStreams };
  connection.close('closed');
  expect([connection.activeStreams, receiveBudget.usedBytes]).toEqual([0, 0]);
  return result;
}

const cutting = fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 40, size: 'max' });
const single = (bytes: Buffer) => pieces(bytes, Array(bytes.length).fill(1));

describe('fuzz: frames in an order that the protocol allows', () => {
  test('fuzz: server role: all of it is accepted, however it is cut', () => {
    fc.assert(
      fc.property(moves, cutting, (list, sizes) => {
        const frames = requests(list);
        const bytes = Buffer.concat(frames);
        const whole = serve([bytes]);
        expect(whole.state).not.toBe('closed');
        expect(whole.events.filter((line) => /^refused|protocolError/.test(line))).toEqual([]);
        expect(whole.frames.filter((line) => /^(Goaway|RstStream)/.test(line))).toEqual([]);
        expect(serve(pieces(bytes, sizes))).toEqual(whole);
        expect(serve(single(bytes))).toEqual(whole);
      }),
      RUNS,
    );
  });

  test('fuzz: client role: all of it is accepted, however it is cut', () => {
    fc.assert(
      fc.property(moves, cutting, (list, sizes) => {
        const bytes = Buffer.concat(responses(list));
        const whole = ask([bytes]);
        expect(whole.reusable).toBe(true);
        expect(whole.events.flat().filter((line) => line.includes('protocolError'))).toEqual([]);
        expect(whole.frames.filter((line) => line.startsWith('Goaway'))).toEqual([]);
        expect(ask(pieces(bytes, sizes))).toEqual(whole);
        expect(ask(single(bytes))).toEqual(whole);
      }),
      RUNS,
    );
  });

  test('fuzz: server role: what is spoiled ends in events, a stream error or a connection error', () => {
    fc.assert(
      fc.property(moves, spoiling, cutting, (list, spoilings, sizes) => {
        const bytes = spoil(requests(list), spoilings);
        const whole = serve([bytes]);
        expect(serve(pieces(bytes, sizes))).toEqual(whole);
        expect(serve(single(bytes))).toEqual(whole);
        if (whole.state !== 'closed') return;
        expect(whole.activeStreams).toBe(0);
        expect(whole.frames.at(-1)).toMatch(/^Goaway/);
      }),
      RUNS,
    );
  });

  test('fuzz: client role: what is spoiled ends in events, a stream error or a connection error', () => {
    fc.assert(
      fc.property(moves, spoiling, cutting, (list, spoilings, sizes) => {
        const bytes = spoil(responses(list), spoilings);
        const whole = ask([bytes]);
        expect(ask(pieces(bytes, sizes))).toEqual(whole);
        expect(ask(single(bytes))).toEqual(whole);
        const gone = whole.frames.some((line) => line.startsWith('Goaway'));
        if (gone) expect([whole.reusable, whole.activeStreams]).toEqual([false, 0]);
      }),
      RUNS,
    );
  });
});
