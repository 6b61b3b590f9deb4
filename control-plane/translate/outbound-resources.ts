import { TYPE_CLUSTER, TYPE_ENDPOINT } from '../../proto/type-urls.ts';
import type { Subset } from '../kinds/destination-rule.ts';
import type { MeshDestinationRule } from '../mesh/destination-rule-index.ts';
import type { MeshSnapshot } from '../mesh/snapshot.ts';
import type { Endpoint, Service, ServicePort } from '../registry/registry.ts';
import {
  blackHoleCluster,
  type ClusterFlavour,
  outboundClusterOf,
  passthroughCluster,
} from './clusters.ts';
import { DiscoveryResource } from './discovery-resource.ts';
import { loadAssignment } from './endpoints.ts';
import { MadeOnce } from './made-once.ts';
import { outboundCluster } from './names.ts';

type ClusterResource = DiscoveryResource<typeof TYPE_CLUSTER>;
type EndpointResource = DiscoveryResource<typeof TYPE_ENDPOINT>;

const clustersMade = new MadeOnce<Service, ClusterResource>();
const endpointsMade = new MadeOnce<readonly Endpoint[], EndpointResource>();

/** Clusters for callers of `namespace`: one for each port of each service, and for each subset of it (TM-09). */
export function outboundClusters(
  snapshot: MeshSnapshot,
  namespace: string,
  flavour: ClusterFlavour,
): Map<string, ClusterResource> {
  const clusters = new Map<string, ClusterResource>();
  eachCluster(snapshot, namespace, (service, port, rule, subset) => {
    const resource = clusterResource(service, port, rule, subset, snapshot, flavour);
    clusters.set(resource.name, resource);
  });
  if (flavour.kind !== 'grpc') {
    clusters.set(PASSTHROUGH.name, PASSTHROUGH);
    clusters.set(BLACK_HOLE.name, BLACK_HOLE);
  }
  return clusters;
}

/** Assignments of those of the clusters that take theirs from discovery. */
export function outboundEndpoints(
  snapshot: MeshSnapshot,
  namespace: string,
): Map<string, EndpointResource> {
  const assignments = new Map<string, EndpointResource>();
  eachCluster(snapshot, namespace, (service, port, rule, subset) => {
    if (service.resolution !== 'STATIC') return;
    const resource = endpointResource(service, port, rule, subset, snapshot);
    assignments.set(resource.name, resource);
  });
  return assignments;
}

const PASSTHROUGH = new DiscoveryResource(TYPE_CLUSTER, 'PassthroughCluster', passthroughCluster());
const BLACK_HOLE = new DiscoveryResource(TYPE_CLUSTER, 'BlackHoleCluster', blackHoleCluster());

function eachCluster(
  snapshot: MeshSnapshot,
  namespace: string,
  visit: (
    service: Service,
    port: ServicePort,
    rule: MeshDestinationRule | undefined,
    subset: Subset | undefined,
  ) => void,
): void {
  for (const service of snapshot.directory.visibleTo(namespace)) {
    const rule = snapshot.destinationRules.find(service, namespace);
    for (const port of service.ports) {
      if (port.protocol === 'udp') continue;
      visit(service, port, rule, undefined);
      for (const subset of rule?.subsets ?? []) visit(service, port, rule, subset);
    }
  }
}

function clusterResource(
  service: Service,
  port: ServicePort,
  rule: MeshDestinationRule | undefined,
  subset: Subset | undefined,
  snapshot: MeshSnapshot,
  flavour: ClusterFlavour,
): ClusterResource {
  const make = () => {
    const message = outboundClusterOf(service, port, rule, subset, snapshot, flavour);
    return new DiscoveryResource(TYPE_CLUSTER, message.name, message);
  };
  // Its endpoints stand in it, and they come and go without the service.
  if (service.resolution === 'DNS') return make();
  const name = outboundCluster(port.number, subset?.name ?? '', service.host);
  const key = `${flavour.kind} ${flavour.secrets} ${rule?.namespace ?? ''} ${name}`;
  return clustersMade.get(service, key, rule?.version ?? '', make);
}

function endpointResource(
  service: Service,
  port: ServicePort,
  rule: MeshDestinationRule | undefined,
  subset: Subset | undefined,
  snapshot: MeshSnapshot,
): EndpointResource {
  const { directory, peerAuthentications } = snapshot;
  const name = outboundCluster(port.number, subset?.name ?? '', service.host);
  const endpoints = directory.endpoints(service);
  const make = () => {
    const labels = subset?.labels ?? {};
    const message = loadAssignment(name, endpoints, port.number, labels, snapshot);
    return new DiscoveryResource(TYPE_ENDPOINT, name, message);
  };
  const stamp = `${subset === undefined ? '' : rule!.version} ${peerAuthentications.someDisable ? peerAuthentications.version : ''}`;
  return endpointsMade.get(endpoints, `${rule?.namespace ?? ''} ${name}`, stamp, make);
}
