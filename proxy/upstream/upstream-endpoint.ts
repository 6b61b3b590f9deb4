import type { WorkloadMetadata } from '../observe/request-record.ts';
import { formatAddress } from '../tcp/socket-address.ts';
import type { UpstreamTlsConfig } from '../tls/tls-config.ts';
import type { EndpointConfig, TransportSocketMatch } from './cluster-config.ts';
import type { ClusterStats } from './cluster-stats.ts';
import type { SelectableHost } from './host-selection.ts';
import type { HttpPool } from './http-pool.ts';
import { offersSharing, POOL_PROTOCOLS, type PoolProtocol } from './pool-protocol.ts';
import type { Endpoint } from './upstream.ts';

/** The cluster, to its endpoints. */
export interface EndpointOwner {
  readonly stats: ClusterStats;
  makePool(endpoint: UpstreamEndpoint, protocol: PoolProtocol): HttpPool;
}

/**
 * One address of a cluster with its counters and connections. It outlives changes of weight, health
 * and metadata: an update in which the address stands again keeps the object.
 */
export class UpstreamEndpoint implements Endpoint, SelectableHost {
  readonly address: string;
  /** IP literal, or a name where the cluster connects by name (ORIGINAL_DST). */
  readonly host: string;
  readonly port: number;
  /** Requests and opaque connections under way. */
  active = 0;
  connectionsActive = 0;
  connectionsTotal = 0;
  connectFailures = 0;
  requestsTotal = 0;
  requestsSuccess = 0;
  requestsError = 0;
  /** Taken out of the cluster; what is under way ends in its own time. */
  removed = false;
  config: EndpointConfig;
  /** From `transport_socket_matches` and the endpoint's metadata (SC-01); null = plain text. */
  tls: UpstreamTlsConfig | null;
  readonly #owner: EndpointOwner;
  #pools: Readonly<Record<PoolProtocol, HttpPool | null>> = NO_POOLS;

  constructor(config: EndpointConfig, tls: UpstreamTlsConfig | null, owner: EndpointOwner) {
    this.host = config.address;
    this.port = config.port;
    this.address = formatAddress(config.address, config.port);
    this.config = config;
    this.tls = tls;
    this.#owner = owner;
  }

  /** Its sidecar may agree to be sent HTTP/1.1 over HTTP/2 (PR-06). */
  get sharesHttp2(): boolean {
    return offersSharing(this.tls);
  }

  /** Made with the first request: most endpoints of a large mesh never see one. */
  pool(protocol: PoolProtocol): HttpPool {
    const pool = this.#pools[protocol];
    if (pool !== null) return pool;
    const made = this.#owner.makePool(this, protocol);
    this.#pools = { ...this.#pools, [protocol]: made };
    return made;
  }

  /** A connection ahead of the first request, to speak what others of the cluster have been asked in. */
  warm(protocol: PoolProtocol): void {
    this.pool(protocol).warm();
  }

  /** What it has been asked in within the last minute. */
  get loadedProtocols(): PoolProtocol[] {
    return this.#madePools.filter((pool) => pool.hasLoad).map(({ protocol }) => protocol);
  }

  get #madePools(): readonly HttpPool[] {
    return POOL_PROTOCOLS.map((protocol) => this.#pools[protocol]).filter((pool) => pool !== null);
  }

  drainPools(): void {
    for (const pool of this.#madePools) pool.drain();
  }

  destroyPools(): void {
    for (const pool of this.#madePools) pool.destroy();
  }

  get hostname(): string {
    return this.config.hostname;
  }

  get workload(): WorkloadMetadata | null {
    return this.config.workload;
  }

  get weight(): number {
    return this.config.weight;
  }

  get priority(): number {
    return this.config.priority;
  }

  get locality(): string {
    return this.config.locality;
  }

  get localityWeight(): number {
    return this.config.localityWeight;
  }

  /** As Envoy reads EDS health: what nobody has judged is healthy, what drains gets nothing new. */
  get healthy(): boolean {
    return this.config.health === 'HEALTHY' || this.config.health === 'UNKNOWN';
  }

  reportOutcome(status: number): void {
    this.#owner.stats.countResponse(status);
    if (status === 0 || status >= 500) this.requestsError++;
    else this.requestsSuccess++;
  }
}

const NO_POOLS: Readonly<Record<PoolProtocol, HttpPool | null>> = Object.freeze({
  HTTP1: null,
  HTTP2: null,
  ALPN: null,
  SHARED: null,
});

/** The first match whose every pair stands in the endpoint's metadata, else the cluster's own socket. */
export function endpointTls(
  endpoint: EndpointConfig,
  matches: readonly TransportSocketMatch[],
  clusterTls: UpstreamTlsConfig | null,
): UpstreamTlsConfig | null {
  const metadata = endpoint.transportSocketMatch;
  for (const { match, tls } of matches) {
    let all = true;
    for (const [name, value] of match) all &&= metadata.get(name) === value;
    if (all) return tls;
  }
  return clusterTls;
}

/** Equal strings: connections made with one configuration may serve the other. */
export function tlsFingerprint(tls: UpstreamTlsConfig | null): string {
  if (tls === null) return '';
  let fingerprint = fingerprints.get(tls);
  if (fingerprint === undefined) {
    fingerprint = makeFingerprint(tls);
    fingerprints.set(tls, fingerprint);
  }
  return fingerprint;
}

/** Asked for each endpoint of a cluster whenever it changes, and thousands share a configuration. */
const fingerprints = new WeakMap<UpstreamTlsConfig, string>();

function makeFingerprint(tls: UpstreamTlsConfig): string {
  return JSON.stringify([
    tls.certificateSecret,
    tls.validationSecret,
    tls.subjectAltNames.map(({ type, text }) => [type, text]),
    tls.alpnProtocols,
    tls.minVersion,
    tls.maxVersion,
    tls.ciphers,
    tls.sni,
  ]);
}
