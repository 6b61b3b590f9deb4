import { packAny } from '../../proto/any.ts';
import { Cluster, Cluster_DiscoveryType } from '../../proto/gen/envoy/config/cluster/v3/cluster.ts';
import { ClusterLoadAssignment } from '../../proto/gen/envoy/config/endpoint/v3/endpoint.ts';
import { Listener } from '../../proto/gen/envoy/config/listener/v3/listener.ts';
import { RouteConfiguration } from '../../proto/gen/envoy/config/route/v3/route.ts';
import { HttpConnectionManager } from '../../proto/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.ts';
import { NameTable, NameTable_NameInfo } from '../../proto/gen/istio/networking/nds/v1/nds.ts';
import {
  TYPE_CLUSTER,
  TYPE_ENDPOINT,
  TYPE_HTTP_CONNECTION_MANAGER,
  TYPE_LISTENER,
  TYPE_NAME_TABLE,
  TYPE_ROUTE,
} from '../../proto/type-urls.ts';
import { DiscoveryResource } from '../translate/discovery-resource.ts';
import type { ResourcesByType } from './ads-stream.ts';
import type { Resources } from './subscription.ts';

/** Small resources for tests: `revision` makes another content of the same name. */
export function cluster(name: string, revision = ''): DiscoveryResource {
  return new DiscoveryResource(TYPE_CLUSTER, name, Cluster.create({ name, altStatName: revision }));
}

/** A cluster that takes its endpoints from the resource of its own name. */
export function edsCluster(name: string, revision = ''): DiscoveryResource {
  return new DiscoveryResource(
    TYPE_CLUSTER,
    name,
    Cluster.create({
      name,
      altStatName: revision,
      clusterDiscoveryType: { $case: 'type', value: Cluster_DiscoveryType.EDS },
    }),
  );
}

export function endpoints(name: string, overprovisioning = 140): DiscoveryResource {
  return new DiscoveryResource(
    TYPE_ENDPOINT,
    name,
    ClusterLoadAssignment.create({
      clusterName: name,
      policy: { overprovisioningFactor: overprovisioning },
    }),
  );
}

export function route(name: string, revision = ''): DiscoveryResource {
  return new DiscoveryResource(
    TYPE_ROUTE,
    name,
    RouteConfiguration.create({ name, virtualHosts: [{ name: revision, domains: ['*'] }] }),
  );
}

/** A table in which one name has this address. */
export function names(address: string): DiscoveryResource {
  const table = new Map([['a.example', NameTable_NameInfo.create({ ips: [address] })]]);
  return new DiscoveryResource(TYPE_NAME_TABLE, '', NameTable.create({ table }));
}

/** A listener whose HTTP connection manager asks for `routeName`. */
export function listener(name: string, routeName: string, revision = ''): DiscoveryResource {
  const manager = HttpConnectionManager.create({
    statPrefix: revision,
    routeSpecifier: { $case: 'rds', value: { routeConfigName: routeName } },
  });
  return new DiscoveryResource(
    TYPE_LISTENER,
    name,
    Listener.create({
      name,
      filterChains: [
        {
          filters: [
            {
              name: 'http',
              configType: {
                $case: 'typedConfig',
                value: packAny(TYPE_HTTP_CONNECTION_MANAGER, manager),
              },
            },
          ],
        },
      ],
    }),
  );
}

export function byName(...resources: DiscoveryResource[]): Resources {
  return new Map(resources.map((resource) => [resource.name, resource]));
}

export function byType(...resources: DiscoveryResource[]): ResourcesByType {
  const maps = new Map<string, Map<string, DiscoveryResource>>();
  for (const resource of resources) {
    const map = maps.get(resource.type) ?? new Map<string, DiscoveryResource>();
    map.set(resource.name, resource);
    maps.set(resource.type, map);
  }
  const empty: Resources = new Map();
  return { of: (typeUrl) => maps.get(typeUrl) ?? empty };
}
