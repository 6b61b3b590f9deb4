import { isIP } from 'node:net';
import { TrafficDirection } from '../../proto/gen/envoy/config/core/v3/base.ts';
import { type DeepPartial, Listener } from '../../proto/gen/envoy/config/listener/v3/listener.ts';
import type { FilterChain } from '../../proto/gen/envoy/config/listener/v3/listener_components.ts';
import { TYPE_LISTENER } from '../../proto/type-urls.ts';
import type { MeshSnapshot } from '../mesh/snapshot.ts';
import { isPoolAddress } from '../registry/address-pool.ts';
import { isHttp } from '../registry/protocol.ts';
import type { Endpoint, Service, ServicePort } from '../registry/registry.ts';
import { tcpAddress } from './config-source.ts';
import { outboundConnectionManager, tcpProxy } from './connection-manager.ts';
import { coveredAddresses } from './covered-addresses.ts';
import { DiscoveryResource } from './discovery-resource.ts';
import { inspect } from './listener-inspection.ts';
import { MadeOnce } from './made-once.ts';
import { outboundCluster, PLAIN_HTTP_ALPNS } from './names.ts';
import { unknownCluster } from './routes.ts';

/** Of one port of a service without virtual address; those beyond are reached as unknown addresses are. */
const ENDPOINT_ADDRESSES_MAX = 256;
/** Of all services together: what a sidecar has to hold. */
const ENDPOINT_LISTENERS_MAX = 4_096;

const ANY_ADDRESS = '0.0.0.0';

type ListenerResource = DiscoveryResource<typeof TYPE_LISTENER>;

/**
 * The listeners to which `virtualOutbound` hands a connection by its original destination, most specific first:
 *
 *     address_port   bytes that are not HTTP, to the service that owns the address: by a virtual address, or, where it
 *                    has none, by an endpoint's. Who dials an endpoint means that endpoint (LB-06): in a cluster of
 *                    databases the nodes are not alike. The connection keeps its target and gains mutual TLS.
 *     0.0.0.0_port   HTTP of the port, routed request by request; TLS by its server name; a service of the port whose
 *                    addresses nobody can know (resolution DNS or NONE without virtual address), the first one by host
 *
 * An endpoint that comes or goes adds or takes one listener: no other connection hears of it.
 */
export function redirectPortListeners(
  snapshot: MeshSnapshot,
  namespace: string,
  /** Whether the apps learn allocated addresses (DS-06); others go on dialling those of public DNS. */
  answersNames: boolean,
): Map<string, ListenerResource> {
  const services = snapshot.directory.visibleTo(namespace);
  const listeners = new Map<string, ListenerResource>();
  for (const [port, ofPort] of servicesByPort(services)) {
    const resource = portListener(port, ofPort, snapshot, answersNames);
    if (resource !== null) listeners.set(resource.name, resource);
  }
  // Outright before implied: no endpoint takes a virtual address away, and no service's port number an endpoint's own.
  for (const claims of [virtualAddresses, endpointSockets, endpointsByServicePort]) {
    for (const resource of unlessToldByName(services, claims, snapshot)) {
      if (listeners.has(resource.name)) continue;
      if (listeners.size >= ENDPOINT_LISTENERS_MAX && claims !== virtualAddresses) break;
      listeners.set(resource.name, resource);
    }
  }
  return listeners;
}

type Claims = (
  service: Service,
  port: ServicePort,
  snapshot: MeshSnapshot,
) => readonly ListenerResource[];

/** TLS services that share an address are told apart by server name, which is the port's own listener's to do. */
function unlessToldByName(
  services: readonly Service[],
  claims: Claims,
  snapshot: MeshSnapshot,
): readonly ListenerResource[] {
  const claimed = new Map<string, number>();
  const all: { readonly resource: ListenerResource; readonly tls: boolean }[] = [];
  for (const { service, port } of opaquePorts(services)) {
    for (const resource of claims(service, port, snapshot)) {
      all.push({ resource, tls: port.protocol === 'tls' });
      claimed.set(resource.name, (claimed.get(resource.name) ?? 0) + 1);
    }
  }
  return all
    .filter(({ resource, tls }) => !(tls && claimed.get(resource.name)! > 1))
    .map(({ resource }) => resource);
}

interface PortOfService {
  readonly service: Service;
  readonly port: ServicePort;
}

/** Ports that may carry other than HTTP; those of the platform's own services first: they keep their addresses (A6.9). */
function* opaquePorts(services: readonly Service[]): IterableIterator<PortOfService> {
  const { platform = [], others = [] } = Object.groupBy(services, ({ isOfPlatform }) =>
    isOfPlatform === true ? 'platform' : 'others',
  );
  for (const service of [...platform, ...others]) {
    for (const port of service.ports) {
      const { protocol } = port;
      if (protocol === 'tcp' || protocol === 'tls' || protocol === 'detect') {
        yield { service, port };
      }
    }
  }
}

function virtualAddresses(
  service: Service,
  port: ServicePort,
  snapshot: MeshSnapshot,
): readonly ListenerResource[] {
  return ofAddresses.get(service, `virtual ${port.number}`, stampOf(snapshot), () =>
    service.addresses
      .filter((address) => isIP(address) !== 0)
      .map((address) => addressListener(address, port.number, service, port, '', snapshot)),
  );
}

/** Where the endpoints themselves listen. */
function endpointSockets(
  service: Service,
  port: ServicePort,
  snapshot: MeshSnapshot,
): readonly ListenerResource[] {
  return endpointListeners('sockets', service, port, snapshot, (dial) => dial);
}

/** The endpoints at the service's port, where theirs is another: what a caller makes of the name and that port. */
function endpointsByServicePort(
  service: Service,
  port: ServicePort,
  snapshot: MeshSnapshot,
): readonly ListenerResource[] {
  return endpointListeners('service port', service, port, snapshot, () => port.number);
}

function endpointListeners(
  what: string,
  service: Service,
  port: ServicePort,
  snapshot: MeshSnapshot,
  dialled: (dial: number) => number,
): readonly ListenerResource[] {
  if (service.resolution !== 'STATIC' || hasWrittenAddress(service)) return [];
  const endpoints = snapshot.directory.endpoints(service);
  const key = `${what} ${port.number} ${port.protocol} ${service.host}`;
  return ofEndpoints.get(endpoints, key, stampOf(snapshot), () => {
    const made: ListenerResource[] = [];
    for (const { address, ports } of endpoints) {
      const dial = ports.get(port.number);
      if (dial === undefined || isIP(address) === 0) continue;
      if (made.length >= ENDPOINT_ADDRESSES_MAX) break;
      const target = isIP(address) === 6 ? `[${address}]:${dial}` : `${address}:${dial}`;
      made.push(addressListener(address, dialled(dial), service, port, target, snapshot));
    }
    return made;
  });
}

const ofAddresses = new MadeOnce<Service, readonly ListenerResource[]>();
const ofEndpoints = new MadeOnce<readonly Endpoint[], readonly ListenerResource[]>();

/** What of the mesh's options stands in these listeners. */
function stampOf({ options }: MeshSnapshot): string {
  const { accessLogFile, accessLogEncoding, protocolDetectionTimeoutMs } = options;
  return `${accessLogFile} ${accessLogEncoding} ${protocolDetectionTimeoutMs}`;
}

/** `endpoint`: the only one of the cluster that such connections may go to, or ''. */
function addressListener(
  address: string,
  dialled: number,
  service: Service,
  { number, protocol }: ServicePort,
  endpoint: string,
  snapshot: MeshSnapshot,
): ListenerResource {
  const { options } = snapshot;
  const cluster = outboundCluster(number, '', service.host);
  const opaque: DeepPartial<FilterChain> = {
    name: 'tcp',
    filters: [tcpProxy(cluster, cluster, options)],
  };
  const listener = Listener.create({
    ...COMMON,
    name: `${address}_${dialled}`,
    address: tcpAddress(address, dialled),
    ...(protocol === 'detect'
      ? {
          ...inspect({ tls: true, http: true }, options),
          filterChains: [httpChain(number, false, snapshot)],
          defaultFilterChain: opaque,
        }
      : { filterChains: [opaque] }),
    ...(endpoint !== '' && {
      metadata: { filterMetadata: new Map([['weft', { dialled_endpoint: endpoint }]]) },
    }),
  });
  return new DiscoveryResource(TYPE_LISTENER, listener.name, listener);
}

/** One that was allocated stands beside what the service has, and takes nothing away. */
function hasWrittenAddress({ addresses }: Service): boolean {
  return addresses.some((address) => !isPoolAddress(address));
}

function servicesByPort(services: readonly Service[]): ReadonlyMap<number, readonly Service[]> {
  const byPort = new Map<number, Service[]>();
  for (const service of services) {
    for (const { number, protocol } of service.ports) {
      if (protocol === 'udp') continue;
      const there = byPort.get(number);
      if (there === undefined) byPort.set(number, [service]);
      else there.push(service);
    }
  }
  return new Map([...byPort].sort(([a], [b]) => a - b));
}

/** Null: nothing of this port can be told by the port alone. */
function portListener(
  port: number,
  services: readonly Service[],
  snapshot: MeshSnapshot,
  answersNames: boolean,
): ListenerResource | null {
  const { options } = snapshot;
  const unknown = unknownCluster(snapshot);
  const protocolOfPort = (service: Service) =>
    service.ports.find(({ number }) => number === port)!.protocol;
  const chains: DeepPartial<FilterChain>[] = [];
  const ofHttp = services.filter((service) => isHttp(protocolOfPort(service)));
  const grpcWeb = services.some((service) => protocolOfPort(service) === 'grpc-web');
  if (ofHttp.length > 0) chains.push(httpChain(port, grpcWeb, snapshot));
  const ranges: string[] = [];
  let opaque = unknown;
  for (const service of services) {
    const protocol = protocolOfPort(service);
    const cluster = outboundCluster(port, '', service.host);
    if (protocol === 'tls') {
      chains.push({
        name: `tls-${service.host}`,
        filterChainMatch: { transportProtocol: 'tls', serverNames: [service.host] },
        filters: [tcpProxy(cluster, cluster, options)],
      });
    } else if (protocol === 'tcp') {
      for (const range of service.addresses.filter((address) => address.includes('/'))) {
        chains.push(rangeChain(range, service.host, cluster, snapshot));
        ranges.push(range);
      }
      const hasAddress = answersNames ? service.addresses.length > 0 : hasWrittenAddress(service);
      const nameless = service.resolution !== 'STATIC' && !hasAddress;
      if (nameless && opaque === unknown) opaque = cluster;
    }
  }
  const fallback: DeepPartial<FilterChain> = {
    name: 'passthrough',
    filters: [tcpProxy(opaque, opaque, options)],
  };
  // A chain with a range goes before one without, so an address of an HTTP service that a range holds needs its own.
  const covered = coveredAddresses(
    ofHttp.flatMap(({ addresses }) => addresses.filter((address) => isIP(address) !== 0)),
    ranges,
  );
  if (covered.length > 0) {
    for (const chain of [httpChain(port, grpcWeb, snapshot), fallback]) {
      chains.push({
        ...chain,
        name: `${chain.name}-addresses`,
        filterChainMatch: {
          ...chain.filterChainMatch,
          prefixRanges: [...new Set(covered)].map(oneAddress),
        },
      });
    }
  }
  if (chains.length === 0 && opaque === unknown) return null;
  const asks = services.some((service) => protocolOfPort(service) !== 'tcp');
  const listener = Listener.create({
    ...COMMON,
    name: `${ANY_ADDRESS}_${port}`,
    address: tcpAddress(ANY_ADDRESS, port),
    ...(asks ? inspect({ tls: true, http: true }, options) : {}),
    ...(chains.length === 0
      ? { filterChains: [fallback] }
      : { filterChains: distinct(chains), defaultFilterChain: fallback }),
  });
  return new DiscoveryResource(TYPE_LISTENER, listener.name, listener);
}

/** HTTP is told from other bytes by its first ones; the routes come by the number of the port. */
function httpChain(
  port: number,
  grpcWeb: boolean,
  { options }: MeshSnapshot,
): DeepPartial<FilterChain> {
  return {
    name: 'http',
    filterChainMatch: {
      transportProtocol: 'raw_buffer',
      applicationProtocols: [...PLAIN_HTTP_ALPNS],
    },
    filters: [
      outboundConnectionManager(`outbound_${ANY_ADDRESS}_${port}`, String(port), grpcWeb, options),
    ],
  };
}

function oneAddress(address: string) {
  return { addressPrefix: address, prefixLen: isIP(address) === 6 ? 128 : 32 };
}

/** A virtual address that is a whole range. */
function rangeChain(
  range: string,
  host: string,
  cluster: string,
  { options }: MeshSnapshot,
): DeepPartial<FilterChain> {
  const slash = range.indexOf('/');
  return {
    name: `tcp-${host}-${range}`,
    filterChainMatch: {
      prefixRanges: [
        { addressPrefix: range.slice(0, slash), prefixLen: Number(range.slice(slash + 1)) },
      ],
    },
    filters: [tcpProxy(cluster, cluster, options)],
  };
}

/** Of two chains with one match the first stays: proxies refuse both. */
function distinct(chains: readonly DeepPartial<FilterChain>[]): DeepPartial<FilterChain>[] {
  const seen = new Set<string>();
  return chains.filter(({ filterChainMatch }) => {
    const key = JSON.stringify(filterChainMatch);
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}

const COMMON: DeepPartial<Listener> = {
  bindToPort: false,
  trafficDirection: TrafficDirection.OUTBOUND,
};
