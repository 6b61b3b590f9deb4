import type { HeaderBlock } from '../http/header-block.ts';

/** A chunk below this is put together with its neighbours. */
const SMALL_BYTES = 1024;
/**
 * A larger chunk is copied where it is a smaller part than this of the read that it came in: as a view it would keep all
 * of it alive, and a peer could make us hold many times what its windows say.
 */
const VIEW_PART_MIN = 1 / 4;
const TAIL_BYTES = 4096;

/**
 * What has arrived for a stream that its user has paused: at most the stream's window. Many small
 * frames take little more memory than their bytes.
 */
export class Inbox {
  readonly #chunks: Buffer[] = [];
  /** Where small chunks are put together; the last one of `#chunks` is a part of it. */
  #tail: Buffer = NO_BYTES;
  #tailStart = 0;
  #tailEnd = 0;
  bytes = 0;
  /** No data follows what is here. */
  ended = false;
  trailers: HeaderBlock | null = null;

  get empty(): boolean {
    return this.#chunks.length === 0;
  }

  push(chunk: Buffer): void {
    const length = chunk.length;
    if (length === 0) return;
    this.bytes += length;
    if (length >= SMALL_BYTES) {
      const whole = length >= VIEW_PART_MIN * chunk.buffer.byteLength;
      this.#chunks.push(whole ? chunk : copied(chunk));
      this.#tail = NO_BYTES;
      this.#tailEnd = 0;
      return;
    }
    if (this.#tail.length - this.#tailEnd < length) {
      this.#tail = Buffer.allocUnsafeSlow(TAIL_BYTES);
      this.#tailStart = 0;
      this.#tailEnd = 0;
    } else if (this.#tailEnd > this.#tailStart) {
      this.#chunks.pop();
    }
    this.#tail.set(chunk, this.#tailEnd);
    this.#tailEnd += length;
    this.#chunks.push(this.#tail.subarray(this.#tailStart, this.#tailEnd));
  }

  shift(): Buffer {
    const chunk = this.#chunks.shift()!;
    this.bytes -= chunk.length;
    // The reader may keep it: what comes next begins behind it.
    if (this.#chunks.length === 0) this.#tailStart = this.#tailEnd;
    return chunk;
  }

  clear(): number {
    const { bytes } = this;
    this.#chunks.length = 0;
    this.#tail = NO_BYTES;
    this.#tailEnd = 0;
    this.bytes = 0;
    this.ended = false;
    this.trailers = null;
    return bytes;
  }
}

function copied(chunk: Buffer): Buffer {
  // Not from the pool: a pool is kept alive by its last part as well.
  const copy = Buffer.allocUnsafeSlow(chunk.length);
  copy.set(chunk);
  return copy;
}

const NO_BYTES = Buffer.alloc(0);
