import { writeLatin1 } from '../http/latin1.ts';
import type { RequestHead } from '../http/message.ts';
import type {
  ClientConnection,
  ClientConnectionListener,
  ClientStream,
  ResponseSink,
} from '../http/stream.ts';
import type { CollectingTransport } from '../http/transport.ts';
import { Http2ClientStream } from './client-stream.ts';
import { CloseCause } from './closed-streams.ts';
import { Http2Connection } from './connection.ts';
import { type Http2ClientOptions, type Http2Events, NO_EVENTS } from './connection-options.ts';
import { ErrorCode } from './error-code.ts';
import { SectionKind } from './field-section.ts';
import { FloodKind } from './flood-guard.ts';
import { SettingId } from './frame/settings.ts';
import { CONNECTION_PREFACE } from './frame-reader.ts';
import { contentBytesOf, ResponseHeadReader } from './response-head.ts';
import type { Http2Stream } from './stream.ts';
import { StreamEvent, StreamState } from './stream-state.ts';
import {
  BAD_STREAM_ID,
  CONTENT_LENGTH_MISMATCH,
  DATA_BEFORE_HEAD,
  FRAME_ON_CLOSED_STREAM,
  FRAME_ON_IDLE_STREAM,
  INFORMATIONAL_WITH_END,
  INVALID_CONNECT,
  NO_VIOLATION,
  TOO_MANY_INFORMATIONAL,
  TRAILERS_WITHOUT_END,
  type Violation,
} from './violation.ts';
import { webSocketKey } from './websocket-handshake.ts';

/** Requests that may start before the peer has said how many it takes. */
const STREAMS_ASSUMED = 100;
const STREAM_ID_MAX = 0x7fff_ffff;

/**
 * The client role of HTTP/2 (RFC 9113) on one transport: many requests at once, up to what the peer
 * allows. A GOAWAY ends it gently: what the peer has not taken up is `remoteRefused` and may be
 * tried elsewhere, the rest is finished, then the connection closes.
 */
export class Http2ClientConnection extends Http2Connection implements ClientConnection {
  readonly #listener: ClientConnectionListener;
  readonly #streamsMax: number;
  readonly #headReader = new ResponseHeadReader();
  #nextId = 1;
  #retiring = false;
  #closeDetail = '';
  violated = false;

  constructor(
    transport: CollectingTransport,
    listener: ClientConnectionListener,
    options: Http2ClientOptions,
    events: Http2Events = NO_EVENTS,
  ) {
    super(transport, options, events, false);
    this.#listener = listener;
    this.#streamsMax = options.streamsMax;
    const { out } = this;
    out.reserve(CONNECTION_PREFACE.length);
    out.at = writeLatin1(out.bytes, out.at, CONNECTION_PREFACE);
    this.writePreface([SettingId.EnablePush, 0]);
  }

  get capacity(): number {
    if (!this.reusable || this.control.farBehind) return 0;
    return Math.max(0, this.streamsAllowed - this.streams.size);
  }

  /** Requests at once that we and the peer allow; an assumption about the peer until `settingsKnown`. */
  get streamsAllowed(): number {
    const { peer } = this;
    return Math.min(peer.known ? peer.maxConcurrentStreams : STREAMS_ASSUMED, this.#streamsMax);
  }

  /** The peer's SETTINGS have come. */
  get settingsKnown(): boolean {
    return this.peer.known;
  }

  get reusable(): boolean {
    return !this.closed && !this.#retiring && !this.peerGoesAway && this.#nextId <= STREAM_ID_MAX;
  }

  /** Why the connection became unusable, for logs and counters; '' while it is usable. */
  get closeDetail(): string {
    return this.#closeDetail;
  }

  /** The peer takes requests with `upgrade` (RFC 8441); false until its SETTINGS have come. */
  get extendedConnect(): boolean {
    return this.peer.enableConnectProtocol;
  }

  /** Takes no new request; GOAWAY and close when the last one has ended. */
  shutdown(): void {
    if (this.closed || this.#retiring) return;
    this.#retiring = true;
    this.#note('http2.shutdown');
    this.#closeWhenDone();
  }

  /**
   * A request that cannot be sent (no capacity, an upgrade that the peer does not take, a
   * `content-length` that contradicts itself or `endStream`) is `localReset` before this returns.
   */
  request(head: RequestHead, endStream: boolean, sink: ResponseSink): ClientStream {
    const { upgrade } = head;
    const stream = new Http2ClientStream(
      this,
      this.#nextId,
      this.flow.streamWindowBytes,
      this.peer.initialWindowBytes,
      head.method,
      upgrade,
      webSocketKey(head),
      sink,
    );
    const complete = endStream && upgrade === '';
    const refusal = this.#refusal(upgrade);
    const sent = refusal === '' && this.writer.writeRequest(stream.id, head, complete);
    if (!sent) {
      stream.fail('localReset', refusal === '' ? 'http2.invalid_outgoing_head' : refusal);
      return stream;
    }
    this.control.countReply(this.writer.blockBytes);
    this.guard.earnByRequest();
    this.#nextId += 2;
    stream.beginRequest(upgrade === '' ? this.writer.contentLength : -1, complete);
    this.openStream(stream, StreamEvent.SendHeaders);
    if (complete) this.onLocalEnd(stream);
    return stream;
  }

  #refusal(upgrade: string): string {
    if (this.capacity === 0) return 'http2.no_capacity';
    const extended = upgrade !== '' && upgrade !== 'connect';
    return extended && !this.extendedConnect ? 'http2.extended_connect_not_enabled' : '';
  }

  override onTransportDrain(): void {
    const wasBehind = this.control.farBehind;
    super.onTransportDrain();
    if (wasBehind && this.reusable) this.#listener.onStreamEnd(this);
  }

  // --- by the engine --------------------------------------------------------------------------

  /** A client takes up no stream of its peer. */
  protected readonly lastTakenId = 0;

  protected isIdle(streamId: number): boolean {
    return streamId >= this.#nextId || (streamId & 1) === 0;
  }

  protected judgeHeadersId(streamId: number): Violation {
    if ((streamId & 1) === 0) return BAD_STREAM_ID;
    return this.isIdle(streamId) ? FRAME_ON_IDLE_STREAM : NO_VIOLATION;
  }

  /** A server may refuse what it likes. */
  protected judgeReset(): Violation {
    return NO_VIOLATION;
  }

  judgeDataState(stream: Http2Stream): Violation {
    return (stream as Http2ClientStream).headReceived ? NO_VIOLATION : DATA_BEFORE_HEAD;
  }

  protected onFieldBlock(streamId: number, endStream: boolean): void {
    const stream = this.streams.get(streamId) as Http2ClientStream | undefined;
    if (stream === undefined) {
      const late = this.closedStreams.causeOf(streamId) === CloseCause.ResetByUs;
      const closed = late ? this.guard.spend(FloodKind.ClosedStream) : FRAME_ON_CLOSED_STREAM;
      if (closed !== NO_VIOLATION) this.failConnection(closed);
      return;
    }
    const violation = stream.headReceived
      ? this.#onTrailers(stream, endStream)
      : this.#onResponse(stream, endStream);
    if (violation !== NO_VIOLATION) this.failStream(stream, violation);
  }

  #onResponse(stream: Http2ClientStream, endStream: boolean): Violation {
    let violation = this.fields.read(this.decoder, SectionKind.Response);
    if (violation !== NO_VIOLATION) return violation;
    violation = this.#headReader.read(this.fields, stream.upgrade, stream.webSocketKey);
    if (violation !== NO_VIOLATION) return violation;
    const head = this.#headReader.take();
    if (head.status < 200 && !head.upgrade) {
      if (endStream) return INFORMATIONAL_WITH_END;
      if (++stream.informationalCount > this.options.limits.informationalCountMax) {
        return TOO_MANY_INFORMATIONAL;
      }
      stream.responseSink.onInformational(head);
      return NO_VIOLATION;
    }
    stream.contentLeftBytes = contentBytesOf(head, stream.method);
    if (endStream && stream.contentLeftBytes > 0) return CONTENT_LENGTH_MISMATCH;
    stream.headReceived = true;
    stream.tunnel = head.upgrade;
    if (stream.upgrade !== '' && !head.upgrade) stream.refuseTunnel();
    if (!endStream) {
      stream.responseSink.onResponse(head, false);
      if (head.upgrade) stream.openTunnel();
      return NO_VIOLATION;
    }
    this.onRemoteEnd(stream);
    if (head.upgrade) {
      // A tunnel that the peer has half-closed at once.
      stream.responseSink.onResponse(head, false);
      stream.openTunnel();
      stream.receiveData(Buffer.alloc(0), true);
      return NO_VIOLATION;
    }
    if (!stream.active) return NO_VIOLATION;
    stream.markReceivedAll();
    stream.responseSink.onResponse(head, true);
    return NO_VIOLATION;
  }

  #onTrailers(stream: Http2ClientStream, endStream: boolean): Violation {
    const violation = this.fields.read(this.decoder, SectionKind.Trailers);
    if (violation !== NO_VIOLATION) return violation;
    if (!endStream) return TRAILERS_WITHOUT_END;
    if (stream.tunnel) return INVALID_CONNECT;
    if (stream.contentLeftBytes > 0) return CONTENT_LENGTH_MISMATCH;
    this.onRemoteEnd(stream);
    stream.receiveTrailers(this.fields.headers);
    return NO_VIOLATION;
  }

  override onRemoteEnd(stream: Http2Stream): void {
    super.onRemoteEnd(stream);
    // The response is complete and the request is not: nobody reads the rest of it.
    if (stream.state !== StreamState.HalfClosedRemote) return;
    if ((stream as Http2ClientStream).tunnel) return;
    stream.ended = true;
    this.writeReset(stream.id, ErrorCode.CANCEL);
    this.closeStream(stream, CloseCause.ResetByUs);
  }

  protected onStreamViolation(): void {}

  protected onStreamClosed(_stream: Http2Stream, cause: CloseCause): void {
    if (cause === CloseCause.Ended) this.guard.earnByResponse();
    this.#closeWhenDone();
    this.#listener.onStreamEnd(this);
  }

  protected onConnectionEnd(): void {
    this.#note('http2.connection_closed');
    this.#listener.onStreamEnd(this);
  }

  protected onConnectionViolation(violation: Violation): void {
    this.violated = true;
    this.#note(violation.code);
    this.#listener.onStreamEnd(this);
  }

  /** RFC 9113 §6.8: streams beyond the last one have not been processed. */
  protected onPeerGoaway(lastStreamId: number): void {
    this.#note('http2.goaway');
    for (const stream of this.streams.list()) {
      if (stream.id <= lastStreamId) continue;
      this.closeStream(stream, CloseCause.ResetByUs);
      stream.fail('remoteRefused', 'http2.goaway');
    }
    this.#closeWhenDone();
    this.#listener.onStreamEnd(this);
  }

  /** How many streams the peer takes may have changed. */
  protected onPeerSettings(): void {
    this.#listener.onStreamEnd(this);
  }

  protected onDrainPong(): void {}

  #note(detail: string): void {
    if (this.#closeDetail === '') this.#closeDetail = detail;
  }

  #closeWhenDone(): void {
    if (this.streams.size === 0 && (this.#retiring || this.peerGoesAway)) this.closeGently();
  }
}
