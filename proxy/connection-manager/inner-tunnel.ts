import type { ServerConnection } from '../http/stream.ts';
import type { CollectingTransport, WriteSource } from '../http/transport.ts';
import { Timer, type TimerOwner } from '../tcp/timer-list.ts';
import { flushAtEndOfTurn } from '../tcp/write-turn.ts';
import type { ActiveStream, Tunnel } from './active-stream.ts';
import { detectInnerProtocol } from './inner-protocol.ts';
import { OpaqueTunnel } from './opaque-tunnel.ts';

/** Milliseconds without a byte after which the tunnel is taken for a server-first protocol (PR-03). */
const DETECT_TIMEOUT_MS = 1_000;

/** What serves the HTTP inside: a codec connection of the same manager. */
type InnerConnection = Pick<
  ServerConnection,
  'receive' | 'receiveEnd' | 'close' | 'onTransportDrain' | 'drain'
>;

/**
 * The inside of a CONNECT request in explicit-proxy mode. The first bytes decide: HTTP goes to a
 * new connection of the same manager, whose transport this is; anything else is passed on as it is.
 *
 *   outer stream ──onData──▶ detecting ──▶ HTTP:   connection.receive ──▶ write ──▶ outer stream
 *                                      └──▶ opaque: OpaqueTunnel
 */
export class InnerTunnel implements Tunnel, CollectingTransport, TimerOwner {
  readonly #outer: ActiveStream;
  readonly #detectTimer = new Timer(this, 0);
  /** Bytes that are too few to decide by: fewer than a method has. */
  #undecided: Buffer = NO_BYTES;
  #decided = false;
  #closed = false;
  #ended = false;
  /** Asked to be flushed at the end of the turn, null = nobody. */
  #source: WriteSource | null = null;
  #inner: InnerConnection | null = null;
  #opaque: OpaqueTunnel | null = null;

  constructor(outer: ActiveStream) {
    this.#outer = outer;
  }

  // --- the outer stream -----------------------------------------------------------------------

  onOpen(): void {
    if (!this.#decided) this.#outer.timers.arm(this.#detectTimer, DETECT_TIMEOUT_MS);
  }

  onData(chunk: Buffer, endStream: boolean): void {
    if (this.#closed) return;
    if (!this.#decided) {
      this.#detect(chunk, endStream);
      return;
    }
    this.#pass(chunk, endStream);
  }

  #detect(chunk: Buffer, endStream: boolean): void {
    const bytes = this.#undecided.length === 0 ? chunk : Buffer.concat([this.#undecided, chunk]);
    const protocol = detectInnerProtocol(bytes);
    if (protocol === 'undecided' && !endStream) {
      this.#undecided = bytes;
      return;
    }
    this.#undecided = NO_BYTES;
    this.#decide(protocol === 'http');
    this.#pass(bytes, endStream);
  }

  #pass(chunk: Buffer, endStream: boolean): void {
    if (this.#opaque !== null) {
      this.#opaque.write(chunk, endStream);
      return;
    }
    if (chunk.length > 0) this.#inner?.receive(chunk);
    if (endStream && !this.#closed) this.#inner?.receiveEnd();
  }

  onTimer(): void {
    if (this.#closed || this.#decided) return;
    const bytes = this.#undecided;
    this.#undecided = NO_BYTES;
    this.#decide(false);
    if (bytes.length > 0) this.#pass(bytes, false);
  }

  #decide(http: boolean): void {
    this.#decided = true;
    const outer = this.#outer;
    outer.timers.cancel(this.#detectTimer);
    if (!http) {
      this.#opaque = new OpaqueTunnel(outer);
      this.#opaque.connect();
      return;
    }
    // The requests inside have a record each, and the inner connection has timers of its own.
    outer.unlogged = true;
    outer.setIdleTimeout(0);
    const { manager, info } = outer.connection;
    this.#inner = manager.acceptInner(this, info, outer.head.authority);
  }

  onDrain(): void {
    if (this.#opaque !== null) this.#opaque.onDownstreamDrain();
    else this.#inner?.onTransportDrain();
  }

  onClose(detail: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#outer.timers.cancel(this.#detectTimer);
    this.#opaque?.close();
    this.#inner?.close(detail);
  }

  // --- the transport of the inner connection --------------------------------------------------

  write(bytes: Buffer | string): boolean {
    if (this.#closed || this.#ended) return true;
    const chunk = typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes;
    return this.#outer.writeTunnel(chunk, false);
  }

  flushLater(source: WriteSource): void {
    this.#source = source;
    flushAtEndOfTurn(this);
  }

  /** The end of the turn. */
  flush(): void {
    const source = this.#source;
    this.#source = null;
    source?.flush();
  }

  end(): void {
    if (this.#closed || this.#ended) return;
    // What has been collected was written before.
    this.flush();
    this.#ended = true;
    this.#outer.writeTunnel(NO_BYTES, true);
  }

  /** The outer stream passes the end on; the client closes, and that closes both. */
  closeAfterFlush(): void {
    this.end();
  }

  abort(): void {
    this.destroy();
  }

  destroy(): void {
    if (this.#closed) return;
    this.#outer.resetTunnel();
  }

  pauseReading(): void {
    this.#outer.pauseRequest();
  }

  resumeReading(): void {
    this.#outer.resumeRequest();
  }

  /** The outer stream counts what it holds; its back-pressure speaks through `write`. */
  get bufferedBytes(): number {
    return 0;
  }
}

const NO_BYTES = Buffer.alloc(0);
