import type { Metadata } from '../../proto/gen/envoy/config/core/v3/base.ts';
import {
  type DeepPartial,
  HealthStatus,
} from '../../proto/gen/envoy/config/core/v3/health_check.ts';
import { ClusterLoadAssignment } from '../../proto/gen/envoy/config/endpoint/v3/endpoint.ts';
import type {
  LbEndpoint,
  LocalityLbEndpoints,
} from '../../proto/gen/envoy/config/endpoint/v3/endpoint_components.ts';
import type { StringMap } from '../kinds/resource.ts';
import type { MeshSnapshot } from '../mesh/snapshot.ts';
import type { Endpoint } from '../registry/registry.ts';
import { selects } from '../registry/service-entries.ts';
import { pipeAddress, tcpAddress } from './config-source.ts';

/** An assignment of one cluster: the endpoints of `port` that carry `labels`, by locality. Empty is sent empty. */
export function loadAssignment(
  clusterName: string,
  endpoints: readonly Endpoint[],
  port: number,
  labels: StringMap,
  snapshot: MeshSnapshot,
): ClusterLoadAssignment {
  const byLocality = new Map<string, { endpoints: DeepPartial<LbEndpoint>[]; weight: number }>();
  for (const endpoint of endpoints) {
    const dial = endpoint.ports.get(port);
    if (dial === undefined || !selects(labels, endpoint.labels)) continue;
    let group = byLocality.get(endpoint.locality);
    if (group === undefined) {
      group = { endpoints: [], weight: 0 };
      byLocality.set(endpoint.locality, group);
    }
    group.endpoints.push(lbEndpoint(endpoint, port, dial, snapshot));
    group.weight += endpoint.weight;
  }
  return ClusterLoadAssignment.create({
    clusterName,
    endpoints: [...byLocality]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([locality, group]) => localityEndpoints(locality, group.endpoints, group.weight)),
  });
}

function localityEndpoints(
  locality: string,
  lbEndpoints: DeepPartial<LbEndpoint>[],
  weight: number,
): DeepPartial<LocalityLbEndpoints> {
  const [region = '', zone = '', subZone = ''] = locality.split('/');
  return {
    locality: { region, zone, subZone },
    lbEndpoints,
    // The sum of its endpoints' weights; stock gRPC ignores a locality without (xds.md 5.3).
    loadBalancingWeight: weight,
  };
}

function lbEndpoint(
  endpoint: Endpoint,
  port: number,
  dial: number,
  snapshot: MeshSnapshot,
): DeepPartial<LbEndpoint> {
  return {
    hostIdentifier: {
      $case: 'endpoint',
      value: {
        address: endpoint.address.startsWith('unix://')
          ? pipeAddress(endpoint.address.slice('unix://'.length))
          : tcpAddress(endpoint.address, dial),
      },
    },
    // LB-16: sent as unhealthy and not left out, so that callers answer `UH` and know the whole.
    healthStatus: endpoint.health === 'HEALTHY' ? HealthStatus.HEALTHY : HealthStatus.UNHEALTHY,
    loadBalancingWeight: endpoint.weight,
    metadata: endpointMetadata(endpoint, port, dial, snapshot),
  };
}

function endpointMetadata(
  endpoint: Endpoint,
  port: number,
  dial: number,
  snapshot: MeshSnapshot,
): DeepPartial<Metadata> {
  const filterMetadata = new Map<string, { [key: string]: unknown }>();
  if (takesMutualTls(endpoint, port, dial, snapshot)) {
    filterMetadata.set('envoy.transport_socket_match', { tlsMode: 'istio' });
  }
  if (endpoint.workload !== '') {
    filterMetadata.set('istio', { workload: workloadLabel(endpoint, snapshot.options.clusterId) });
  }
  return { filterMetadata };
}

/** SC-01: a sidecar is there, and no PeerAuthentication of its side turned mutual TLS off for this port. */
function takesMutualTls(
  endpoint: Endpoint,
  port: number,
  dial: number,
  { peerAuthentications }: MeshSnapshot,
): boolean {
  if (endpoint.tlsMode !== 'istio') return false;
  if (!peerAuthentications.someDisable) return true;
  const { namespace, labels } = endpoint;
  // A registered sidecar knows its port by the service's number, a WorkloadEntry by the one that is dialled.
  return (
    peerAuthentications.mode(namespace, labels, port) !== 'DISABLE' &&
    peerAuthentications.mode(namespace, labels, dial) !== 'DISABLE'
  );
}

/** `name;namespace;canonical-name;canonical-revision;cluster` */
function workloadLabel({ workload, namespace, labels }: Endpoint, clusterId: string): string {
  return [
    workload,
    namespace,
    canonicalName(labels, workload),
    canonicalRevision(labels),
    clusterId,
  ]
    .map((part) => part.replaceAll(';', '_'))
    .join(';');
}

/** KI-08. */
function canonicalName(labels: StringMap, workload: string): string {
  return (
    labels['service.istio.io/canonical-name'] ??
    labels['app.kubernetes.io/name'] ??
    labels['app'] ??
    workload
  );
}

function canonicalRevision(labels: StringMap): string {
  return (
    labels['service.istio.io/canonical-revision'] ??
    labels['app.kubernetes.io/version'] ??
    labels['version'] ??
    'latest'
  );
}
