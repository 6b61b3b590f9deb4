import { shorten } from '../http/shorten.ts';
import type { WriteBuffer } from '../http/write-buffer.ts';
import { DRIBBLE_BYTES_MAX } from './flood-guard.ts';
import { encodeDataHead } from './frame/data.ts';
import { FRAME_HEAD_BYTES, MAX_FRAME_BYTES } from './frame/frame-head.ts';
import { INITIAL_WINDOW_BYTES, WINDOW_BYTES_MAX } from './receive-window.ts';
import type { Http2Stream } from './stream.ts';

/** What the queue tells its connection. */
export interface SendQueueOwner {
  /** A DATA frame of so many bytes has been written. */
  onDataSent(bytes: number): void;
  /** The peer's window has cut it to a few. */
  onDribble(): void;
  /** The last DATA frame of a stream has been written. */
  onDataEndSent(stream: Http2Stream): void;
  /** The outbox of a stream is empty; trailers may wait behind it, or its writer for `onDrain`. */
  onOutboxEmpty(stream: Http2Stream): void;
  /** A stream has data and no window for it. */
  onSendStalled(stream: Http2Stream): void;
}

/**
 * Outgoing DATA of all streams of a connection: within the peer's windows (RFC 9113 §5.2) and what the
 * transport takes. What cannot leave at once waits in the outbox of its stream, one chunk beyond
 * what its writer was told; streams that may send take turns frame by frame.
 */
export class SendQueue {
  /** What the peer lets the connection send. */
  windowBytes = INITIAL_WINDOW_BYTES;
  readonly #out: WriteBuffer;
  readonly #owner: SendQueueOwner;
  /** Streams with an outbox and a window, in order of their turns; those before `#first` have been. */
  #queue: Http2Stream[] = [];
  #first = 0;
  #pumping = false;

  constructor(out: WriteBuffer, owner: SendQueueOwner) {
    this.#out = out;
    this.#owner = owner;
  }

  /** Takes a chunk. False: its writer has to wait. */
  send(stream: Http2Stream, chunk: Buffer, endStream: boolean): boolean {
    const out = this.#out;
    const length = chunk.length;
    let at = 0;
    if (length === 0 && !endStream) return stream.outbox.length === 0 && !out.blocked;
    if (stream.outbox.length === 0 && this.#first === this.#queue.length) {
      while (!out.blocked) {
        const size = Math.min(length - at, this.#room(stream));
        if (size === 0 && at < length) break;
        const last = at + size === length;
        this.#writeFrame(stream, chunk, at, at + size, endStream && last);
        at += size;
        if (last) return !out.blocked;
      }
    }
    if (stream.outbox === NO_CHUNKS) stream.outbox = [];
    stream.outbox.push(at === 0 ? chunk : chunk.subarray(at));
    if (endStream) stream.outboxEnd = true;
    this.#enqueue(stream);
    return false;
  }

  /** The stream's window, or the connection's, has become larger. */
  onStreamWindow(stream: Http2Stream): void {
    if (stream.outbox.length === 0) return;
    this.#enqueue(stream);
    this.pump();
  }

  /** False: more than a window can be (RFC 9113 §6.9.1). */
  increase(bytes: number): boolean {
    if (this.windowBytes + bytes > WINDOW_BYTES_MAX) return false;
    this.windowBytes += bytes;
    return true;
  }

  /** Writes what may be written, one frame a stream and turn. */
  pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    const out = this.#out;
    while (this.#first < this.#queue.length && this.windowBytes > 0 && !out.blocked) {
      const stream = this.#queue[this.#first++]!;
      if (this.#first === this.#queue.length) {
        shorten(this.#queue, 0);
        this.#first = 0;
      } else if (this.#first >= QUEUE_REST_MAX) {
        this.#queue = this.#queue.slice(this.#first);
        this.#first = 0;
      }
      stream.queued = false;
      if (stream.outbox.length > 0) this.#takeTurn(stream);
    }
    this.#pumping = false;
  }

  /** Bytes that a frame of the stream may have now. */
  #room(stream: Http2Stream): number {
    return Math.max(0, Math.min(MAX_FRAME_BYTES, this.windowBytes, stream.sendWindowBytes));
  }

  #takeTurn(stream: Http2Stream): void {
    const chunk = stream.outbox[0]!;
    const from = stream.outboxAt;
    const rest = chunk.length - from;
    const size = Math.min(rest, this.#room(stream));
    if (size === 0 && rest > 0) {
      this.#owner.onSendStalled(stream);
      return;
    }
    const done = size === rest;
    // A window of a few bytes now and then is as good as closed: the time that the stream has waited goes on.
    if (done || size > DRIBBLE_BYTES_MAX) stream.stalledSinceMs = -1;
    if (done) {
      stream.outbox.shift();
      stream.outboxAt = 0;
    } else {
      stream.outboxAt = from + size;
    }
    const empty = stream.outbox.length === 0;
    this.#writeFrame(stream, chunk, from, from + size, empty && stream.outboxEnd);
    if (!empty) this.#enqueue(stream);
    else if (!stream.outboxEnd) this.#owner.onOutboxEmpty(stream);
    if (!done && size <= DRIBBLE_BYTES_MAX) this.#owner.onDribble();
  }

  #enqueue(stream: Http2Stream): void {
    if (stream.queued) return;
    if (stream.sendWindowBytes <= 0 || this.windowBytes <= 0) {
      this.#owner.onSendStalled(stream);
      // It stands in the queue all the same where only the connection has no window.
      if (stream.sendWindowBytes <= 0 && stream.outbox[0]!.length > 0) return;
    }
    stream.queued = true;
    this.#queue.push(stream);
  }

  #writeFrame(
    stream: Http2Stream,
    chunk: Buffer,
    start: number,
    end: number,
    endStream: boolean,
  ): void {
    const out = this.#out;
    const size = end - start;
    out.reserve(FRAME_HEAD_BYTES);
    out.at = encodeDataHead(out.bytes, out.at, stream.id, size, endStream);
    if (size > 0) out.append(chunk, start, end);
    this.windowBytes -= size;
    stream.sendWindowBytes -= size;
    this.#owner.onDataSent(size);
    if (endStream) this.#owner.onDataEndSent(stream);
  }
}

/** Streams that have had their turn are cut off the queue when there are so many. */
const QUEUE_REST_MAX = 256;

/** The outbox of a stream that has never had to wait. */
export const NO_CHUNKS: Buffer[] = [];
