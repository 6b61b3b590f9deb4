import type { RequestHead } from '../http/message.ts';
import { Http1ClientConnection } from '../http1/client-connection.ts';
import type { FloodKind } from '../http2/flood-guard.ts';
import type { SocketTransport } from '../tcp/socket-transport.ts';
import type { CircuitBreaker } from './circuit-breaker.ts';
import type { ClusterConfig } from './cluster-config.ts';
import type { ClusterStats } from './cluster-stats.ts';
import type { ConnectedInfo, ConnectorDeps } from './connector.ts';
import { HttpConnection, type HttpConnectionOwner } from './http-connection.ts';
import { clientOptions, keepaliveOf } from './http2-client-settings.ts';
import { PendingRequest } from './pending-request.ts';
import { PoolAttempt } from './pool-attempt.ts';
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
 */
export class HttpPool implements HttpConnectionOwner {
  readonly #endpoint: UpstreamEndpoint;
  readonly #shared: PoolShared;
  readonly protocol: PoolProtocol;
  /** Requests that a connection on its way will probably take at once; learned from the last one. */
  #streamsExpected: number;
  /** Connections with room, the most recently used last. */
  readonly #ready: HttpConnection[] = [];
  readonly #connections = new Set<HttpConnection>();
  readonly #attempts = new Set<PoolAttempt>();
  #pending = new Set<PendingRequest>();
  /** Upgrades that wait for a connection's SETTINGS, which may allow them (RFC 8441 §3). */
  readonly #awaitingSettings = new Set<PendingRequest>();
  /** When the latest request began, in milliseconds of the clock; -1 = none has. */
  #lastRequestMs = -1;

  constructor(endpoint: UpstreamEndpoint, shared: PoolShared, protocol: PoolProtocol) {
    this.#endpoint = endpoint;
    this.#shared = shared;
    this.protocol = protocol;
    const http2 = protocol === 'HTTP2' || (protocol !== 'HTTP1' && endpoint.tls !== null);
    this.#streamsExpected = http2 ? STREAMS_ASSUMED : 1;
  }

  /** No connection, none on the way, nothing waiting. */
  get empty(): boolean {
    return this.#connections.size + this.#attempts.size + this.#pending.size === 0;
  }

  /** Whether a request has begun within the last minute. */
  get hasLoad(): boolean {
    const { clock } = this.#shared.deps.timers;
    return this.#lastRequestMs >= 0 && clock.nowMs() - this.#lastRequestMs < LOAD_MS;
  }

  /** A connection before the first request, where there is none: the caller knows that requests will come. */
  warm(): void {
    if (this.empty && this.#shared.breaker.connectionsOpen) this.#startAttempt();
  }

  openStream(head: RequestHead, endStream: boolean, sink: UpstreamSink): PendingStream {
    const { breaker, stats } = this.#shared;
    if (!breaker.requestsOpen) {
      stats.requestsPendingOverflow.value++;
      sink.onStreamFailure('overflow', 'max_requests');
      return NOTHING_PENDING;
    }
    const connection = this.#takeReady();
    const awaits = connection !== null && mustAwaitSettings(connection, head);
    if (connection !== null && !awaits) {
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
    if (awaits) {
      pending.connection = connection;
      this.#awaitingSettings.add(pending);
    } else {
      this.#pending.add(pending);
      this.#connectAsNeeded();
    }
    return pending;
  }

  /** For `PendingRequest` only. */
  cancelPending(pending: PendingRequest): void {
    if (!this.#pending.delete(pending) && !this.#awaitingSettings.delete(pending)) return;
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
    for (const pending of this.#awaitingSettings) this.#pending.add(pending);
    this.#awaitingSettings.clear();
    this.#failPending('connectionFailure', 'cluster removed');
  }

  onStreamsEnded(connection: HttpConnection, ended: number): void {
    if (ended > 0) {
      this.#shared.breaker.requests -= ended;
      this.#endpoint.active -= ended;
    }
    const allowed = connection.streamsAllowed;
    if (allowed >= 0) this.#streamsExpected = Math.max(1, allowed);
    if (this.#awaitingSettings.size > 0) this.#endAwaiting(connection);
    if (connection.retired || !connection.codec.reusable) {
      const wasReady = connection.ready;
      this.#removeReady(connection);
      if (connection.streams === 0 && !connection.transport.destroyed) connection.retire();
      this.#connectAsNeeded();
      if (wasReady && connection.streams + ended > 0) this.#replaceInTime(connection);
      return;
    }
    if (connection.usable) {
      this.#makeReady(connection);
      return;
    }
    this.#removeReady(connection);
    if (!connection.isHttp2) return;
    if (connection.streams > 0) {
      if (connection.streamsAllowed !== 0) this.#openAhead(connection);
      return;
    }
    if (connection.streamsAllowed !== 0) {
      this.#armIdle(connection);
      return;
    }
    // A server that allows no stream at all (RFC 9113 §5.1.2): whoever comes next asks over a new connection.
    connection.wanted = false;
    this.#retire(connection);
  }

  onConnectionFlood(kind: number): void {
    this.#shared.stats.floods.count(kind as FloodKind);
  }

  onConnectionSilent(): void {
    this.#shared.stats.keepaliveTimeouts.value++;
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
    if (connection.codec.violated) stats.connectionsProtocolError.value++;
    if (connection.closeNotified) stats.connectionsCloseNotify.value++;
    if (this.#awaitingSettings.size > 0) this.#endAwaiting(connection);
    this.#connectAsNeeded();
    if (this.#isMissed(connection)) this.warm();
  }

  /** The only connection is gone, and requests have just been running on it: more will come. */
  #isMissed(connection: HttpConnection): boolean {
    if (!connection.isHttp2 || connection.requests === 0 || !connection.wanted) return false;
    const { removed, healthy } = this.#endpoint;
    return !removed && healthy && this.hasLoad;
  }

  onConnectionIdle(connection: HttpConnection): void {
    if (connection.streams > 0) return;
    this.#shared.stats.connectionsIdleTimeout.value++;
    connection.wanted = false;
    this.#retire(connection);
  }

  /** For `PoolAttempt` only. */
  onConnected(attempt: PoolAttempt, transport: SocketTransport, info: ConnectedInfo): void {
    this.#attempts.delete(attempt);
    this.#endpoint.connectionsActive++;
    const { config, deps, stats } = this.#shared;
    const http2 = speaksHttp2(this.protocol, info.alpnProtocol);
    const connection = new HttpConnection(transport, info, this, deps.timers, {
      http2,
      http2Options: clientOptions(config, deps),
      keepalive: keepaliveOf(config, info.alpnProtocol),
      streamsExpected: this.#streamsExpected,
    });
    if (http2) stats.connectionsHttp2.value++;
    else stats.connectionsHttp1.value++;
    if (!http2) this.#streamsExpected = 1;
    this.#connections.add(connection);
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
    this.#lastRequestMs = deps.timers.clock.nowMs();
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
    // How many more it takes is an assumption until its SETTINGS have come, which calls here again.
    if (connection.awaitsSettings && !connection.retired) return;
    const left = connection.usable ? connection.capacity : 0;
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
    const { breaker } = this.#shared;
    while (this.#pending.size > 0 && connection.usable) {
      const [next] = this.#pending;
      this.#pending.delete(next!);
      if (mustAwaitSettings(connection, next!.head)) {
        next!.connection = connection;
        this.#awaitingSettings.add(next!);
      } else {
        breaker.pendingRequests--;
        this.#startWaiting(connection, next!);
      }
    }
    if (connection.streams > 0) return;
    // The endpoint left while the connection was made: nobody will ask for it again.
    if (this.#endpoint.removed) this.#retire(connection);
    else this.#armIdle(connection);
  }

  #startWaiting(connection: HttpConnection, { head, endStream, sink }: PendingRequest): void {
    const { breaker, stats } = this.#shared;
    if (breaker.requestsOpen) {
      this.#start(connection, head, endStream, sink);
    } else {
      // Waiting on would depend on streams of other endpoints, which do not call back here.
      stats.requestsPendingOverflow.value++;
      sink.onStreamFailure('overflow', 'max_requests');
    }
  }

  /** The connection's SETTINGS have come, or never will: what waited for them goes on, or to another one. */
  #endAwaiting(connection: HttpConnection): void {
    if (connection.awaitsSettings && !connection.retired) return;
    for (const pending of [...this.#awaitingSettings]) {
      if (pending.connection !== connection || !this.#awaitingSettings.delete(pending)) continue;
      pending.connection = null;
      if (!connection.usable && ++pending.awaitedInVain < AWAITED_IN_VAIN_MAX) {
        this.#pending.add(pending);
        continue;
      }
      this.#shared.breaker.pendingRequests--;
      if (connection.usable) this.#startWaiting(connection, pending);
      else pending.sink.onStreamFailure('connectionFailure', 'no connection that takes upgrades');
    }
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
    const ready = this.#ready;
    const at = ready.lastIndexOf(connection);
    // The one taken last stands last, and needs no list of what was taken out.
    if (at === ready.length - 1) ready.pop();
    else if (at >= 0) ready.splice(at, 1);
  }

  /** Connections on their way with room for all requests that wait. */
  #connectAsNeeded(): void {
    const { breaker, stats } = this.#shared;
    while (this.#pending.size > this.#attempts.size * this.#streamsExpected) {
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
    const tls = poolTls(endpoint.tls, this.protocol);
    const attempt = new PoolAttempt(this, endpoint, tls, config, deps);
    this.#attempts.add(attempt);
    breaker.connections++;
    stats.connectionsTotal.value++;
    endpoint.connectionsTotal++;
    attempt.start();
  }

  #failPending(failure: StreamFailure, detail: string): void {
    const failed = this.#pending;
    if (failed.size === 0) return;
    // Sinks may ask again at once; what they ask for stands in the new set.
    this.#pending = new Set();
    this.#shared.breaker.pendingRequests -= failed.size;
    this.#shared.stats.requestsPendingFailureEject.value += failed.size;
    for (const pending of failed) {
      if (!pending.cancelled) pending.sink.onStreamFailure(failure, detail);
    }
  }
}

/** Milliseconds after a request within which the next one is thought to be near. */
const LOAD_MS = 60_000;

/** Connections that an upgrade waits for in vain before it fails: a server may end each one at once. */
const AWAITED_IN_VAIN_MAX = 2;

/** Extended CONNECT may be sent once the server has said that it takes it; CONNECT always (RFC 8441 §3). */
function mustAwaitSettings(connection: HttpConnection, head: RequestHead): boolean {
  return head.upgrade !== '' && head.upgrade !== 'connect' && connection.awaitsSettings;
}

/** Requests that an HTTP/2 peer is thought to take before its SETTINGS have come. */
const STREAMS_ASSUMED = 100;

/** A peer that says `keep-alive: timeout=5` is not used after 4.5 s of rest. */
const KEEP_ALIVE_MARGIN_MS = 500;

const NOTHING_PENDING: PendingStream = Object.freeze({ cancel: () => {} });
