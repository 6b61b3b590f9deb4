import type { RequestHead } from '../http/message.ts';
import { CompiledMutations } from './header-mutation.ts';
import { HostMatcher, withoutPort } from './host-match.ts';
import { pathWithoutQuery } from './path-match.ts';
import type {
  RouteConfig,
  RouteEntryConfig,
  VirtualHostConfig,
  WeightedCluster,
} from './route-config.ts';
import { RouteIndex } from './route-index.ts';
import { matchesRoute } from './route-match.ts';

/**
 * A RouteConfiguration ready to be asked: hosts indexed, header formats compiled when they are first needed. What it
 * answers never changes; a request keeps the one that it began with.
 */
export class RouteTable {
  readonly config: RouteConfig;
  readonly #hosts = new HostMatcher<VirtualHost>();
  /** What was asked for latest is most often asked for next. */
  #latestAuthority = '';
  #latestHost: VirtualHost | null = null;

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
    if (authority === this.#latestAuthority && this.#latestHost !== null) return this.#latestHost;
    const host = authority.toLowerCase();
    const found = this.#hosts.find(this.config.ignorePortInHost ? withoutPort(host) : host);
    this.#latestAuthority = authority;
    this.#latestHost = found;
    return found;
  }

  /** The first route that matches within the virtual host of the request's authority, or null. */
  findRoute(head: RequestHead, random: () => number): Route | null {
    return this.findVirtualHost(head.authority)?.findRoute(head, random) ?? null;
  }
}

/** Routes up to which trying one after the other is faster than looking them up. */
const TRIED_MAX = 8;

/**
 * Compiled with its first request, and each route with the first that it matches: of the thousands that a mesh has, a
 * workload calls a few.
 */
export class VirtualHost {
  readonly config: VirtualHostConfig;
  readonly #table: OwnMutations;
  #compiled: CompiledVirtualHost | null = null;

  constructor(config: VirtualHostConfig, table: OwnMutations) {
    this.config = config;
    this.#table = table;
  }

  /** Tried top to bottom, first hit wins (TM-01). */
  findRoute(head: RequestHead, random: () => number): Route | null {
    this.#compiled ??= new CompiledVirtualHost(this.config, this.#table);
    const { routes, index } = this.#compiled;
    const path = pathWithoutQuery(head.path);
    if (index !== null) {
      const found = index.find(head, path, random);
      return found < 0 ? null : (routes[found] ?? this.#compileRoute(found));
    }
    const entries = this.config.routes;
    for (let at = 0; at < entries.length; at++) {
      if (!matchesRoute(entries[at]!.match, head, path, random)) continue;
      return routes[at] ?? this.#compileRoute(at);
    }
    return null;
  }

  #compileRoute(at: number): Route {
    const { routes, requestHeaders, responseHeaders } = this.#compiled!;
    const route = new Route(this.config.routes[at]!, this, requestHeaders, responseHeaders);
    routes[at] = route;
    return route;
  }
}

/** What a virtual host has once it is asked. */
class CompiledVirtualHost {
  readonly index: RouteIndex | null;
  /** By position; null until one is met. */
  readonly routes: (Route | null)[];
  readonly requestHeaders: readonly CompiledMutations[];
  readonly responseHeaders: readonly CompiledMutations[];

  constructor(config: VirtualHostConfig, { request, response }: OwnMutations) {
    this.index = config.routes.length > TRIED_MAX ? new RouteIndex(config.routes) : null;
    this.routes = new Array<Route | null>(config.routes.length).fill(null);
    this.requestHeaders = [new CompiledMutations(config.requestHeaders), request];
    this.responseHeaders = [new CompiledMutations(config.responseHeaders), response];
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
