import type { Mesh } from '../backends/ads-server.ts';
import { BREAKERS_OUT_OF_THE_WAY, type Places, RETRIES } from './mesh-bootstrap.ts';
import { adsMesh, assignment, lastServiceName, servicesMesh } from './services-bootstrap.ts';

/** A mesh that has few or many of one thing, as an ADS server sends it. */
export interface GrownMesh {
  /** What it has many of, as it stands in the names of rows. */
  readonly things: string;
  /** Whom the requests of the row about their cost go to. */
  readonly goal: string;
  /** What a reader must know of it, or ''. */
  readonly remark: string;
  /** `version` is that of every resource that is not the same for every `count`. */
  mesh(count: number, backendPort: number, places: Places, version: string): Mesh;
  /** Answered for by a mesh that has so many, and by larger ones; `path` stands before `/<bytes>`. */
  target(count: number): Target;
}

export interface Target {
  readonly host: string;
  readonly path: string;
}

/** Each a virtual host, a route, a cluster, an endpoint. */
export const SERVICES: GrownMesh = {
  things: 'services',
  goal: 'to the last service',
  remark: '',
  mesh: (services, backendPort, places, version) =>
    servicesMesh({ services, endpointsEach: 1, backendPort }, places, version),
  target: (services) => ({ host: lastServiceName({ services }), path: '' }),
};

/** By prefix, all to one cluster. */
export const ROUTES: GrownMesh = {
  things: 'routes of one virtual host',
  goal: 'by the last route of a virtual host',
  remark: '',
  mesh: (count, backendPort, places, version) => {
    const route = { ...BACKEND_ROUTE, prefix_rewrite: '/' };
    const routes = numbers(count).map((at) => ({ match: { prefix: `${routePath(at)}/` }, route }));
    const plan = { endpointsEach: 1, backendPort };
    return adsMesh(
      {
        virtualHosts: [{ name: 'all', domains: ['*'], routes }],
        clusters: [BACKEND_CLUSTER],
        assignments: [assignment('backend', plan)],
      },
      places,
      version,
    );
  },
  target: (count) => ({ host: 'backend', path: routePath(count - 1) }),
};

/** Endpoints that get the requests, whatever their number. */
const HEAVY = 8;

export const ENDPOINTS: GrownMesh = {
  things: 'endpoints of one cluster',
  goal: 'to a cluster of many endpoints',
  remark:
    `The pick alone: ${HEAVY} endpoints have a weight of a million, the others of one, so that all take part in the ` +
    'choice and one request in a thousand needs a connection of its own.',
  mesh: (count, backendPort, places, version) => {
    const domains = COUNTS.filter((most) => most <= count).map(endpointsHost);
    const routes = [{ match: { prefix: '/' }, route: BACKEND_ROUTE }];
    return adsMesh(
      {
        virtualHosts: [{ name: 'all', domains, routes }],
        clusters: [BACKEND_CLUSTER],
        assignments: [
          assignment('backend', { endpointsEach: count, backendPort }, (at) =>
            at < HEAVY ? 1_000_000 : 1,
          ),
        ],
      },
      places,
      version,
    );
  },
  target: (count) => ({ host: endpointsHost(count), path: '' }),
};

/** Of endpoints: each has a host that is served once they have come, for routes come after endpoints. */
const COUNTS = [10, 100, 1000, 10_000];

const BACKEND_ROUTE = { cluster: 'backend', timeout: '0s', retry_policy: RETRIES };
/** The policy that Istio sends. */
const BACKEND_CLUSTER = {
  name: 'backend',
  lb_policy: 'LEAST_REQUEST',
  circuit_breakers: BREAKERS_OUT_OF_THE_WAY,
};

function endpointsHost(count: number): string {
  return `of-${count}.backend`;
}

function routePath(at: number): string {
  return `/route-${at}`;
}

function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, at) => at);
}
