import {
  TYPE_CLUSTER,
  TYPE_ENDPOINT,
  TYPE_LISTENER,
  TYPE_ROUTE,
} from '../../../../proto/type-urls.ts';
import { httpListener, socketAddress, staticCluster } from '../../../harness/static-proxy.ts';
import { type Mesh, meshOf, resource } from '../backends/ads-server.ts';
import { MESH_FEATURES } from './hop.ts';
import { type Places, RETRIES, UPSTREAM_HTTP2 } from './mesh-bootstrap.ts';

/** As many services as a mesh may have, each with one virtual host, one route and one cluster. */
export interface ServicesPlan {
  readonly services: number;
  readonly endpointsEach: number;
  /** Every endpoint is this port, at as many loopback addresses as a service has endpoints. */
  readonly backendPort: number;
}

/** All of it in the bootstrap. */
export function servicesBootstrap(plan: ServicesPlan, places: Places): object {
  const names = serviceNames(plan);
  return {
    node: { id: 'bench', cluster: 'bench' },
    admin: { address: socketAddress(places.adminPort) },
    static_resources: {
      listeners: [{ ...httpListener(places.port, names.map(virtualHost), TRACING), ...OUTBOUND }],
      clusters: names.map((name) => ({
        ...staticCluster(name, []),
        load_assignment: assignment(name, plan),
      })),
    },
  };
}

/** For Istio's metrics. */
const OUTBOUND = { traffic_direction: 'OUTBOUND' };
const TRACING = { tracing: { random_sampling: { value: MESH_FEATURES.tracingPercent } } };
const ADS = { ads: {}, resource_api_version: 'V3' };
const ROUTES = 'services';

/** A bootstrap that asks for all of it over incremental ADS, in clear text. */
export function adsBootstrap(adsPort: number, { adminPort }: Places): object {
  return {
    node: {
      id: 'sidecar~127.0.0.1~bench.default~default.svc.cluster.local',
      cluster: 'bench',
      metadata: { WEFT_READINESS: 'none', WEFT_PROMETHEUS: 'none', WEFT_STATUS: 'none' },
    },
    admin: { address: socketAddress(adminPort) },
    dynamic_resources: {
      ads_config: {
        api_type: 'DELTA_GRPC',
        transport_api_version: 'V3',
        grpc_services: [{ envoy_grpc: { cluster_name: 'ads' } }],
      },
      cds_config: ADS,
      lds_config: ADS,
    },
    static_resources: { clusters: [staticCluster('ads', [adsPort], UPSTREAM_HTTP2)] },
  };
}

/** What an ADS server says to such a bootstrap; `version` is that of every resource. */
export function servicesMesh(plan: ServicesPlan, places: Places, version: string): Mesh {
  const names = serviceNames(plan);
  const parts = {
    virtualHosts: names.map(virtualHost),
    clusters: names.map((name) => ({ name })),
    assignments: names.map((name) => assignment(name, plan)),
  };
  return adsMesh(parts, places, version);
}

/** JSON of Envoy's API: one route configuration, EDS clusters, and their endpoints. */
export interface MeshParts {
  readonly virtualHosts: readonly object[];
  readonly clusters: readonly { readonly name: string }[];
  readonly assignments: readonly { readonly cluster_name: string }[];
}

/** What an ADS server says to a proxy with `adsBootstrap`; `version` is that of every resource but the listener. */
export function adsMesh(parts: MeshParts, places: Places, version: string): Mesh {
  const rds = { config_source: ADS, route_config_name: ROUTES };
  const listener = {
    ...(httpListener(places.port, [], { ...TRACING, route_config: undefined, rds }) as {
      name: string;
    }),
    ...OUTBOUND,
  };
  const routes = { name: ROUTES, virtual_hosts: parts.virtualHosts };
  const clusters = parts.clusters.map((cluster) => ({
    type: 'EDS',
    connect_timeout: '1s',
    eds_cluster_config: { eds_config: ADS },
    ...cluster,
  }));
  const jsonOf = (object: object) => JSON.parse(JSON.stringify(object)) as object;
  return meshOf([
    [TYPE_CLUSTER, clusters.map((one) => resource(TYPE_CLUSTER, one.name, version, one))],
    [
      TYPE_ENDPOINT,
      parts.assignments.map((one) => resource(TYPE_ENDPOINT, one.cluster_name, version, one)),
    ],
    [TYPE_LISTENER, [resource(TYPE_LISTENER, listener.name, '1', jsonOf(listener))]],
    [TYPE_ROUTE, [resource(TYPE_ROUTE, ROUTES, version, routes)]],
  ]);
}

export function lastServiceName({ services }: Pick<ServicesPlan, 'services'>): string {
  return serviceName(services - 1);
}

function serviceNames({ services }: ServicesPlan): string[] {
  return Array.from({ length: services }, (_, index) => serviceName(index));
}

function serviceName(index: number): string {
  return `service-${index}.default.svc.cluster.local`;
}

function virtualHost(name: string): object {
  const route = { cluster: name, timeout: '0s', retry_policy: RETRIES };
  return { name, domains: [name, `${name}:*`], routes: [{ match: { prefix: '/' }, route }] };
}

type EndpointsPlan = Omit<ServicesPlan, 'services'>;

/** ClusterLoadAssignment: loopback answers on all of 127/8. */
export function assignment(
  name: string,
  { endpointsEach, backendPort }: EndpointsPlan,
  weightOf: ((index: number) => number) | null = null,
): { readonly cluster_name: string } {
  const lb_endpoints = Array.from({ length: endpointsEach }, (_, index) => ({
    endpoint: {
      address: socketAddress(backendPort, `127.0.${Math.floor(index / 250)}.${(index % 250) + 1}`),
    },
    ...(weightOf === null ? {} : { load_balancing_weight: weightOf(index) }),
  }));
  const endpoints = [{ lb_endpoints }];
  return { cluster_name: name, ...{ endpoints } };
}
