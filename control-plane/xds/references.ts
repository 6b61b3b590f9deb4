import { unpackAs } from '../../proto/any.ts';
import { Cluster_DiscoveryType } from '../../proto/gen/envoy/config/cluster/v3/cluster.ts';
import {
  TYPE_CLUSTER,
  TYPE_HTTP_CONNECTION_MANAGER,
  TYPE_LISTENER,
} from '../../proto/type-urls.ts';
import type { DiscoveryResource } from '../translate/discovery-resource.ts';

/** The endpoint resource that a cluster takes its endpoints from, or '' where it has them otherwise. Read once a resource. */
export function endpointNameOf(resource: DiscoveryResource): string {
  if (resource.type !== TYPE_CLUSTER) return '';
  let name = ENDPOINT_NAMES.get(resource);
  if (name === undefined) {
    name = readEndpointName(resource);
    ENDPOINT_NAMES.set(resource, name);
  }
  return name;
}

const ENDPOINT_NAMES = new WeakMap<DiscoveryResource, string>();

function readEndpointName(resource: DiscoveryResource): string {
  const cluster = (resource as DiscoveryResource<typeof TYPE_CLUSTER>).message;
  const { clusterDiscoveryType } = cluster;
  const isEds =
    clusterDiscoveryType?.$case === 'type' &&
    clusterDiscoveryType.value === Cluster_DiscoveryType.EDS;
  if (!isEds) return '';
  return cluster.edsClusterConfig?.serviceName || cluster.name;
}

/** The route configurations that a listener asks for by name. Read once a resource. */
export function routeNamesOf(resource: DiscoveryResource): readonly string[] {
  if (resource.type !== TYPE_LISTENER) return [];
  const known = ROUTE_NAMES.get(resource);
  if (known !== undefined) return known;
  const names = readRouteNames(resource as DiscoveryResource<typeof TYPE_LISTENER>);
  ROUTE_NAMES.set(resource, names);
  return names;
}

const ROUTE_NAMES = new WeakMap<DiscoveryResource, readonly string[]>();
const HTTP_CONNECTION_MANAGER =
  'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager';

function readRouteNames({ message }: DiscoveryResource<typeof TYPE_LISTENER>): string[] {
  const names = new Set<string>();
  const chains = [...message.filterChains];
  if (message.defaultFilterChain !== undefined) chains.push(message.defaultFilterChain);
  const configs = chains
    .flatMap(({ filters }) => filters)
    .map(({ configType }) => (configType?.$case === 'typedConfig' ? configType.value : undefined));
  configs.push(message.apiListener?.apiListener);
  for (const config of configs) {
    if (config?.typeUrl !== TYPE_HTTP_CONNECTION_MANAGER) continue;
    const unpacked = unpackAs(HTTP_CONNECTION_MANAGER, config);
    if (!unpacked.ok || unpacked.message.routeSpecifier?.$case !== 'rds') continue;
    names.add(unpacked.message.routeSpecifier.value.routeConfigName);
  }
  return [...names];
}
