import type { RequestHead } from '../http/message.ts';
import type { BodySink, ServerConnection, ServerHandler, ServerStream } from '../http/stream.ts';
import type { Transport } from '../http/transport.ts';
import { Http1ServerConnection } from '../http1/server-connection.ts';
import { RequestRecord, ResponseFlag } from '../observe/request-record.ts';
import { Timer, type TimerOwner } from '../tcp/timer-list.ts';
import type { DownstreamConnectionInfo } from '../tls/peer-certificate.ts';
import { ActiveStream } from './active-stream.ts';
import type { ConnectionManagerConfig } from './connection-manager-config.ts';
import type { ConnectionManagerDeps, HttpConnectionManager } from './http-connection-manager.ts';
import { clientCertElement } from './xfcc.ts';

const TimerId = { Wait: 0, Duration: 1 } as const;

/** What the connection waits for between requests. */
type Waiting = 'nothing' | 'request' | 'head';

/**
 * One downstream connection of a connection manager: its codec, what its requests share, and the
 * timers that belong to no request (idle, request head, duration). An exception below here is a bug;
 * it is caught here, reported, and costs this connection only.
 */
export class DownstreamConnection implements ServerConnection, ServerHandler, TimerOwner {
  readonly manager: HttpConnectionManager;
  readonly info: DownstreamConnectionInfo;
  readonly originalDestination: string;
  /** Port of the CONNECT tunnel that this connection runs in; 0 = in none. */
  readonly tunnelPort: number;
  readonly clientCertElement: string;
  readonly #transport: Transport;
  readonly #codec: Http1ServerConnection;
  readonly #waitTimer = new Timer(this, TimerId.Wait);
  #durationTimer: Timer | null = null;
  #waiting: Waiting = 'nothing';
  #closed = false;
  #draining = false;

  constructor(
    manager: HttpConnectionManager,
    transport: Transport,
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
    // The one codec so far; ALPN `h2` and the HTTP/2 preface choose here.
    this.#codec = new Http1ServerConnection(
      transport,
      this,
      info.tls ? manager.tlsCodecOptions : manager.plainCodecOptions,
    );
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
      this.#codec.receive(bytes);
    } catch (error) {
      this.#onBug(error);
    }
    this.#updateWait();
  }

  receiveEnd(): void {
    try {
      this.#codec.receiveEnd();
    } catch (error) {
      this.#onBug(error);
    }
    this.#updateWait();
  }

  close(detail: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.manager.stats.connectionsActive.value--;
    try {
      this.#codec.close(detail);
    } catch (error) {
      this.deps.onBug(error);
    }
    this.#cancelTimers();
  }

  onTransportDrain(): void {
    try {
      this.#codec.onTransportDrain();
    } catch (error) {
      this.#onBug(error);
    }
  }

  /**
   * The next response says `connection: close`. A connection that is idle now is not closed under
   * the client's hands: its next request may be on the wire already (OP-05, D19). It is closed once it
   * has been idle for `drainTimeoutMs`: it holds a configuration that is no longer in force.
   */
  drain(): void {
    this.#draining = true;
    if (this.#codec.state !== 'idle') this.#codec.drain();
    else this.#updateWait();
  }

  #onBug(error: unknown): void {
    this.deps.onBug(error);
    this.#transport.destroy();
    this.close('internal error');
  }

  // --- from the codec -------------------------------------------------------------------------

  onRequest(stream: ServerStream, head: RequestHead, endStream: boolean): BodySink {
    if (this.#draining) this.#codec.drain();
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

  // --- timers ---------------------------------------------------------------------------------

  /** After whatever may have changed what the codec is doing. */
  #updateWait(): void {
    const { state } = this.#codec;
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
    if (this.#closed) return;
    if (id === TimerId.Wait && this.#waiting === 'head') {
      this.#codec.refuse(408);
      this.manager.stats.headerTimeouts.value++;
      this.#logRefusal(408, 'request_header_timeout', 0);
    } else {
      // Idle, or old enough: an exchange under way is finished first.
      this.#codec.drain();
    }
    this.#updateWait();
  }

  #cancelTimers(): void {
    this.deps.timers.cancel(this.#waitTimer);
    if (this.#durationTimer !== null) this.deps.timers.cancel(this.#durationTimer);
  }

  #logRefusal(status: number, details: string, flags: number): void {
    const { deps } = this;
    const now = deps.timers.clock.nowMs();
    const record = new RequestRecord(deps.wallClockMs(), now, this.info);
    record.protocol = 'HTTP/1.1';
    record.status = status;
    record.flags = flags;
    record.responseCodeDetails = details;
    record.responseStartMs = now;
    record.endMs = now;
    this.manager.log(record);
  }
}
