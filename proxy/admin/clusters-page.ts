import type { AdminSource, ClusterStatus, HostStatus, JsonObject } from './admin-source.ts';
import {
  type EndpointReply,
  type EndpointRequest,
  hostPort,
  json,
  plain,
} from './http-endpoint.ts';
import { renderSections } from './json-text.ts';

/** `/clusters[?format=json]`: endpoints with health, weight and counters, in Envoy's two spellings. */
export function clustersPage(source: AdminSource, { query }: EndpointRequest): EndpointReply {
  return query.get('format') === 'json'
    ? json(renderSections('cluster_statuses', clusterMessages(source.clusters())))
    : plain(200, clusterLines(source.clusters()));
}

function* clusterLines(clusters: Iterable<ClusterStatus>): Generator<string> {
  for (const cluster of clusters) {
    const name = printable(cluster.name);
    let text = `${name}::observability_name::${name}\n`;
    for (const [limit, value] of limits(cluster)) {
      text += `${name}::default_priority::${limit}::${value}\n`;
    }
    text += `${name}::added_via_api::${cluster.addedViaApi}\n`;
    if (cluster.edsServiceName !== '') {
      text += `${name}::eds_service_name::${printable(cluster.edsServiceName)}\n`;
    }
    for (const host of cluster.hosts) text += hostLines(name, host);
    yield text;
  }
}

function hostLines(cluster: string, host: HostStatus): string {
  const prefix = `${cluster}::${hostPort(host.address, host.port)}::`;
  const [region, zone, subZone] = locality(host);
  let text = '';
  for (const { name, value } of host.stats) text += `${prefix}${name}::${value}\n`;
  text += `${prefix}hostname::${printable(host.hostname)}\n`;
  text += `${prefix}health_flags::${healthFlags(host)}\n`;
  text += `${prefix}weight::${host.weight}\n`;
  text += `${prefix}region::${region}\n${prefix}zone::${zone}\n${prefix}sub_zone::${subZone}\n`;
  text += `${prefix}canary::false\n`;
  return `${text}${prefix}priority::${host.priority}\n`;
}

function healthFlags(host: HostStatus): string {
  const flags: string[] = [];
  if (host.failedActiveHealthCheck) flags.push('/failed_active_hc');
  if (host.failedOutlierCheck) flags.push('/failed_outlier_check');
  if (host.health === 'UNHEALTHY') flags.push('/failed_eds_health');
  if (host.health === 'DRAINING') flags.push('/eds_status_draining');
  return flags.length === 0 ? 'healthy' : flags.join('');
}

function* clusterMessages(clusters: Iterable<ClusterStatus>): Generator<JsonObject> {
  for (const cluster of clusters) {
    yield {
      name: cluster.name,
      added_via_api: cluster.addedViaApi,
      host_statuses: Array.from(cluster.hosts, hostMessage),
      circuit_breakers: {
        thresholds: [{ priority: 'DEFAULT', ...Object.fromEntries(limits(cluster)) }],
      },
      observability_name: cluster.name,
      ...(cluster.edsServiceName === '' ? {} : { eds_service_name: cluster.edsServiceName }),
    };
  }
}

/** `SimpleMetric.value` is 64 bits, hence a string; defaults are left out, as proto-JSON does. */
function hostMessage(host: HostStatus): JsonObject {
  const [region, zone, subZone] = locality(host);
  return {
    address: { socket_address: { address: host.address, port_value: host.port } },
    stats: Array.from(host.stats, ({ name, value, type }) => ({
      ...(type === 'GAUGE' ? { type } : {}),
      ...(value === 0 ? {} : { value: String(value) }),
      name,
    })),
    health_status: {
      ...(host.failedActiveHealthCheck ? { failed_active_health_check: true } : {}),
      ...(host.failedOutlierCheck ? { failed_outlier_check: true } : {}),
      eds_health_status: host.health,
    },
    weight: host.weight,
    ...(host.hostname === '' ? {} : { hostname: host.hostname }),
    ...(host.priority === 0 ? {} : { priority: host.priority }),
    locality: {
      ...(region === '' ? {} : { region }),
      ...(zone === '' ? {} : { zone }),
      ...(subZone === '' ? {} : { sub_zone: subZone }),
    },
  };
}

function limits(cluster: ClusterStatus): readonly (readonly [string, number])[] {
  return [
    ['max_connections', cluster.connectionsMax],
    ['max_pending_requests', cluster.pendingRequestsMax],
    ['max_requests', cluster.requestsMax],
    ['max_retries', cluster.retriesMax],
  ];
}

function locality(host: HostStatus): readonly [string, string, string] {
  const [region = '', zone = '', subZone = ''] = printable(host.locality).split('/');
  return [region, zone, subZone];
}

/** A name from the control plane must not look like another line (A7.2). */
function printable(name: string): string {
  return name.replace(/[\u0000-\u001f\u007f-\u009f]/g, '?');
}
