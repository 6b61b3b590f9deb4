import { isGrpcContent } from '../http/grpc-content-type.ts';
import type { RequestHead } from '../http/message.ts';
import { matchHeaders } from './header-match.ts';
import { CompiledMutations } from './header-mutation.ts';
import { HostMatcher, withoutPort } from './host-match.ts';
import { matchPath, pathWithoutQuery } from './path-match.ts';
import { matchQuery } from './query-match.ts';
import type {
  RouteConfig,
  RouteEntryConfig,
  RouteMatchConfig,
  VirtualHostConfig,
  WeightedCluster,
} from './route-config.ts';

/**
 * A RouteConfiguration ready to be asked: hosts indexed, header formats compiled when they are first needed. What it
 * answers never changes; a request keeps the one that it began with.
 */
export class RouteTable {
  readonly config: RouteConfig;
  readonly #hosts = new HostMatcher<VirtualHost>();

  constructor(config: RouteConfig) {
    this.config = config;
    const table: OwnMutations = {
      request: new CompiledMutations(config.requestHeaders),
      response: new CompiledMutations(config.responseHeaders),
    };
    for (const virtualHost of config.virtualHosts) {
      const compiled = new VirtualHost(virtualHost, table);
      for (const domain of virtualHost.domains) this.#hosts.add(domain, compiled);
    }
  }

  /** By the request's authority, compared without regard to case (TM-07). */
  findVirtualHost(authority: string): VirtualHost | null {
    const host = authority.toLowerCase();
    return this.#hosts.find(this.config.ignorePortInHost ? withoutPort(host) : host);
  }

  /** The first route that matches within the virtual host of the request's authority, or null. */
  findRoute(head: RequestHead, random: () => number): Route | null {
    return this.findVirtualHost(head.authority)?.findRoute(head, random) ?? null;
  }
}

/** Compiled with its first request: of the thousands that a mesh has, a workload calls a few. */
export class VirtualHost {
  readonly config: VirtualHostConfig;
  readonly #table: OwnMutations;
  #routes: readonly Route[] | null = null;

  constructor(config: VirtualHostConfig, table: OwnMutations) {
    this.config = config;
    this.#table = table;
  }

  get routes(): readonly Route[] {
    return this.#routes ?? this.#compile();
  }

  #compile(): readonly Route[] {
    const { config } = this;
    const { request, response } = this.#table;
    const requestHeaders = [new CompiledMutations(config.requestHeaders), request];
    const responseHeaders = [new CompiledMutations(config.responseHeaders), response];
    this.#routes = config.routes.map(
      (entry) => new Route(entry, this, requestHeaders, responseHeaders),
    );
    return this.#routes;
  }

  /** Tried top to bottom, first hit wins (TM-01). */
  findRoute(head: RequestHead, random: () => number): Route | null {
    const path = pathWithoutQuery(head.path);
    const routes = this.routes;
    for (let at = 0; at < routes.length; at++) {
      const route = routes[at]!;
      if (matchesRoute(route.entry.match, head, path, random)) return route;
    }
    return null;
  }
}

/** One route with everything that its virtual host and its table add to it. */
export class Route {
  readonly entry: RouteEntryConfig;
  readonly virtualHost: VirtualHost;
  /** Weighted cluster's own mutations by its config, then route, virtual host, table (TM-13, Envoy's order). */
  readonly requestHeaders: readonly CompiledMutations[];
  readonly responseHeaders: readonly CompiledMutations[];
  readonly #clusterMutations = new Map<WeightedCluster, OwnMutations>();

  constructor(
    entry: RouteEntryConfig,
    virtualHost: VirtualHost,
    outerRequestHeaders: readonly CompiledMutations[],
    outerResponseHeaders: readonly CompiledMutations[],
  ) {
    this.entry = entry;
    this.virtualHost = virtualHost;
    this.requestHeaders = effective([
      new CompiledMutations(entry.requestHeaders),
      ...outerRequestHeaders,
    ]);
    this.responseHeaders = effective([
      new CompiledMutations(entry.responseHeaders),
      ...outerResponseHeaders,
    ]);
    if (entry.action.kind === 'route') {
      for (const cluster of entry.action.clusters) {
        this.#clusterMutations.set(cluster, {
          request: new CompiledMutations(cluster.requestHeaders),
          response: new CompiledMutations(cluster.responseHeaders),
        });
      }
    }
  }

  clusterMutations(cluster: WeightedCluster): OwnMutations | undefined {
    return this.#clusterMutations.get(cluster);
  }
}

export interface OwnMutations {
  readonly request: CompiledMutations;
  readonly response: CompiledMutations;
}

function effective(mutations: readonly CompiledMutations[]): readonly CompiledMutations[] {
  return mutations.filter((mutation) => !mutation.isEmpty);
}

function matchesRoute(
  match: RouteMatchConfig,
  head: RequestHead,
  path: string,
  random: () => number,
): boolean {
  if (head.upgrade === 'connect') {
    // A CONNECT request has no path: only a connect rule can mean it.
    if (match.path.kind !== 'connect') return false;
  } else if (!matchPath(match.path, path)) {
    return false;
  }
  if (match.grpc && !isGrpcContent(head.headers)) return false;
  if (match.headers.length > 0 && !matchHeaders(match.headers, head)) return false;
  if (match.queryParameters.length > 0 && !matchQuery(match.queryParameters, head.path)) {
    return false;
  }
  return match.fractionPerMillion >= 1_000_000 || random() * 1_000_000 < match.fractionPerMillion;
}
