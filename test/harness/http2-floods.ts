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
  reset,
  SETTINGS_ACK,
  settings,
  windowUpdate,
} from '../../proxy/http2/wire.testing.ts';

/** Where the requests of floods go: `slow` answers late, `large` much, `stuck` never reads a body. */
export interface FloodPaths {
  readonly slow: string;
  readonly large: string;
  readonly stuck: string;
}

/** One way of abusing an HTTP/2 server, in frames (RFC 9113 §10.5, and the CVEs that came of it). */
export interface Flood {
  readonly name: string;
  /** The `h2_flood` counter that it moves; '' where it is bounded without ending the connection. */
  readonly kind: string;
  /** The error code that the connection ends with; '' where it need not end. */
  readonly errorCode: string;
  /** Parameters of its SETTINGS. */
  readonly settings?: readonly number[];
  /** It never reads what it is sent. */
  readonly deaf?: boolean;
  /** Bytes of DATA in each go, for which it waits until the connection's window has them; default 0: it does not care. */
  readonly dataBytes?: number;
  /** Goes every 10 ms, default 100. */
  readonly goesPerTick?: number;
  /** Connections at a time, default 1. */
  readonly connections?: number;
  /** The frames of go number `count` (from 0) on a connection. */
  frames(count: number, paths: FloodPaths): Buffer;
}

const odd = (count: number) => 2 * count + 1;
const both = (...frames: readonly Buffer[]) => Buffer.concat(frames);
const request = (path: string, method = 'GET') => [
  ...[':method', method, ':scheme', 'http', ':authority', 'flood.example', ':path', path],
];
const get = (id: number, path: string) => headers(id, END_STREAM, ...request(path));
const post = (id: number, path: string, ...fields: readonly string[]) =>
  headers(id, 0, ...request(path, 'POST'), ...fields);

const NOTHING = Buffer.alloc(0);
const ENHANCE_YOUR_CALM = 'ENHANCE_YOUR_CALM';

/** Frames that make the server reset a stream (CVE-2025-8671): one way after the other. */
function provoke(count: number, path: string): Buffer {
  const id = odd(count);
  switch (count % 6) {
    case 0:
      return both(get(id, path), windowUpdate(id, 0));
    case 1:
      return both(get(id, path), windowUpdate(id, 0x7fff_ffff));
    case 2:
      return both(get(id, path), data(id, 0, 'late'));
    case 3:
      return both(get(id, path), priority(id, id));
    case 4:
      return both(post(id, path, 'content-length', '1'), data(id, 0, 'more'));
    default:
      return both(get(id, path), headers(id, END_STREAM, 'x-late', '1'));
  }
}

/** A table entry of 3.9 KiB, and in the next requests 16,000 references to it of one byte each. */
function bomb(count: number, path: string): Buffer {
  const fields = block(...request(path));
  if (count > 0)
    return frame(1, END_HEADERS | 1, odd(count), both(fields, Buffer.alloc(16_000, 0xbe)));
  const entry = both(
    Buffer.from([0x40, 1, 0x78, 0x7f, 0x80 | (3773 & 0x7f), 3773 >> 7]),
    Buffer.alloc(3900, 'y'),
  );
  return frame(1, END_HEADERS | 1, 1, both(fields, entry));
}

const manyFields = Array.from({ length: 400 }, (_, index) =>
  index % 2 === 0 ? `x-${index}` : 'v',
);
/** A stream's window in frames. */
const UPLOAD_FRAMES = 16;
const UPLOAD_FRAME_BYTES = 16_384;
const UPLOAD = 'u'.repeat(UPLOAD_FRAME_BYTES);

export const FLOODS: readonly Flood[] = [
  {
    name: 'rapid-reset', // CVE-2023-44487
    kind: 'rapid_reset',
    errorCode: ENHANCE_YOUR_CALM,
    frames: (count, { slow }) => both(get(odd(count), slow), reset(odd(count))),
  },
  {
    name: 'made-you-reset', // CVE-2025-8671
    kind: 'provoked_reset',
    errorCode: ENHANCE_YOUR_CALM,
    frames: (count, { slow }) => provoke(count, slow),
  },
  {
    name: 'empty-headers', // CVE-2019-9518
    kind: 'provoked_reset',
    errorCode: ENHANCE_YOUR_CALM,
    frames: (count) => headers(odd(count), 0),
  },
  {
    name: 'stream-excess',
    kind: 'refused_stream',
    errorCode: ENHANCE_YOUR_CALM,
    frames: (count, { slow }) => post(odd(count), slow),
  },
  {
    name: 'closed-streams',
    kind: 'closed_stream',
    errorCode: ENHANCE_YOUR_CALM,
    frames: (count, { slow }) => (count === 0 ? both(get(1, slow), reset(1)) : reset(1)),
  },
  {
    name: 'settings', // CVE-2019-9515
    kind: 'settings',
    errorCode: ENHANCE_YOUR_CALM,
    frames: (count) => settings(4, count % 2 === 0 ? 0 : 65_535, 1, count % 4096),
  },
  { name: 'ping', kind: 'ping', errorCode: ENHANCE_YOUR_CALM, frames: () => ping() }, // CVE-2019-9512
  {
    name: 'goaway',
    kind: 'goaway',
    errorCode: ENHANCE_YOUR_CALM,
    frames: (count, { slow }) => (count === 0 ? get(1, slow) : goaway(0)),
  },
  {
    name: 'priority', // CVE-2019-9513
    kind: 'priority',
    errorCode: ENHANCE_YOUR_CALM,
    frames: (count) => priority(odd(count + 1), odd(count)),
  },
  {
    name: 'unknown-frames',
    kind: 'unknown_frame',
    errorCode: ENHANCE_YOUR_CALM,
    frames: (count) =>
      frame(0x20 + (count % 200), 0xff, count % 2, Buffer.alloc(count % 2 ? 0 : 1024)),
  },
  {
    name: 'window-update',
    kind: 'window_update',
    errorCode: ENHANCE_YOUR_CALM,
    frames: (count, { stuck }) => (count === 0 ? post(1, stuck) : windowUpdate(count % 2, 1)),
  },
  {
    name: 'continuation', // CVE-2024-27316
    kind: 'continuation',
    errorCode: ENHANCE_YOUR_CALM,
    frames: (count, { slow }) =>
      count === 0 ? frame(1, 0, 1, block(...request(slow))) : frame(9, 0, 1, []),
  },
  {
    name: 'header-block', // a block without end
    kind: 'continuation',
    errorCode: ENHANCE_YOUR_CALM,
    frames: (count, { slow }) =>
      count === 0 ? frame(1, 0, 1, block(...request(slow))) : frame(9, 0, 1, Buffer.alloc(16_384)),
  },
  {
    name: 'header-list',
    kind: 'provoked_reset',
    errorCode: ENHANCE_YOUR_CALM,
    frames: (count, { slow }) => headers(odd(count), END_STREAM, ...request(slow), ...manyFields),
  },
  {
    name: 'hpack-bomb', // CVE-2016-6581
    kind: 'provoked_reset',
    errorCode: ENHANCE_YOUR_CALM,
    frames: (count, { slow }) => bomb(count, slow),
  },
  {
    name: 'table-size-updates',
    kind: '',
    errorCode: 'COMPRESSION_ERROR',
    frames: (count, { slow }) =>
      frame(
        1,
        END_HEADERS | 1,
        odd(count),
        both(Buffer.alloc(1_000, 0x20), block(...request(slow))),
      ),
  },
  {
    name: 'trailers',
    kind: 'provoked_reset',
    errorCode: ENHANCE_YOUR_CALM,
    frames: (count, { slow }) => both(post(odd(count), slow), headers(odd(count), 0, 'x-t', '1')),
  },
  {
    name: 'slow-headers',
    kind: '',
    errorCode: ENHANCE_YOUR_CALM, // after request_headers_timeout
    connections: 20,
    frames: (count, { slow }) => (count === 0 ? frame(1, 0, 1, block(...request(slow))) : NOTHING),
  },
  {
    name: 'empty-data', // CVE-2019-9518
    kind: 'empty_data',
    errorCode: ENHANCE_YOUR_CALM,
    frames: (count, { slow }) =>
      count === 0 ? post(1, slow) : count % 2 === 0 ? data(1, 0) : frame(0, 8, 1, [1, 0]),
  },
  {
    name: 'zero-window', // CVE-2019-9517
    kind: '',
    errorCode: '',
    settings: [4, 0],
    connections: 4,
    frames: (count, { large }) => (count < 200 ? get(odd(count), large) : NOTHING),
  },
  {
    name: 'window-dribble', // CVE-2019-9511
    kind: 'window_dribble',
    errorCode: ENHANCE_YOUR_CALM,
    settings: [4, 1],
    frames: (count, { large }) =>
      count < 10 ? get(odd(count), large) : windowUpdate(odd(count % 10), 1),
  },
  {
    name: 'open-streams', // slow bodies
    kind: '',
    errorCode: '',
    connections: 20,
    frames: (count, { stuck }) => (count < 200 ? post(odd(count), stuck) : NOTHING),
  },
  {
    name: 'unread-replies', // CVE-2019-9512
    kind: '',
    errorCode: '',
    deaf: true,
    frames: (count) => headers(odd(count), END_STREAM, ...request('/nowhere')),
  },
  {
    name: 'stuck-uploads', // as much as the windows let in, and nobody reads it
    kind: '',
    errorCode: '',
    connections: 40,
    dataBytes: UPLOAD_FRAME_BYTES,
    goesPerTick: 4,
    frames: (count, { stuck }) => {
      const id = odd(Math.floor(count / UPLOAD_FRAMES));
      const body = data(id, 0, UPLOAD);
      return count % UPLOAD_FRAMES === 0 ? both(post(id, stuck), body) : body;
    },
  },
];

/** The first that a client says, its acknowledgement of our SETTINGS included. */
export function opening(flood: Flood): Buffer {
  const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');
  return both(preface, settings(...(flood.settings ?? [])), SETTINGS_ACK);
}
