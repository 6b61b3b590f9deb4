import type { HeaderBlock } from '../http/header-block.ts';
import type { ClientStream } from '../http/stream.ts';
import { REPLAY_BYTES_MAX, ReplayBuffer } from './replay-buffer.ts';
import type { RouterHost } from './router-host.ts';

/**
 * The body of one request on its way to the tries: held back while no stream takes it (the downstream is paused
 * meanwhile), and kept within a bound as long as it may have to be said again (RS-06).
 */
export class RequestBody {
  /** Nothing more will come. */
  ended = false;
  /** When that was, monotonic milliseconds, as the router notes it; 0: not yet. */
  endedMs = 0;
  /** Part of it has been sent and was not kept: the request cannot be said again. */
  lost = false;
  readonly #host: RouterHost;
  #kept: ReplayBuffer | null = null;
  #paused = false;

  constructor(host: RouterHost) {
    this.#host = host;
  }

  /** Nothing of it is held, and nothing is missing. */
  get untouched(): boolean {
    return this.#kept === null && !this.lost;
  }

  /** Ended, and nothing of it is left to be sent. */
  get sentWithHead(): boolean {
    return this.ended && this.#kept === null;
  }

  /** `stream`: the one that takes it, null: none yet. */
  write(stream: ClientStream | null, chunk: Buffer, endStream: boolean): void {
    this.ended = endStream;
    if (stream === null) {
      this.#kept ??= new ReplayBuffer();
      this.#kept.add(chunk, endStream);
      return;
    }
    if (this.#kept !== null) {
      if (this.#kept.bytes + chunk.length > REPLAY_BYTES_MAX) this.#drop();
      else this.#kept.add(chunk, endStream);
    }
    if (!stream.writeData(chunk, endStream) && !endStream) this.pause();
  }

  writeTrailers(stream: ClientStream | null, trailers: HeaderBlock): void {
    this.ended = true;
    if (stream === null) this.#kept ??= new ReplayBuffer();
    this.#kept?.addTrailers(trailers);
    stream?.writeTrailers(trailers);
  }

  /** A stream has been opened: what has arrived goes out. `keep`: another try is possible. */
  sendTo(stream: ClientStream, keep: boolean): void {
    const kept = this.#kept;
    let writable = true;
    if (kept !== null) {
      writable = kept.writeTo(stream);
      if (kept.bytes > REPLAY_BYTES_MAX || !keep) this.#drop();
    } else if (!this.ended) {
      if (keep) this.#kept = new ReplayBuffer();
      else this.lost = true;
    }
    if (writable) this.resume();
  }

  /** There will be no other try. */
  forget(): void {
    this.#kept = null;
  }

  pause(): void {
    if (this.#paused) return;
    this.#paused = true;
    this.#host.pauseRequest();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#host.resumeRequest();
  }

  #drop(): void {
    this.#kept = null;
    this.lost = true;
  }
}
