import type { RequestHead } from '../http/message.ts';
import type { DestinationService } from '../observe/request-record.ts';
import type { StatsRegistry } from '../observe/stats.ts';
import { type HostPort, parseAddress } from '../tcp/socket-address.ts';
import { CircuitBreaker } from './circuit-breaker.ts';
import type { ClusterConfig, EndpointAssignment, EndpointConfig } from './cluster-config.ts';
import {
  CLUSTER_SERIES,
  type ClusterNumbers,
  ClusterStats,
  ClusterUpdates,
} from './cluster-stats.ts';
import type { ConnectorDeps } from './connector.ts';
import { HostSelection } from './host-selection.ts';
import { HttpPool, type PoolShared } from './http-pool.ts';
import type { Random } from './lb/load-balancer.ts';
import { OriginalDestinations } from './original-destinations.ts';
import { type PoolProtocol, poolProtocol } from './pool-protocol.ts';
import { TunnelConnection } from './tunnel-connection.ts';
import type {
  Cluster,
  Endpoint,
  ExchangeEvent,
  PendingStream,
  PickContext,
  UpstreamSink,
  UpstreamTunnelSink,
} from './upstream.ts';
import {
  type EndpointOwner,
  endpointTls,
  tlsFingerprint,
  UpstreamEndpoint,
} from './upstream-endpoint.ts';

export interface ClusterDeps extends ConnectorDeps {
  readonly stats: StatsRegistry;
  readonly random: Random;
}

/**
 * A cluster at work. The object stays while its configuration and endpoints are swapped, so that
 * requests under way, counters and connections to unchanged endpoints live on.
 */
export class LiveCluster implements Cluster, PoolShared, ClusterNumbers, EndpointOwner {
  readonly name: string;
  readonly breaker: CircuitBreaker;
  readonly updates: ClusterUpdates;
  readonly deps: ClusterDeps;
  /** Null until there is traffic. */
  #stats: ClusterStats | null = null;
  /** This one, or the one that counts for all clusters beyond the bound of the registry. */
  readonly #counting: ClusterNumbers;
  #config: ClusterConfig;
  #endpoints = new Map<string, UpstreamEndpoint>();
  /** Where `#endpoints` are from. */
  #assignment: EndpointAssignment | null = null;
  #selection: HostSelection<UpstreamEndpoint>;
  /** Of type ORIGINAL_DST, else null. */
  #originals: OriginalDestinations | null = null;
  #closed = false;

  constructor(config: ClusterConfig, deps: ClusterDeps) {
    this.name = config.name;
    this.#config = config;
    this.deps = deps;
    this.breaker = new CircuitBreaker(config);
    this.#counting = deps.stats.join<ClusterNumbers>(CLUSTER_SERIES, config.name, this);
    this.updates = this.#counting === this ? new ClusterUpdates() : this.#counting.updates;
    this.#selection = new HostSelection([], config, deps.random);
  }

  get config(): ClusterConfig {
    return this.#config;
  }

  get service(): DestinationService | null {
    return this.#config.service;
  }

  get stats(): ClusterStats {
    return this.#stats ?? this.#makeStats();
  }

  get madeStats(): ClusterStats | null {
    return this.#stats;
  }

  #makeStats(): ClusterStats {
    const own = this.#counting === this;
    const { stats } = this.deps;
    this.#stats = own
      ? new ClusterStats(stats.scopeOf(CLUSTER_SERIES, this.name))
      : this.#counting.madeStats!;
    return this.#stats;
  }

  get membershipTotal(): number {
    return this.#config.discovery === 'ORIGINAL_DST'
      ? (this.#originals?.size ?? 0)
      : this.#endpoints.size;
  }

  get membershipHealthy(): number {
    return this.#config.discovery === 'ORIGINAL_DST'
      ? (this.#originals?.size ?? 0)
      : this.#selection.healthyCount;
  }

  /** All endpoints, for `/clusters`. */
  get endpoints(): readonly UpstreamEndpoint[] {
    return this.#config.discovery === 'ORIGINAL_DST'
      ? (this.#originals?.endpoints ?? [])
      : [...this.#endpoints.values()];
  }

  pickEndpoint(context: PickContext): Endpoint | null {
    if (this.#config.discovery === 'ORIGINAL_DST') return this.#pickOriginal(context);
    if (context.endpointOnly !== '') return this.#pickOnly(context.endpointOnly);
    const selection = this.#selection;
    let picked = selection.pick();
    const { tried } = context;
    if (picked !== null && tried.length > 0) {
      for (let repick = 0; repick < context.repicksMax && tried.includes(picked!); repick++) {
        picked = selection.pick();
      }
      if (tried.includes(picked!)) picked = selection.pickOther(tried) ?? picked;
    }
    if (picked === null) this.stats.connectionsNoneHealthy.value++;
    return picked;
  }

  openStream(
    endpoint: Endpoint,
    head: RequestHead,
    endStream: boolean,
    sink: UpstreamSink,
  ): PendingStream {
    const upstream = endpoint as UpstreamEndpoint;
    const protocol = poolProtocol(this.#config.httpProtocol, upstream.sharesHttp2, head);
    return upstream.pool(protocol).openStream(head, endStream, sink);
  }

  connect(endpoint: Endpoint, sink: UpstreamTunnelSink): PendingStream {
    const connection = new TunnelConnection(endpoint as UpstreamEndpoint, this, sink);
    connection.start();
    return connection;
  }

  tryRetry(): boolean {
    const allowed = this.breaker.tryRetry();
    (allowed ? this.stats.requestsRetry : this.stats.requestsRetryOverflow).value++;
    return allowed;
  }

  endRetry(): void {
    this.breaker.endRetry();
  }

  countEvent(event: ExchangeEvent): void {
    this.stats.events[event].value++;
  }

  /** Swaps the configuration. Connections made with other socket settings end in their own time. */
  setConfig(config: ClusterConfig): void {
    const previous = this.#config;
    this.#config = config;
    this.breaker.limits = config;
    const sameSocket =
      String(previous.bindAddresses) === String(config.bindAddresses) &&
      previous.tcpKeepaliveMs === config.tcpKeepaliveMs &&
      previous.httpProtocol === config.httpProtocol &&
      JSON.stringify(previous.http2) === JSON.stringify(config.http2);
    for (const endpoint of this.#endpoints.values()) {
      this.#setTls(endpoint);
      if (!sameSocket) endpoint.drainPools();
    }
    if (previous.discovery !== config.discovery) this.#originals?.drain();
    this.#rebuild();
  }

  /** Swaps the endpoints: those that stand in both sets keep their connections and counters. */
  setAssignment(assignment: EndpointAssignment): void {
    // A new configuration brings the endpoints that are known again: to look at thousands once is enough.
    if (assignment === this.#assignment) {
      this.updates.updateSuccess.value++;
      return;
    }
    this.#assignment = assignment;
    const next = new Map<string, UpstreamEndpoint>();
    const arrived: UpstreamEndpoint[] = [];
    let changed = false;
    for (const config of assignment.endpoints) {
      const key = endpointKey({ host: config.address, port: config.port });
      if (next.has(key)) continue; // the same address twice: the first one counts, as in Envoy
      let endpoint = this.#endpoints.get(key);
      if (endpoint === undefined) {
        endpoint = this.#makeEndpoint(config);
        if (endpoint.healthy) arrived.push(endpoint);
        changed = true;
      } else {
        const wasHealthy = endpoint.healthy;
        endpoint.config = config;
        if (!wasHealthy && endpoint.healthy) arrived.push(endpoint);
        this.#setTls(endpoint);
      }
      next.set(key, endpoint);
    }
    if (arrived.length > 0) this.#warm(arrived);
    for (const [key, endpoint] of this.#endpoints) {
      if (next.has(key)) continue;
      changed = true;
      endpoint.removed = true;
      endpoint.drainPools();
    }
    this.#endpoints = next;
    this.updates.updateSuccess.value++;
    if (changed) this.updates.membershipChange.value++;
    this.#rebuild();
  }

  /**
   * A cluster with load opens connections to endpoints that have just come, so that their first requests need not wait
   * for TLS: a few, for most of a large set will see no request from here for long. HTTP/1.1 is left alone, since there
   * a connection serves one request only.
   */
  #warm(arrived: readonly UpstreamEndpoint[]): void {
    const protocols = new Set<PoolProtocol>();
    for (const endpoint of this.#endpoints.values()) {
      for (const protocol of endpoint.loadedProtocols) {
        if (protocol !== 'HTTP1') protocols.add(protocol);
      }
    }
    for (const endpoint of arrived.slice(0, WARMED_MAX)) {
      for (const protocol of protocols) {
        if (protocol !== 'SHARED' || endpoint.sharesHttp2) endpoint.warm(protocol);
      }
    }
  }

  /** The cluster is gone: what is under way ends in its own time, its series end now. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const endpoint of this.#endpoints.values()) {
      endpoint.removed = true;
      endpoint.drainPools();
    }
    this.#originals?.drain();
    if (this.#counting !== this) return;
    this.deps.stats.leave<ClusterNumbers>(CLUSTER_SERIES, this.name, this);
    this.#stats?.close();
  }

  /** Ends everything now. */
  destroy(): void {
    for (const endpoint of this.#endpoints.values()) endpoint.destroyPools();
    this.#originals?.destroy();
    this.close();
  }

  #pickOriginal(context: PickContext): Endpoint | null {
    const address = parseAddress(context.originalDestination);
    if (address === null || this.deps.isOwnAddress(address.host, address.port)) {
      this.stats.connectionsNoneHealthy.value++;
      return null;
    }
    this.#originals ??= new OriginalDestinations(this.deps.timers, (host, port) =>
      this.#makeEndpoint(originalEndpoint(host, port)),
    );
    return this.#originals.endpoint(address.host, address.port);
  }

  /** Null: it is gone, and no other one is what was dialled. */
  #pickOnly(text: string): Endpoint | null {
    const address = parseAddress(text);
    const found = address === null ? null : this.#endpoints.get(endpointKey(address));
    if (found === undefined || found === null) this.stats.connectionsNoneHealthy.value++;
    return found ?? null;
  }

  #makeEndpoint(config: EndpointConfig): UpstreamEndpoint {
    const { tls, tlsMatches } = this.#config;
    return new UpstreamEndpoint(config, endpointTls(config, tlsMatches, tls), this);
  }

  makePool(endpoint: UpstreamEndpoint, protocol: PoolProtocol): HttpPool {
    return new HttpPool(endpoint, this, protocol);
  }

  #setTls(endpoint: UpstreamEndpoint): void {
    const tls = endpointTls(endpoint.config, this.#config.tlsMatches, this.#config.tls);
    const before = endpoint.tls;
    if (tls === before) return;
    const changed = tlsFingerprint(tls) !== tlsFingerprint(before);
    endpoint.tls = tls;
    // A pool is never shared between TLS identities (A2.6): the old connections go.
    if (changed) endpoint.drainPools();
  }

  #rebuild(): void {
    this.#selection = new HostSelection(
      [...this.#endpoints.values()],
      this.#config,
      this.deps.random,
    );
  }
}

/** Endpoints of one update that are connected to before they are asked. */
const WARMED_MAX = 4;

function endpointKey({ host, port }: HostPort): string {
  return `${host} ${port}`;
}

/** An endpoint for an address that the app dialled (LB-06). */
function originalEndpoint(address: string, port: number): EndpointConfig {
  return {
    address,
    port,
    hostname: address,
    health: 'UNKNOWN',
    weight: 1,
    localityWeight: 0,
    locality: '',
    priority: 0,
    transportSocketMatch: NO_METADATA,
    workload: null,
  };
}
const NO_METADATA: ReadonlyMap<string, string> = new Map();
