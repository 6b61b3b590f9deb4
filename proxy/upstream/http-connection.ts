import type { RequestHead } from '../http/message.ts';
import type {
  ClientConnection,
  ClientConnectionListener,
  ClientStream,
  ResponseSink,
} from '../http/stream.ts';
import { Http1ClientConnection, http1ClientOptions } from '../http1/client-connection.ts';
import type { SocketTransport, TransportReceiver } from '../tcp/socket-transport.ts';
import { Timer, type TimerOwner } from '../tcp/timer-list.ts';
import type { ConnectedInfo } from './connector.ts';

/** What a pool is told by its connections. */
export interface HttpConnectionOwner {
  /** `ended` ≥ 0 streams are over; the connection may have room again or have become unusable. */
  onStreamsEnded(connection: HttpConnection, ended: number): void;
  onConnectionClosed(connection: HttpConnection): void;
  onConnectionIdle(connection: HttpConnection): void;
}

/**
 * A pooled connection: socket, codec and the count of its streams. Knows nothing of versions beyond
 * `makeCodec`; a codec with many streams a connection only answers a larger `capacity`.
 */
export class HttpConnection implements TransportReceiver, ClientConnectionListener, TimerOwner {
  readonly transport: SocketTransport;
  readonly info: ConnectedInfo;
  readonly codec: ClientConnection;
  readonly #owner: HttpConnectionOwner;
  readonly idleTimer: Timer = new Timer(this, 0);
  /** Streams that the owner counts as under way. */
  streams = 0;
  /** Requests carried so far. */
  requests = 0;
  /** Takes no new request: retired by count, drained, or broken. */
  retired = false;
  /** Stands in its pool's list of connections with room. */
  ready = false;

  constructor(transport: SocketTransport, info: ConnectedInfo, owner: HttpConnectionOwner) {
    this.transport = transport;
    this.info = info;
    this.#owner = owner;
    this.codec = makeCodec(transport, info, this);
  }

  get usable(): boolean {
    return !this.retired && this.codec.reusable && this.codec.capacity > 0;
  }

  /** Null: the codec refused the request and has told the sink already. */
  request(head: RequestHead, endStream: boolean, sink: ResponseSink): ClientStream | null {
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

  close(detail: string): void {
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
}

/** By ALPN. HTTP/2 joins here: `istio-h2` and `h2` make its codec. */
function makeCodec(
  transport: SocketTransport,
  _info: ConnectedInfo,
  listener: ClientConnectionListener,
): ClientConnection {
  return new Http1ClientConnection(transport, listener, HTTP1_OPTIONS);
}

const HTTP1_OPTIONS = http1ClientOptions();
