import type { HeaderBlock } from '../http/header-block.ts';

/** A chunk below this is copied: as a view it would keep the whole read alive that it came in. */
const SMALL_BYTES = 1024;
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
      this.#chunks.push(chunk);
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

const NO_BYTES = Buffer.alloc(0);
