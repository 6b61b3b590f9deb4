import type { RequestHead } from '../http/message.ts';
import type { BodySink, ServerConnection, ServerHandler, ServerStream } from '../http/stream.ts';
import type { CollectingTransport } from '../http/transport.ts';
import { RequestRecord, ResponseFlag } from '../observe/request-record.ts';
import { Http2Timers, type Http2TimersOwner } from '../tcp/http2-timers.ts';
import { Timer, type TimerOwner } from '../tcp/timer-list.ts';
import { isHttp2Alpn } from '../tls/http2-alpn.ts';
import type { DownstreamConnectionInfo } from '../tls/peer-certificate.ts';
import { ActiveStream } from './active-stream.ts';
import type { ConnectionManagerConfig } from './connection-manager-config.ts';
import { type DownstreamCodec, detectPreface, http1Codec, http2Codec } from './downstream-codec.ts';
import type { ConnectionManagerDeps, HttpConnectionManager } from './http-connection-manager.ts';
import { clientCertElement } from './xfcc.ts';

const TimerId = { Wait: 0, Duration: 1, Drain: 2 } as const;

/** What the connection waits for between requests. */
type Waiting = 'nothing' | 'request' | 'head';

/**
 * One downstream connection of a connection manager: its codec, what its requests share, and the
 * timers that belong to no request (idle, request head, duration). An exception below here is a bug;
 * it is caught here, reported, and costs this connection only.
 *
 * HTTP/2 is told by ALPN, or by its preface where ALPN does not say and the configuration leaves it open
 * (PR-02): until the first bytes have come the codec is that of HTTP/1.1, to which nothing has been given.
 */
export class DownstreamConnection
  implements ServerConnection, ServerHandler, TimerOwner, Http2TimersOwner
{
  readonly manager: HttpConnectionManager;
  readonly info: DownstreamConnectionInfo;
  readonly originalDestination: string;
  /** Port of the CONNECT tunnel that this connection runs in; 0 = in none. */
  readonly tunnelPort: number;
  readonly clientCertElement: string;
  readonly #transport: CollectingTransport;
  #codec: DownstreamCodec;
  /** Of HTTP/2, else null. */
  #http2Timers: Http2Timers | null = null;
  /** The first bytes will say which codec it is. */
  #undecided: boolean;
  /** Bytes that could be the start of the preface and are too few to say. */
  #held: Buffer = NO_BYTES;
  readonly #waitTimer = new Timer(this, TimerId.Wait);
  #durationTimer: Timer | null = null;
  /** Of HTTP/2: the time for the answer to the PING of the first GOAWAY. */
  #drainTimer: Timer | null = null;
  #waiting: Waiting = 'nothing';
  #closed = false;
  #draining = false;

  constructor(
    manager: HttpConnectionManager,
    transport: CollectingTransport,
    info: DownstreamConnectionInfo,
    originalDestination: string,
    tunnelPort: number,
  ) {
    this.manager = manager;
    this.info = info;
    this.originalDestination = originalDestination;
    this.tunnelPort = tunnelPort;
    this.clientCertElement = clientCertElement(manager.config, info);
    this.#transport = transport;
    const { codecType } = manager.config;
    this.#codec = http1Codec(manager, transport, this, info.tls);
    this.#undecided = codecType === 'AUTO' && !namesHttp1(info.alpnProtocol);
    if (codecType === 'HTTP2' || (codecType === 'AUTO' && isHttp2Alpn(info.alpnProtocol))) {
      this.#becomeHttp2();
    } else if (!this.#undecided) {
      this.#countHttp1();
    }
    const { connectionDurationMaxMs } = manager.config;
    if (connectionDurationMaxMs > 0) {
      this.#durationTimer = new Timer(this, TimerId.Duration);
      this.deps.timers.arm(this.#durationTimer, connectionDurationMaxMs);
    }
    manager.stats.connectionsTotal.value++;
    manager.stats.connectionsActive.value++;
    this.#updateWait();
  }

  get config(): ConnectionManagerConfig {
    return this.manager.config;
  }

  get deps(): ConnectionManagerDeps {
    return this.manager.deps;
  }

  get activeStreams(): number {
    return this.#codec.activeStreams;
  }

  // --- from the listener ----------------------------------------------------------------------

  receive(bytes: Buffer): void {
    try {
      if (this.#undecided) this.#receiveFirst(bytes);
      else this.#codec.receive(bytes);
    } catch (error) {
      this.#onBug(error);
    }
    this.#updateWait();
  }

  receiveEnd(): void {
    try {
      if (this.#held.length > 0) this.#decide('http1', this.#held);
      this.#codec.receiveEnd();
    } catch (error) {
      this.#onBug(error);
    }
    this.#updateWait();
  }

  #receiveFirst(bytes: Buffer): void {
    const first = this.#held.length === 0 ? bytes : Buffer.concat([this.#held, bytes]);
    const protocol = detectPreface(first);
    if (protocol === 'undecided') this.#held = Buffer.from(first);
    else this.#decide(protocol, first);
  }

  #decide(protocol: 'http1' | 'http2', first: Buffer): void {
    this.#held = NO_BYTES;
    if (protocol === 'http2') this.#becomeHttp2();
    else this.#countHttp1();
    this.#undecided = false;
    this.#codec.receive(first);
  }

  #countHttp1(): void {
    this.manager.stats.connectionsHttp1.value++;
    this.manager.stats.connectionsHttp1Active.value++;
  }

  #becomeHttp2(): void {
    const { manager } = this;
    this.#undecided = false;
    const timers = new Http2Timers(this, this.deps.timers, manager.config.http2);
    const codec = http2Codec(manager, this.#transport, this, timers);
    timers.attach(codec);
    this.#http2Timers = timers;
    this.#codec = codec;
    manager.stats.connectionsHttp2.value++;
    manager.stats.connectionsHttp2Active.value++;
    if (this.#draining) this.#drainHttp2();
  }

  close(detail: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#countClosed();
    try {
      this.#codec.close(detail);
    } catch (error) {
      this.deps.onBug(error);
    }
    this.#cancelTimers();
  }

  #countClosed(): void {
    const { stats } = this.manager;
    stats.connectionsActive.value--;
    if (this.#http2Timers !== null) stats.connectionsHttp2Active.value--;
    else if (!this.#undecided) stats.connectionsHttp1Active.value--;
  }

  onTransportDrain(): void {
    try {
      this.#codec.onTransportDrain();
    } catch (error) {
      this.#onBug(error);
    }
  }

  /**
   * HTTP/1.1: the next response says `connection: close`. A connection that is idle now is not closed
   * under the client's hands: its next request may be on the wire already (OP-05, D19). It is closed once
   * it has been idle for `drainTimeoutMs`: it holds a configuration that is no longer in force. HTTP/2 says
   * GOAWAY at once, in two steps by which no request is lost.
   */
  drain(): void {
    if (this.#draining) return;
    this.#draining = true;
    if (this.#http2Timers !== null) this.#drainHttp2();
    else if (this.#codec.state !== 'idle') this.#codec.drain();
    this.#updateWait();
  }

  /** A client that does not answer the PING is told its last stream after the drain time. */
  #drainHttp2(): void {
    this.#drainTimer ??= new Timer(this, TimerId.Drain);
    this.deps.timers.arm(this.#drainTimer, Math.max(1, this.config.drainTimeoutMs));
    this.#codec.drain();
  }

  #onBug(error: unknown): void {
    this.deps.onBug(error);
    this.#transport.destroy();
    this.close('internal error');
  }

  // --- from the codec -------------------------------------------------------------------------

  onRequest(stream: ServerStream, head: RequestHead, endStream: boolean): BodySink {
    // HTTP/2 has said GOAWAY already, and takes what was on its way.
    if (this.#draining && this.#http2Timers === null) this.#codec.drain();
    const active = new ActiveStream(this, stream, head, endStream);
    active.begin();
    return active;
  }

  /** The peer broke the protocol where no request was open: one line in the log all the same. */
  onProtocolError(status: number, detail: string): void {
    this.manager.stats.protocolErrors.value++;
    this.#logRefusal(status, detail, ResponseFlag.DPE);
  }

  /** From a stream that is over. */
  onStreamEnd(): void {
    this.#updateWait();
  }

  // --- from the timers of HTTP/2 --------------------------------------------------------------

  onFlood(kind: number): void {
    this.manager.stats.countFlood(kind);
  }

  onKeepaliveTimeout(): void {
    this.manager.stats.keepaliveTimeouts.value++;
    this.#transport.destroy();
  }

  // --- timers ---------------------------------------------------------------------------------

  /** After whatever may have changed what the codec is doing. */
  #updateWait(): void {
    const state = this.#held.length > 0 ? 'head' : this.#codec.state;
    const waiting: Waiting =
      this.#closed || state === 'closed'
        ? 'nothing'
        : state === 'idle'
          ? 'request'
          : state === 'head'
            ? 'head'
            : 'nothing';
    // A head has one deadline, however slowly its bytes come (A1.9); idleness begins anew.
    if (waiting === this.#waiting && waiting !== 'request') return;
    this.#waiting = waiting;
    const { config, deps } = this;
    switch (waiting) {
      case 'request':
        deps.timers.arm(this.#waitTimer, this.#idleMs());
        return;
      case 'head':
        deps.timers.arm(this.#waitTimer, config.requestHeadersTimeoutMs);
        return;
      case 'nothing':
        deps.timers.cancel(this.#waitTimer);
    }
  }

  /** Milliseconds between requests; 0 = without end. */
  #idleMs(): number {
    const { idleTimeoutMs, drainTimeoutMs } = this.config;
    if (!this.#draining) return idleTimeoutMs;
    const drainMs = Math.max(1, drainTimeoutMs);
    return idleTimeoutMs === 0 ? drainMs : Math.min(idleTimeoutMs, drainMs);
  }

  onTimer(id: number): void {
    // A timer of HTTP/2 may have ended it since.
    if (this.#closed || this.#codec.state === 'closed') return;
    if (id === TimerId.Wait && this.#waiting === 'head') {
      this.#codec.refuse(408);
      this.manager.stats.headerTimeouts.value++;
      this.#logRefusal(408, 'request_header_timeout', 0);
    } else {
      const { stats } = this.manager;
      if (id === TimerId.Duration) stats.connectionsDurationReached.value++;
      else if (id === TimerId.Wait && !this.#draining) stats.connectionsIdleTimeout.value++;
      // Idle, or old enough: an exchange under way is finished first. HTTP/2 waits for the answer to a PING.
      if (this.#http2Timers === null) this.#codec.drain();
      else if (!this.#draining) this.drain();
      else if (id !== TimerId.Duration) this.#codec.drain();
    }
    this.#updateWait();
  }

  #cancelTimers(): void {
    this.#http2Timers?.stop();
    this.deps.timers.cancel(this.#waitTimer);
    if (this.#durationTimer !== null) this.deps.timers.cancel(this.#durationTimer);
    if (this.#drainTimer !== null) this.deps.timers.cancel(this.#drainTimer);
  }

  #logRefusal(status: number, details: string, flags: number): void {
    const { deps } = this;
    const now = deps.timers.clock.nowMs();
    const record = new RequestRecord(deps.wallClockMs(), now, this.info);
    record.protocol = this.#http2Timers === null ? 'HTTP/1.1' : 'HTTP/2';
    record.status = status;
    record.flags = flags;
    record.responseCodeDetails = details;
    record.responseStartMs = now;
    record.endMs = now;
    this.manager.log(record);
  }
}

/** TLS has agreed on HTTP/1, so that a preface would be an error. */
function namesHttp1(alpnProtocol: string): boolean {
  return alpnProtocol.includes('http/1');
}

const NO_BYTES = Buffer.alloc(0);
