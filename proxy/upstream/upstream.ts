import type { RequestHead } from '../http/message.ts';
import type { ClientStream, ResponseSink } from '../http/stream.ts';
import type { Transport } from '../http/transport.ts';
import type { DestinationService, WorkloadMetadata } from '../observe/request-record.ts';
import type { ClusterConfig, EndpointAssignment } from './cluster-config.ts';

/** What the router and the TCP proxy see of upstream: clusters by name, endpoints, streams. */

/** All live clusters. A request keeps the `Cluster` it began with. */
export interface ClusterTable {
  get(name: string): Cluster | undefined;
}

export interface Cluster {
  readonly name: string;
  readonly config: ClusterConfig;
  readonly service: DestinationService | null;
  /**
   * Picks by the cluster's policy (LB-01, LB-02, LB-07), or null: no healthy endpoint (flag UH).
   * The pick counts as an active request only when a stream is opened.
   */
  pickEndpoint(context: PickContext): Endpoint | null;
  /**
   * Opens an HTTP stream to the endpoint on a pooled or new connection and sends the head.
   * Exactly one of `onStreamReady` / `onStreamFailure` follows, maybe before this returns.
   */
  openStream(
    endpoint: Endpoint,
    head: RequestHead,
    endStream: boolean,
    sink: UpstreamSink,
  ): PendingStream;
  /** Opens a connection of its own for opaque bytes (TCP proxy, CONNECT). */
  connect(endpoint: Endpoint, sink: UpstreamTunnelSink): PendingStream;
  /** Retry budget of the circuit breaker (RS-13): false = over the limit. Each true is given back by `endRetry`. */
  tryRetry(): boolean;
  endRetry(): void;
  /** Counts what only the router can tell of an exchange (OB-06). */
  countEvent(event: ExchangeEvent): void;
}

/** Statistics of a cluster that are about whole exchanges, after Envoy's names. */
export type ExchangeEvent =
  /** A try after the first brought a response that the policy does not repeat. */
  | 'retrySuccess'
  /** A try that the policy would repeat was the last one allowed. */
  | 'retryLimitExceeded'
  /** The route's timeout ended it. */
  | 'timeout'
  /** A try's own timeout ended the try. */
  | 'perTryTimeout'
  /** `max_stream_duration` of the cluster ended the try. */
  | 'maxDuration';

export interface PickContext {
  /** Endpoints already tried, for the `previous_hosts` predicate; picks avoid them while another is left. */
  readonly tried: readonly Endpoint[];
  /** `host_selection_retry_max_attempts`. */
  readonly repicksMax: number;
  /** `ip:port` the app dialled, or the authority of an explicit-proxy request, for ORIGINAL_DST; else ''. */
  readonly originalDestination: string;
  /** `ip:port` of the one endpoint that may be picked, whatever its health; '' = any, by the cluster's policy. */
  readonly endpointOnly: string;
}

export interface Endpoint {
  /** `ip:port` (`[v6]:port`). */
  readonly address: string;
  readonly hostname: string;
  readonly workload: WorkloadMetadata | null;
  /** Requests under way. */
  readonly active: number;
  /** Outcome of a try, for outlier detection and statistics: the status, or 0 for a local failure. */
  reportOutcome(status: number): void;
}

/** Facts about the connection a stream runs on. */
export interface UpstreamConnectionInfo {
  readonly localAddress: string;
  readonly remoteAddress: string;
  readonly mutualTls: boolean;
  readonly peerPrincipal: string;
  /** The connection has carried a request before: a reset before any response byte may be the keep-alive race (D4). */
  readonly reused: boolean;
}

/** Why no stream came to be; flags in brackets. */
export type StreamFailure =
  /** Connect refused, unreachable, TLS failed (UF). */
  | 'connectionFailure'
  /** Connect timeout (UF). */
  | 'connectTimeout'
  /** Circuit breaker (UO). */
  | 'overflow';

export interface UpstreamSink extends ResponseSink {
  onStreamReady(stream: ClientStream, connection: UpstreamConnectionInfo): void;
  /** `detail` is for `%UPSTREAM_TRANSPORT_FAILURE_REASON%`, e.g. a TLS verify error or `ECONNREFUSED`. */
  onStreamFailure(failure: StreamFailure, detail: string): void;
}

export interface UpstreamTunnelSink {
  /** The transport's bytes come to `onData` until `onEnd` (half-close) and `onClose`. */
  onReady(transport: Transport, connection: UpstreamConnectionInfo): void;
  onFailure(failure: StreamFailure, detail: string): void;
  onData(bytes: Buffer): void;
  onEnd(): void;
  onClose(detail: string): void;
  onDrain(): void;
}

export interface PendingStream {
  /** Gives up waiting; no callback follows. No effect once the stream is ready. */
  cancel(): void;
}

/** How `sidecar.ts` applies compiled clusters; implemented by `cluster-manager.ts`. */
export interface ClusterManager extends ClusterTable {
  /** Adds or swaps. Unchanged endpoints keep their connections; removed ones drain theirs. */
  setCluster(config: ClusterConfig): void;
  setAssignment(edsServiceName: string, assignment: EndpointAssignment): void;
  removeCluster(name: string): void;
  /** Resolves when a cluster's endpoints are known (EDS arrived / first DNS answer or failure): warming. */
  warm(name: string): Promise<void>;
  readonly clusters: ReadonlyMap<string, Cluster>;
  close(): void;
}
