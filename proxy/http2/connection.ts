import type { HeaderBlock } from '../http/header-block.ts';
import type { ResetReason } from '../http/stream.ts';
import type { CollectingTransport } from '../http/transport.ts';
import { BandwidthEstimate } from './bandwidth-estimate.ts';
import { CloseCause, ClosedStreams } from './closed-streams.ts';
import type { Http2Events, Http2Options } from './connection-options.ts';
import { ControlWriter } from './control-writer.ts';
import { ErrorCode, errorCodeName } from './error-code.ts';
import { FieldSection } from './field-section.ts';
import { FloodGuard, FloodKind, floodOf, floodViolation } from './flood-guard.ts';
import { Flag, type FrameHead, FrameType } from './frame/frame-head.ts';
import { GoawayPayload } from './frame/goaway.ts';
import { HeadersPayload } from './frame/headers.ts';
import { decodePingAck } from './frame/ping.ts';
import { decodePriority } from './frame/priority.ts';
import { decodeRstStream } from './frame/rst-stream.ts';
import { decodeSettings, SettingId, type SettingSink } from './frame/settings.ts';
import { decodeWindowUpdate } from './frame/window-update.ts';
import { FrameReader, type FrameSink } from './frame-reader.ts';
import { HeaderBlockBuffer } from './header-block-buffer.ts';
import { HeaderWriter } from './header-writer.ts';
import { HpackDecoder } from './hpack/hpack-decoder.ts';
import { PeerSettings } from './peer-settings.ts';
import { INITIAL_WINDOW_BYTES, ReceiveWindow, WINDOW_BYTES_MAX } from './receive-window.ts';
import { SendQueue, type SendQueueOwner } from './send-queue.ts';
import type { Http2Stream, StreamConnection } from './stream.ts';
import { ILLEGAL, nextState, remoteEnded, StreamEvent, StreamState } from './stream-state.ts';
import {
  CONNECTION_WINDOW_EXCEEDED,
  CONNECTION_WINDOW_OVERFLOW,
  CONTENT_LENGTH_MISMATCH,
  CONTINUATION_EXPECTED,
  DEPENDS_ON_ITSELF,
  FRAME_AFTER_END_STREAM,
  FRAME_ON_CLOSED_STREAM,
  FRAME_ON_IDLE_STREAM,
  HEADER_COMPRESSION,
  NO_VIOLATION,
  SETTINGS_EXPECTED,
  SETTINGS_NOT_ACKED,
  UNEXPECTED_CONTINUATION,
  type Violation,
  WINDOW_EXCEEDED,
  WINDOW_OVERFLOW,
  ZERO_CONNECTION_INCREMENT,
  ZERO_INCREMENT,
} from './violation.ts';
import { WriteBuffer } from './write-buffer.ts';

/** What an own PING is for. */
const PingPurpose = { Bandwidth: 1, Drain: 2, Owner: 3 } as const;

/** The dynamic table that the peer's encoder may use: the default, not announced. */
const HEADER_TABLE_BYTES = 4096;

/**
 * One HTTP/2 connection (RFC 9113), the part that both roles share: frames in, streams, flow control,
 * settings, and the end.
 *
 *   receive ─▶ FrameReader ─▶ judgeFrame, onFrame, onData ─▶ Http2Stream ─▶ sink
 *   stream.writeData ─▶ SendQueue ─▶ WriteBuffer ─(end of the turn)─▶ transport
 *
 * Violations are values. One of a stream ends it with RST_STREAM, one of the connection with GOAWAY.
 */
export abstract class Http2Connection
  implements FrameSink, SendQueueOwner, StreamConnection, SettingSink
{
  protected readonly transport: CollectingTransport;
  protected readonly options: Http2Options;
  protected readonly events: Http2Events;
  protected readonly out: WriteBuffer;
  protected readonly writer: HeaderWriter;
  protected readonly control: ControlWriter;
  protected readonly fields = new FieldSection();
  protected readonly peer = new PeerSettings();
  protected readonly guard: FloodGuard;
  protected readonly decoder: HpackDecoder;
  /** Streams that are open or half-closed on the wire. */
  protected readonly streams = new Map<number, Http2Stream>();
  protected readonly closedStreams = new ClosedStreams();
  protected readonly sendQueue: SendQueue;
  /** No frame is read any more; writes are dropped. */
  protected closed = false;
  /** The peer has said GOAWAY. */
  protected peerGoesAway = false;
  /** What the priority of the latest field block says (RFC 7540 §5.3.1). */
  protected dependsOnItself = false;

  readonly #server: boolean;
  readonly #reader: FrameReader;
  readonly #block: HeaderBlockBuffer;
  readonly #headers = new HeadersPayload();
  readonly #goaway = new GoawayPayload();
  readonly #receiveWindow: ReceiveWindow;
  readonly #bandwidth: BandwidthEstimate;
  /** What streams begin with; a change counts for the peer when it has acknowledged it. */
  #streamWindowBytes: number;
  #settingsUnacked = 0;
  /** The stream of the latest DATA frame, null where its data is thrown away. */
  #dataStream: Http2Stream | null = null;
  #lastStream: Http2Stream | null = null;
  /** Streams whose `writeData` answered false with nothing left in their outbox. */
  #drainWaiters: Http2Stream[] = [];
  #stallTold = false;

  constructor(
    transport: CollectingTransport,
    options: Http2Options,
    events: Http2Events,
    server: boolean,
  ) {
    const { limits } = options;
    this.transport = transport;
    this.options = options;
    this.events = events;
    this.#server = server;
    this.out = new WriteBuffer(transport);
    this.writer = new HeaderWriter(this.out);
    this.control = new ControlWriter(this.out);
    this.guard = new FloodGuard(options.nowMs);
    this.decoder = new HpackDecoder(HEADER_TABLE_BYTES, limits.headBytesMax, limits.headerCountMax);
    this.sendQueue = new SendQueue(this.out, this);
    this.#reader = new FrameReader(this, server);
    this.#block = new HeaderBlockBuffer(2 * limits.headBytesMax);
    this.#streamWindowBytes = options.streamWindowBytes;
    this.#receiveWindow = new ReceiveWindow(INITIAL_WINDOW_BYTES);
    this.#bandwidth = new BandwidthEstimate(options.streamWindowBytes, options.windowBytesMax);
  }

  // --- by the owner ---------------------------------------------------------------------------

  /** Streams under way on the wire. */
  get activeStreams(): number {
    return this.streams.size;
  }

  /** Takes bytes from the peer. */
  receive(bytes: Buffer): void {
    if (this.closed) return;
    const violation = this.#reader.read(bytes);
    if (violation !== NO_VIOLATION) this.failConnection(violation);
  }

  /** The peer half-closed: nobody can half-close HTTP/2, so it has gone. */
  receiveEnd(): void {
    if (this.closed) return;
    this.#end();
    this.out.flush();
    this.transport.closeAfterFlush();
    this.#failStreams('connectionTermination', 'http2.connection_closed');
    this.onConnectionEnd();
  }

  /** The transport is gone. */
  close(detail: string): void {
    if (this.closed && this.streams.size === 0) return;
    const told = this.closed;
    this.#end();
    this.#failStreams('connectionTermination', detail);
    if (!told) this.onConnectionEnd();
  }

  onTransportDrain(): void {
    this.out.blocked = false;
    this.control.onDrain();
    if (this.closed) return;
    this.sendQueue.pump();
    const waiters = this.#drainWaiters;
    if (waiters.length === 0) return;
    this.#drainWaiters = [];
    for (let at = 0; at < waiters.length; at++) {
      const stream = waiters[at]!;
      if (stream.outbox.length === 0) this.#tellDrained(stream);
    }
  }

  /** Asks the peer whether it is there; `onPong` is the answer. */
  ping(): void {
    if (!this.closed) this.control.ping(PingPurpose.Owner);
  }

  /** Our SETTINGS have not been acknowledged in time. */
  settingsTimeout(): void {
    if (this.#settingsUnacked > 0) this.failConnection(SETTINGS_NOT_ACKED);
  }

  /** Resets what has waited for the peer's window since before `sinceMs`; answers how many still wait. */
  resetStalled(sinceMs: number): number {
    let waiting = 0;
    for (const stream of this.streams.values()) {
      if (stream.stalledSinceMs < 0) continue;
      if (stream.stalledSinceMs > sinceMs) {
        waiting++;
        continue;
      }
      this.writeReset(stream.id, ErrorCode.FLOW_CONTROL_ERROR);
      this.closeStream(stream, CloseCause.ResetByUs);
      stream.fail('remoteReset', 'http2.window_kept_closed');
    }
    this.#stallTold = waiting > 0;
    return waiting;
  }

  // --- what the roles decide ------------------------------------------------------------------

  /** A field block is complete and `decoder` holds its fields. */
  protected abstract onFieldBlock(streamId: number, endStream: boolean): void;
  /** Whether a HEADERS frame may name this stream. */
  protected abstract judgeHeadersId(streamId: number): Violation;
  /** Whether the stream has not been opened yet by whoever opens it. */
  protected abstract isIdle(streamId: number): boolean;
  /** Whether data may come now (a response may not begin with it). */
  protected abstract judgeDataState(stream: Http2Stream): Violation;
  /** The stream is closed on the wire. */
  protected abstract onStreamClosed(stream: Http2Stream, cause: CloseCause): void;
  /** The peer broke the protocol on a stream that is open; the sink is told behind this. */
  protected abstract onStreamViolation(stream: Http2Stream, violation: Violation): void;
  /** The connection has ended, by whatever; streams have been told. */
  protected abstract onConnectionEnd(): void;
  /** The peer broke the protocol of the connection; streams have been told. `streams`: how many were open. */
  protected abstract onConnectionViolation(violation: Violation, streams: number): void;
  protected abstract onPeerGoaway(lastStreamId: number): void;
  /** A PING that was sent with the first GOAWAY has come back. */
  protected abstract onDrainPong(): void;
  protected abstract onPeerSettings(): void;
  /** The highest stream of the peer that was taken up: what a GOAWAY says. */
  protected abstract readonly lastTakenId: number;

  // --- the beginning and the end --------------------------------------------------------------

  /** Our SETTINGS, and the connection's window, which SETTINGS do not say (RFC 9113 §6.9.2). */
  protected writePreface(parameters: readonly number[]): void {
    const { limits, connectionWindowBytes, streamWindowBytes } = this.options;
    const all = [
      ...parameters,
      SettingId.InitialWindowSize,
      streamWindowBytes,
      SettingId.MaxHeaderListSize,
      limits.headBytesMax,
    ];
    this.#writeSettings(all);
    const more = this.#receiveWindow.grow(connectionWindowBytes);
    if (more > 0) this.control.windowUpdate(0, more);
  }

  /** Ends the connection because of the peer: GOAWAY, and whatever is open is over. */
  protected failConnection(violation: Violation): void {
    if (this.closed) return;
    const kind = floodOf(violation);
    if (kind >= 0) this.events.onFlood(kind as FloodKind);
    this.control.goaway(this.lastTakenId, violation.errorCode, violation.code);
    this.#end();
    this.out.flush();
    this.transport.closeAfterFlush();
    const open = this.streams.size;
    this.#failStreams('protocolError', violation.code);
    this.onConnectionViolation(violation, open);
  }

  /** Ends the connection in peace: no stream is open any more. */
  protected closeGently(): void {
    if (this.closed) return;
    if (!this.control.goawaySent) this.control.goaway(this.lastTakenId, ErrorCode.NO_ERROR, '');
    this.#end();
    this.out.flush();
    this.transport.closeAfterFlush();
    this.onConnectionEnd();
  }

  protected writeDrainPing(): void {
    this.control.ping(PingPurpose.Drain);
  }

  #end(): void {
    this.closed = true;
    this.#reader.stop();
    this.#drainWaiters = [];
    this.#lastStream = null;
  }

  #failStreams(reason: ResetReason, detail: string): void {
    for (const stream of [...this.streams.values()]) {
      this.closeStream(stream, CloseCause.ResetByUs);
      stream.fail(reason, detail);
    }
  }

  // --- frames in ------------------------------------------------------------------------------

  judgeFrame(head: FrameHead): Violation {
    if (this.#block.open) {
      const continues =
        head.type === FrameType.Continuation && head.streamId === this.#block.streamId;
      return continues ? NO_VIOLATION : CONTINUATION_EXPECTED;
    }
    if (!this.peer.known) {
      const settings = head.type === FrameType.Settings && (head.flags & Flag.Ack) === 0;
      return settings ? NO_VIOLATION : SETTINGS_EXPECTED;
    }
    const { streamId } = head;
    switch (head.type) {
      case FrameType.Headers:
        return this.judgeHeadersId(streamId);
      case FrameType.Continuation:
        return UNEXPECTED_CONTINUATION;
      case FrameType.Data:
      case FrameType.RstStream:
        return this.isIdle(streamId) ? FRAME_ON_IDLE_STREAM : NO_VIOLATION;
      case FrameType.WindowUpdate:
        return streamId !== 0 && this.isIdle(streamId) ? FRAME_ON_IDLE_STREAM : NO_VIOLATION;
      case FrameType.Priority:
        return this.guard.spend(FloodKind.Priority);
      case FrameType.Settings:
        return (head.flags & Flag.Ack) === 0 ? this.guard.spend(FloodKind.Settings) : NO_VIOLATION;
      case FrameType.Ping:
        return this.guard.spend(FloodKind.Ping);
      case FrameType.Goaway:
        return NO_VIOLATION;
      default:
        return this.guard.spend(FloodKind.UnknownFrame);
    }
  }

  onFrame(head: FrameHead, bytes: Buffer, start: number): void {
    switch (head.type) {
      case FrameType.Headers:
        this.#onHeaders(head, bytes, start);
        return;
      case FrameType.Continuation:
        this.#onFragment(head, bytes, start, start + head.length);
        return;
      case FrameType.WindowUpdate:
        this.#onWindowUpdate(head.streamId, decodeWindowUpdate(bytes, start));
        return;
      case FrameType.RstStream:
        this.#onRstStream(head.streamId, decodeRstStream(bytes, start));
        return;
      case FrameType.Settings:
        this.#onSettings(head, bytes, start);
        return;
      case FrameType.Ping:
        this.#onPing(head, bytes, start);
        return;
      case FrameType.Goaway:
        this.#onGoaway(bytes, start);
        return;
      case FrameType.Priority:
        if (decodePriority(bytes, start) === head.streamId) this.#onSelfDependency(head.streamId);
        return;
    }
  }

  #onHeaders(head: FrameHead, bytes: Buffer, start: number): void {
    const payload = this.#headers;
    const { streamId } = head;
    const violation = payload.decode(head, bytes, start);
    if (violation !== NO_VIOLATION) {
      this.failConnection(violation);
      return;
    }
    const endStream = (head.flags & Flag.EndStream) !== 0;
    this.dependsOnItself = payload.dependency === streamId;
    if ((head.flags & Flag.EndHeaders) !== 0) {
      this.#decodeBlock(streamId, endStream, bytes, payload.fragmentStart, payload.fragmentEnd);
      return;
    }
    this.#block.begin(streamId, endStream);
    this.#onFragment(head, bytes, payload.fragmentStart, payload.fragmentEnd);
  }

  #onFragment(head: FrameHead, bytes: Buffer, start: number, end: number): void {
    const block = this.#block;
    const violation = block.add(bytes, start, end);
    if (violation !== NO_VIOLATION) {
      this.failConnection(violation);
      return;
    }
    if ((head.flags & Flag.EndHeaders) === 0) return;
    const whole = block.take();
    this.#decodeBlock(block.streamId, block.endStream, whole, 0, whole.length);
  }

  #decodeBlock(
    streamId: number,
    endStream: boolean,
    bytes: Buffer,
    start: number,
    end: number,
  ): void {
    const { decoder } = this;
    if (!decoder.decode(bytes, start, end)) {
      this.failConnection(HEADER_COMPRESSION);
      return;
    }
    this.onFieldBlock(streamId, endStream);
    decoder.clear();
    this.fields.clear();
  }

  #onSelfDependency(streamId: number): void {
    const stream = this.streams.get(streamId);
    if (stream !== undefined) this.failStream(stream, DEPENDS_ON_ITSELF);
    // A stream that is idle cannot be reset.
    else if (this.isIdle(streamId)) this.failConnection(DEPENDS_ON_ITSELF);
  }

  onDataStart(head: FrameHead): void {
    const { streamId, length } = head;
    this.#dataStream = null;
    if (!this.#receiveWindow.receive(length)) {
      this.failConnection(CONNECTION_WINDOW_EXCEEDED);
      return;
    }
    this.#bandwidth.onData(length);
    if (length > 0) {
      this.guard.earnByData();
    } else if ((head.flags & Flag.EndStream) === 0) {
      const violation = this.guard.spend(FloodKind.EmptyData);
      if (violation !== NO_VIOLATION) {
        this.failConnection(violation);
        return;
      }
    }
    const stream = this.#find(streamId);
    if (stream === null) {
      // What was on its way when we reset the stream is thrown away; its credit goes back below.
      if (this.closedStreams.causeOf(streamId) !== CloseCause.ResetByUs) {
        this.failConnection(FRAME_ON_CLOSED_STREAM);
      }
      return;
    }
    if (nextState(stream.state, StreamEvent.RecvData) === ILLEGAL) {
      this.failStream(stream, FRAME_AFTER_END_STREAM);
      return;
    }
    const violation = this.judgeDataState(stream);
    if (violation !== NO_VIOLATION) {
      this.failStream(stream, violation);
      return;
    }
    if (!stream.receiveWindow.receive(length)) {
      this.failStream(stream, WINDOW_EXCEEDED);
      return;
    }
    this.#dataStream = stream;
    if ((head.flags & Flag.Padded) === 0) this.#countContent(stream, head, length);
  }

  /** Judges a DATA frame against `content-length` before any of it is passed on (RFC 9113 §8.1.1). */
  #countContent(stream: Http2Stream, head: FrameHead, bytes: number): void {
    if (stream.contentLeftBytes < 0) return;
    const left = stream.contentLeftBytes - bytes;
    if (left < 0 || ((head.flags & Flag.EndStream) !== 0 && left > 0)) {
      this.#dataStream = null;
      this.failStream(stream, CONTENT_LENGTH_MISMATCH);
    } else {
      stream.contentLeftBytes = left;
    }
  }

  onDataPadding(head: FrameHead, bytes: number): void {
    if (this.#dataStream !== null) {
      this.#countContent(this.#dataStream, head, head.length - bytes);
    }
    const stream = this.#dataStream;
    if (stream === null) this.#releaseConnectionCredit(bytes);
    else this.releaseCredit(stream, bytes);
  }

  onData(head: FrameHead, bytes: Buffer, start: number, end: number, last: boolean): void {
    if (this.closed) return;
    const stream = this.#dataStream;
    const length = end - start;
    if (stream === null || stream.state === StreamState.Closed) {
      this.#releaseConnectionCredit(length);
      return;
    }
    const endStream = last && (head.flags & Flag.EndStream) !== 0;
    if (length === 0 && !endStream) return;
    if (endStream) this.onRemoteEnd(stream);
    stream.receiveData(bytes.subarray(start, end), endStream);
  }

  /** END_STREAM has come; what it came with is still to be delivered. */
  protected onRemoteEnd(stream: Http2Stream): void {
    this.#advance(stream, StreamEvent.RecvEndStream);
  }

  #onRstStream(streamId: number, errorCode: number): void {
    const stream = this.streams.get(streamId);
    if (stream === undefined) return; // it has crossed ours (RFC 9113 §5.1)
    const violation = this.#server ? this.guard.spend(FloodKind.RapidReset) : NO_VIOLATION;
    if (violation !== NO_VIOLATION) {
      this.failConnection(violation);
      return;
    }
    this.closeStream(stream, CloseCause.ResetByPeer);
    this.onPeerReset(stream, errorCode);
  }

  /** The peer has reset a stream, which is closed by now. */
  protected onPeerReset(stream: Http2Stream, errorCode: number): void {
    const reason = errorCode === ErrorCode.REFUSED_STREAM ? 'remoteRefused' : 'remoteReset';
    stream.fail(reason, `http2.remote_reset_${errorCodeName(errorCode)}`);
  }

  #onWindowUpdate(streamId: number, increment: number): void {
    const violation = this.guard.spend(FloodKind.WindowUpdate);
    if (violation !== NO_VIOLATION) {
      this.failConnection(violation);
      return;
    }
    if (streamId === 0) {
      if (increment === 0) this.failConnection(ZERO_CONNECTION_INCREMENT);
      else if (!this.sendQueue.increase(increment)) this.failConnection(CONNECTION_WINDOW_OVERFLOW);
      else this.sendQueue.pump();
      return;
    }
    const stream = this.streams.get(streamId);
    if (stream === undefined) return; // closed: it may still be on its way
    if (increment === 0) {
      this.failStream(stream, ZERO_INCREMENT);
    } else if (stream.sendWindowBytes + increment > WINDOW_BYTES_MAX) {
      this.failStream(stream, WINDOW_OVERFLOW);
    } else {
      stream.sendWindowBytes += increment;
      this.sendQueue.onStreamWindow(stream);
    }
  }

  #onSettings(head: FrameHead, bytes: Buffer, start: number): void {
    if ((head.flags & Flag.Ack) !== 0) {
      if (this.#settingsUnacked > 0 && --this.#settingsUnacked === 0) {
        this.events.onSettingsPending(false);
      }
      return;
    }
    const { peer } = this;
    const windowBefore = peer.initialWindowBytes;
    const violation = decodeSettings(head, bytes, start, this);
    if (violation !== NO_VIOLATION) {
      this.failConnection(violation);
      return;
    }
    peer.known = true;
    const change = peer.initialWindowBytes - windowBefore;
    if (change !== 0) {
      for (const stream of this.streams.values()) {
        if (stream.sendWindowBytes + change > WINDOW_BYTES_MAX) {
          this.failConnection(CONNECTION_WINDOW_OVERFLOW);
          return;
        }
        stream.sendWindowBytes += change;
      }
    }
    this.control.settingsAck();
    if (this.#failedByUnreadReplies()) return;
    if (change > 0) {
      for (const stream of [...this.streams.values()]) this.sendQueue.onStreamWindow(stream);
    }
    this.onPeerSettings();
  }

  onSetting(id: number, value: number): Violation {
    // Each of several values in one frame: the least of them must be told to the peer's decoder (RFC 7541 §4.2).
    if (id === SettingId.HeaderTableSize) this.writer.encoder.setPeerTableBytes(value);
    return this.peer.apply(id, value, !this.#server);
  }

  #onPing(head: FrameHead, bytes: Buffer, start: number): void {
    if ((head.flags & Flag.Ack) === 0) {
      this.control.pingAck(bytes, start);
      this.#failedByUnreadReplies();
      return;
    }
    switch (decodePingAck(bytes, start)) {
      case PingPurpose.Bandwidth:
        if (this.#bandwidth.end()) this.#growWindows(this.#bandwidth.windowBytes);
        return;
      case PingPurpose.Drain:
        this.onDrainPong();
        return;
      case PingPurpose.Owner:
        this.events.onPong();
        return;
    }
  }

  #onGoaway(bytes: Buffer, start: number): void {
    const payload = this.#goaway;
    payload.decode(bytes, start);
    this.peerGoesAway = true;
    const { lastStreamId, errorCode } = payload;
    this.events.onGoaway(errorCodeName(errorCode), lastStreamId);
    this.onPeerGoaway(lastStreamId);
  }

  // --- streams --------------------------------------------------------------------------------

  protected get streamWindowBytes(): number {
    return this.#streamWindowBytes;
  }

  /** The stream is over because of what the peer did. */
  protected failStream(stream: Http2Stream, violation: Violation): void {
    this.onStreamViolation(stream, violation);
    this.writeReset(stream.id, violation.errorCode);
    this.closeStream(stream, CloseCause.ResetByUs);
    const flood = this.guard.spend(FloodKind.ProvokedReset);
    stream.fail('protocolError', violation.code);
    if (flood !== NO_VIOLATION) this.failConnection(flood);
  }

  protected writeReset(streamId: number, errorCode: ErrorCode): void {
    if (this.closed) return;
    this.control.reset(streamId, errorCode);
    this.#failedByUnreadReplies();
  }

  /** The stream leaves the wire. */
  protected closeStream(stream: Http2Stream, cause: CloseCause): void {
    if (stream.state === StreamState.Closed) return;
    stream.state = StreamState.Closed;
    this.#forget(stream, cause);
  }

  #forget(stream: Http2Stream, cause: CloseCause): void {
    this.streams.delete(stream.id);
    this.closedStreams.add(stream.id, cause);
    if (this.#lastStream === stream) this.#lastStream = null;
    stream.dropOutbox();
    this.onStreamClosed(stream, cause);
  }

  /** The only way, besides the end of the stream, to change its state. */
  #advance(stream: Http2Stream, event: StreamEvent): void {
    const next = nextState(stream.state, event);
    if (next === ILLEGAL) return;
    stream.state = next;
    if (next === StreamState.Closed) this.#forget(stream, CloseCause.Ended);
  }

  protected openStream(stream: Http2Stream, event: StreamEvent): void {
    // Until our SETTINGS are acknowledged the peer may count with the default.
    if (this.#settingsUnacked > 0 && this.#streamWindowBytes < INITIAL_WINDOW_BYTES) {
      stream.receiveWindow.availableBytes = INITIAL_WINDOW_BYTES;
    }
    this.streams.set(stream.id, stream);
    this.#advance(stream, event);
  }

  #find(streamId: number): Http2Stream | null {
    const last = this.#lastStream;
    if (last !== null && last.id === streamId) return last;
    const stream = this.streams.get(streamId) ?? null;
    this.#lastStream = stream;
    return stream;
  }

  // --- by streams -----------------------------------------------------------------------------

  sendData(stream: Http2Stream, chunk: Buffer, endStream: boolean): boolean {
    if (this.closed) return true;
    const flowing = this.sendQueue.send(stream, chunk, endStream);
    if (!flowing && !endStream && stream.outbox.length === 0) this.#drainWaiters.push(stream);
    return flowing;
  }

  sendTrailers(stream: Http2Stream, trailers: HeaderBlock): void {
    if (this.closed) return;
    this.writer.writeTrailers(stream.id, trailers);
    this.onLocalEnd(stream);
  }

  abandon(stream: Http2Stream, errorCode: ErrorCode): void {
    if (stream.state === StreamState.Closed) return;
    this.writeReset(stream.id, errorCode);
    this.closeStream(stream, CloseCause.ResetByUs);
  }

  /** Our half has ended on the wire. */
  protected onLocalEnd(stream: Http2Stream): void {
    this.#advance(stream, StreamEvent.SendEndStream);
  }

  // --- by the send queue ----------------------------------------------------------------------

  onDataSent(): void {
    this.guard.earnBySending();
  }

  onDataEndSent(stream: Http2Stream): void {
    this.onLocalEnd(stream);
  }

  onOutboxEmpty(stream: Http2Stream): void {
    const trailers = stream.outboxTrailers;
    if (trailers !== null) {
      stream.outboxTrailers = null;
      this.sendTrailers(stream, trailers);
    } else if (this.out.blocked) {
      this.#drainWaiters.push(stream);
    } else {
      this.#tellDrained(stream);
    }
  }

  onSendStalled(stream: Http2Stream): void {
    if (stream.stalledSinceMs < 0) stream.stalledSinceMs = this.options.nowMs();
    if (this.#stallTold) return;
    this.#stallTold = true;
    this.events.onSendStalled();
  }

  #tellDrained(stream: Http2Stream): void {
    if (!stream.active || !stream.blocked) return;
    stream.blocked = false;
    stream.sink.onDrain();
  }

  // --- flow control of what comes in ----------------------------------------------------------

  releaseCredit(stream: Http2Stream, bytes: number): void {
    if (!remoteEnded(stream.state) && !this.closed) {
      const increment = stream.receiveWindow.release(bytes);
      if (increment > 0) {
        this.control.windowUpdate(stream.id, increment);
        this.#sampleBandwidth();
      }
    }
    this.#releaseConnectionCredit(bytes);
  }

  #releaseConnectionCredit(bytes: number): void {
    if (this.closed || bytes === 0) return;
    const increment = this.#receiveWindow.release(bytes);
    if (increment === 0) return;
    this.control.windowUpdate(0, increment);
    this.#sampleBandwidth();
  }

  #sampleBandwidth(): void {
    if (this.#bandwidth.begin()) this.control.ping(PingPurpose.Bandwidth);
  }

  /** Streams get the new window by SETTINGS (RFC 9113 §6.9.2), the connection four times as much. */
  #growWindows(streamBytes: number): void {
    this.#streamWindowBytes = streamBytes;
    this.#writeSettings([SettingId.InitialWindowSize, streamBytes]);
    for (const stream of this.streams.values()) stream.receiveWindow.grow(streamBytes);
    const more = this.#receiveWindow.grow(Math.min(4 * streamBytes, WINDOW_BYTES_MAX));
    if (more > 0) this.control.windowUpdate(0, more);
  }

  #writeSettings(parameters: readonly number[]): void {
    this.control.settings(parameters);
    if (this.#settingsUnacked++ === 0) this.events.onSettingsPending(true);
  }

  #failedByUnreadReplies(): boolean {
    if (!this.control.unreadTooMany) return false;
    this.failConnection(floodViolation(FloodKind.UnreadReplies));
    return true;
  }

  /** What the reader is at: for the owner's timers. */
  protected get waitsForHead(): boolean {
    return this.#block.open || !this.peer.known;
  }
}
