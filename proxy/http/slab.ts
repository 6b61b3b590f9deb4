/** Bytes of one slab: what messages and frames collect in. */
const SLAB_BYTES = 64 * 1024;
/** Up to this size a payload is copied behind its head; beyond it, it is passed on as it is. */
export const COPY_BYTES_MAX = 8 * 1024;
/**
 * A slab with less room is not used again before all of it has left: one that cannot take the largest copy and its head
 * would be taken, found too small and put back, and a new one be made for each message.
 */
const SLAB_ROOM_MIN = COPY_BYTES_MAX + 2 * 1024;
/** Slabs kept for reuse by all connections of the process. */
const SPARES_MAX = 64;

/** Slabs that have room: an idle connection holds none. The one used last is taken first: it is in the cache of the core. */
const spare: Slab[] = [];

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
  #isHeld = false;
  #isSpare = false;

  constructor(bytes: number) {
    // Not from the pool of Buffer: a rest keeps the memory of its slab.
    this.bytes = Buffer.allocUnsafeSlow(bytes);
    this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, bytes);
  }

  /** One with room for `bytes`, for the caller alone until it is given back. */
  static take(bytes: number): Slab {
    const last = spare.length - 1;
    const fits = last >= 0 && spare[last]!.bytes.length - spare[last]!.at >= bytes;
    const slab = fits ? spare.pop()! : new Slab(Math.max(SLAB_BYTES, bytes));
    slab.#isSpare = false;
    slab.#isHeld = true;
    return slab;
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
    if (this.#isSpare || spare.length >= SPARES_MAX) return;
    if (this.bytes.length - this.at < SLAB_ROOM_MIN) return;
    this.#isSpare = true;
    spare.push(this);
  }
}

/** What was handed over latest, and where it lies. */
let latestPart: Buffer = NO_BYTES;
let latestSlab: Slab | null = null;

/** The slab to be told when `bytes` have been taken, null where they are of none or somebody has asked. */
export function slabOf(bytes: Buffer): Slab | null {
  if (bytes !== latestPart) return null;
  latestPart = NO_BYTES;
  return latestSlab;
}
