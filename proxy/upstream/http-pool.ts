import type { RequestHead } from '../http/message.ts';
import { Http1ClientConnection } from '../http1/client-connection.ts';
import { type Http2ClientOptions, http2ClientOptions } from '../http2/connection-options.ts';
import type { FloodKind } from '../http2/flood-guard.ts';
import type { SocketTransport } from '../tcp/socket-transport.ts';
import type { UpstreamTlsConfig } from '../tls/tls-config.ts';
import type { CircuitBreaker } from './circuit-breaker.ts';
import type { ClusterConfig } from './cluster-config.ts';
import type { ClusterStats } from './cluster-stats.ts';
import { ConnectAttempt, type ConnectedInfo, type ConnectorDeps } from './connector.ts';
import { HttpConnection, type HttpConnectionOwner, isExtendedConnect } from './http-connection.ts';
import { type PoolProtocol, poolTls, speaksHttp2 } from './pool-protocol.ts';
import type { PendingStream, StreamFailure, UpstreamSink } from './upstream.ts';
import type { UpstreamEndpoint } from './upstream-endpoint.ts';

/** What the pools of a cluster share. */
export interface PoolShared {
  readonly config: ClusterConfig;
  readonly breaker: CircuitBreaker;
  readonly stats: ClusterStats;
  readonly deps: ConnectorDeps;
}

/**
 * The HTTP connections to one endpoint that speak one version, or what ALPN agrees on.
 *
 * ```
 * openStream ─▶ ready (LIFO) ──────────────▶ request on a warm connection
 *            └▶ pending (FIFO, bounded) ─▶ connecting… ─▶ ready
 *                                    └─▶ failed: all pending fail with it, as in Envoy
 * ```
 *
 * The most recently used connection goes first, so that the others reach their idle timeout. Of HTTP/2 connections
 * one is opened ahead: when the last with room is nearly full, and when the one in use takes no new request any more
 * (GOAWAY, a limit of requests), so that its successor is there when the next request comes.
 *
 * An upgrade needs to know that the peer takes it (RFC 8441 §3): on a new HTTP/2 connection it stays pending until the
 * SETTINGS have come, and fails with a connection that ends before.
 */
export class HttpPool implements HttpConnectionOwner {
  readonly #endpoint: UpstreamEndpoint;
  readonly #shared: PoolShared;
  readonly #protocol: PoolProtocol;
  /** Requests that a connection on its way will probably take at once; learned from the last one. */
  #streamsExpected: number;
  /** Connections with room, the most recently used last. */
  readonly #ready: HttpConnection[] = [];
  readonly #connections = new Set<HttpConnection>();
  readonly #attempts = new Set<PoolAttempt>();
  #pending = new Set<PendingRequest>();
  /** Of them, upgrades: they wait for SETTINGS too, where those of a connection are on their way. */
  #pendingUpgrades = 0;
  /** Connections whose SETTINGS have not come. */
  readonly #greeting = new Set<HttpConnection>();

  constructor(endpoint: UpstreamEndpoint, shared: PoolShared, protocol: PoolProtocol) {
    this.#endpoint = endpoint;
    this.#shared = shared;
    this.#protocol = protocol;
    const http2 = protocol === 'HTTP2' || (protocol !== 'HTTP1' && endpoint.tls !== null);
    this.#streamsExpected = http2 ? STREAMS_ASSUMED : 1;
  }

  /** No connection, none on the way, nothing waiting. */
  get empty(): boolean {
    return this.#connections.size + this.#attempts.size + this.#pending.size === 0;
  }

  openStream(head: RequestHead, endStream: boolean, sink: UpstreamSink): PendingStream {
    const { breaker, stats } = this.#shared;
    if (!breaker.requestsOpen) {
      stats.requestsPendingOverflow.value++;
      sink.onStreamFailure('overflow', 'max_requests');
      return NOTHING_PENDING;
    }
    const connection = this.#takeReady();
    if (connection?.takes(head)) {
      this.#start(connection, head, endStream, sink);
      return NOTHING_PENDING;
    }
    if (!breaker.pendingOpen) {
      stats.requestsPendingOverflow.value++;
      sink.onStreamFailure('overflow', 'max_pending_requests');
      return NOTHING_PENDING;
    }
    stats.requestsPendingTotal.value++;
    const pending = new PendingRequest(this, head, endStream, sink);
    breaker.pendingRequests++;
    this.#pending.add(pending);
    if (isExtendedConnect(head)) this.#pendingUpgrades++;
    this.#connectAsNeeded();
    return pending;
  }

  /** For `PendingRequest` only. */
  cancelPending(pending: PendingRequest): void {
    if (!this.#removePending(pending)) return;
    this.#shared.breaker.pendingRequests--;
    // A connection on its way that nobody waits for any more is finished all the same: the next request has it.
  }

  /**
   * Lets what is under way end; idle connections close now. Requests after it, and those that wait,
   * get new connections: what was on its way was started with settings that may not hold any more.
   */
  drain(): void {
    for (const attempt of this.#attempts) attempt.cancel();
    this.#shared.breaker.connections -= this.#attempts.size;
    this.#attempts.clear();
    for (const connection of [...this.#connections]) this.#retire(connection);
    this.#connectAsNeeded();
  }

  /** Ends everything now; for shutdown. */
  destroy(): void {
    for (const attempt of this.#attempts) attempt.cancel();
    this.#shared.breaker.connections -= this.#attempts.size;
    this.#attempts.clear();
    for (const connection of [...this.#connections]) connection.transport.destroy();
    this.#failPending('connectionFailure', 'cluster removed');
  }

  onStreamsEnded(connection: HttpConnection, ended: number): void {
    if (ended > 0) {
      this.#shared.breaker.requests -= ended;
      this.#endpoint.active -= ended;
    }
    if (connection.retired || !connection.codec.reusable) {
      const wasReady = connection.ready;
      this.#removeReady(connection);
      if (connection.streams === 0 && !connection.transport.destroyed) connection.retire();
      this.#connectAsNeeded();
      if (wasReady && connection.streams + ended > 0) this.#replaceInTime(connection);
      return;
    }
    if (!connection.awaitsSettings) this.#greeting.delete(connection);
    if (connection.usable) this.#makeReady(connection);
    else this.#removeReady(connection);
  }

  onConnectionFlood(kind: number): void {
    this.#shared.stats.floods.count(kind as FloodKind);
  }

  onConnectionClosed(connection: HttpConnection): void {
    if (!this.#connections.delete(connection)) return;
    const { breaker, stats, deps } = this.#shared;
    deps.timers.cancel(connection.idleTimer);
    this.#removeReady(connection);
    breaker.connections--;
    this.#endpoint.connectionsActive--;
    stats.connectionsDestroyed.value++;
    stats.bytesReceived.value += connection.transport.bytesReceived;
    stats.bytesSent.value += connection.transport.bytesSent;
    if (this.#greeting.delete(connection) && this.#greeting.size === 0) this.#failUpgrades();
    this.#connectAsNeeded();
  }

  onConnectionIdle(connection: HttpConnection): void {
    if (connection.streams > 0) return;
    this.#shared.stats.connectionsIdleTimeout.value++;
    this.#retire(connection);
  }

  /** For `PoolAttempt` only. */
  onConnected(attempt: PoolAttempt, transport: SocketTransport, info: ConnectedInfo): void {
    this.#attempts.delete(attempt);
    this.#endpoint.connectionsActive++;
    const { config, deps } = this.#shared;
    const connection = new HttpConnection(transport, info, this, deps.timers, {
      http2: speaksHttp2(this.#protocol, info.alpnProtocol),
      http2Options: clientOptions(config, deps),
      keepalive: config.http2,
    });
    this.#streamsExpected = Math.max(1, connection.codec.capacity);
    this.#connections.add(connection);
    if (connection.awaitsSettings) this.#greeting.add(connection);
    transport.attach(connection);
    this.#makeReady(connection);
    this.#connectAsNeeded();
  }

  /** For `PoolAttempt` only. */
  onConnectFailed(attempt: PoolAttempt, failure: StreamFailure, detail: string): void {
    const { breaker, stats } = this.#shared;
    this.#attempts.delete(attempt);
    breaker.connections--;
    this.#endpoint.connectFailures++;
    stats.connectFails.value++;
    if (failure === 'connectTimeout') stats.connectTimeouts.value++;
    if (detail.startsWith('SAN mismatch')) stats.tlsFails.value++;
    this.#failPending(failure, detail);
  }

  #takeReady(): HttpConnection | null {
    const ready = this.#ready;
    while (ready.length > 0) {
      const connection = ready[ready.length - 1]!;
      if (connection.usable && !connection.transport.destroyed) return connection;
      connection.ready = false;
      ready.pop();
    }
    return null;
  }

  #start(
    connection: HttpConnection,
    head: RequestHead,
    endStream: boolean,
    sink: UpstreamSink,
  ): void {
    const { breaker, stats, deps, config } = this.#shared;
    deps.timers.cancel(connection.idleTimer);
    const stream = connection.request(head, endStream, sink);
    if (stream === null) {
      this.#armIdle(connection);
      return;
    }
    breaker.requests++;
    this.#endpoint.active++;
    this.#endpoint.requestsTotal++;
    stats.requestsTotal.value++;
    const limit = config.requestsPerConnectionMax;
    if (limit > 0 && connection.requests >= limit && !connection.retired) {
      stats.connectionsMaxRequests.value++;
      connection.retired = true;
    }
    if (!connection.usable) this.#removeReady(connection);
    if (connection.isHttp2) this.#openAhead(connection);
    sink.onStreamReady(stream, connection.info);
    connection.info.reused = true;
  }

  /** The last connection with room is nearly full: the next one is opened before it is needed. */
  #openAhead(connection: HttpConnection): void {
    const left = connection.usable ? connection.codec.capacity : 0;
    if (left * 4 > connection.streams || this.#attempts.size > 0) return;
    if (this.#ready.length > (connection.ready ? 1 : 0)) return;
    if (this.#shared.breaker.connectionsOpen && !this.#endpoint.removed) this.#startAttempt();
  }

  /** A connection in use takes nothing new: its successor is on its way before the next request. */
  #replaceInTime(connection: HttpConnection): void {
    if (!connection.isHttp2 || this.#ready.length + this.#attempts.size > 0) return;
    if (this.#shared.breaker.connectionsOpen && !this.#endpoint.removed) this.#startAttempt();
  }

  #makeReady(connection: HttpConnection): void {
    if (!connection.ready) {
      connection.ready = true;
      this.#ready.push(connection);
    }
    const { breaker, stats } = this.#shared;
    for (const next of this.#pending) {
      if (!connection.usable) break;
      // A sink may have made the others fail, or wait anew, from within.
      if (!connection.takes(next.head) || !this.#removePending(next)) continue;
      breaker.pendingRequests--;
      if (breaker.requestsOpen) {
        this.#start(connection, next.head, next.endStream, next.sink);
      } else {
        // Waiting on would depend on streams of other endpoints, which do not call back here.
        stats.requestsPendingOverflow.value++;
        next.sink.onStreamFailure('overflow', 'max_requests');
      }
    }
    if (connection.streams > 0) return;
    // The endpoint left while the connection was made: nobody will ask for it again.
    if (this.#endpoint.removed) this.#retire(connection);
    else this.#armIdle(connection);
  }

  /** No new request; closed now where it is idle, else after its last stream. */
  #retire(connection: HttpConnection): void {
    this.#removeReady(connection);
    connection.retire();
  }

  #armIdle(connection: HttpConnection): void {
    const { config, deps } = this.#shared;
    let idleMs = config.idleTimeoutMs;
    const { codec } = connection;
    if (codec instanceof Http1ClientConnection && codec.peerKeepAliveTimeoutMs > 0) {
      // Closing before the peer does keeps requests out of its race (D4).
      const beforePeerMs = Math.max(codec.peerKeepAliveTimeoutMs - KEEP_ALIVE_MARGIN_MS, 1);
      idleMs = idleMs === 0 ? beforePeerMs : Math.min(idleMs, beforePeerMs);
    }
    deps.timers.arm(connection.idleTimer, idleMs);
  }

  #removeReady(connection: HttpConnection): void {
    if (!connection.ready) return;
    connection.ready = false;
    const at = this.#ready.lastIndexOf(connection);
    if (at >= 0) this.#ready.splice(at, 1);
  }

  #removePending(pending: PendingRequest): boolean {
    if (!this.#pending.delete(pending)) return false;
    if (isExtendedConnect(pending.head)) this.#pendingUpgrades--;
    return true;
  }

  /** Requests that wait for a connection, and not only for what one is about to say. */
  get #waiting(): number {
    return this.#pending.size - (this.#greeting.size > 0 ? this.#pendingUpgrades : 0);
  }

  /** Connections on their way with room for all requests that wait. */
  #connectAsNeeded(): void {
    const { breaker, stats } = this.#shared;
    while (this.#waiting > this.#attempts.size * this.#streamsExpected) {
      if (!breaker.connectionsOpen) {
        stats.connectionsOverflow.value++;
        // Other endpoints hold all connections: one is allowed, or the requests would wait for ever.
        if (this.#connections.size + this.#attempts.size > 0) return;
      }
      this.#startAttempt();
    }
  }

  #startAttempt(): void {
    const { breaker, stats, deps, config } = this.#shared;
    const endpoint = this.#endpoint;
    const tls = poolTls(endpoint.tls, this.#protocol);
    const attempt = new PoolAttempt(this, endpoint, tls, config, deps);
    this.#attempts.add(attempt);
    breaker.connections++;
    stats.connectionsTotal.value++;
    endpoint.connectionsTotal++;
    attempt.start();
  }

  /** To try again here could be to try for ever: the peer may not speak HTTP/2 at all. */
  #failUpgrades(): void {
    if (this.#pendingUpgrades === 0) return;
    for (const pending of [...this.#pending]) {
      if (!isExtendedConnect(pending.head) || !this.#removePending(pending)) continue;
      this.#shared.breaker.pendingRequests--;
      this.#shared.stats.requestsPendingFailureEject.value++;
      pending.sink.onStreamFailure('connectionFailure', 'closed before SETTINGS');
    }
  }

  #failPending(failure: StreamFailure, detail: string): void {
    const failed = this.#pending;
    if (failed.size === 0) return;
    // Sinks may ask again at once; what they ask for stands in the new set.
    this.#pending = new Set();
    this.#pendingUpgrades = 0;
    this.#shared.breaker.pendingRequests -= failed.size;
    this.#shared.stats.requestsPendingFailureEject.value += failed.size;
    for (const pending of failed) {
      if (!pending.cancelled) pending.sink.onStreamFailure(failure, detail);
    }
  }
}

/** Requests that an HTTP/2 peer is thought to take before its SETTINGS have come. */
const STREAMS_ASSUMED = 100;

/** Made once for a configuration: connections share them. */
const optionsMade = new WeakMap<ClusterConfig, Http2ClientOptions>();

function clientOptions(config: ClusterConfig, deps: ConnectorDeps): Http2ClientOptions {
  let options = optionsMade.get(config);
  if (options === undefined) {
    const { streamsMax, streamWindowBytes, connectionWindowBytes } = config.http2;
    options = http2ClientOptions({
      streamWindowBytes,
      connectionWindowBytes,
      ...(streamsMax === 0 ? {} : { streamsMax }),
      nowMs: () => deps.timers.clock.nowMs(),
    });
    optionsMade.set(config, options);
  }
  return options;
}

/** A peer that says `keep-alive: timeout=5` is not used after 4.5 s of rest. */
const KEEP_ALIVE_MARGIN_MS = 500;

/** A request that waits for a connection. */
class PendingRequest implements PendingStream {
  readonly #pool: HttpPool;
  readonly head: RequestHead;
  readonly endStream: boolean;
  readonly sink: UpstreamSink;
  cancelled = false;

  constructor(pool: HttpPool, head: RequestHead, endStream: boolean, sink: UpstreamSink) {
    this.#pool = pool;
    this.head = head;
    this.endStream = endStream;
    this.sink = sink;
  }

  cancel(): void {
    this.cancelled = true;
    this.#pool.cancelPending(this);
  }
}

/** A connection on its way into the pool. */
class PoolAttempt {
  readonly #attempt: ConnectAttempt;

  constructor(
    pool: HttpPool,
    endpoint: UpstreamEndpoint,
    tls: UpstreamTlsConfig | null,
    config: ClusterConfig,
    deps: ConnectorDeps,
  ) {
    this.#attempt = new ConnectAttempt(
      deps,
      {
        host: endpoint.host,
        port: endpoint.port,
        tls,
        connectTimeoutMs: config.connectTimeoutMs,
        bindAddresses: config.bindAddresses,
        tcpKeepaliveMs: config.tcpKeepaliveMs,
      },
      {
        onConnected: (transport, info) => pool.onConnected(this, transport, info),
        onConnectFailed: (failure, detail) => pool.onConnectFailed(this, failure, detail),
      },
    );
  }

  start(): void {
    this.#attempt.start();
  }

  cancel(): void {
    this.#attempt.cancel();
  }
}

const NOTHING_PENDING: PendingStream = Object.freeze({ cancel: () => {} });
