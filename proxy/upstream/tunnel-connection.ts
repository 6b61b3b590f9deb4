import type { SocketTransport, TransportReceiver } from '../tcp/socket-transport.ts';
import { ConnectAttempt, type ConnectedInfo } from './connector.ts';
import type { PoolShared } from './http-pool.ts';
import { opaqueTls } from './opaque-tls.ts';
import type { PendingStream, StreamFailure, UpstreamTunnelSink } from './upstream.ts';
import type { UpstreamEndpoint } from './upstream-endpoint.ts';

/** A connection of its own for opaque bytes (TCP proxy, CONNECT), counted like the pooled ones. */
export class TunnelConnection implements PendingStream, TransportReceiver {
  readonly #endpoint: UpstreamEndpoint;
  readonly #shared: PoolShared;
  readonly #sink: UpstreamTunnelSink;
  readonly #attempt: ConnectAttempt;
  #transport: SocketTransport | null = null;
  #waiting = true;

  constructor(endpoint: UpstreamEndpoint, shared: PoolShared, sink: UpstreamTunnelSink) {
    this.#endpoint = endpoint;
    this.#shared = shared;
    this.#sink = sink;
    const { config, deps } = shared;
    this.#attempt = new ConnectAttempt(
      deps,
      {
        host: endpoint.host,
        port: endpoint.port,
        tls: opaqueTls(endpoint.tls),
        connectTimeoutMs: config.connectTimeoutMs,
        bindAddresses: config.bindAddresses,
        tcpKeepaliveMs: config.tcpKeepaliveMs,
      },
      {
        onConnected: (transport, info) => this.#onConnected(transport, info),
        onConnectFailed: (failure, detail) => this.#onConnectFailed(failure, detail),
      },
    );
  }

  start(): void {
    const { breaker, stats } = this.#shared;
    if (!breaker.connectionsOpen) {
      stats.connectionsOverflow.value++;
      this.#waiting = false;
      this.#sink.onFailure('overflow', 'max_connections');
      return;
    }
    breaker.connections++;
    stats.connectionsTotal.value++;
    this.#endpoint.connectionsTotal++;
    this.#attempt.start();
  }

  cancel(): void {
    if (!this.#waiting) return;
    this.#waiting = false;
    this.#shared.breaker.connections--;
    this.#attempt.cancel();
  }

  receive(bytes: Buffer): void {
    this.#sink.onData(bytes);
  }

  receiveEnd(): void {
    this.#sink.onEnd();
  }

  onTransportDrain(): void {
    this.#sink.onDrain();
  }

  close(detail: string): void {
    const { breaker, stats } = this.#shared;
    breaker.connections--;
    this.#endpoint.active--;
    this.#endpoint.connectionsActive--;
    stats.connectionsDestroyed.value++;
    stats.bytesReceived.value += this.#transport!.bytesReceived;
    stats.bytesSent.value += this.#transport!.bytesSent;
    this.#sink.onClose(detail);
  }

  #onConnected(transport: SocketTransport, info: ConnectedInfo): void {
    this.#waiting = false;
    this.#transport = transport;
    this.#endpoint.active++;
    this.#endpoint.connectionsActive++;
    this.#sink.onReady(transport, info);
    // Only now: what the server says first must find a sink that knows its transport.
    transport.attach(this);
  }

  #onConnectFailed(failure: StreamFailure, detail: string): void {
    const { breaker, stats } = this.#shared;
    this.#waiting = false;
    breaker.connections--;
    this.#endpoint.connectFailures++;
    stats.connectFails.value++;
    if (failure === 'connectTimeout') stats.connectTimeouts.value++;
    if (detail.startsWith('SAN mismatch')) stats.tlsFails.value++;
    this.#sink.onFailure(failure, detail);
  }
}
