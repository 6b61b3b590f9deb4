/** Up to this size a payload is copied behind its head; beyond it, it is passed on as it is. */
export const COPY_BYTES_MAX = 8 * 1024;
/** The largest copy and its head. */
const ROOM_MIN = COPY_BYTES_MAX + 2 * 1024;

const NO_BYTES = Buffer.alloc(0);

/**
 * Memory that messages collect in, of which parts are handed over to transports. Once all of them say that their part is
 * with the kernel it is written from the front again: the same few KiB turn after turn, and none for V8 to collect
 * (64 KiB for every 50 responses made it mark everything several times a second). A part of which nobody says so
 * is left alone, and so is what stands in front of it.
 */
export class Slab {
  readonly bytes: Buffer;
  readonly view: DataView;
  /** What is in front of it belongs to those who were handed it. */
  at = 0;
  /** Parts that are not with the kernel. */
  #out = 0;
  #isHeld = true;
  #isSpare = false;
  readonly #pool: SlabPool | null;

  /** `pool`: where it is kept while nobody holds it; null = nowhere. */
  constructor(bytes: number, pool: SlabPool | null) {
    this.#pool = pool;
    // Not from the pool of Buffer: a rest keeps the memory of its slab.
    this.bytes = Buffer.allocUnsafeSlow(bytes);
    this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, bytes);
  }

  /** Bytes behind `at`. */
  get room(): number {
    return this.bytes.length - this.at;
  }

  /** For the caller alone, until it is given back. */
  hold(): void {
    this.#isSpare = false;
    this.#isHeld = true;
  }

  /** `[start, end)`, which somebody else looks at from now on. */
  handOver(start: number, end: number): Buffer {
    const part = this.bytes.subarray(start, end);
    this.#out++;
    latestPart = part;
    latestSlab = this;
    return part;
  }

  /** Nothing was written from `at` on. */
  giveBack(at: number): void {
    this.#isHeld = false;
    this.at = this.#out === 0 ? 0 : at;
    this.#keep();
  }

  /** One part that was handed over is with the kernel, and nobody will look at it again. */
  taken(): void {
    this.#out--;
    if (this.#out > 0 || this.#isHeld) return;
    this.at = 0;
    this.#keep();
  }

  #keep(): void {
    if (!this.#isSpare && this.#pool !== null) this.#isSpare = this.#pool.keep(this);
  }
}

/** Slabs of one size, shared by the connections of the process: an idle one holds none. */
export class SlabPool {
  readonly #bytes: number;
  readonly #sparesMax: number;
  /** The one used last is taken first: it is in the cache of the core. */
  readonly #spare: Slab[] = [];

  constructor(bytes: number, sparesMax: number) {
    this.#bytes = bytes;
    this.#sparesMax = sparesMax;
  }

  /** One with room for `bytes`, held by the caller. */
  take(bytes: number): Slab {
    const spare = this.#spare;
    if (spare.length > 0 && spare[spare.length - 1]!.room >= bytes) {
      const slab = spare.pop()!;
      slab.hold();
      return slab;
    }
    return new Slab(Math.max(this.#bytes, bytes), this);
  }

  /**
   * Whether the slab is kept. One with little room is not before all of it has left: it would be taken, found too small
   * and put back, and a new one be made for each message.
   */
  keep(slab: Slab): boolean {
    if (this.#spare.length >= this.#sparesMax) return false;
    if (slab.room < ROOM_MIN || slab.bytes.length > this.#bytes) return false;
    this.#spare.push(slab);
    return true;
  }
}

/** For frames: what a turn writes to one connection is of many streams. */
export const FRAME_SLABS = new SlabPool(64 * 1024, 64);
/** For messages of HTTP/1.1: each connection writes its own in a turn, and hundreds may. */
export const MESSAGE_SLABS = new SlabPool(16 * 1024, 512);

/** What was handed over latest, and where it lies. */
let latestPart: Buffer = NO_BYTES;
let latestSlab: Slab | null = null;

/** The slab to be told when `bytes` have been taken, null where they are of none or somebody has asked. */
export function slabOf(bytes: Buffer): Slab | null {
  if (bytes !== latestPart) return null;
  latestPart = NO_BYTES;
  return latestSlab;
}
