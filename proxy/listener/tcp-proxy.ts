import type { Transport } from '../http/transport.ts';
import type { IstioMetrics, TrafficDirection } from '../observe/istio-metrics.ts';
import { RequestRecord, ResponseFlag } from '../observe/request-record.ts';
import { Timer, type TimerLists, type TimerOwner } from '../tcp/timer-list.ts';
import type { DownstreamConnectionInfo } from '../tls/peer-certificate.ts';
import type {
  Cluster,
  ClusterTable,
  Endpoint,
  PendingStream,
  PickContext,
  StreamFailure,
  UpstreamConnectionInfo,
  UpstreamTunnelSink,
} from '../upstream/upstream.ts';
import type { TcpProxyConfig } from './listener-config.ts';
import type { NetworkConnection, NetworkFilter } from './network-filter.ts';

export interface TcpProxyDeps {
  readonly clusters: ClusterTable;
  readonly timers: TimerLists;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** Milliseconds since the epoch, for the access log. */
  readonly wallClockMs: () => number;
  readonly metrics: Pick<IstioMetrics, 'tcpOpened' | 'tcpClosed' | 'tcpBytes'> | null;
}

/** Opaque bytes to a cluster and back (PR-11); weights are drawn once per connection. */
export class TcpProxy implements NetworkFilter {
  readonly config: TcpProxyConfig;
  readonly direction: TrafficDirection;
  readonly deps: TcpProxyDeps;

  constructor(config: TcpProxyConfig, direction: TrafficDirection, deps: TcpProxyDeps) {
    this.config = config;
    this.direction = direction;
    this.deps = deps;
  }

  accept(
    transport: Transport,
    info: DownstreamConnectionInfo,
    originalDestination: string,
  ): NetworkConnection {
    const connection = new TcpProxyConnection(this, transport, info, originalDestination);
    connection.connect();
    return connection;
  }

  pickCluster(): string {
    const { clusters, weightTotal } = this.config;
    let draw = this.deps.random() * weightTotal;
    for (const { name, weight } of clusters) {
      draw -= weight;
      if (draw < 0) return name;
    }
    return clusters[clusters.length - 1]!.name;
  }
}

/** Metrics of long connections are brought up to date this often (Istio's `reportingInterval`). */
const REPORT_INTERVAL_MS = 5_000;
const TimerKind = { Idle: 0, Report: 1 } as const;

/**
 * One proxied connection.
 *
 * ```
 * downstream ──receive──▶ upstream.write   false ▶ downstream.pauseReading … onDrain ▶ resume
 * downstream ◀──write──── onData           false ▶ upstream.pauseReading … onTransportDrain ▶ resume
 * ```
 *
 * A FIN is passed on as a FIN; the connection is over when both have passed, or when either side is
 * lost. Downstream is not read until upstream stands, so that nothing piles up here.
 */
class TcpProxyConnection implements NetworkConnection, UpstreamTunnelSink, PickContext, TimerOwner {
  readonly #proxy: TcpProxy;
  readonly #downstream: Transport;
  readonly #record: RequestRecord;
  readonly #idleTimer: Timer = new Timer(this, TimerKind.Idle);
  readonly #reportTimer: Timer = new Timer(this, TimerKind.Report);
  #pending: PendingStream | null = null;
  #upstream: Transport | null = null;
  /** What arrived before upstream was ready: at most what the peek had read and one read more. */
  #early: Buffer[] = [];
  #attemptsLeft: number;
  #downstreamEnded = false;
  #upstreamEnded = false;
  #opened = false;
  #over = false;
  #reportedReceived = 0;
  #reportedSent = 0;

  // PickContext
  readonly tried: Endpoint[] = [];
  readonly repicksMax: number;
  readonly originalDestination: string;
  readonly endpointOnly: string;

  constructor(
    proxy: TcpProxy,
    downstream: Transport,
    info: DownstreamConnectionInfo,
    originalDestination: string,
  ) {
    this.#proxy = proxy;
    this.#downstream = downstream;
    this.originalDestination = originalDestination;
    this.#attemptsLeft = proxy.config.connectAttemptsMax;
    this.repicksMax = proxy.config.connectAttemptsMax;
    this.endpointOnly = proxy.config.endpoint;
    const { deps } = proxy;
    this.#record = new RequestRecord(deps.wallClockMs(), deps.timers.clock.nowMs(), info);
  }

  connect(): void {
    this.#downstream.pauseReading();
    const name = this.#proxy.pickCluster();
    this.#record.upstreamCluster = name;
    const cluster = this.#proxy.deps.clusters.get(name);
    if (cluster === undefined) {
      this.#finish(ResponseFlag.NC, `cluster '${name}' is not known`);
      return;
    }
    this.#record.destinationService = cluster.service;
    this.#try(cluster);
  }

  // --- downstream -----------------------------------------------------------------------------

  receive(bytes: Buffer): void {
    if (this.#over) return;
    this.#record.bytesReceived += bytes.length;
    const upstream = this.#upstream;
    if (upstream === null) {
      this.#early.push(bytes);
      return;
    }
    this.#armIdle();
    if (!upstream.write(bytes)) this.#downstream.pauseReading();
  }

  receiveEnd(): void {
    if (this.#over || this.#downstreamEnded) return;
    this.#downstreamEnded = true;
    this.#record.requestEndMs = this.#nowMs();
    this.#upstream?.end();
    if (this.#upstreamEnded) this.#finish(0, '');
  }

  /** Downstream was lost. */
  close(detail: string): void {
    if (this.#over) return;
    const early = this.#upstream === null;
    this.#finish(early || !this.#downstreamEnded ? ResponseFlag.DC : 0, detail);
  }

  onTransportDrain(): void {
    this.#upstream?.resumeReading();
  }

  /** Opaque bytes cannot be told of a drain: they go on until the drain time is over. */
  drain(): void {}

  // --- upstream -------------------------------------------------------------------------------

  onReady(transport: Transport, connection: UpstreamConnectionInfo): void {
    const record = this.#record;
    this.#pending = null;
    this.#upstream = transport;
    record.upstreamStartMs = this.#nowMs();
    record.upstreamHost = connection.remoteAddress;
    record.upstreamLocalAddress = connection.localAddress;
    record.upstreamMutualTls = connection.mutualTls;
    record.upstreamPeerPrincipal = connection.peerPrincipal;
    this.#open();
    this.#armIdle();
    this.#proxy.deps.timers.arm(this.#reportTimer, REPORT_INTERVAL_MS);
    const early = this.#early;
    this.#early = [];
    let writable = true;
    for (const bytes of early) writable = transport.write(bytes);
    if (this.#downstreamEnded) transport.end();
    else if (writable) this.#downstream.resumeReading();
  }

  onFailure(failure: StreamFailure, detail: string): void {
    this.#pending = null;
    this.#record.upstreamTransportFailureReason = detail;
    const cluster = this.#proxy.deps.clusters.get(this.#record.upstreamCluster);
    if (failure !== 'overflow' && this.#attemptsLeft > 0 && cluster !== undefined) {
      this.#try(cluster);
      return;
    }
    this.#finish(failure === 'overflow' ? ResponseFlag.UO : ResponseFlag.UF, detail);
  }

  onData(bytes: Buffer): void {
    if (this.#over) return;
    if (this.#record.responseStartMs === 0) this.#record.responseStartMs = this.#nowMs();
    this.#record.bytesSent += bytes.length;
    this.#armIdle();
    if (!this.#downstream.write(bytes)) this.#upstream!.pauseReading();
  }

  onEnd(): void {
    if (this.#over || this.#upstreamEnded) return;
    this.#upstreamEnded = true;
    this.#downstream.end();
    if (this.#downstreamEnded) this.#finish(0, '');
  }

  onClose(detail: string): void {
    if (this.#over) return;
    this.#finish(this.#upstreamEnded ? 0 : ResponseFlag.UC, detail);
  }

  onDrain(): void {
    if (!this.#over) this.#downstream.resumeReading();
  }

  // --- timers ---------------------------------------------------------------------------------

  onTimer(kind: number): void {
    if (kind === TimerKind.Report) {
      this.#report();
      this.#proxy.deps.timers.arm(this.#reportTimer, REPORT_INTERVAL_MS);
      return;
    }
    this.#finish(0, 'idle timeout');
  }

  #try(cluster: Cluster): void {
    const endpoint = cluster.pickEndpoint(this);
    if (endpoint === null) {
      this.#finish(ResponseFlag.UH, 'no healthy upstream');
      return;
    }
    this.#attemptsLeft--;
    this.tried.push(endpoint);
    const record = this.#record;
    record.attempts++;
    record.upstreamHost = endpoint.address;
    if (endpoint.workload !== null) record.peer = endpoint.workload;
    const pending = cluster.connect(endpoint, this);
    // `overflow` is told before `connect` returns; then there is nothing to give up.
    if (!this.#over && this.#upstream === null) this.#pending = pending;
  }

  /** The one end: access log and metrics are written here, exactly once. */
  #finish(flag: number, detail: string): void {
    if (this.#over) return;
    this.#over = true;
    const { deps, config, direction } = this.#proxy;
    const record = this.#record;
    deps.timers.cancel(this.#idleTimer);
    deps.timers.cancel(this.#reportTimer);
    this.#pending?.cancel();
    this.#pending = null;
    this.#early = [];
    record.flags |= flag;
    record.connectionTerminationDetails = detail;
    record.endMs = this.#nowMs();
    // A side that was lost is a no-op here. What was written to the other one still leaves; after a loss it is told by
    // a reset, because an end would say that this was all (I4).
    if (flag === ResponseFlag.DC) this.#upstream?.abort();
    else this.#upstream?.closeAfterFlush();
    if (flag === ResponseFlag.UC) this.#downstream.abort();
    else this.#downstream.closeAfterFlush();
    this.#open();
    this.#report();
    deps.metrics?.tcpClosed(record, direction);
    for (const log of config.accessLogs) log.log(record);
  }

  #open(): void {
    if (this.#opened) return;
    this.#opened = true;
    this.#proxy.deps.metrics?.tcpOpened(this.#record, this.#proxy.direction);
  }

  #report(): void {
    const { bytesReceived, bytesSent } = this.#record;
    const received = bytesReceived - this.#reportedReceived;
    const sent = bytesSent - this.#reportedSent;
    if (received === 0 && sent === 0) return;
    this.#reportedReceived = bytesReceived;
    this.#reportedSent = bytesSent;
    this.#proxy.deps.metrics?.tcpBytes(this.#record, this.#proxy.direction, received, sent);
  }

  #armIdle(): void {
    this.#proxy.deps.timers.arm(this.#idleTimer, this.#proxy.config.idleTimeoutMs);
  }

  #nowMs(): number {
    return this.#proxy.deps.timers.clock.nowMs();
  }
}
