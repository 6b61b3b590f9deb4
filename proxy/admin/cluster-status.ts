import type { LiveClusterManager } from '../upstream/cluster-manager.ts';
import type { LiveCluster } from '../upstream/live-cluster.ts';
import type { UpstreamEndpoint } from '../upstream/upstream-endpoint.ts';
import type { ClusterStatus, HostStat, HostStatus } from './admin-source.ts';

/** Clusters and their endpoints as `/clusters` shows them. `isStatic`: of the bootstrap. */
export function* clusterStatuses(
  manager: LiveClusterManager,
  isStatic: (name: string) => boolean,
): Generator<ClusterStatus> {
  const hosts = new Map<LiveCluster, HostStatus[]>();
  for (const name of manager.clusters.keys()) {
    const cluster = manager.get(name);
    if (cluster !== undefined) hosts.set(cluster, []);
  }
  for (const [cluster, endpoint] of manager.endpoints()) {
    hosts.get(cluster)?.push(hostStatus(endpoint));
  }
  for (const [{ name, config }, list] of hosts) {
    yield {
      name,
      edsServiceName: config.discovery === 'EDS' ? config.edsServiceName : '',
      addedViaApi: !isStatic(name),
      connectionsMax: config.connectionsMax,
      pendingRequestsMax: config.pendingRequestsMax,
      requestsMax: config.requestsMax,
      retriesMax: config.retriesMax,
      hosts: list,
    };
  }
}

function hostStatus(endpoint: UpstreamEndpoint): HostStatus {
  return {
    address: endpoint.host,
    port: endpoint.port,
    hostname: endpoint.hostname,
    health: endpoint.config.health,
    failedOutlierCheck: false,
    failedActiveHealthCheck: false,
    weight: endpoint.weight,
    priority: endpoint.priority,
    locality: endpoint.locality,
    stats: hostStats(endpoint),
  };
}

function hostStats(endpoint: UpstreamEndpoint): HostStat[] {
  return [
    { name: 'cx_active', value: endpoint.connectionsActive, type: 'GAUGE' },
    { name: 'cx_connect_fail', value: endpoint.connectFailures, type: 'COUNTER' },
    { name: 'cx_total', value: endpoint.connectionsTotal, type: 'COUNTER' },
    { name: 'rq_active', value: endpoint.active, type: 'GAUGE' },
    { name: 'rq_error', value: endpoint.requestsError, type: 'COUNTER' },
    { name: 'rq_success', value: endpoint.requestsSuccess, type: 'COUNTER' },
    { name: 'rq_total', value: endpoint.requestsTotal, type: 'COUNTER' },
  ];
}
