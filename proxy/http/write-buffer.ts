import type { CollectingTransport, WriteSource } from './transport.ts';

/** Bytes of one slab: what messages and frames collect in. */
const SLAB_BYTES = 64 * 1024;
/** Up to this size a payload is copied behind its head; beyond it, it is passed on as it is. */
const COPY_BYTES_MAX = 8 * 1024;
/**
 * A slab with less room is not used again in another turn: one that cannot take the largest copy and its head would be
 * taken, found too small and put back, and a new one be made for each message.
 */
const SLAB_ROOM_MIN = COPY_BYTES_MAX + 2 * 1024;
/** Slabs kept for reuse by all connections of the process. */
const SLABS_MAX = 64;

const NO_BYTES = Buffer.alloc(0);

/** Memory that messages collect in. What is in front of `at` belongs to those who were handed it. */
class Slab {
  readonly bytes: Buffer;
  readonly view: DataView;
  at = 0;

  constructor(bytes: number) {
    // Not from the pool of Buffer: a rest keeps the memory of its slab.
    this.bytes = Buffer.allocUnsafeSlow(bytes);
    this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, bytes);
  }
}

const NO_SLAB = new Slab(0);

/** Slabs that have room: an idle connection holds none. */
const spare: Slab[] = [];

/** What was handed over latest, and where it lies. */
let latest: Buffer = NO_BYTES;
let latestSlab: Slab = NO_SLAB;
let latestStart = 0;

/**
 * Says that `handedOver`, which a transport was given by a `WriteBuffer`, is with the kernel and nobody will look at it
 * again. Where nothing was written behind it meanwhile its memory is written next: the same few KiB turn after turn
 * stay in the cache of the core, and no slab is used up.
 */
export function reuseCollected(handedOver: Buffer): void {
  if (handedOver !== latest) return;
  latest = NO_BYTES;
  if (latestSlab.at === latestStart + handedOver.length) latestSlab.at = latestStart;
}

/**
 * What one turn of the event loop writes to one connection, in one buffer. The transport has it flushed
 * when the turn is over. `bytes` and `at` are for encoders: after `reserve(n)` they may write `n`
 * bytes from `at` on and move it; what they write without moving it is as if it had never been.
 */
export class WriteBuffer implements WriteSource {
  bytes: Buffer = NO_BYTES;
  /** Of the same bytes. */
  view: DataView = NO_SLAB.view;
  at = 0;
  /** The transport holds more than its high watermark; `onTransportDrain` of the connection ends it. */
  blocked = false;
  #transport: CollectingTransport;
  #source: WriteSource = this;
  #slab: Slab = NO_SLAB;
  #start = 0;
  #asked = false;

  /** Without a transport: not before `attach`. */
  constructor(transport: CollectingTransport = NOWHERE) {
    this.#transport = transport;
  }

  /**
   * Where the bytes go from now on; the buffer is unused. The transport asks `source` at the end of a turn that has
   * written, which has to call `flush`.
   */
  attach(transport: CollectingTransport, source: WriteSource): void {
    this.#transport = transport;
    this.#source = source;
  }

  /** Forgets the transport, when the buffer is unused. */
  detach(): void {
    this.attach(NOWHERE, this);
  }

  /** Holds nothing and is owed nothing: neither a flush nor the end of being `blocked`. */
  get unused(): boolean {
    return !this.#asked && !this.blocked;
  }

  /** Bytes collected and not yet with the transport. */
  get pendingBytes(): number {
    return this.at - this.#start;
  }

  /** Makes room for `bytes` in one piece. */
  reserve(bytes: number): void {
    if (!this.#asked) {
      this.#asked = true;
      this.#transport.flushLater(this.#source);
    }
    if (this.bytes.length - this.at >= bytes) return;
    this.#handOver();
    // A rest that is still worth something was taken from the list and goes back there.
    this.#giveBack();
    this.#takeSlab(bytes);
  }

  /** Adds prepared bytes, a few. */
  put(bytes: Uint8Array): void {
    this.reserve(bytes.length);
    this.bytes.set(bytes, this.at);
    this.at += bytes.length;
  }

  /** Adds a payload behind what was encoded: `chunk[start, end)`. */
  append(chunk: Buffer, start: number, end: number): void {
    const length = end - start;
    if (length <= COPY_BYTES_MAX) {
      this.reserve(length);
      this.bytes.set(length === chunk.length ? chunk : chunk.subarray(start, end), this.at);
      this.at += length;
      return;
    }
    this.#handOver();
    this.#write(length === chunk.length ? chunk : chunk.subarray(start, end));
  }

  /** Hands what was collected to the transport. */
  flush(): void {
    this.#asked = false;
    this.#handOver();
    this.#giveBack();
  }

  #handOver(): void {
    if (this.at === this.#start) return;
    const collected = this.bytes.subarray(this.#start, this.at);
    latest = collected;
    latestSlab = this.#slab;
    latestStart = this.#start;
    this.#start = this.at;
    this.#write(collected);
  }

  #write(bytes: Buffer): void {
    if (!this.#transport.write(bytes)) this.blocked = true;
  }

  #takeSlab(bytes: number): void {
    const last = spare.length - 1;
    const fits = last >= 0 && spare[last]!.bytes.length - spare[last]!.at >= bytes;
    this.#slab = fits ? spare.pop()! : new Slab(Math.max(SLAB_BYTES, bytes));
    this.bytes = this.#slab.bytes;
    this.view = this.#slab.view;
    this.at = this.#slab.at;
    this.#start = this.at;
  }

  #giveBack(): void {
    const slab = this.#slab;
    slab.at = this.at;
    if (this.bytes.length - this.at >= SLAB_ROOM_MIN && spare.length < SLABS_MAX) spare.push(slab);
    this.#slab = NO_SLAB;
    this.bytes = NO_BYTES;
    this.view = NO_SLAB.view;
    this.#start = 0;
    this.at = 0;
  }
}

/** The transport of a buffer that has none. */
const NOWHERE: CollectingTransport = Object.freeze({
  write: () => true,
  flushLater() {},
  end() {},
  closeAfterFlush() {},
  abort() {},
  destroy() {},
  pauseReading() {},
  resumeReading() {},
  bufferedBytes: 0,
});
