import { setHeader } from '../http/header-block.ts';
import type { RequestHead } from '../http/message.ts';
import type { ClientConnectionListener, ClientStream, ResponseSink } from '../http/stream.ts';
import { Http1ClientConnection, http1ClientOptions } from '../http1/client-connection.ts';
import { Http2ClientConnection } from '../http2/client-connection.ts';
import type { Http2ClientOptions } from '../http2/connection-options.ts';
import { type Http2Keepalive, Http2Timers, type Http2TimersOwner } from '../tcp/http2-timers.ts';
import type { SocketTransport, TransportReceiver } from '../tcp/socket-transport.ts';
import { Timer, type TimerLists, type TimerOwner } from '../tcp/timer-list.ts';
import { SHARED_HTTP2_ALPN } from '../tls/http2-alpn.ts';
import type { ConnectedInfo } from './connector.ts';

/** What a pool is told by its connections. */
export interface HttpConnectionOwner {
  /** `ended` ≥ 0 streams are over; the connection may have room again or have become unusable. */
  onStreamsEnded(connection: HttpConnection, ended: number): void;
  onConnectionClosed(connection: HttpConnection): void;
  onConnectionIdle(connection: HttpConnection): void;
  /** The server overdid it; `kind` is a `FloodKind`. */
  onConnectionFlood(kind: number): void;
  /** The server did not answer a PING; the connection is about to be closed. */
  onConnectionSilent(): void;
}

/** How the codec of a new connection is made. */
export interface CodecChoice {
  readonly http2: boolean;
  readonly http2Options: Http2ClientOptions;
  /** PINGs, `connection_keepalive`. */
  readonly keepalive: Http2Keepalive;
  /** Requests that start at most before the server's SETTINGS have come: what the one before it allowed. */
  readonly streamsExpected: number;
}

/**
 * A pooled connection: socket, codec and the count of its streams. Beyond the choice of the codec nothing here
 * depends on the version: one with many streams a connection only answers a larger `capacity`.
 */
export class HttpConnection
  implements TransportReceiver, ClientConnectionListener, TimerOwner, Http2TimersOwner
{
  readonly transport: SocketTransport;
  readonly info: ConnectedInfo;
  readonly codec: Http1ClientConnection | Http2ClientConnection;
  /** The codec where it is HTTP/2, which ends with GOAWAY. */
  readonly #http2: Http2ClientConnection | null;
  readonly #http2Timers: Http2Timers | null;
  readonly #owner: HttpConnectionOwner;
  readonly #streamsExpected: number;
  /** The other sidecar has agreed to be told what requests were spoken in before they got here (PR-06). */
  readonly #tellsVersion: boolean;
  readonly idleTimer: Timer = new Timer(this, 0);
  /** Streams that the owner counts as under way. */
  streams = 0;
  /** Requests carried so far. */
  requests = 0;
  /** Whether there is load that needs another one when it ends: not where nobody used it, or could. */
  wanted = true;
  /** Takes no new request: retired by count, drained, or broken. */
  retired = false;
  /** Stands in its pool's list of connections with room. */
  ready = false;

  constructor(
    transport: SocketTransport,
    info: ConnectedInfo,
    owner: HttpConnectionOwner,
    timers: TimerLists,
    choice: CodecChoice,
  ) {
    this.transport = transport;
    this.info = info;
    this.#owner = owner;
    this.#streamsExpected = choice.streamsExpected;
    this.#tellsVersion = info.alpnProtocol === SHARED_HTTP2_ALPN;
    if (choice.http2) {
      this.#http2Timers = new Http2Timers(this, timers, choice.keepalive);
      this.#http2 = new Http2ClientConnection(
        transport,
        this,
        choice.http2Options,
        this.#http2Timers,
      );
      this.codec = this.#http2;
      this.#http2Timers.attach(this.#http2);
    } else {
      this.#http2Timers = null;
      this.#http2 = null;
      this.codec = new Http1ClientConnection(transport, this, HTTP1_OPTIONS);
    }
  }

  get isHttp2(): boolean {
    return this.#http2 !== null;
  }

  /** Requests that may start now. */
  get capacity(): number {
    const http2 = this.#http2;
    if (http2 === null || http2.settingsKnown) return this.codec.capacity;
    return Math.min(http2.capacity, Math.max(0, this.#streamsExpected - http2.activeStreams));
  }

  get usable(): boolean {
    return !this.retired && this.codec.reusable && this.capacity > 0;
  }

  /** Requests at once that the server has said it takes; -1 = it has not (HTTP/1.1: never does). */
  get streamsAllowed(): number {
    return this.#http2?.settingsKnown === true ? this.#http2.streamsAllowed : -1;
  }

  /** Its server may still say that it takes upgrades (RFC 8441): it has said nothing yet. */
  get awaitsSettings(): boolean {
    return this.#http2 !== null && !this.#http2.settingsKnown && this.#http2.reusable;
  }

  /** The server said that it ends the connection, and that was the reason why it ended. */
  get closeNotified(): boolean {
    const { closeDetail } = this.codec;
    return closeDetail === 'http2.goaway' || closeDetail === 'http1.connection_close';
  }

  /** Null: the codec refused the request and has told the sink already. */
  request(head: RequestHead, endStream: boolean, sink: ResponseSink): ClientStream | null {
    if (this.#tellsVersion && head.version !== 'HTTP/2') {
      setHeader(head.headers, 'x-weft-orig-proto', head.version);
    }
    const before = this.codec.activeStreams;
    // Counted first: the codec may answer from within `request`.
    this.streams++;
    const stream = this.codec.request(head, endStream, sink);
    if (this.codec.activeStreams === before && this.streams > before) {
      this.streams--;
      return null;
    }
    this.requests++;
    return stream;
  }

  receive(bytes: Buffer): void {
    this.codec.receive(bytes);
  }

  receiveEnd(): void {
    this.codec.receiveEnd();
  }

  /** No new request; ends when the last stream has, at once where there is none. HTTP/2 says GOAWAY. */
  retire(): void {
    this.retired = true;
    if (this.#http2 !== null) this.#http2.shutdown();
    else if (this.streams === 0) this.transport.closeAfterFlush();
  }

  close(detail: string): void {
    this.#http2Timers?.stop();
    this.codec.close(detail);
    this.retired = true;
    this.onStreamEnd();
    this.#owner.onConnectionClosed(this);
  }

  onTransportDrain(): void {
    this.codec.onTransportDrain();
  }

  onStreamEnd(): void {
    const ended = this.streams - this.codec.activeStreams;
    this.streams = this.codec.activeStreams;
    this.#owner.onStreamsEnded(this, ended);
  }

  onTimer(): void {
    this.#owner.onConnectionIdle(this);
  }

  onFlood(kind: number): void {
    this.#owner.onConnectionFlood(kind);
  }

  /** The peer is gone without a word: its streams end as they would with the connection. */
  onKeepaliveTimeout(): void {
    this.#owner.onConnectionSilent();
    this.transport.destroy();
  }
}

const HTTP1_OPTIONS = http1ClientOptions();
