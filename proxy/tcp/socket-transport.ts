import type { Socket } from 'node:net';
import { type Slab, slabOf } from '../http/slab.ts';
import type { CollectingTransport, WriteSource } from '../http/transport.ts';
import { DIRECT_READER, type DirectReader, readsDirectly } from './direct-reads.ts';
import { Timer, type TimerLists, type TimerOwner } from './timer-list.ts';
import { flushAtEndOfTurn } from './write-turn.ts';

/** Who gets what a transport reads. Both roles of a codec have these methods. */
export interface TransportReceiver {
  receive(bytes: Buffer): void;
  /** The peer half-closed. */
  receiveEnd(): void;
  /** The transport is gone; nothing more is called. */
  close(detail: string): void;
  /** After `write` answered false: what was waiting has left. */
  onTransportDrain(): void;
}

export interface SocketTransportOptions {
  /** `per_connection_buffer_limit_bytes`, default 1 MiB: beyond it `write` answers false. */
  readonly highWatermarkBytes: number;
  /** Envoy's `delayed_close_timeout`, default 1 000 ms, 0 = none. */
  readonly delayedCloseMs: number;
}

export const DEFAULT_TRANSPORT_OPTIONS: SocketTransportOptions = Object.freeze({
  highWatermarkBytes: 1024 * 1024,
  delayedCloseMs: 1_000,
});

const NO_CHUNKS: (Buffer | string)[] = [];
const NO_SLABS: Slab[] = [];
const NO_BYTES = Buffer.alloc(0);

/** Milliseconds that a peer may take nothing of what was written before the close. */
const FLUSH_STALL_MS_MAX = 30_000;

/**
 * Bytes that all transports of the process may hold for slow peers together (D14): each one's high watermark is at
 * most its share. A thousand readers that stall would hold 1 GiB by their own watermarks.
 */
const PROCESS_BUFFER_BYTES = 128 * 1024 * 1024;
/** The share is never less: one read of a socket. */
const BUFFER_SHARE_BYTES_MIN = 64 * 1024;

let openTransports = 0;

/**
 * A `Transport` over a `net.Socket` or `tls.TLSSocket` that was made with `allowHalfOpen: true`.
 *
 * What one turn of the event loop writes is collected and leaves from `setImmediate`, when all
 * sockets that were readable in the turn have been served (DESIGN "Habits of the hot path").
 * Reading starts with `attach`. From construction on the socket has an error listener.
 */
export class SocketTransport implements CollectingTransport, TimerOwner {
  readonly socket: Socket;
  readonly #timers: TimerLists;
  readonly #highWatermarkBytes: number;
  /** May be set when it is known who uses the transport. */
  delayedCloseMs: number;
  #receiver: TransportReceiver;
  /** What was written in this turn: one chunk, which is most often a buffer that collected the turn, ... */
  #chunk: Buffer | string = NO_BYTES;
  /** ... or where there were more all of them. */
  #chunks: (Buffer | string)[] = NO_CHUNKS;
  /** Bytes in them. */
  #pendingBytes = 0;
  /** Where the writes lie that a TLS session has been given and not yet taken, the oldest first. */
  #collectedIn: Slab[] = NO_SLABS;
  #onTaken: ((error?: Error | null) => void) | null = null;
  /** Standing in the list of transports to flush in this turn. */
  #flushAsked = false;
  /** Asked for what it has collected first, null = nobody. */
  #source: WriteSource | null = null;
  /** `write` answered false and `onTransportDrain` is owed. */
  #blocked = false;
  #endAsked = false;
  /** `closeAfterFlush` was called: what still arrives is dropped. */
  #closing = false;
  #closeTimer: Timer | null = null;
  /** While closing: what waited at the last look, and for how long nothing of it has been taken. */
  #waitingBytes = -1;
  #stalledMs = 0;
  #attached = false;
  #readingPaused = false;
  #closeTold = false;
  #failure = '';
  bytesReceived = 0;
  bytesSent = 0;

  constructor(socket: Socket, timers: TimerLists, options: SocketTransportOptions) {
    this.socket = socket;
    this.#timers = timers;
    this.#highWatermarkBytes = options.highWatermarkBytes;
    this.delayedCloseMs = options.delayedCloseMs;
    this.#receiver = UNATTACHED;
    openTransports++;
    (socket as SocketWithTransport)[OWNER] = this;
    socket.on('error', onError);
    socket.on('close', onClose);
    socket.on('drain', onDrain);
  }

  /**
   * Gives the bytes to `receiver` from now on and, the first time, starts to read. `received` are
   * bytes that a peek has taken already; they come first.
   */
  attach(receiver: TransportReceiver, received: Buffer | null = null): void {
    this.#receiver = receiver;
    if (received !== null && received.length > 0) receiver.receive(received);
    if (this.#attached) return;
    this.#attached = true;
    // `receive` above may have paused reading: a paused stream stays so when it gets a listener.
    this.socket.on('end', onEnd);
    if (readsDirectly(this.socket)) (this.socket as SocketWithTransport)[DIRECT_READER] = this;
    else this.socket.on('data', onData);
    if (!this.#readingPaused) this.socket.resume();
  }

  /** Takes every listener off, so that a TLS session can be laid over the socket. Nothing was written. */
  detach(): Socket {
    const { socket } = this;
    socket.pause();
    socket.removeListener('data', onData);
    if (readsDirectly(socket)) (socket as SocketWithTransport)[DIRECT_READER] = null;
    socket.removeListener('end', onEnd);
    socket.removeListener('drain', onDrain);
    socket.removeListener('close', onClose);
    // A socket without an error listener ends the process.
    socket.on('error', ignoreError);
    socket.removeListener('error', onError);
    (socket as { [OWNER]?: SocketTransport | undefined })[OWNER] = undefined;
    if (!this.#closeTold) openTransports--;
    this.#closeTold = true;
    this.#receiver = UNATTACHED;
    this.#stopCloseTimer();
    return socket;
  }

  get destroyed(): boolean {
    return this.socket.destroyed;
  }

  get bufferedBytes(): number {
    return this.#pendingBytes + this.socket.writableLength;
  }

  write(bytes: Buffer | string): boolean {
    const length = bytes.length; // latin1 strings: one byte a character
    if (this.#endAsked || this.socket.destroyed) return true; // its close is on the way
    if (length > 0) {
      if (this.#pendingBytes === 0) this.#chunk = bytes;
      else if (this.#chunks === NO_CHUNKS) this.#chunks = [this.#chunk, bytes];
      else this.#chunks.push(bytes);
      this.#pendingBytes += length;
      this.bytesSent += length;
      this.#askFlush();
    }
    const waiting = this.bufferedBytes;
    if (waiting <= this.#highWatermarkBytes && waiting <= bufferShareBytes()) return true;
    this.#blocked = true;
    return false;
  }

  flushLater(source: WriteSource): void {
    this.#source = source;
    this.#askFlush();
  }

  end(): void {
    if (this.#endAsked) return;
    // What has been collected was written before: it leaves before the FIN.
    this.#collect();
    this.#endAsked = true;
    this.#askFlush();
  }

  closeAfterFlush(): void {
    if (this.#closing || this.socket.destroyed) return;
    this.#closing = true;
    this.end();
    if (this.delayedCloseMs === 0) return;
    this.#armCloseTimer();
    // Reading on to the peer's FIN keeps the kernel from answering late bytes with a RST, which
    // could overtake the response that is still in flight (RFC 9112 §9.6).
    this.#readingPaused = false;
    if (this.#attached) this.socket.resume();
  }

  destroy(): void {
    this.socket.destroy();
  }

  /** Drops everything with a RST. A TLS session is reset through the socket under it. */
  reset(): void {
    const { socket } = this;
    if (socket.destroyed) return;
    const under = (socket as { _handle?: { _parent?: { reset?(done: () => void): number } } })
      ._handle?._parent;
    if (under?.reset === undefined) {
      socket.resetAndDestroy();
      return;
    }
    // The session is never told that the socket under it went this way, and would not say `close`.
    under.reset(() => this.onSocketClose());
    socket.destroy();
  }

  abort(): void {
    if (this.#closing || this.socket.destroyed) return;
    this.#closing = true;
    this.flush();
    // Called when all before it is with the kernel; a peer that takes nothing is cut by the timer.
    this.socket.write(NO_BYTES, () => this.reset());
    this.#armCloseTimer();
  }

  pauseReading(): void {
    if (this.#closing) return;
    this.#readingPaused = true;
    this.socket.pause();
  }

  resumeReading(): void {
    this.#readingPaused = false;
    if (this.#attached) this.socket.resume();
  }

  /** Called by the turn's flush: hands all that was written to the socket. */
  flush(): void {
    this.#collect();
    this.#flushAsked = false;
    const { socket } = this;
    const chunk = this.#chunk;
    const chunks = this.#chunks;
    const pendingBytes = this.#pendingBytes;
    this.#dropPending();
    if (socket.destroyed) return;
    if (chunks !== NO_CHUNKS) writeJoined(socket, chunks, pendingBytes);
    else if (pendingBytes > 0) {
      const slab = typeof chunk === 'string' ? null : slabOf(chunk);
      if (slab === null) writeOne(socket, chunk);
      else this.#writeCollected(chunk as Buffer, slab);
    }
    if (this.#endAsked) {
      // Without a delayed close the descriptor goes once the bytes are with the kernel.
      if (this.#closing && this.delayedCloseMs === 0) socket.destroySoon();
      else socket.end();
    }
    if (this.#blocked) this.#tellDrained();
  }

  /**
   * The peer has not closed in time. Where it still takes what was written it gets more time, as in Envoy; where it has
   * taken nothing for long it is cut with a RST, so that it does not take a part for the whole (I4).
   */
  onTimer(): void {
    const waiting = this.bufferedBytes;
    if (waiting === 0) {
      this.socket.destroy();
      return;
    }
    this.#stalledMs = waiting === this.#waitingBytes ? this.#stalledMs + this.#closeMs() : 0;
    this.#waitingBytes = waiting;
    if (this.#stalledMs >= FLUSH_STALL_MS_MAX) this.reset();
    else this.#armCloseTimer();
  }

  /** @internal */
  onSocketData(bytes: Buffer): void {
    this.bytesReceived += bytes.length;
    if (this.#closing) return;
    this.#receiver.receive(bytes);
  }

  /** @internal */
  onSocketEnd(): void {
    if (!this.#closing) this.#receiver.receiveEnd();
  }

  /** @internal */
  onSocketDrain(): void {
    if (this.#blocked) this.#tellDrained();
  }

  /** @internal */
  onSocketError(error: NodeJS.ErrnoException): void {
    if (this.#failure === '') this.#failure = error.code ?? error.message;
  }

  /** @internal */
  onSocketClose(): void {
    this.#stopCloseTimer();
    this.#dropPending();
    if (this.#closeTold) return;
    this.#closeTold = true;
    openTransports--;
    this.#receiver.close(this.#failure === '' ? 'closed' : this.#failure);
  }

  #dropPending(): void {
    this.#chunk = NO_BYTES;
    this.#chunks = NO_CHUNKS;
    this.#pendingBytes = 0;
  }

  /** A TLS session takes what it is given later than in the call, and says so; another socket at once or not in time. */
  #writeCollected(bytes: Buffer, slab: Slab): void {
    const { socket } = this;
    if ((socket as { encrypted?: boolean }).encrypted === true) {
      if (this.#collectedIn === NO_SLABS) this.#collectedIn = [];
      this.#collectedIn.push(slab);
      this.#onTaken ??= (error) => {
        const taken = this.#collectedIn.shift();
        // What failed may still be looked at.
        if (error == null) taken!.taken();
      };
      socket.write(bytes, this.#onTaken);
      return;
    }
    socket.write(bytes);
    if (socket.writableLength === 0) slab.taken();
  }

  #collect(): void {
    const source = this.#source;
    if (source === null) return;
    this.#source = null;
    source.flush();
  }

  #askFlush(): void {
    if (this.#flushAsked) return;
    this.#flushAsked = true;
    flushAtEndOfTurn(this);
  }

  #tellDrained(): void {
    // The socket holds at most its own 64 KiB without asking to wait; beyond that `drain` follows.
    if (this.socket.writableNeedDrain || this.#pendingBytes > 0) return;
    this.#blocked = false;
    if (!this.socket.destroyed) this.#receiver.onTransportDrain();
  }

  #armCloseTimer(): void {
    this.#closeTimer ??= new Timer(this, 0);
    this.#timers.arm(this.#closeTimer, this.#closeMs());
  }

  #closeMs(): number {
    return this.delayedCloseMs === 0
      ? DEFAULT_TRANSPORT_OPTIONS.delayedCloseMs
      : this.delayedCloseMs;
  }

  #stopCloseTimer(): void {
    if (this.#closeTimer !== null) this.#timers.cancel(this.#closeTimer);
  }
}

/** What one transport may hold now, by how many are open. */
function bufferShareBytes(): number {
  return Math.max(BUFFER_SHARE_BYTES_MIN, PROCESS_BUFFER_BYTES / openTransports);
}

/** Below this many bytes several chunks are copied into one buffer; above it `writev` is cheaper. */
const JOIN_BYTES_MAX = 32 * 1024;

function writeOne(socket: Socket, chunk: Buffer | string): void {
  if (typeof chunk === 'string') socket.write(chunk, 'latin1');
  else socket.write(chunk);
}

function writeJoined(socket: Socket, chunks: readonly (Buffer | string)[], bytes: number): void {
  if (bytes <= JOIN_BYTES_MAX) {
    const joined = Buffer.allocUnsafe(bytes);
    let at = 0;
    for (let index = 0; index < chunks.length; index++) {
      const chunk = chunks[index]!;
      if (typeof chunk === 'string') at += joined.write(chunk, at, 'latin1');
      else {
        joined.set(chunk, at);
        at += chunk.length;
      }
    }
    // `at` equals `bytes`; the view makes sure that an unfilled tail could never leave.
    socket.write(at === bytes ? joined : joined.subarray(0, at));
    return;
  }
  socket.cork();
  for (let index = 0; index < chunks.length; index++) writeOne(socket, chunks[index]!);
  socket.uncork();
}

/** The transport of a socket, kept on it so that the listeners below are shared by all sockets. */
const OWNER = Symbol('transport');
type SocketWithTransport = Socket & {
  [OWNER]: SocketTransport;
  [DIRECT_READER]?: DirectReader | null;
};

function onData(this: Socket, bytes: Buffer): void {
  (this as SocketWithTransport)[OWNER].onSocketData(bytes);
}
function onEnd(this: Socket): void {
  (this as SocketWithTransport)[OWNER].onSocketEnd();
}
function onDrain(this: Socket): void {
  (this as SocketWithTransport)[OWNER].onSocketDrain();
}
function onError(this: Socket, error: NodeJS.ErrnoException): void {
  (this as SocketWithTransport)[OWNER].onSocketError(error);
}
function ignoreError(): void {}
function onClose(this: Socket): void {
  (this as SocketWithTransport)[OWNER].onSocketClose();
}

const UNATTACHED: TransportReceiver = Object.freeze({
  receive: () => {},
  receiveEnd: () => {},
  close: () => {},
  onTransportDrain: () => {},
});
