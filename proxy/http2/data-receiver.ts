import { CloseCause, type ClosedStreams } from './closed-streams.ts';
import { type FloodGuard, FloodKind } from './flood-guard.ts';
import { Flag, type FrameHead } from './frame/frame-head.ts';
import type { DataSink } from './frame-reader.ts';
import type { ReceiveFlow } from './receive-flow.ts';
import type { Http2Stream } from './stream.ts';
import { ILLEGAL, nextState, StreamEvent, StreamState } from './stream-state.ts';
import {
  CONNECTION_WINDOW_EXCEEDED,
  CONTENT_LENGTH_MISMATCH,
  FRAME_AFTER_END_STREAM,
  FRAME_ON_CLOSED_STREAM,
  NO_VIOLATION,
  type Violation,
  WINDOW_EXCEEDED,
} from './violation.ts';

/** What the receiver of data needs of its connection. */
export interface DataConnection {
  readonly closed: boolean;
  findStream(streamId: number): Http2Stream | null;
  /** Whether data may come now (a response may not begin with it). */
  judgeDataState(stream: Http2Stream): Violation;
  /** END_STREAM has come; what it came with is still to be delivered. */
  onRemoteEnd(stream: Http2Stream): void;
  failStream(stream: Http2Stream, violation: Violation): void;
  failConnection(violation: Violation): void;
}

/**
 * Incoming DATA (RFC 9113 §6.1): judged by windows, stream state and `content-length` when its frame begins,
 * passed on to its stream as it comes.
 */
export class DataReceiver implements DataSink {
  readonly #connection: DataConnection;
  readonly #flow: ReceiveFlow;
  readonly #guard: FloodGuard;
  readonly #closedStreams: ClosedStreams;
  /** The stream of the frame at hand, null where its data is thrown away. */
  #stream: Http2Stream | null = null;

  constructor(
    connection: DataConnection,
    flow: ReceiveFlow,
    guard: FloodGuard,
    closedStreams: ClosedStreams,
  ) {
    this.#connection = connection;
    this.#flow = flow;
    this.#guard = guard;
    this.#closedStreams = closedStreams;
  }

  onDataStart(head: FrameHead): void {
    const connection = this.#connection;
    const { streamId, length } = head;
    this.#stream = null;
    if (!this.#flow.receive(length)) {
      connection.failConnection(CONNECTION_WINDOW_EXCEEDED);
      return;
    }
    const padded = (head.flags & Flag.Padded) !== 0;
    if (!padded && this.#failedByEmptyData(head, length)) return;
    const stream = connection.findStream(streamId);
    if (stream === null) {
      // What was on its way when we reset the stream is thrown away; its credit goes back below.
      if (this.#closedStreams.causeOf(streamId) !== CloseCause.ResetByUs) {
        connection.failConnection(FRAME_ON_CLOSED_STREAM);
      }
      return;
    }
    if (nextState(stream.state, StreamEvent.RecvData) === ILLEGAL) {
      connection.failStream(stream, FRAME_AFTER_END_STREAM);
      return;
    }
    const violation = connection.judgeDataState(stream);
    if (violation !== NO_VIOLATION) {
      connection.failStream(stream, violation);
      return;
    }
    if (!stream.receiveWindow.receive(length)) {
      connection.failStream(stream, WINDOW_EXCEEDED);
      return;
    }
    this.#stream = stream;
    if (!padded) this.#countContent(stream, head, length);
  }

  onDataPadding(head: FrameHead, bytes: number): void {
    if (this.#failedByEmptyData(head, head.length - bytes)) return;
    if (this.#stream !== null) this.#countContent(this.#stream, head, head.length - bytes);
    const stream = this.#stream;
    if (stream === null) this.#flow.releaseUnread(bytes);
    else this.#flow.release(stream, bytes);
  }

  onData(head: FrameHead, bytes: Buffer, start: number, end: number, last: boolean): void {
    const connection = this.#connection;
    if (connection.closed) return;
    const stream = this.#stream;
    const length = end - start;
    if (stream === null || stream.state === StreamState.Closed) {
      this.#flow.releaseUnread(length);
      return;
    }
    const endStream = last && (head.flags & Flag.EndStream) !== 0;
    if (length === 0 && !endStream) return;
    if (endStream) connection.onRemoteEnd(stream);
    stream.receiveData(bytes.subarray(start, end), endStream);
    this.#flow.onDelivered();
  }

  #failedByEmptyData(head: FrameHead, bytes: number): boolean {
    if (bytes > 0) {
      this.#guard.earnByData();
      return false;
    }
    if ((head.flags & Flag.EndStream) !== 0) return false;
    const violation = this.#guard.spend(FloodKind.EmptyData);
    if (violation === NO_VIOLATION) return false;
    this.#connection.failConnection(violation);
    return true;
  }

  /** Judges a frame against `content-length` before any of it is passed on (§8.1.1). */
  #countContent(stream: Http2Stream, head: FrameHead, bytes: number): void {
    if (stream.contentLeftBytes < 0) return;
    const left = stream.contentLeftBytes - bytes;
    if (left < 0 || ((head.flags & Flag.EndStream) !== 0 && left > 0)) {
      this.#stream = null;
      this.#connection.failStream(stream, CONTENT_LENGTH_MISMATCH);
    } else {
      stream.contentLeftBytes = left;
    }
  }
}
