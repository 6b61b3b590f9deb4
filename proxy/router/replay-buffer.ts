import type { HeaderBlock } from '../http/header-block.ts';
import type { Stream } from '../http/stream.ts';

/**
 * Bytes of a request body kept for another try (RS-06, A2.7: Linkerd's figure). A request that went
 * past it is not tried again.
 */
export const REPLAY_BYTES_MAX = 64 * 1024;

/**
 * The part of a request body that has arrived so far: held back while no upstream stream is ready,
 * and kept afterwards as long as another try is possible. The downstream is paused while nothing
 * takes the bytes, so that only what it had in hand adds up beyond the bound.
 */
export class ReplayBuffer {
  bytes = 0;
  #chunks: Buffer[] = [];
  #ended = false;
  #trailers: HeaderBlock | null = null;

  add(chunk: Buffer, endStream: boolean): void {
    if (chunk.length > 0) this.#chunks.push(chunk);
    this.bytes += chunk.length;
    this.#ended = endStream;
  }

  addTrailers(trailers: HeaderBlock): void {
    this.#trailers = trailers;
    this.#ended = true;
  }

  /** Gives all of it, in order, to what takes a request body. */
  replayInto(target: BodyTarget): void {
    const endsWithData = this.#ended && this.#trailers === null;
    const last = this.#chunks.length - 1;
    for (let at = 0; at <= last; at++) {
      target.writeData(this.#chunks[at]!, endsWithData && at === last);
    }
    if (this.#trailers !== null) target.writeTrailers(this.#trailers);
    else if (endsWithData && last < 0) target.writeData(NO_BYTES, true);
  }

  /** Writes all of it; the last answer of `writeData`: false = wait for `onDrain`. */
  writeTo(stream: Stream): boolean {
    let writable = true;
    const last = this.#chunks.length - 1;
    const endsWithData = this.#ended && this.#trailers === null;
    for (let at = 0; at <= last; at++) {
      writable = stream.writeData(this.#chunks[at]!, endsWithData && at === last);
    }
    if (this.#trailers !== null) stream.writeTrailers(this.#trailers);
    else if (endsWithData && last < 0) stream.writeData(NO_BYTES, true);
    return writable;
  }

  /** Forgets the content: no further try will need it. */
  clear(): void {
    this.#chunks = [];
    this.bytes = 0;
    this.#ended = false;
    this.#trailers = null;
  }
}

export interface BodyTarget {
  writeData(chunk: Buffer, endStream: boolean): void;
  writeTrailers(trailers: HeaderBlock): void;
}

const NO_BYTES = Buffer.alloc(0);
