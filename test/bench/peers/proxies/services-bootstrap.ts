import { httpListener, socketAddress, staticCluster } from '../../../harness/static-proxy.ts';
import { MESH_FEATURES } from './hop.ts';
import { type Places, RETRIES } from './mesh-bootstrap.ts';

/** As many services as a mesh may have. */
export interface ServicesPlan {
  readonly services: number;
  readonly endpointsEach: number;
  /** Every endpoint is this port, at as many loopback addresses as a service has endpoints. */
  readonly backendPort: number;
}

/** A bootstrap with one virtual host, one route and one cluster for each service. */
export function servicesBootstrap(plan: ServicesPlan, places: Places): object {
  const names = Array.from({ length: plan.services }, (_, index) => serviceName(index));
  return {
    node: { id: 'bench', cluster: 'bench' },
    admin: { address: socketAddress(places.adminPort) },
    static_resources: {
      listeners: [
        httpListener(places.port, names.map(virtualHost), {
          tracing: { random_sampling: { value: MESH_FEATURES.tracingPercent } },
        }),
      ],
      clusters: names.map((name) => staticCluster(name, [], endpoints(name, plan))),
    },
  };
}

export function serviceName(index: number): string {
  return `service-${index}.default.svc.cluster.local`;
}

function virtualHost(name: string): object {
  const route = { cluster: name, timeout: '0s', retry_policy: RETRIES };
  return { name, domains: [name, `${name}:*`], routes: [{ match: { prefix: '/' }, route }] };
}

function endpoints(name: string, { endpointsEach, backendPort }: ServicesPlan): object {
  const lb_endpoints = Array.from({ length: endpointsEach }, (_, index) => ({
    endpoint: {
      address: socketAddress(backendPort, `127.0.${index >> 8}.${(index & 255) + 1}`),
    },
  }));
  return { load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints }] } };
}
