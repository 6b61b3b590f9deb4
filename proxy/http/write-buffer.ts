import { COPY_BYTES_MAX, Slab, type SlabPool } from './slab.ts';
import type { CollectingTransport, WriteSource } from './transport.ts';

const NO_SLAB = new Slab(0, null);
const NO_BYTES = NO_SLAB.bytes;

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

  readonly #slabs: SlabPool;

  /** `slabs`: where its memory comes from. Without a transport: not before `attach`. */
  constructor(slabs: SlabPool, transport: CollectingTransport = NOWHERE) {
    this.#slabs = slabs;
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
    const collected = this.#slab.handOver(this.#start, this.at);
    this.#start = this.at;
    this.#write(collected);
  }

  #write(bytes: Buffer): void {
    if (!this.#transport.write(bytes)) this.blocked = true;
  }

  #takeSlab(bytes: number): void {
    const slab = this.#slabs.take(bytes);
    this.#slab = slab;
    this.bytes = slab.bytes;
    this.view = slab.view;
    this.at = slab.at;
    this.#start = slab.at;
  }

  #giveBack(): void {
    if (this.#slab === NO_SLAB) return;
    this.#slab.giveBack(this.at);
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
