import type { HeaderBlock } from '../http/header-block.ts';
import { FRAME_SLABS } from '../http/slab.ts';
import type { ResetReason } from '../http/stream.ts';
import type { CollectingTransport } from '../http/transport.ts';
import { WriteBuffer } from '../http/write-buffer.ts';
import { CloseCause, ClosedStreams } from './closed-streams.ts';
import type { Http2Events, Http2Options } from './connection-options.ts';
import { ControlWriter, PingPurpose } from './control-writer.ts';
import { ErrorCode } from './error-code.ts';
import { FieldSection } from './field-section.ts';
import { FloodGuard, FloodKind, floodOf } from './flood-guard.ts';
import { SettingId } from './frame/settings.ts';
import { HeaderWriter } from './header-writer.ts';
import { HpackDecoder } from './hpack/hpack-decoder.ts';
import { OwnSettings } from './own-settings.ts';
import { PeerSettings } from './peer-settings.ts';
import { ReceiveFlow } from './receive-flow.ts';
import { SendQueue, type SendQueueOwner } from './send-queue.ts';
import type { Http2Stream, StreamConnection } from './stream.ts';
import { ILLEGAL, nextState, StreamEvent, StreamState } from './stream-state.ts';
import { StreamTable } from './stream-table.ts';
import { NO_VIOLATION, SETTINGS_NOT_ACKED, type Violation } from './violation.ts';

/** The dynamic table that the peer's encoder may use: the default, not announced. */
const HEADER_TABLE_BYTES = 4096;

/**
 * The streams of one HTTP/2 connection (RFC 9113), from their opening to their end, and the end of the connection:
 * by its owner, by the peer, in peace. How frames come in is `Http2Connection`'s.
 *
 * Violations are values. One of a stream ends it with RST_STREAM, one of the connection with GOAWAY.
 */
export abstract class Http2Lifecycle implements SendQueueOwner, StreamConnection {
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
  protected readonly settings: OwnSettings;
  protected readonly flow: ReceiveFlow;
  /** Streams that are open or half-closed on the wire. */
  protected readonly streams = new StreamTable();
  protected readonly closedStreams = new ClosedStreams();
  protected readonly sendQueue: SendQueue;
  /** No frame is read any more; writes are dropped. */
  closed = false;
  /** The peer has said GOAWAY. */
  protected peerGoesAway = false;
  #lastStream: Http2Stream | null = null;
  /** Streams whose `writeData` answered false with nothing left in their outbox. */
  #drainWaiters: Http2Stream[] = [];
  #stallTold = false;

  constructor(transport: CollectingTransport, options: Http2Options, events: Http2Events) {
    const { limits } = options;
    this.transport = transport;
    this.options = options;
    this.events = events;
    this.out = new WriteBuffer(FRAME_SLABS, transport);
    this.writer = new HeaderWriter(this.out);
    this.control = new ControlWriter(this.out);
    this.guard = new FloodGuard(options.nowMs);
    this.decoder = new HpackDecoder(HEADER_TABLE_BYTES, limits.headBytesMax, limits.headerCountMax);
    this.sendQueue = new SendQueue(this.out, this);
    this.settings = new OwnSettings(this.control, events);
    this.flow = new ReceiveFlow(options, this.control, this.settings, this.streams);
  }

  // --- by the owner ---------------------------------------------------------------------------

  /** Streams under way on the wire. */
  get activeStreams(): number {
    return this.streams.size;
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
    if (this.settings.pending) this.failConnection(SETTINGS_NOT_ACKED);
  }

  /** Resets what has waited for the peer's window since before `sinceMs`; answers how many still wait. */
  resetStalled(sinceMs: number): number {
    let waiting = 0;
    for (const stream of this.streams.list()) {
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

  /** The stream is closed on the wire. */
  protected abstract onStreamClosed(stream: Http2Stream, cause: CloseCause): void;
  /** The peer broke the protocol on a stream that is open; the sink is told behind this. */
  protected abstract onStreamViolation(stream: Http2Stream, violation: Violation): void;
  /** The connection has ended, by whatever; streams have been told. */
  protected abstract onConnectionEnd(): void;
  /** The peer broke the protocol of the connection; streams have been told. `streams`: how many were open. */
  protected abstract onConnectionViolation(violation: Violation, streams: number): void;
  /** The highest stream of the peer that was taken up: what a GOAWAY says. */
  protected abstract readonly lastTakenId: number;
  /** Nothing of the input is read any more. */
  protected abstract stopReading(): void;

  // --- the beginning and the end --------------------------------------------------------------

  /** Our SETTINGS, the first of what we say. */
  protected writePreface(parameters: readonly number[]): void {
    const all = [
      ...parameters,
      SettingId.InitialWindowSize,
      this.flow.streamWindowBytes,
      SettingId.MaxHeaderListSize,
      this.options.limits.headBytesMax,
    ];
    this.settings.write(all);
  }

  /** Ends the connection because of the peer: GOAWAY, and whatever is open is over. */
  failConnection(violation: Violation): void {
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
    this.stopReading();
    this.flow.close();
    this.#drainWaiters = [];
    this.#lastStream = null;
  }

  #failStreams(reason: ResetReason, detail: string): void {
    for (const stream of this.streams.list()) {
      this.closeStream(stream, CloseCause.ResetByUs);
      stream.fail(reason, detail);
    }
  }

  // --- streams --------------------------------------------------------------------------------

  /** The stream is over because of what the peer did. */
  failStream(stream: Http2Stream, violation: Violation): void {
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
  }

  /** The stream leaves the wire. */
  protected closeStream(stream: Http2Stream, cause: CloseCause): void {
    if (stream.state === StreamState.Closed) return;
    stream.state = StreamState.Closed;
    this.#forget(stream, cause);
  }

  #forget(stream: Http2Stream, cause: CloseCause): void {
    this.streams.remove(stream.id);
    this.closedStreams.add(stream.id, cause);
    if (this.#lastStream === stream) this.#lastStream = null;
    stream.dropOutbox();
    this.onStreamClosed(stream, cause);
  }

  /** The only way, besides the end of the stream, to change its state. */
  protected advance(stream: Http2Stream, event: StreamEvent): void {
    const next = nextState(stream.state, event);
    if (next === ILLEGAL) return;
    stream.state = next;
    if (next === StreamState.Closed) this.#forget(stream, CloseCause.Ended);
  }

  protected openStream(stream: Http2Stream, event: StreamEvent): void {
    this.flow.onOpen(stream);
    this.streams.add(stream);
    this.advance(stream, event);
  }

  findStream(streamId: number): Http2Stream | null {
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
    this.advance(stream, StreamEvent.SendEndStream);
  }

  releaseCredit(stream: Http2Stream, bytes: number): void {
    this.flow.release(stream, bytes);
  }

  // --- by the send queue ----------------------------------------------------------------------

  onDataSent(bytes: number): void {
    this.guard.earnBySending(bytes);
  }

  onDribble(): void {
    const violation = this.guard.spend(FloodKind.WindowDribble);
    if (violation !== NO_VIOLATION) this.failConnection(violation);
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
}
