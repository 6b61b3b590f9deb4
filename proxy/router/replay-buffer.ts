import type { HeaderBlock } from '../http/header-block.ts';

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
  readonly #chunks: Buffer[] = [];
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

  /** Gives all of it, in order, to what takes a request body. False: its last `writeData` said to wait. */
  writeTo(target: BodyTarget): boolean {
    let writable = true;
    const last = this.#chunks.length - 1;
    const endsWithData = this.#ended && this.#trailers === null;
    for (let at = 0; at <= last; at++) {
      writable = target.writeData(this.#chunks[at]!, endsWithData && at === last);
    }
    if (this.#trailers !== null) target.writeTrailers(this.#trailers);
    else if (endsWithData && last < 0) target.writeData(NO_BYTES, true);
    return writable;
  }
}

/** A stream, or the router. */
export interface BodyTarget {
  /** False = wait before writing more. */
  writeData(chunk: Buffer, endStream: boolean): boolean;
  writeTrailers(trailers: HeaderBlock): void;
}

const NO_BYTES = Buffer.alloc(0);
