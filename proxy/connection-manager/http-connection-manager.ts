import { portOfAuthority } from '../http/authority.ts';
import { httpLimits } from '../http/limits.ts';
import type { CollectingTransport } from '../http/transport.ts';
import { type Http1ServerOptions, http1ServerOptions } from '../http1/server-connection.ts';
import { type Http2ServerOptions, http2ServerOptions } from '../http2/connection-options.ts';
import { configuredOptions } from '../http2/http2-settings.ts';
import type { IstioMetrics } from '../observe/istio-metrics.ts';
import type { RequestRecord } from '../observe/request-record.ts';
import type { StatsRegistry } from '../observe/stats.ts';
import { RouteTable } from '../router/route-table.ts';
import type { RouteTableSource } from '../router/route-tables.ts';
import type { RouterDeps } from '../router/router.ts';
import type { TimerLists } from '../tcp/timer-list.ts';
import type { DownstreamConnectionInfo } from '../tls/peer-certificate.ts';
import type { ClusterTable } from '../upstream/upstream.ts';
import type { ConnectionManagerConfig } from './connection-manager-config.ts';
import { ConnectionManagerStats } from './connection-manager-stats.ts';
import type { DateHeader } from './date-header.ts';
import { DownstreamConnection } from './downstream-connection.ts';
import type { PeerMetadataFields } from './peer-metadata.ts';
import type { RequestStage } from './request-stage.ts';
import { requestStages } from './request-stages.ts';

/** What all connection managers of a sidecar share. Put together by `sidecar.ts`. */
export interface ConnectionManagerDeps {
  /** RDS route tables. */
  readonly routes: RouteTableSource;
  readonly clusters: ClusterTable;
  readonly timers: TimerLists;
  /** Milliseconds since the epoch, for logs and `date`. */
  readonly wallClockMs: () => number;
  readonly date: DateHeader;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly stats: StatsRegistry;
  /** null = no Istio metrics. */
  readonly metrics: Pick<
    IstioMetrics,
    'recordRequest' | 'grpcMessages' | 'tcpOpened' | 'tcpClosed' | 'tcpBytes'
  > | null;
  /** Who this proxy is, for the other sidecar; null outside a mesh. */
  readonly peerMetadata: PeerMetadataFields | null;
  /** Whether an address (`ip:port`) is an outbound listener of this proxy, so that no request circles. */
  readonly isOwnListener: (address: string) => boolean;
  /** An exception in the request path. */
  readonly onBug: (error: unknown) => void;
}

/**
 * The HTTP connection manager of one listener configuration (`NetworkFilter` of the listener). What
 * depends only on the configuration is decided here, once; a changed listener gets a new one and old
 * connections keep theirs.
 */
export class HttpConnectionManager {
  readonly config: ConnectionManagerConfig;
  readonly deps: ConnectionManagerDeps;
  readonly routerDeps: RouterDeps;
  readonly stages: readonly RequestStage[];
  readonly stats: ConnectionManagerStats;
  readonly plainCodecOptions: Http1ServerOptions;
  readonly tlsCodecOptions: Http1ServerOptions;
  readonly http2CodecOptions: Http2ServerOptions;
  readonly #inlineTable: RouteTable | null;

  constructor(config: ConnectionManagerConfig, deps: ConnectionManagerDeps) {
    this.config = config;
    this.deps = deps;
    this.routerDeps = {
      clusters: deps.clusters,
      timers: deps.timers,
      random: deps.random,
      direction: config.direction,
      peerMetadata: deps.peerMetadata,
      isOwnListener: deps.isOwnListener,
    };
    this.stages = requestStages(config, deps.stats.httpScope(config.statPrefix));
    this.stats = new ConnectionManagerStats(deps.stats, config.statPrefix);
    const limits = httpLimits({
      headBytesMax: config.requestHeadersBytesMax,
      startLineBytesMax: config.requestHeadersBytesMax,
      headerCountMax: config.headersCountMax,
    });
    const { acceptHttp10 } = config;
    this.plainCodecOptions = http1ServerOptions({ scheme: 'http', acceptHttp10, limits });
    this.tlsCodecOptions = http1ServerOptions({ scheme: 'https', acceptHttp10, limits });
    this.http2CodecOptions = http2ServerOptions({
      ...configuredOptions(config.http2),
      limits,
      extendedConnect: config.http2.extendedConnect,
      nowMs: () => deps.timers.clock.nowMs(),
    });
    this.#inlineTable = config.routeConfig === null ? null : new RouteTable(config.routeConfig);
  }

  /** Takes over a connection; the caller feeds it what the transport reads. */
  accept(
    transport: CollectingTransport,
    connection: DownstreamConnectionInfo,
    originalDestination: string,
  ): DownstreamConnection {
    return new DownstreamConnection(this, transport, connection, originalDestination, 0);
  }

  /** HTTP inside a CONNECT tunnel to `authority` (`host:port`), which is where it wants to go. */
  acceptInner(
    transport: CollectingTransport,
    connection: DownstreamConnectionInfo,
    authority: string,
  ): DownstreamConnection {
    const port = portOfAuthority(authority, 80);
    return new DownstreamConnection(this, transport, connection, authority, port);
  }

  /** The table in force; undefined where RDS has not brought it. */
  routeTable(): RouteTable | undefined {
    return this.#inlineTable ?? this.deps.routes.get(this.config.rdsRouteName);
  }

  /** The upstream of a CONNECT tunnel stands: it is a TCP connection as long as it lasts (OB-01). */
  recordTunnelOpen(record: RequestRecord): void {
    this.deps.metrics?.tcpOpened(record, this.config.direction);
  }

  /**
   * Metrics and access log of one exchange, exactly once (I1). `tcp`: a CONNECT tunnel of opaque bytes,
   * `opened` where `recordTunnelOpen` was told of it.
   */
  recordEnd(record: RequestRecord, tcp: boolean, opened: boolean): void {
    const { metrics } = this.deps;
    const { direction } = this.config;
    if (metrics !== null) {
      if (tcp) {
        if (!opened) metrics.tcpOpened(record, direction);
        metrics.tcpBytes(record, direction, record.bytesReceived, record.bytesSent);
        metrics.tcpClosed(record, direction);
      } else {
        metrics.recordRequest(record, direction);
      }
    }
    this.log(record);
  }

  log(record: RequestRecord): void {
    const { accessLogs } = this.config;
    for (let at = 0; at < accessLogs.length; at++) accessLogs[at]!.log(record);
  }
}
