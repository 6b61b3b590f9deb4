import type { RequestRecord, WorkloadMetadata } from './request-record.ts';
import { responseFlags } from './request-record.ts';
import { OVERFLOW_LABEL_VALUE } from './series-group.ts';
import type { Label, Labels } from './stats.ts';

/** `UNAUTHENTICATED`, the highest gRPC status. */
export const GRPC_STATUS_MAX = 16;

/** Istio's label set (OB-02) of a request or connection. Built once a label set, not once a request. */
export class IstioLabels {
  readonly #local: WorkloadMetadata;
  #localPrincipal: string;

  constructor(local: WorkloadMetadata) {
    this.#local = local;
    this.#localPrincipal = known(local.principal);
  }

  /** False where nothing changes. */
  setLocalPrincipal(principal: string): boolean {
    if (known(principal) === this.#localPrincipal) return false;
    this.#localPrincipal = known(principal);
    return true;
  }

  /** `grpc_response_status` stands only on gRPC requests. */
  request(record: RequestRecord, direction: 'INBOUND' | 'OUTBOUND'): Labels {
    const labels: Label[] = [
      ...this.#parties(record, direction),
      ['request_protocol', record.grpc ? 'grpc' : 'http'],
      ['response_code', String(record.status)],
    ];
    if (record.grpc) {
      labels.push(['grpc_response_status', grpcStatus(record.grpcStatus)]);
    }
    labels.push(...outcome(record, direction));
    return labels;
  }

  /** TCP has neither response code nor gRPC status. */
  tcp(record: RequestRecord, direction: 'INBOUND' | 'OUTBOUND'): Labels {
    return [
      ...this.#parties(record, direction),
      ['request_protocol', 'tcp'],
      ...outcome(record, direction),
    ];
  }

  #parties(record: RequestRecord, direction: 'INBOUND' | 'OUTBOUND'): Labels {
    const { peer, downstream } = record;
    if (direction === 'INBOUND') {
      return [
        ['reporter', 'destination'],
        ...workload('source', peer, downstream.peerPrincipal),
        ...workload(
          'destination',
          this.#local,
          downstream.mutualTls ? downstream.localPrincipal || this.#localPrincipal : '',
        ),
        ...service(record),
      ];
    }
    // As Istio's stats filter: identities are those of the upstream TLS session.
    const mutualTls = record.upstreamMutualTls;
    return [
      ['reporter', 'source'],
      ...workload('source', this.#local, mutualTls ? this.#localPrincipal : ''),
      ...workload(
        'destination',
        peer,
        mutualTls ? record.upstreamPeerPrincipal || peer.principal : '',
      ),
      ...service(record),
    ];
  }
}

function workload(side: 'source' | 'destination', of: WorkloadMetadata, principal: string): Labels {
  return [
    [`${side}_workload`, known(of.workload)],
    [`${side}_workload_namespace`, known(of.namespace)],
    [`${side}_principal`, known(principal)],
    [`${side}_app`, known(of.app)],
    [`${side}_version`, known(of.version)],
    [`${side}_canonical_service`, known(of.canonicalService)],
    [`${side}_canonical_revision`, of.canonicalRevision === '' ? 'latest' : of.canonicalRevision],
    [`${side}_cluster`, known(of.cluster)],
  ];
}

/**
 * From configuration only, never from the Host header (A7.4). Traffic to no known service is told
 * apart by the cluster that took it, as Istio does for PassthroughCluster and BlackHoleCluster.
 */
function service(record: RequestRecord): Labels {
  const { destinationService: to, upstreamCluster } = record;
  const fallback = /^(Inbound)?PassthroughCluster|^BlackHoleCluster/.test(upstreamCluster)
    ? upstreamCluster
    : UNKNOWN;
  return [
    ['destination_service', known(to?.host ?? '')],
    ['destination_service_name', to === null ? fallback : known(to.name)],
    ['destination_service_namespace', known(to?.namespace ?? '')],
  ];
}

function outcome(record: RequestRecord, direction: 'INBOUND' | 'OUTBOUND'): Labels {
  const policy =
    direction === 'OUTBOUND' ? UNKNOWN : record.downstream.mutualTls ? 'mutual_tls' : 'none';
  return [
    ['response_flags', responseFlags(record.flags)],
    ['connection_security_policy', policy],
  ];
}

/** '' where the response carried none; an upstream's invented codes share one value (A7.4). */
function grpcStatus(status: number): string {
  if (status < 0) return '';
  return status > GRPC_STATUS_MAX ? OVERFLOW_LABEL_VALUE : String(status);
}

function known(value: string): string {
  return value === '' ? UNKNOWN : value;
}

const UNKNOWN = 'unknown';
