import { RouteConfiguration } from '../../proto/gen/envoy/config/route/v3/route.ts';
import {
  type DeepPartial,
  type Route,
  VirtualHost,
} from '../../proto/gen/envoy/config/route/v3/route_components.ts';
import type { MeshSnapshot } from '../mesh/snapshot.ts';
import type { MeshVirtualService } from '../mesh/virtual-service-index.ts';
import { compare } from '../registry/age.ts';
import { expandHost } from '../registry/host-name.ts';
import { isHttp } from '../registry/protocol.ts';
import type { Service, ServicePort } from '../registry/registry.ts';
import { defaultRoute, type RouteTarget, timeouts, virtualServiceRoutes } from './http-route.ts';
import {
  BLACK_HOLE_CLUSTER,
  HTTP_PROXY_ROUTE,
  hostAndPort,
  outboundCluster,
  PASSTHROUGH_CLUSTER,
} from './names.ts';
import type { ProxyView } from './proxy-view.ts';
import { ANY_PATH, CONNECT } from './route-match.ts';
import { domainsOf, hostAliases } from './virtual-host-domains.ts';

/** What of a proxy shapes its outbound routes. */
export type Caller = Pick<ProxyView, 'namespace' | 'labels'>;

/** A host that names no service of the mesh is taken to be called on this port. */
const HTTP_PORT = 80;

/** Of direct responses (TM-11); Envoy's own limit is 4 KiB. */
const DIRECT_RESPONSE_BYTES_MAX = 1 << 20;

/**
 * The route configuration of the explicit-proxy listener: every host and port that the caller may mean, each with all
 * its names; HTTP ports are routed request by request, the others are tunnels (CONNECT).
 */
export function explicitProxyRoutes(snapshot: MeshSnapshot, caller: Caller): RouteConfiguration {
  const builder = new VirtualHosts(snapshot, caller);
  for (const service of snapshot.directory.visibleTo(caller.namespace)) {
    const bare = barePort(service);
    for (const port of service.ports) {
      if (port.protocol === 'udp') continue;
      const routes = isHttp(port.protocol)
        ? builder.httpRoutes(service, port)
        : [tunnel(outboundCluster(port.number, '', service.host))];
      builder.addService(service, port.number, port === bare, routes);
    }
  }
  for (const [host, virtualService] of builder.hostsWithoutService()) {
    builder.addHost(host, HTTP_PORT, [host, `${host}:*`], virtualService);
  }
  return builder.finish(HTTP_PROXY_ROUTE, unknownHost(snapshot, true));
}

/** The route configuration `<port>`, for redirected HTTP connections to this port. */
export function portRoutes(
  snapshot: MeshSnapshot,
  caller: Caller,
  port: number,
): RouteConfiguration {
  const builder = new VirtualHosts(snapshot, caller);
  for (const service of snapshot.directory.visibleTo(caller.namespace)) {
    const served = service.ports.find(
      ({ number, protocol }) => number === port && isHttp(protocol),
    );
    if (served !== undefined) {
      builder.addService(service, port, true, builder.httpRoutes(service, served));
    }
  }
  if (port === HTTP_PORT) {
    for (const [host, virtualService] of builder.hostsWithoutService()) {
      builder.addHost(host, port, domainsOf([host], port, true), virtualService);
    }
  }
  return builder.finish(String(port), unknownHost(snapshot, false));
}

/** The ports of which a redirected connection may carry HTTP to a service that `namespace` sees. */
export function httpPorts(snapshot: MeshSnapshot, namespace: string): readonly number[] {
  const ports = new Set<number>();
  for (const service of snapshot.directory.visibleTo(namespace)) {
    for (const { number, protocol } of service.ports) if (isHttp(protocol)) ports.add(number);
  }
  return [...ports].sort((a, b) => a - b);
}

/** Gathers virtual hosts, each domain once: what is said outright beats what is an alias of something else. */
export class VirtualHosts {
  readonly #snapshot: MeshSnapshot;
  readonly #caller: Caller;
  readonly #hosts: {
    readonly name: string;
    readonly host: string;
    readonly domains: readonly string[];
    readonly routes: DeepPartial<Route>[];
    /** Its routes follow from it and the port alone. */
    readonly ruleless: Service | null;
  }[] = [];
  readonly #serviceHosts = new Set<string>();

  constructor(snapshot: MeshSnapshot, caller: Caller) {
    this.#snapshot = snapshot;
    this.#caller = caller;
  }

  /** The VirtualService of the host, else everything to the port's own cluster. */
  httpRoutes(service: Service, port: ServicePort): DeepPartial<Route>[] {
    const { host } = service;
    const virtualService = this.#snapshot.virtualServices.find(host, this.#caller.namespace);
    if (virtualService === undefined) {
      return [defaultRoute(outboundCluster(port.number, '', host), host, port.number)];
    }
    return this.routesOf(virtualService, host, port.number);
  }

  routesOf(virtualService: MeshVirtualService, host: string, port: number): DeepPartial<Route>[] {
    const { directory, options } = this.#snapshot;
    const ruleNamespace = virtualService.resource.metadata.namespace;
    const target: RouteTarget = {
      proxy: this.#caller,
      host,
      port,
      clusterOf: (destination) => {
        const destinationHost = expandHost(destination.host, ruleNamespace, options.domain);
        const service = directory.find(destinationHost, this.#caller.namespace);
        const only = service?.ports.length === 1 ? service.ports[0]!.number : port;
        return outboundCluster(
          destination.port?.number ?? only,
          destination.subset ?? '',
          destinationHost,
        );
      },
    };
    return virtualServiceRoutes(virtualService, target);
  }

  addService(service: Service, port: number, bare: boolean, routes: DeepPartial<Route>[]): void {
    const { host, addresses } = service;
    this.#serviceHosts.add(host);
    const aliases = hostAliases(
      host,
      addresses,
      this.#caller.namespace,
      this.#snapshot.options.domain,
    );
    this.#hosts.push({
      name: hostAndPort(host, port),
      host,
      domains: domainsOf(aliases, port, bare),
      routes,
      ruleless:
        this.#snapshot.virtualServices.find(host, this.#caller.namespace) === undefined
          ? service
          : null,
    });
  }

  addHost(
    host: string,
    port: number,
    domains: readonly string[],
    virtualService: MeshVirtualService,
  ): void {
    const routes = this.routesOf(virtualService, host, port);
    this.#hosts.push({ name: hostAndPort(host, port), host, domains, routes, ruleless: null });
  }

  /** Hosts of VirtualServices that no service visible here has: their rules say where to go. */
  *hostsWithoutService(): IterableIterator<readonly [string, MeshVirtualService]> {
    const hosts = [...this.#snapshot.virtualServices.visibleHosts(this.#caller.namespace)].sort(
      ([a], [b]) => compare(a, b),
    );
    for (const entry of hosts) {
      if (!this.#serviceHosts.has(entry[0]) && entry[0] !== '*') yield entry;
    }
  }

  finish(name: string, fallback: VirtualHost): RouteConfiguration {
    const claimed = new Set<string>();
    for (const { host, domains } of this.#hosts) {
      for (const domain of domains) if (saysHost(domain, host)) claimed.add(domain);
    }
    const virtualHosts: VirtualHost[] = [];
    let hasLargeResponse = false;
    for (const { name: hostName, host, domains, routes, ruleless } of this.#hosts) {
      const own = domains.filter((domain) => {
        if (saysHost(domain, host)) return true;
        if (claimed.has(domain)) return false;
        claimed.add(domain);
        return true;
      });
      hasLargeResponse ||= routes.some(({ action }) => action?.$case === 'directResponse');
      virtualHosts.push(virtualHost(hostName, own, routes, ruleless));
    }
    if (!claimed.has('*')) virtualHosts.push(fallback);
    const configuration = RouteConfiguration.create({ name, validateClusters: false });
    if (hasLargeResponse) {
      configuration.maxDirectResponseBodySizeBytes = DIRECT_RESPONSE_BYTES_MAX;
    }
    // Set and not given to `create`, which would copy every route once more.
    configuration.virtualHosts = virtualHosts;
    return configuration;
  }
}

/** Virtual hosts of services without VirtualService, by their domains: most of any mesh, the same in every snapshot. */
const rulelessHosts = new WeakMap<Service, Map<string, VirtualHost>>();

function virtualHost(
  name: string,
  domains: string[],
  routes: DeepPartial<Route>[],
  ruleless: Service | null,
): VirtualHost {
  const make = () =>
    VirtualHost.create({ name, domains, routes, includeRequestAttemptCount: true });
  if (ruleless === null) return make();
  let made = rulelessHosts.get(ruleless);
  if (made === undefined) {
    made = new Map();
    rulelessHosts.set(ruleless, made);
  }
  const key = `${name} ${domains.join()}`;
  let host = made.get(key);
  if (host === undefined) {
    host = make();
    made.set(key, host);
  }
  return host;
}

/** `host` itself, with or without a port. */
function saysHost(domain: string, host: string): boolean {
  return domain === host || (domain.startsWith(host) && domain.charCodeAt(host.length) === 58);
}

/** The port that `http://name/` means: 80, else the first that speaks HTTP. */
function barePort(service: Service): ServicePort | undefined {
  const http = service.ports.filter(({ protocol }) => isHttp(protocol));
  return http.find(({ number }) => number === HTTP_PORT) ?? http[0];
}

/** TM-19: passed on to where the caller wanted to go, or refused with 502. */
function unknownHost(snapshot: MeshSnapshot, tunnels: boolean): VirtualHost {
  if (snapshot.options.outboundTrafficPolicy === 'REGISTRY_ONLY') {
    const refuse: DeepPartial<Route> = {
      action: { $case: 'directResponse', value: { status: 502 } },
    };
    const routes: DeepPartial<Route>[] = [{ ...refuse, name: 'block_all', match: ANY_PATH }];
    if (tunnels) routes.unshift({ ...refuse, name: 'block_all_tunnels', match: CONNECT });
    return VirtualHost.create({ name: 'block_all', domains: ['*'], routes });
  }
  const routes: DeepPartial<Route>[] = [
    {
      name: 'allow_any',
      match: ANY_PATH,
      action: {
        $case: 'route',
        value: {
          clusterSpecifier: { $case: 'cluster', value: PASSTHROUGH_CLUSTER },
          ...timeouts(0),
        },
      },
    },
  ];
  if (tunnels) routes.unshift({ ...tunnel(PASSTHROUGH_CLUSTER), name: 'allow_any_tunnels' });
  return VirtualHost.create({
    name: 'allow_any',
    domains: ['*'],
    routes,
    includeRequestAttemptCount: true,
  });
}

/** The bytes between CONNECT's 200 and its end go to `cluster` as they are. */
function tunnel(cluster: string): DeepPartial<Route> {
  return {
    name: 'tunnel',
    match: CONNECT,
    action: {
      $case: 'route',
      value: {
        clusterSpecifier: { $case: 'cluster', value: cluster },
        ...timeouts(0),
        upgradeConfigs: [{ upgradeType: 'CONNECT', connectConfig: {} }],
      },
    },
  };
}

/** What a redirected connection of unknown destination gets (TM-19). */
export function unknownCluster({ options }: Pick<MeshSnapshot, 'options'>): string {
  return options.outboundTrafficPolicy === 'REGISTRY_ONLY'
    ? BLACK_HOLE_CLUSTER
    : PASSTHROUGH_CLUSTER;
}
