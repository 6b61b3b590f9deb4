import { ResponseHead } from '../http/message.ts';
import type { ServerConnection, ServerHandler } from '../http/stream.ts';
import type { CollectingTransport } from '../http/transport.ts';
import { CloseCause } from './closed-streams.ts';
import { Http2Connection } from './connection.ts';
import { type Http2Events, type Http2ServerOptions, NO_EVENTS } from './connection-options.ts';
import { ErrorCode } from './error-code.ts';
import { SectionKind } from './field-section.ts';
import { FloodKind, RAPID_RESET_AGE_MS } from './flood-guard.ts';
import { SettingId } from './frame/settings.ts';
import { HeldHeads } from './held-heads.ts';
import { RequestHeadReader } from './request-head.ts';
import { Http2ServerStream, type ServerStreamConnection } from './server-stream.ts';
import { type Http2Stream, NO_BYTES } from './stream.ts';
import { ILLEGAL, nextState, StreamEvent, StreamState } from './stream-state.ts';
import {
  BAD_STREAM_ID,
  CONTENT_LENGTH_MISMATCH,
  DEPENDS_ON_ITSELF,
  FRAME_AFTER_END_STREAM,
  FRAME_ON_CLOSED_STREAM,
  HEADERS_TIMEOUT,
  INVALID_CONNECT,
  NO_VIOLATION,
  STREAM_ID_NOT_ASCENDING,
  TRAILERS_TOO_LARGE,
  TRAILERS_WITHOUT_END,
  type Violation,
} from './violation.ts';

/** What the connection is doing, for the timers of its owner. */
export type Http2ServerState =
  /** No stream is open. Idle timeout. */
  | 'idle'
  /** The preface, or a frame or a field block that has begun, is not complete. Request-headers timeout. */
  | 'head'
  /** Streams are open; their timers are their own. */
  | 'active'
  | 'closed';

/** What the first GOAWAY of a drain says: everything that is on its way will be served (RFC 9113 §6.8). */
const LAST_STREAM_ANY = 0x7fff_ffff;

/**
 * The server role of HTTP/2 (RFC 9113) on one transport.
 *
 * A request that is malformed is answered (400, 431) and its stream reset; one beyond the limit of
 * concurrent streams is REFUSED_STREAM, which clients may try again. A stream that was reset counts against
 * the limit until `releaseSlot`. `drain` takes two steps: a GOAWAY for everything and a PING, and, when the
 * PING is back and with it all that was sent before, a GOAWAY with the last stream taken.
 */
export class Http2ServerConnection
  extends Http2Connection
  implements ServerConnection, ServerStreamConnection
{
  readonly #handler: ServerHandler;
  readonly #streamsMax: number;
  readonly #headReader: RequestHeadReader;
  readonly #heads: HeldHeads;
  #lastPeerId = 0;
  #lastTakenId = 0;
  /** Streams that are closed and keep their slot. */
  #slotsKept = 0;
  #draining = false;
  /** The second GOAWAY has been sent: no new stream is taken. */
  #drained = false;
  /** `refuse` was called: its caller knows. */
  #refusing = false;

  constructor(
    transport: CollectingTransport,
    handler: ServerHandler,
    options: Http2ServerOptions,
    events: Http2Events = NO_EVENTS,
  ) {
    super(transport, options, events, true);
    this.#handler = handler;
    this.#streamsMax = options.streamsMax;
    this.#heads = new HeldHeads(options.receiveBudget);
    this.#headReader = new RequestHeadReader(options.extendedConnect);
    const parameters: number[] = [SettingId.MaxConcurrentStreams, options.streamsMax];
    if (options.extendedConnect) parameters.push(SettingId.EnableConnectProtocol, 1);
    this.writePreface(parameters);
  }

  get state(): Http2ServerState {
    if (this.closed) return 'closed';
    if (this.waitsForHead) return 'head';
    return this.streams.size === 0 ? 'idle' : 'active';
  }

  /** Streams under way, and those that were reset while work for them goes on. */
  get slotsUsed(): number {
    return this.streams.size + this.#slotsKept;
  }

  /**
   * Graceful end, in two steps; the connection closes when the last stream has. A second call does not
   * wait for the PING any longer: a peer that answers none could keep the connection for ever.
   */
  drain(): void {
    if (this.closed) return;
    if (this.#draining) {
      this.onDrainPong();
      return;
    }
    this.#draining = true;
    this.control.goaway(LAST_STREAM_ANY, ErrorCode.NO_ERROR, '');
    this.writeDrainPing();
  }

  /**
   * At a timeout in state 'head' or 'idle': GOAWAY and close. A field block that stands still holds up every
   * other stream, so those go too. HTTP/1.1's namesake answers `status`; `onProtocolError` is not called.
   */
  refuse(_status: number): void {
    if (this.waitsForHead) {
      this.#refusing = true;
      this.failConnection(HEADERS_TIMEOUT);
    } else if (this.streams.size === 0) {
      this.closeGently();
    }
  }

  // --- by streams -----------------------------------------------------------------------------

  get announcedBytes(): number {
    return this.writer.contentLength;
  }

  writeResponseHead(
    stream: Http2ServerStream,
    head: ResponseHead,
    endStream: boolean,
    lengthMatters: boolean,
  ): boolean {
    if (this.closed) return true;
    if (!this.writer.writeResponse(stream.id, head, endStream, lengthMatters)) return false;
    this.control.countReply(this.writer.blockBytes);
    if (endStream) this.onLocalEnd(stream);
    return true;
  }

  onSlotReleased(stream: Http2ServerStream): void {
    this.#slotsKept--;
    this.#heads.release(stream.headBytes);
  }

  // --- by the engine --------------------------------------------------------------------------

  protected get lastTakenId(): number {
    return this.#lastTakenId;
  }

  protected isIdle(streamId: number): boolean {
    // Streams of even numbers are ours to open, and we open none.
    return streamId > this.#lastPeerId || (streamId & 1) === 0;
  }

  protected judgeHeadersId(streamId: number): Violation {
    return (streamId & 1) === 0 ? BAD_STREAM_ID : NO_VIOLATION;
  }

  protected judgeReset(stream: Http2Stream): Violation {
    const { headWritten, openedMs } = stream as Http2ServerStream;
    if (headWritten || this.nowMs - openedMs > RAPID_RESET_AGE_MS) return NO_VIOLATION;
    return this.guard.spend(FloodKind.RapidReset);
  }

  judgeDataState(): Violation {
    return NO_VIOLATION;
  }

  protected onFieldBlock(streamId: number, endStream: boolean): void {
    const stream = this.streams.get(streamId);
    if (stream !== undefined) this.#onTrailers(stream as Http2ServerStream, endStream);
    else if (streamId > this.#lastPeerId) this.#onRequest(streamId, endStream);
    else this.#onLateBlock(streamId);
  }

  #onRequest(streamId: number, endStream: boolean): void {
    this.#lastPeerId = streamId;
    // RFC 9113 §6.8: beyond the last stream of our GOAWAY nothing is taken up.
    if (this.#drained) return;
    this.#lastTakenId = streamId;
    if (this.slotsUsed >= this.#streamsMax) {
      this.#refuseStream(streamId);
      return;
    }
    const { fields, decoder } = this;
    let violation = fields.read(decoder, SectionKind.Request);
    if (violation === NO_VIOLATION) violation = this.#headReader.read(fields);
    if (violation === NO_VIOLATION && endStream && fields.contentLength > 0) {
      violation = CONTENT_LENGTH_MISMATCH;
    }
    if (this.dependsOnItself) violation = DEPENDS_ON_ITSELF;
    if (violation !== NO_VIOLATION) {
      this.#refuseRequest(streamId, endStream, violation);
      return;
    }
    if (!this.#heads.hold(decoder.listBytes)) {
      this.#refuseStream(streamId);
      return;
    }
    this.guard.earnByRequest();
    const head = this.#headReader.take();
    const stream = new Http2ServerStream(
      this,
      streamId,
      this.flow.streamWindowBytes,
      this.peer.initialWindowBytes,
      head,
    );
    stream.openedMs = this.nowMs;
    stream.headBytes = decoder.listBytes;
    const tunnel = head.upgrade !== '';
    const complete = endStream && !tunnel;
    stream.contentLeftBytes = tunnel ? -1 : head.contentLength;
    this.openStream(stream, StreamEvent.RecvHeaders);
    if (endStream) this.onRemoteEnd(stream);
    if (complete) stream.receivedAll = true;
    else if (endStream) stream.receiveData(NO_BYTES, true); // held until there is a tunnel
    const sink = this.#handler.onRequest(stream, head, complete);
    stream.sink = sink;
  }

  #onTrailers(stream: Http2ServerStream, endStream: boolean): void {
    if (nextState(stream.state, StreamEvent.RecvHeaders) === ILLEGAL) {
      this.failStream(stream, FRAME_AFTER_END_STREAM);
      return;
    }
    let violation = this.fields.read(this.decoder, SectionKind.Trailers);
    if (violation === NO_VIOLATION) {
      if (!endStream) violation = TRAILERS_WITHOUT_END;
      else if (stream.request.upgrade !== '') violation = INVALID_CONNECT;
      else if (stream.contentLeftBytes > 0) violation = CONTENT_LENGTH_MISMATCH;
    }
    if (violation === NO_VIOLATION) {
      // Held for a reader that stands still, as heads are.
      const bytes = this.decoder.listBytes;
      if (this.#heads.hold(bytes)) stream.headBytes += bytes;
      else violation = TRAILERS_TOO_LARGE;
    }
    if (violation !== NO_VIOLATION) {
      this.failStream(stream, violation);
      return;
    }
    this.onRemoteEnd(stream);
    stream.receiveTrailers(this.fields.headers);
  }

  /** A field block on a stream that is closed, or that was passed over (RFC 9113 §5.1, §5.1.1). */
  #onLateBlock(streamId: number): void {
    switch (this.closedStreams.causeOf(streamId)) {
      case CloseCause.ResetByUs: {
        const flood = this.guard.spend(FloodKind.ClosedStream);
        if (flood !== NO_VIOLATION) this.failConnection(flood);
        return;
      }
      case CloseCause.Unknown:
        this.failConnection(STREAM_ID_NOT_ASCENDING);
        return;
      default:
        this.failConnection(FRAME_ON_CLOSED_STREAM);
    }
  }

  #refuseStream(streamId: number): void {
    this.closedStreams.add(streamId, CloseCause.ResetByUs);
    this.writeReset(streamId, ErrorCode.REFUSED_STREAM);
    const flood = this.guard.spend(FloodKind.RefusedStream);
    if (flood !== NO_VIOLATION) this.failConnection(flood);
  }

  /** A malformed request, or one that is too large: answered, and its stream reset. */
  #refuseRequest(streamId: number, endStream: boolean, violation: Violation): void {
    this.closedStreams.add(streamId, CloseCause.ResetByUs);
    if (violation.status > 0) this.#writeRefusal(streamId, violation.status);
    const tooLarge = violation.status === 431;
    if (!tooLarge || !endStream) {
      this.writeReset(streamId, tooLarge ? ErrorCode.NO_ERROR : violation.errorCode);
    }
    const flood = this.guard.spend(FloodKind.ProvokedReset);
    this.#handler.onProtocolError(violation.status || 400, violation.code);
    if (flood !== NO_VIOLATION) this.failConnection(flood);
  }

  #writeRefusal(streamId: number, status: number): void {
    const head = new ResponseHead(status, ['content-length', '0'], 'HTTP/2');
    this.writer.writeResponse(streamId, head, true, true);
    this.control.countReply(this.writer.blockBytes);
  }

  protected override onLocalEnd(stream: Http2Stream): void {
    super.onLocalEnd(stream);
    // RFC 9113 §8.1: the response is complete, the rest of the request is of no use.
    if (stream.state !== StreamState.HalfClosedLocal) return;
    if ((stream as Http2ServerStream).tunnel) return;
    this.writeReset(stream.id, ErrorCode.NO_ERROR);
    this.closeStream(stream, CloseCause.ResetByUs);
  }

  protected onStreamViolation(stream: Http2Stream, violation: Violation): void {
    const { headWritten } = stream as Http2ServerStream;
    if (violation.status > 0 && !headWritten) this.#writeRefusal(stream.id, violation.status);
  }

  protected onStreamClosed(stream: Http2Stream, cause: CloseCause): void {
    const server = stream as Http2ServerStream;
    if (cause === CloseCause.Ended) this.guard.earnByResponse();
    if (server.slotHeld) {
      server.slotKept = true;
      this.#slotsKept++;
    } else {
      this.#heads.release(server.headBytes);
    }
    this.#closeWhenDone();
  }

  protected onConnectionEnd(): void {}

  protected onConnectionViolation(violation: Violation, streams: number): void {
    if (streams === 0 && !this.#refusing) this.#handler.onProtocolError(400, violation.code);
  }

  protected onPeerGoaway(): void {
    this.#closeWhenDone();
  }

  protected onPeerSettings(): void {}

  protected onDrainPong(): void {
    if (!this.#draining || this.#drained) return;
    this.#drained = true;
    this.control.goaway(this.#lastTakenId, ErrorCode.NO_ERROR, '');
    this.#closeWhenDone();
  }

  #closeWhenDone(): void {
    if (this.streams.size === 0 && (this.#drained || this.peerGoesAway)) this.closeGently();
  }
}
