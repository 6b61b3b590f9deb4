import { GRPC_STATUS_MAX, IstioLabels } from './istio-labels.ts';
import type { Counter, Histogram } from './metric.ts';
import type { DestinationService, RequestRecord, WorkloadMetadata } from './request-record.ts';
import type { Labels, StatsRegistry } from './stats.ts';

/**
 * Istio's standard metrics (OB-01, OB-02): names, labels and buckets exactly, so that its Grafana
 * boards and Kiali read them. A request finds its label set through a chain of maps keyed by object
 * identity and small integers (peer → service → principal → outcome), never by building strings.
 */

export type TrafficDirection = 'INBOUND' | 'OUTBOUND' | 'UNSPECIFIED';

/** Envoy's default histogram buckets: milliseconds, and the same numbers for bytes. */
export const ISTIO_BUCKETS: readonly number[] = Object.freeze([
  0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 600000,
  1800000, 3600000,
]);

/** Label sets kept for lookup; beyond it they are resolved each time, and the registry's own bound holds. */
const ENTRIES_MAX = 50_000;
/** Distinct peers told apart by content, where each request brings a new object. */
const PEERS_MAX = 10_000;
/** Combinations of response flags kept; more cannot be met by real traffic. */
const FLAGS_MAX = 4_000;

/** The series of one HTTP label set. */
interface RequestSeries {
  readonly requests: Counter;
  readonly durationMs: Histogram;
  readonly requestBytes: Histogram;
  readonly responseBytes: Histogram;
}

/** The series of messages under one label set of gRPC. */
interface MessageSeries {
  readonly requests: Counter;
  readonly responses: Counter;
}

/** The series of one TCP label set. */
interface TcpSeries {
  readonly opened: Counter;
  readonly closed: Counter;
  readonly sentBytes: Counter;
  readonly receivedBytes: Counter;
}

/** Last link of the chain: (peer, service, principal, mutual TLS) fixed, outcomes by number. */
interface PrincipalNode {
  readonly requests: Map<number, RequestSeries>;
  readonly messages: Map<number, MessageSeries>;
  readonly tcp: Map<number, TcpSeries>;
}

interface ServiceNode {
  /** Keys: the principal of the peer; two maps for the two policies. */
  readonly mutualTls: Map<string, PrincipalNode>;
  readonly plain: Map<string, PrincipalNode>;
}

interface PeerNode {
  readonly services: Map<DestinationService | string, ServiceNode>;
}

export class IstioMetrics {
  readonly #registry: StatsRegistry;
  readonly #labels: IstioLabels;
  #inbound = new PeerIndex();
  #outbound = new PeerIndex();
  #entries = 0;
  readonly #flagIds = new Map<number, number>();

  /** `local`: this sidecar's workload; `version`: the tag of `istio_build`. */
  constructor(registry: StatsRegistry, local: WorkloadMetadata, version: string) {
    this.#registry = registry;
    this.#labels = new IstioLabels(local);
    registry
      .gauge('istio_build', 'Version of the proxy', [
        ['component', 'proxy'],
        ['tag', version],
      ])
      .set(1);
  }

  /** The SVID has arrived: later outbound requests carry it as `source_principal`. */
  setLocalPrincipal(principal: string): void {
    if (!this.#labels.setLocalPrincipal(principal)) return;
    this.#inbound = new PeerIndex();
    this.#outbound = new PeerIndex();
    this.#entries = 0;
  }

  /** Once per request, after its end. UNSPECIFIED listeners have no Istio metrics. */
  recordRequest(record: RequestRecord, direction: TrafficDirection): void {
    if (direction === 'UNSPECIFIED') return;
    const node = this.#node(record, direction);
    const outcome = this.#outcome(record);
    let series = node.requests.get(outcome);
    if (series === undefined) {
      series = this.#requestSeries(this.#labels.request(record, direction));
      this.#keep(node.requests, outcome, series);
    }
    series.requests.value += 1;
    series.durationMs.observe(record.endMs > record.startMs ? record.endMs - record.startMs : 0);
    series.requestBytes.observe(record.bytesReceived);
    series.responseBytes.observe(record.bytesSent);
  }

  /**
   * Messages of a gRPC call since the last report, under the labels that its record gives now: while the call lasts,
   * without gRPC status, and before its response without status (0).
   */
  grpcMessages(
    record: RequestRecord,
    direction: TrafficDirection,
    requests: number,
    responses: number,
  ): void {
    if (direction === 'UNSPECIFIED' || requests + responses === 0) return;
    const node = this.#node(record, direction);
    const outcome = this.#outcome(record);
    let series = node.messages.get(outcome);
    if (series === undefined) {
      series = this.#messageSeries(this.#labels.request(record, direction));
      this.#keep(node.messages, outcome, series);
    }
    series.requests.value += requests;
    series.responses.value += responses;
  }

  /** status 10 bits, gRPC status 6 bits (0 = none), gRPC 1 bit, flags 12 bits: a small integer. */
  #outcome(record: RequestRecord): number {
    return (
      (record.status & 1023) |
      ((Math.min(record.grpcStatus, GRPC_STATUS_MAX + 1) + 1) << 10) |
      (record.grpc ? 1 << 16 : 0) |
      (this.#flagId(record.flags) << 17)
    );
  }

  /** A TCP connection was accepted and its upstream is known, or it has failed. */
  tcpOpened(record: RequestRecord, direction: TrafficDirection): void {
    if (direction !== 'UNSPECIFIED') this.#tcp(record, direction).opened.value += 1;
  }

  /** Once per connection that `tcpOpened` was told of. Bytes are not taken from the record. */
  tcpClosed(record: RequestRecord, direction: TrafficDirection): void {
    if (direction !== 'UNSPECIFIED') this.#tcp(record, direction).closed.value += 1;
  }

  /** Bytes since the last call: `received` from downstream, `sent` to downstream. */
  tcpBytes(
    record: RequestRecord,
    direction: TrafficDirection,
    received: number,
    sent: number,
  ): void {
    if (direction === 'UNSPECIFIED') return;
    const series = this.#tcp(record, direction);
    series.receivedBytes.value += received;
    series.sentBytes.value += sent;
  }

  #tcp(record: RequestRecord, direction: 'INBOUND' | 'OUTBOUND'): TcpSeries {
    const node = this.#node(record, direction);
    const flags = this.#flagId(record.flags);
    let series = node.tcp.get(flags);
    if (series === undefined) {
      series = this.#tcpSeries(this.#labels.tcp(record, direction));
      this.#keep(node.tcp, flags, series);
    }
    return series;
  }

  #node(record: RequestRecord, direction: 'INBOUND' | 'OUTBOUND'): PrincipalNode {
    const inbound = direction === 'INBOUND';
    const index = inbound ? this.#inbound : this.#outbound;
    const serviceKey = record.destinationService ?? record.upstreamCluster;
    const mutualTls = inbound ? record.downstream.mutualTls : record.upstreamMutualTls;
    const principal = inbound ? record.downstream.peerPrincipal : record.upstreamPeerPrincipal;
    const { latest } = index;
    if (
      latest !== null &&
      index.latestPeer === record.peer &&
      index.latestService === serviceKey &&
      index.latestMutualTls === mutualTls &&
      index.latestPrincipal === principal
    ) {
      return latest;
    }
    const peer = index.node(record.peer);
    let service = peer.services.get(serviceKey);
    if (service === undefined) {
      service = { mutualTls: new Map(), plain: new Map() };
      this.#keep(peer.services, serviceKey, service);
    }
    const principals = mutualTls ? service.mutualTls : service.plain;
    let node = principals.get(principal);
    if (node === undefined) {
      node = { requests: new Map(), messages: new Map(), tcp: new Map() };
      this.#keep(principals, principal, node);
    }
    index.latestPeer = record.peer;
    index.latestService = serviceKey;
    index.latestMutualTls = mutualTls;
    index.latestPrincipal = principal;
    index.latest = node;
    return node;
  }

  #keep<K, V>(map: Map<K, V>, key: K, value: V): void {
    if (this.#entries >= ENTRIES_MAX) return;
    this.#entries += 1;
    map.set(key, value);
  }

  /** A small integer for a set of flags; 0 is none. */
  #flagId(flags: number): number {
    if (flags === 0) return 0;
    let id = this.#flagIds.get(flags);
    if (id === undefined) {
      id = this.#flagIds.size + 1;
      if (id > FLAGS_MAX) return FLAGS_MAX;
      this.#flagIds.set(flags, id);
    }
    return id;
  }

  #requestSeries(labels: Labels): RequestSeries {
    const registry = this.#registry;
    return {
      requests: registry.counter('istio_requests_total', 'Requests handled by the proxy', labels),
      durationMs: registry.histogram(
        'istio_request_duration_milliseconds',
        'Duration of requests',
        ISTIO_BUCKETS,
        labels,
      ),
      requestBytes: registry.histogram(
        'istio_request_bytes',
        'Size of request bodies',
        ISTIO_BUCKETS,
        labels,
      ),
      responseBytes: registry.histogram(
        'istio_response_bytes',
        'Size of response bodies',
        ISTIO_BUCKETS,
        labels,
      ),
    };
  }

  #messageSeries(labels: Labels): MessageSeries {
    const registry = this.#registry;
    return {
      requests: registry.counter(
        'istio_request_messages_total',
        'gRPC messages of clients',
        labels,
      ),
      responses: registry.counter(
        'istio_response_messages_total',
        'gRPC messages of servers',
        labels,
      ),
    };
  }

  #tcpSeries(labels: Labels): TcpSeries {
    const registry = this.#registry;
    return {
      opened: registry.counter(
        'istio_tcp_connections_opened_total',
        'TCP connections opened',
        labels,
      ),
      closed: registry.counter(
        'istio_tcp_connections_closed_total',
        'TCP connections closed',
        labels,
      ),
      sentBytes: registry.counter(
        'istio_tcp_sent_bytes_total',
        'Bytes sent downstream on TCP connections',
        labels,
      ),
      receivedBytes: registry.counter(
        'istio_tcp_received_bytes_total',
        'Bytes received from downstream on TCP connections',
        labels,
      ),
    };
  }
}

/** First link: the peer by identity, else by content, so that equal peers share their series. */
class PeerIndex {
  readonly #byIdentity = new WeakMap<WorkloadMetadata, PeerNode>();
  readonly #byContent = new Map<string, PeerNode>();
  /** Where the chain led the latest request: most often where it leads the next one. */
  latest: PrincipalNode | null = null;
  latestPeer: WorkloadMetadata | null = null;
  latestService: DestinationService | string = '';
  latestMutualTls = false;
  latestPrincipal = '';

  node(peer: WorkloadMetadata): PeerNode {
    let node = this.#byIdentity.get(peer);
    if (node === undefined) {
      const content = contentKey(peer);
      node = this.#byContent.get(content);
      if (node === undefined) {
        node = { services: new Map() };
        if (this.#byContent.size < PEERS_MAX) this.#byContent.set(content, node);
      }
      this.#byIdentity.set(peer, node);
    }
    return node;
  }
}

function contentKey(peer: WorkloadMetadata): string {
  return JSON.stringify([
    peer.workload,
    peer.namespace,
    peer.app,
    peer.version,
    peer.canonicalService,
    peer.canonicalRevision,
    peer.cluster,
    peer.principal,
  ]);
}
