import { Buffer } from 'node:buffer';
import { type OnReadOpts, Socket, type SocketConstructorOpts } from 'node:net';

/**
 * Reading without a stream in between. Node's streams give every read a buffer of 64 KiB of its own, cut it to size and
 * push it through a `Readable`: 2 µs of the 11 that a small request costs. With `onread` all sockets read into one
 * buffer of the process, and what was read is copied out of it; a socket that has much to read gets buffers of its own,
 * which are handed on as they are.
 */

/** Who is given the bytes of a socket: set on it before it reads. Chunks are the receiver's to keep. */
export const DIRECT_READER = Symbol('direct reader');

export interface DirectReader {
  onSocketData(bytes: Buffer): void;
}

type DirectSocket = Socket & { [DIRECT_READER]?: DirectReader | null };

const READ_BYTES = 64 * 1024;
/** From here on a chunk is worth a buffer of its own: the copy would cost more than the allocation. */
const BULK_BYTES = 16 * 1024;

const shared = Buffer.allocUnsafeSlow(READ_BYTES);
/** What the socket that has just read will read into next. */
let next: Buffer = shared;
/** A buffer that was given to a socket of its own and found little to hold: for the next one that has much to read. */
let spare: Buffer | null = null;

/** For `net.connect`. The socket emits no `data`. */
export const DIRECT_READS: OnReadOpts = {
  buffer: () => {
    const buffer = next;
    next = shared;
    return buffer;
  },
  callback(this: Socket, bytes: number, buffer: Uint8Array): boolean {
    let chunk: Buffer;
    const own = buffer !== shared;
    if (bytes >= BULK_BYTES) {
      chunk = own ? (buffer as Buffer).subarray(0, bytes) : Buffer.from(buffer.subarray(0, bytes));
      next = spare ?? Buffer.allocUnsafeSlow(READ_BYTES);
      spare = null;
    } else {
      chunk = Buffer.allocUnsafe(bytes);
      // Without a view of what is copied: one object of two.
      (buffer as Buffer).copy(chunk, 0, 0, bytes);
      if (own) spare = buffer as Buffer;
    }
    (this as DirectSocket)[DIRECT_READER]?.onSocketData(chunk);
    return true;
  },
};

/** Whether the socket was made with `DIRECT_READS`. */
export function readsDirectly(socket: Socket): boolean {
  return DIRECT_READER in socket;
}

/** Says that a socket was made with `DIRECT_READS`; returns it. */
export function madeDirect(socket: Socket): Socket {
  (socket as DirectSocket)[DIRECT_READER] = null; // nobody yet
  return socket;
}

/**
 * An accepted socket, paused and untouched, as one that reads directly. `net.Server` cannot be told to make such sockets,
 * so the handle changes hands. Where the runtime keeps it elsewhere the socket stays as it is, and streams.
 */
export function readingDirectly(accepted: Socket): Socket {
  const from = accepted as unknown as AcceptedSocket;
  const handle = from._handle;
  if (handle === null || typeof handle?.useUserBuffer !== 'function') return accepted;
  from._handle = null;
  const options: unknown = {
    handle,
    allowHalfOpen: true,
    pauseOnCreate: true,
    onread: DIRECT_READS,
  };
  const socket = new Socket(options as SocketConstructorOpts);
  // `server.close` waits for its sockets by this count.
  const to = socket as unknown as AcceptedSocket;
  to.server = from.server;
  to._server = from._server;
  from.server = null;
  from._server = null;
  return madeDirect(socket);
}

/** What `net.Server` sets up on the sockets that it accepts. */
interface AcceptedSocket {
  _handle: { useUserBuffer?: unknown } | null;
  _server: unknown;
  server: unknown;
}
