import { packAny } from '../../proto/any.ts';
import { Cluster, Cluster_DiscoveryType } from '../../proto/gen/envoy/config/cluster/v3/cluster.ts';
import { ClusterLoadAssignment } from '../../proto/gen/envoy/config/endpoint/v3/endpoint.ts';
import { Listener } from '../../proto/gen/envoy/config/listener/v3/listener.ts';
import { RouteConfiguration } from '../../proto/gen/envoy/config/route/v3/route.ts';
import type {
  DeepPartial,
  RetryPolicy,
  Route,
} from '../../proto/gen/envoy/config/route/v3/route_components.ts';
import { HttpConnectionManager } from '../../proto/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.ts';
import { TYPE_HTTP_CONNECTION_MANAGER } from '../../proto/type-urls.ts';
import type { MeshSnapshot } from '../mesh/snapshot.ts';
import { isHttp } from '../registry/protocol.ts';
import type { Service, ServicePort } from '../registry/registry.ts';
import { FROM_ADS } from './config-source.ts';
import { FAULT, ROUTER } from './connection-manager.ts';
import { BLACK_HOLE_CLUSTER, hostAndPort, outboundCluster } from './names.ts';
import { type Caller, VirtualHosts } from './routes.ts';
import { domainsOf, hostAliases } from './virtual-host-domains.ts';

/** Stock gRPC clients, which ask for a listener under the very name that they dial (xds.md 5.3). */

/** One listener for each name of each HTTP port; all names of a port share one route configuration. */
export function proxylessListeners(snapshot: MeshSnapshot, namespace: string): Listener[] {
  const listeners = new Map<string, Listener>();
  eachPort(snapshot, namespace, (service, port) => {
    const { host, addresses } = service;
    const aliases = hostAliases(host, addresses, namespace, snapshot.options.domain);
    const apiListener = {
      apiListener: packAny(
        TYPE_HTTP_CONNECTION_MANAGER,
        HttpConnectionManager.create({
          statPrefix: hostAndPort(host, port.number),
          routeSpecifier: {
            $case: 'rds',
            value: {
              configSource: FROM_ADS,
              routeConfigName: outboundCluster(port.number, '', host),
            },
          },
          httpFilters: [FAULT, ROUTER],
        }),
      ),
    };
    for (const name of domainsOf(aliases, port.number, false)) {
      if (!listeners.has(name)) listeners.set(name, Listener.create({ name, apiListener }));
    }
  });
  return [...listeners.values()];
}

/** The rules of each host and port, in the words that gRPC knows. */
export function proxylessRoutes(snapshot: MeshSnapshot, caller: Caller): RouteConfiguration[] {
  const configurations: RouteConfiguration[] = [];
  const builder = new VirtualHosts(snapshot, caller);
  eachPort(snapshot, caller.namespace, (service, port) => {
    configurations.push(
      RouteConfiguration.create({
        name: outboundCluster(port.number, '', service.host),
        virtualHosts: [
          {
            name: hostAndPort(service.host, port.number),
            domains: ['*'],
            routes: builder.httpRoutes(service, port).map(grpcRoute),
          },
        ],
      }),
    );
  });
  return configurations;
}

/** Nowhere, as gRPC knows it: a cluster whose assignment is empty. */
export function proxylessBlackHole(): Cluster {
  return Cluster.create({
    name: BLACK_HOLE_CLUSTER,
    clusterDiscoveryType: { $case: 'type', value: Cluster_DiscoveryType.EDS },
    edsClusterConfig: { edsConfig: FROM_ADS, serviceName: BLACK_HOLE_CLUSTER },
  });
}

export function emptyAssignment(): ClusterLoadAssignment {
  return ClusterLoadAssignment.create({ clusterName: BLACK_HOLE_CLUSTER });
}

function eachPort(
  snapshot: MeshSnapshot,
  namespace: string,
  visit: (service: Service, port: ServicePort) => void,
): void {
  for (const service of snapshot.directory.visibleTo(namespace)) {
    for (const port of service.ports) if (isHttp(port.protocol)) visit(service, port);
  }
}

/**
 * gRPC refuses a whole route configuration for one redirect or direct response, and @grpc/grpc-js-xds 1.14 falls over a
 * client's `non_forwarding_action`: such a route leads to a cluster without endpoints, and its calls end UNAVAILABLE. The
 * time limit is read from `max_stream_duration`, and retries are for status codes alone.
 */
function grpcRoute(route: DeepPartial<Route>): DeepPartial<Route> {
  const { action } = route;
  if (action?.$case !== 'route' || action.value === undefined) {
    return {
      ...route,
      action: {
        $case: 'route',
        value: { clusterSpecifier: { $case: 'cluster', value: BLACK_HOLE_CLUSTER } },
      },
    };
  }
  const { timeout, retryPolicy, maxStreamDuration: _, maxGrpcTimeout: __, ...rest } = action.value;
  const retry = grpcRetryPolicy(retryPolicy);
  return {
    ...route,
    action: {
      $case: 'route',
      value: {
        ...rest,
        ...(timeout !== undefined &&
          (timeout.seconds !== 0 || timeout.nanos !== 0) && {
            maxStreamDuration: { maxStreamDuration: timeout },
          }),
        ...(retry !== null && { retryPolicy: retry }),
      },
    },
  };
}

const GRPC_CONDITIONS: ReadonlySet<string> = new Set([
  'cancelled',
  'deadline-exceeded',
  'internal',
  'resource-exhausted',
  'unavailable',
]);

function grpcRetryPolicy(
  policy: DeepPartial<RetryPolicy> | undefined,
): DeepPartial<RetryPolicy> | null {
  const conditions = (policy?.retryOn ?? '').split(',').filter((each) => GRPC_CONDITIONS.has(each));
  const numRetries = policy?.numRetries ?? 0;
  if (conditions.length === 0 || numRetries < 1) return null;
  return { retryOn: conditions.join(','), numRetries };
}
