import net from 'node:net';
import {
  FRAME_HEAD_BYTES,
  FrameHead,
  FrameType,
  readFrameHead,
} from '../../proxy/http2/frame/frame-head.ts';
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
  settings,
  windowUpdate,
} from '../../proxy/http2/wire.testing.ts';

/** One way of an HTTP/2 server to be hostile to who asks it. */
export interface Hostility {
  readonly name: string;
  /** The `h2_flood` counter that it moves, '' = none. */
  readonly kind: string;
  /** What it says first; default: empty SETTINGS. */
  readonly greeting?: Buffer;
  /** The frames of go number `count` (from 0) behind the request on stream `id`, the newest. */
  frames(count: number, id: number): Buffer;
}

const NOTHING = Buffer.alloc(0);
const OK = [':status', '200'];
const CHUNK = 'h'.repeat(16_384);
const first = (count: number, once: Buffer, then: Buffer) => (count === 0 ? once : then);
/** A reply of its own to each request. */
const each = (reply: (id: number) => Buffer) => {
  let answered = 0;
  return (count: number, id: number) => {
    if (count === 0) answered = -1;
    if (id <= answered) return NOTHING;
    answered = id;
    return reply(id);
  };
};

export const HOSTILITIES: readonly Hostility[] = [
  { name: 'settings', kind: 'settings', frames: (count) => settings(4, 65_535 - (count % 2)) },
  { name: 'ping', kind: 'ping', frames: () => ping() },
  { name: 'window-update', kind: 'window_update', frames: () => windowUpdate(0, 1) },
  { name: 'priority', kind: 'priority', frames: (_count, id) => priority(id, 0) },
  { name: 'unknown-frames', kind: 'unknown_frame', frames: () => frame(0xee, 0, 0, 'what') },
  { name: 'goaway', kind: 'goaway', frames: () => goaway(0x7fff_ffff) },
  {
    name: 'continuation',
    kind: 'continuation',
    frames: (count, id) => first(count, frame(1, 0, id, block(...OK)), frame(9, 0, id)),
  },
  {
    name: 'empty-data',
    kind: 'empty_data',
    frames: (count, id) => first(count, headers(id, 0, ...OK), data(id, 0)),
  },
  {
    name: 'endless-1xx',
    kind: '',
    frames: (_count, id) => headers(id, 0, ':status', '103', 'link', '</a>'),
  },
  {
    name: 'large-heads',
    kind: '',
    frames: each((id) => headers(id, 0, ...OK, ...Array<string>(300).fill('x'))),
  },
  { name: 'malformed-heads', kind: '', frames: each((id) => headers(id, END_STREAM, 'x', 'y')) },
  { name: 'push', kind: '', frames: each((id) => frame(5, END_HEADERS, id, [0, 0, 0, 2, 0x82])) },
  {
    name: 'beyond-windows',
    kind: '',
    frames: (count, id) => first(count, headers(id, 0, ...OK), data(id, 0, CHUNK)),
  },
  { name: 'resets', kind: '', frames: each((id) => reset(id, 2)) },
  { name: 'refusals', kind: '', frames: each((id) => reset(id, 7)) },
  { name: 'goodbyes', kind: '', frames: each(() => goaway(0)) },
  {
    name: 'http1',
    kind: '',
    greeting: Buffer.from('HTTP/1.1 200 OK\r\n\r\n'),
    frames: () => NOTHING,
  },
  { name: 'nonsense', kind: '', greeting: Buffer.alloc(100, 0xa5), frames: () => NOTHING },
  { name: 'silence', kind: '', greeting: NOTHING, frames: () => NOTHING },
  { name: 'no-streams', kind: '', greeting: settings(3, 0), frames: () => NOTHING },
  { name: 'no-window', kind: '', greeting: settings(4, 0), frames: () => NOTHING },
];

const TICK_MS = 10;
const GOES_PER_TICK = 100;
const WAITING_BYTES_MAX = 1024 * 1024;

/** A server on a free loopback port that does one thing of `HOSTILITIES`, at a bounded rate. */
export class HostileServer {
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();
  connections = 0;

  constructor(hostility: Hostility) {
    this.#server = net.createServer((socket) => {
      this.connections++;
      this.#sockets.add(socket);
      serve(socket, hostility);
      socket.on('close', () => this.#sockets.delete(socket));
    });
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return (this.#server.address() as net.AddressInfo).port;
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}

function serve(socket: net.Socket, hostility: Hostility): void {
  const requests = new RequestFinder();
  let count = 0;
  const timer = setInterval(() => {
    if (requests.latestId === 0) return;
    for (let go = 0; go < GOES_PER_TICK && socket.writableLength < WAITING_BYTES_MAX; go++) {
      const frames = hostility.frames(count, requests.latestId);
      if (frames.length === 0) return;
      count++;
      socket.write(frames);
    }
  }, TICK_MS);
  socket.on('error', () => {});
  socket.on('data', (bytes) => requests.read(bytes as Buffer));
  socket.on('close', () => clearInterval(timer));
  const greeting = hostility.greeting ?? settings();
  if (greeting.length > 0) socket.write(greeting);
}

const PREFACE_BYTES = 24;

/** Finds the newest stream that a client has opened. */
class RequestFinder {
  latestId = 0;
  #rest: Buffer = NOTHING;
  #skipBytes = PREFACE_BYTES;
  readonly #head = new FrameHead();

  read(bytes: Buffer): void {
    const all = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    let at = Math.min(this.#skipBytes, all.length);
    this.#skipBytes -= at;
    while (this.#skipBytes === 0 && all.length - at >= FRAME_HEAD_BYTES) {
      const head = this.#head;
      readFrameHead(all, at, head);
      if (all.length - at < FRAME_HEAD_BYTES + head.length) break;
      if (head.type === FrameType.Headers) this.latestId = head.streamId;
      at += FRAME_HEAD_BYTES + head.length;
    }
    this.#rest = all.subarray(at);
  }
}
