import type { CollectingTransport } from '../http/transport.ts';
import { CloseCause } from './closed-streams.ts';
import type { Http2Events, Http2Options } from './connection-options.ts';
import { PingPurpose } from './control-writer.ts';
import { type DataConnection, DataReceiver } from './data-receiver.ts';
import { ErrorCode, errorCodeName } from './error-code.ts';
import { FieldBlockReader } from './field-block-reader.ts';
import { FloodKind, floodViolation } from './flood-guard.ts';
import { Flag, type FrameHead, FrameType } from './frame/frame-head.ts';
import { GoawayPayload } from './frame/goaway.ts';
import { decodePingAck } from './frame/ping.ts';
import { decodePriority } from './frame/priority.ts';
import { decodeRstStream } from './frame/rst-stream.ts';
import { decodeSettings, SettingId, type SettingSink } from './frame/settings.ts';
import { decodeWindowUpdate } from './frame/window-update.ts';
import { FrameReader, type FrameSink } from './frame-reader.ts';
import { Http2Lifecycle } from './lifecycle.ts';
import { WINDOW_BYTES_MAX } from './receive-window.ts';
import type { Http2Stream } from './stream.ts';
import { StreamEvent } from './stream-state.ts';
import {
  CONNECTION_WINDOW_OVERFLOW,
  CONTINUATION_EXPECTED,
  DEPENDS_ON_ITSELF,
  FRAME_ON_IDLE_STREAM,
  NO_VIOLATION,
  SETTINGS_EXPECTED,
  UNEXPECTED_CONTINUATION,
  type Violation,
  WINDOW_OVERFLOW,
  ZERO_CONNECTION_INCREMENT,
  ZERO_INCREMENT,
} from './violation.ts';

/**
 * One HTTP/2 connection (RFC 9113), the part that both roles share: frames in, and what each does.
 *
 *   receive ─▶ FrameReader ─▶ judgeFrame, onFrame, DataReceiver ─▶ Http2Stream ─▶ sink
 *   stream.writeData ─▶ SendQueue ─▶ WriteBuffer ─(end of the turn)─▶ transport
 */
export abstract class Http2Connection
  extends Http2Lifecycle
  implements FrameSink, DataConnection, SettingSink
{
  readonly #server: boolean;
  readonly #reader: FrameReader;
  readonly #block: FieldBlockReader;
  readonly #goaway = new GoawayPayload();
  /** Of the input at hand, -1 = nobody has asked yet. */
  #nowMs = -1;

  constructor(
    transport: CollectingTransport,
    options: Http2Options,
    events: Http2Events,
    server: boolean,
  ) {
    super(transport, options, events);
    const data = new DataReceiver(this, this.flow, this.guard, this.closedStreams);
    this.#server = server;
    this.#reader = new FrameReader(this, data, server);
    this.#block = new FieldBlockReader(this.decoder, 2 * options.limits.headBytesMax);
  }

  /** Takes bytes from the peer. */
  receive(bytes: Buffer): void {
    if (this.closed) return;
    this.#nowMs = -1;
    const violation = this.#reader.read(bytes);
    if (violation !== NO_VIOLATION) this.failConnection(violation);
  }

  /** The clock, read once for all frames that came together. */
  protected get nowMs(): number {
    if (this.#nowMs < 0) this.#nowMs = this.options.nowMs();
    return this.#nowMs;
  }

  /** What the reader is at: for the owner's timers. */
  protected get waitsForHead(): boolean {
    return this.#block.open || !this.peer.known || this.#reader.isCut;
  }

  /** What the priority of the latest field block says (RFC 7540 §5.3.1). */
  protected get dependsOnItself(): boolean {
    return this.#block.dependsOnItself;
  }

  protected stopReading(): void {
    this.#reader.stop();
  }

  // --- what the roles decide ------------------------------------------------------------------

  /** A field block is complete and `decoder` holds its fields. */
  protected abstract onFieldBlock(streamId: number, endStream: boolean): void;
  /** Whether a HEADERS frame may name this stream. */
  protected abstract judgeHeadersId(streamId: number): Violation;
  /** Whether the stream has not been opened yet by whoever opens it. */
  protected abstract isIdle(streamId: number): boolean;
  /** The peer resets a stream that is open. */
  protected abstract judgeReset(stream: Http2Stream): Violation;
  /** Whether data may come now (a response may not begin with it). */
  abstract judgeDataState(stream: Http2Stream): Violation;
  protected abstract onPeerGoaway(lastStreamId: number): void;
  /** A PING that was sent with the first GOAWAY has come back. */
  protected abstract onDrainPong(): void;
  protected abstract onPeerSettings(): void;

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
    // Whatever made us write it: while nothing more comes, no more is written either.
    if (this.control.unreadTooMany) return floodViolation(FloodKind.UnreadReplies);
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
        // An acknowledgement that we wait for costs nothing.
        return (head.flags & Flag.Ack) !== 0 && this.settings.pending
          ? NO_VIOLATION
          : this.guard.spend(FloodKind.Settings);
      case FrameType.Ping:
        return this.guard.spend(FloodKind.Ping);
      case FrameType.Goaway:
        return this.guard.spend(FloodKind.Goaway);
      default:
        return this.guard.spend(FloodKind.UnknownFrame);
    }
  }

  onFrame(head: FrameHead, bytes: Buffer, start: number): void {
    switch (head.type) {
      case FrameType.Headers:
        this.#onBlock(this.#block.headers(head, bytes, start));
        return;
      case FrameType.Continuation:
        this.#onBlock(this.#block.continuation(head, bytes, start));
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

  /** HEADERS or CONTINUATION. */
  #onBlock(violation: Violation): void {
    const block = this.#block;
    if (violation !== NO_VIOLATION) {
      this.failConnection(violation);
    } else if (block.complete) {
      this.onFieldBlock(block.streamId, block.endStream);
      this.decoder.clear();
      this.fields.clear();
    }
  }

  #onSelfDependency(streamId: number): void {
    const stream = this.streams.get(streamId);
    if (stream !== undefined) this.failStream(stream, DEPENDS_ON_ITSELF);
    // A stream that is idle cannot be reset.
    else if (this.isIdle(streamId)) this.failConnection(DEPENDS_ON_ITSELF);
  }

  /** END_STREAM has come; what it came with is still to be delivered. */
  onRemoteEnd(stream: Http2Stream): void {
    this.advance(stream, StreamEvent.RecvEndStream);
  }

  #onRstStream(streamId: number, errorCode: number): void {
    const stream = this.streams.get(streamId);
    // On a closed stream it has crossed the end or our own (RFC 9113 §5.1).
    const violation =
      stream === undefined ? this.guard.spend(FloodKind.ClosedStream) : this.judgeReset(stream);
    if (violation !== NO_VIOLATION) {
      this.failConnection(violation);
      return;
    }
    if (stream === undefined) return;
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
      this.settings.onAck();
      if (!this.settings.pending) this.flow.onSettingsKnown();
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
      for (const stream of this.streams.list()) {
        if (stream.sendWindowBytes + change > WINDOW_BYTES_MAX) {
          this.failConnection(CONNECTION_WINDOW_OVERFLOW);
          return;
        }
        stream.sendWindowBytes += change;
      }
    }
    this.control.settingsAck();
    if (change > 0) {
      for (const stream of this.streams.list()) this.sendQueue.onStreamWindow(stream);
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
      return;
    }
    switch (decodePingAck(bytes, start)) {
      case PingPurpose.Bandwidth:
        this.flow.onBandwidthPong();
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
}
