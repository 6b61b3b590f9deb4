import { duration } from '../../proto/duration.ts';
import { Cluster, type DeepPartial } from '../../proto/gen/envoy/config/cluster/v3/cluster.ts';
import { TrafficDirection } from '../../proto/gen/envoy/config/core/v3/base.ts';
import { Listener } from '../../proto/gen/envoy/config/listener/v3/listener.ts';
import type { FilterChain } from '../../proto/gen/envoy/config/listener/v3/listener_components.ts';
import type { MeshSnapshot } from '../mesh/snapshot.ts';
import { isHttp } from '../registry/protocol.ts';
import type { Service } from '../registry/registry.ts';
import { COMMON, httpOptions, ORIGINAL_DESTINATION, serviceMetadata } from './clusters.ts';
import { tcpAddress } from './config-source.ts';
import { outboundConnectionManager, tcpProxy } from './connection-manager.ts';
import { inboundChains, inspection } from './inbound-chains.ts';
import { inspect } from './listener-inspection.ts';
import { downstreamMeshTls } from './mesh-tls.ts';
import {
  BLACK_HOLE_CLUSTER,
  INBOUND_PASSTHROUGH_CLUSTER,
  inboundName,
  MESH_HTTP_ALPNS,
  MESH_TCP_ALPNS,
  outboundCluster,
  PLAIN_HTTP_ALPNS,
  VIRTUAL_INBOUND,
  VIRTUAL_OUTBOUND,
} from './names.ts';
import type { ProxyView } from './proxy-view.ts';
import { unknownCluster } from './routes.ts';

/** Where the redirect rules send the app's connections, and those of others to the app. */
const OUTBOUND_PORT = 15_001;
const INBOUND_PORT = 15_006;
const ANY_ADDRESS = '0.0.0.0';
/** Connections to the app are made from here, which the redirect rules leave alone. */
const INBOUND_SOURCE = '127.0.0.6';
const CONNECT_TIMEOUT_MS = 10_000;

/**
 * What the app's redirected connections meet: `virtualOutbound` takes each and hands it to the listener of its original
 * destination. A virtual address has a listener of its own; a port has one for all HTTP, which is told from other bytes
 * by its first ones, and for TLS by server name. What nobody knows is passed on or ended (TM-19).
 */
export function redirectOutboundListeners(snapshot: MeshSnapshot, namespace: string): Listener[] {
  const { options } = snapshot;
  const unknown = unknownCluster(snapshot);
  const listeners = [
    Listener.create({
      name: VIRTUAL_OUTBOUND,
      address: tcpAddress(ANY_ADDRESS, OUTBOUND_PORT),
      useOriginalDst: true,
      trafficDirection: TrafficDirection.OUTBOUND,
      filterChains: [
        trap('virtualOutbound-trap', OUTBOUND_PORT, snapshot),
        { name: 'virtualOutbound-catchall', filters: [tcpProxy(unknown, unknown, options)] },
      ],
    }),
  ];
  for (const [port, services] of servicesByPort(snapshot.directory.visibleTo(namespace))) {
    listeners.push(...portListeners(port, services, snapshot));
  }
  return listeners;
}

/** Every redirected connection to the app: by its port, and the other ports as they are. */
export function redirectInboundListener(snapshot: MeshSnapshot, proxy: ProxyView): Listener {
  const { peerAuthentications, options } = snapshot;
  const filterChains = [trap('virtualInbound-trap', INBOUND_PORT, snapshot)];
  const asked = { tls: false, http: false };
  for (const port of proxy.ports) {
    if (port.protocol === 'udp') continue;
    const inbound = {
      number: port.number,
      protocol: port.protocol,
      mode: peerAuthentications.mode(proxy.namespace, proxy.labels, port.app.port),
      host: proxy.host,
      proxy,
      options,
    };
    const { tls, http } = inspection(inbound);
    asked.tls ||= tls;
    asked.http ||= http;
    for (const chain of inboundChains(inbound)) {
      filterChains.push({
        ...chain,
        name: `${inboundName(port.number)}${chain.name}`,
        filterChainMatch: { ...chain.filterChainMatch, destinationPort: port.app.port },
      });
    }
  }
  const chains = passthroughChains(snapshot, proxy);
  asked.tls ||= chains.length > 1;
  return Listener.create({
    name: VIRTUAL_INBOUND,
    address: tcpAddress(ANY_ADDRESS, INBOUND_PORT),
    useOriginalDst: true,
    trafficDirection: TrafficDirection.INBOUND,
    ...inspect(asked),
    filterChains: [...filterChains, ...chains],
  });
}

/** The app by the address that was dialled, for declared ports and for all others. */
export function redirectInboundClusters(snapshot: MeshSnapshot, proxy: ProxyView): Cluster[] {
  const toApp: DeepPartial<Cluster> = {
    ...ORIGINAL_DESTINATION,
    connectTimeout: duration(CONNECT_TIMEOUT_MS),
    ...COMMON,
    upstreamBindConfig: {
      sourceAddress: { address: INBOUND_SOURCE, portSpecifier: { $case: 'portValue', value: 0 } },
    },
  };
  const clusters = proxy.ports
    .filter(({ protocol }) => protocol !== 'udp')
    .map((port) =>
      Cluster.create({
        name: inboundName(port.number),
        ...toApp,
        typedExtensionProtocolOptions: httpOptions(port.protocol),
        ...(proxy.host !== '' && {
          metadata: {
            filterMetadata: new Map([
              [
                'istio',
                {
                  services: [serviceMetadata(proxy.host, proxy.namespace, snapshot.options.domain)],
                },
              ],
            ]),
          },
        }),
      }),
    );
  return [...clusters, Cluster.create({ name: INBOUND_PASSTHROUGH_CLUSTER, ...toApp })];
}

/** A connection to the sidecar's own port was not redirected: answering it would be a call of itself. */
function trap(
  name: string,
  destinationPort: number,
  { options }: MeshSnapshot,
): DeepPartial<FilterChain> {
  return {
    name,
    filterChainMatch: { destinationPort },
    filters: [tcpProxy(BLACK_HOLE_CLUSTER, BLACK_HOLE_CLUSTER, options)],
  };
}

/** Ports that the app did not declare, by the mode of the whole workload. */
function passthroughChains(snapshot: MeshSnapshot, proxy: ProxyView): DeepPartial<FilterChain>[] {
  const { peerAuthentications, options } = snapshot;
  const mode = peerAuthentications.mode(proxy.namespace, proxy.labels, 0);
  const filters = [tcpProxy(INBOUND_PASSTHROUGH_CLUSTER, INBOUND_PASSTHROUGH_CLUSTER, options)];
  const plain: DeepPartial<FilterChain> = { name: 'virtualInbound', filters };
  if (mode === 'DISABLE' || proxy.secrets === 'none') return [plain];
  const alpns = [...MESH_HTTP_ALPNS, ...MESH_TCP_ALPNS];
  const mutual: DeepPartial<FilterChain> = {
    name: 'virtualInbound-mtls',
    filterChainMatch: {
      transportProtocol: 'tls',
      applicationProtocols: mode === 'STRICT' ? [] : alpns,
    },
    filters,
    transportSocket: downstreamMeshTls(proxy.secrets, alpns, options.trustDomain),
  };
  if (mode === 'STRICT') return [mutual];
  const byTransport = (transportProtocol: string): DeepPartial<FilterChain> => ({
    name: `virtualInbound-${transportProtocol}`,
    filterChainMatch: { transportProtocol },
    filters,
  });
  return [mutual, byTransport('raw_buffer'), byTransport('tls')];
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

function portListeners(
  port: number,
  services: readonly Service[],
  snapshot: MeshSnapshot,
): Listener[] {
  const { options } = snapshot;
  const protocolOfPort = (service: Service) =>
    service.ports.find(({ number }) => number === port)!.protocol;
  const listeners: Listener[] = [];
  const chains: DeepPartial<FilterChain>[] = [];
  const common: DeepPartial<Listener> = {
    bindToPort: false,
    trafficDirection: TrafficDirection.OUTBOUND,
  };
  if (services.some((service) => isHttp(protocolOfPort(service)))) {
    chains.push({
      name: 'http',
      filterChainMatch: {
        transportProtocol: 'raw_buffer',
        applicationProtocols: [...PLAIN_HTTP_ALPNS],
      },
      filters: [
        outboundConnectionManager(`outbound_${ANY_ADDRESS}_${port}`, String(port), options),
      ],
    });
  }
  let opaque = unknownCluster(snapshot);
  const addresses = new Set<string>();
  for (const service of services) {
    const protocol = protocolOfPort(service);
    const cluster = outboundCluster(port, '', service.host);
    if (protocol === 'tls') {
      chains.push({
        name: `tls-${service.host}`,
        filterChainMatch: {
          transportProtocol: 'tls',
          serverNames: [service.host],
        },
        filters: [tcpProxy(cluster, cluster, options)],
      });
    } else if (protocol === 'tcp') {
      const own = service.addresses.filter((address) => !address.includes('/'));
      for (const address of own) {
        // Two that claim one address: the first by host, as for every other conflict of names.
        if (addresses.has(address)) continue;
        addresses.add(address);
        listeners.push(
          Listener.create({
            ...common,
            name: `${address}_${port}`,
            address: tcpAddress(address, port),
            filterChains: [{ name: 'tcp', filters: [tcpProxy(cluster, cluster, options)] }],
          }),
        );
      }
      // Without an address of its own a TCP service is known by its port: the first one has it. Who dials one of several pods of
      // a headless one means that pod.
      const isByPort = own.length === 0 && service.isHeadless !== true;
      if (isByPort && opaque === unknownCluster(snapshot)) opaque = cluster;
    }
  }
  const fallback: DeepPartial<FilterChain> = {
    name: 'passthrough',
    filters: [tcpProxy(opaque, opaque, options)],
  };
  const isPlain = chains.length === 0;
  if (isPlain && opaque === unknownCluster(snapshot)) return listeners;
  return [
    ...listeners,
    Listener.create({
      ...common,
      name: `${ANY_ADDRESS}_${port}`,
      address: tcpAddress(ANY_ADDRESS, port),
      ...(isPlain ? {} : inspect({ tls: true, http: true })),
      ...(isPlain
        ? { filterChains: [fallback] }
        : { filterChains: chains, defaultFilterChain: fallback }),
    }),
  ];
}
