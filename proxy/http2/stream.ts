import type { HeaderBlock } from '../http/header-block.ts';
import type { BodySink, ResetReason, Stream } from '../http/stream.ts';
import type { ErrorCode } from './error-code.ts';
import { Inbox } from './inbox.ts';
import { ReceiveWindow } from './receive-window.ts';
import { NO_CHUNKS } from './send-queue.ts';
import { StreamState } from './stream-state.ts';

/** What a stream needs of its connection. */
export interface StreamConnection {
  /** Takes a chunk; false: wait for `onDrain`. */
  sendData(stream: Http2Stream, chunk: Buffer, endStream: boolean): boolean;
  sendTrailers(stream: Http2Stream, trailers: HeaderBlock): void;
  /** RST_STREAM, and the stream is over; nobody is told. */
  abandon(stream: Http2Stream, errorCode: ErrorCode): void;
  /** The reader has taken bytes: their credit goes back to the peer. */
  releaseCredit(stream: Http2Stream, bytes: number): void;
}

/**
 * One stream of a connection, the part that both roles share: incoming data to its sink, outgoing data
 * to the send queue. `state` is what the wire says (`stream-state.ts`); delivery to a paused sink may
 * come after the end on the wire. A stream that is over (`active` false) ignores every call.
 */
export abstract class Http2Stream implements Stream {
  readonly id: number;
  sink: BodySink = DETACHED_SINK;
  /** Set by the connection only. */
  state: StreamState = StreamState.Idle;
  /** The user has not been told of an end and has not given the stream up. */
  active = true;

  // Incoming.
  readonly receiveWindow: ReceiveWindow;
  /** Bytes of content still to come, -1 where they are not announced. */
  contentLeftBytes = -1;
  /** The end of the incoming half has been given to the sink. */
  receivedAll = false;
  #inbox: Inbox | null = null;
  #paused = false;
  /** The codec holds incoming data back: a tunnel that nobody has agreed to yet. */
  protected heldBack = false;
  #delivering = false;

  // Outgoing; the first five belong to the send queue.
  outbox: Buffer[] = NO_CHUNKS;
  /** Bytes of the first chunk of the outbox that have been sent. */
  outboxAt = 0;
  /** END_STREAM goes with the last chunk of the outbox. */
  outboxEnd = false;
  /** Stands in the queue. */
  queued = false;
  sendWindowBytes: number;
  /** Since when data has waited for the peer's window, -1 = it does not. */
  stalledSinceMs = -1;
  /** Waits behind the outbox. */
  outboxTrailers: HeaderBlock | null = null;
  /** The last `writeData` answered false. */
  blocked = false;
  /** The user has ended the outgoing half. */
  ended = false;
  /** Bytes of content that still have to be sent, -1 where none were announced. */
  protected unsentBytes = -1;

  protected readonly connection: StreamConnection;

  constructor(
    connection: StreamConnection,
    id: number,
    receiveWindowBytes: number,
    sendWindowBytes: number,
  ) {
    this.connection = connection;
    this.id = id;
    this.receiveWindow = new ReceiveWindow(receiveWindowBytes);
    this.sendWindowBytes = sendWindowBytes;
  }

  // --- by the user ----------------------------------------------------------------------------

  /** Whether data may be written now; if not it has been dealt with. */
  protected abstract mayWrite(chunk: Buffer, endStream: boolean): boolean;
  /** Content of this message is dropped: the answer to HEAD, 204, 304. */
  protected abstract readonly withoutContent: boolean;
  /** RST_STREAM's code for a reason of the user. */
  protected abstract resetCode(reason: ResetReason): ErrorCode;
  /** The content is not what the head announced: the stream cannot be ended properly. */
  protected abstract onContentMismatch(): void;
  /** Whether the stream is over for its user, by `ended` and `receivedAll`. */
  protected abstract isOver(): boolean;

  writeData(chunk: Buffer, endStream: boolean): boolean {
    if (!this.active || this.ended || !this.mayWrite(chunk, endStream)) return true;
    let bytes = chunk;
    if (this.withoutContent) {
      if (!endStream) return true;
      bytes = NO_BYTES;
    } else if (this.unsentBytes >= 0) {
      const left = this.unsentBytes - chunk.length;
      if (left < 0 || (endStream && left > 0)) {
        this.onContentMismatch();
        return true;
      }
      this.unsentBytes = left;
    }
    this.ended = endStream;
    const flowing = this.connection.sendData(this, bytes, endStream);
    if (endStream) {
      this.updateActive();
      return true;
    }
    this.blocked = !flowing;
    return flowing;
  }

  writeTrailers(trailers: HeaderBlock): void {
    if (!this.active || this.ended || !this.mayWrite(NO_BYTES, true)) return;
    if (this.unsentBytes > 0 && !this.withoutContent) {
      this.onContentMismatch();
      return;
    }
    this.ended = true;
    if (this.outbox.length > 0) this.outboxTrailers = trailers;
    else this.connection.sendTrailers(this, trailers);
    this.updateActive();
  }

  reset(reason: ResetReason): void {
    if (!this.active) return;
    this.active = false;
    this.connection.abandon(this, this.resetCode(reason));
    this.dropInbox();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.deliver();
  }

  // --- by the connection ----------------------------------------------------------------------

  /** Data that fits the windows; `endStream` with the last of it. */
  receiveData(chunk: Buffer, endStream: boolean): void {
    if (!this.active) {
      this.connection.releaseCredit(this, chunk.length);
      return;
    }
    const inbox = this.#inbox;
    if (this.#isWaiting() || this.#delivering || (inbox !== null && !inbox.empty)) {
      const held = this.#holdIn();
      held.push(chunk);
      if (endStream) held.ended = true;
      return;
    }
    this.#delivering = true;
    if (endStream) this.markReceivedAll();
    this.sink.onData(chunk, endStream);
    this.#delivering = false;
    this.connection.releaseCredit(this, chunk.length);
    if (this.#inbox !== null) this.deliver();
  }

  receiveTrailers(trailers: HeaderBlock): void {
    if (!this.active) return;
    if (this.#isWaiting() || this.#delivering || (this.#inbox !== null && !this.#inbox.empty)) {
      const held = this.#holdIn();
      held.ended = true;
      held.trailers = trailers;
      return;
    }
    this.markReceivedAll();
    this.sink.onTrailers(trailers);
  }

  /** The end is about to be given to the sink. */
  markReceivedAll(): void {
    this.receivedAll = true;
    this.updateActive();
  }

  /** Gives the sink what has been held for it, as far as it takes it. */
  deliver(): void {
    const inbox = this.#inbox;
    if (inbox === null || this.#delivering) return;
    this.#delivering = true;
    while (this.active && !this.#isWaiting() && !inbox.empty) {
      const chunk = inbox.shift();
      const last = inbox.empty && inbox.ended && inbox.trailers === null;
      if (last) this.#endInbox(inbox);
      this.sink.onData(chunk, last);
      this.connection.releaseCredit(this, chunk.length);
    }
    this.#delivering = false;
    if (!this.active || this.#isWaiting() || !inbox.empty || !inbox.ended) return;
    const { trailers } = inbox;
    this.#endInbox(inbox);
    if (trailers !== null) this.sink.onTrailers(trailers);
    else this.sink.onData(NO_BYTES, true);
  }

  /** What waits for the sink is thrown away; the connection gets its credit. */
  dropInbox(): void {
    const inbox = this.#inbox;
    if (inbox === null) return;
    this.#inbox = null;
    const bytes = inbox.clear();
    if (bytes > 0) this.connection.releaseCredit(this, bytes);
  }

  /** What waits to be sent is thrown away. */
  dropOutbox(): void {
    this.outbox = NO_CHUNKS;
    this.outboxAt = 0;
    this.outboxTrailers = null;
    this.stalledSinceMs = -1;
  }

  /** The stream has ended early: the sink is told, once. */
  fail(reason: ResetReason, detail: string): void {
    if (!this.active) return;
    this.active = false;
    this.dropInbox();
    this.sink.onReset(reason, detail);
  }

  #isWaiting(): boolean {
    return this.#paused || this.heldBack;
  }

  /** After either half has ended. */
  protected updateActive(): void {
    if (!this.active || !this.isOver()) return;
    this.active = false;
    this.dropInbox();
  }

  #endInbox(inbox: Inbox): void {
    inbox.ended = false;
    inbox.trailers = null;
    this.#inbox = null;
    this.markReceivedAll();
  }

  #holdIn(): Inbox {
    this.#inbox ??= new Inbox();
    return this.#inbox;
  }
}

export const NO_BYTES: Buffer = Buffer.alloc(0);

/** Where incoming data goes until a handler has returned its sink, and after it has no use for it. */
export const DETACHED_SINK: BodySink = Object.freeze({
  onData() {},
  onTrailers() {},
  onReset() {},
  onDrain() {},
});
