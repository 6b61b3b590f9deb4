import { isIP } from 'node:net';
import { duration } from '../../proto/duration.ts';
import { Cluster, type DeepPartial } from '../../proto/gen/envoy/config/cluster/v3/cluster.ts';
import { TrafficDirection } from '../../proto/gen/envoy/config/core/v3/base.ts';
import { Listener } from '../../proto/gen/envoy/config/listener/v3/listener.ts';
import type { FilterChain } from '../../proto/gen/envoy/config/listener/v3/listener_components.ts';
import { COMMON, inboundHttpOptions, ORIGINAL_DESTINATION, serviceMetadata } from './clusters.ts';
import { tcpAddress } from './config-source.ts';
import { tcpProxy } from './connection-manager.ts';
import { inboundChains, inspection } from './inbound-chains.ts';
import { inspect } from './listener-inspection.ts';
import { downstreamMeshTls } from './mesh-tls.ts';
import {
  BLACK_HOLE_CLUSTER,
  INBOUND_PASSTHROUGH_CLUSTER,
  inboundName,
  MESH_HTTP_ALPNS,
  MESH_TCP_ALPNS,
  VIRTUAL_INBOUND,
  VIRTUAL_OUTBOUND,
} from './names.ts';
import type { OwnSources } from './own-resources.ts';
import type { ProxyView } from './proxy-view.ts';
import { unknownCluster } from './routes.ts';

/** Where the redirect rules send the app's connections, and those of others to the app. */
const OUTBOUND_PORT = 15_001;
const INBOUND_PORT = 15_006;
/** Connections to the app are made from here, which the redirect rules leave alone; they add `::6` to `lo`. */
const INBOUND_SOURCE = { v4: '127.0.0.6', v6: '::6' };
const CONNECT_TIMEOUT_MS = 10_000;

/** `virtualOutbound` and `virtualInbound`. */
export function redirectListeners(snapshot: OwnSources, proxy: ProxyView): Listener[] {
  return [redirectOutboundListener(snapshot, proxy), redirectInboundListener(snapshot, proxy)];
}

/**
 * `virtualOutbound`: what the app's redirected connections meet. It takes each and hands it to the listener of its
 * original destination (`redirect-outbound.ts`); what nobody knows is passed on or ended (TM-19).
 */
function redirectOutboundListener(snapshot: OwnSources, proxy: ProxyView): Listener {
  const { options } = snapshot;
  const unknown = unknownCluster(snapshot);
  return Listener.create({
    name: VIRTUAL_OUTBOUND,
    ...everyAddress(proxy, OUTBOUND_PORT),
    useOriginalDst: true,
    trafficDirection: TrafficDirection.OUTBOUND,
    filterChains: [
      trap('virtualOutbound-trap', OUTBOUND_PORT, snapshot),
      { name: 'virtualOutbound-catchall', filters: [tcpProxy(unknown, unknown, options)] },
    ],
  });
}

/** Every redirected connection to the app: by its port, and the other ports as they are. */
function redirectInboundListener(snapshot: OwnSources, proxy: ProxyView): Listener {
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
    ...everyAddress(proxy, INBOUND_PORT),
    useOriginalDst: true,
    trafficDirection: TrafficDirection.INBOUND,
    ...inspect(asked, options),
    filterChains: [...filterChains, ...chains],
  });
}

/** The app by the address that was dialled, for declared ports and for all others. */
export function redirectInboundClusters(snapshot: OwnSources, proxy: ProxyView): Cluster[] {
  const toApp: DeepPartial<Cluster> = {
    ...ORIGINAL_DESTINATION,
    connectTimeout: duration(CONNECT_TIMEOUT_MS),
    ...COMMON,
    upstreamBindConfig: inboundSource(proxy),
  };
  const clusters = proxy.ports
    .filter(({ protocol }) => protocol !== 'udp')
    .map((port) =>
      Cluster.create({
        name: inboundName(port.number),
        ...toApp,
        typedExtensionProtocolOptions: inboundHttpOptions(port.protocol),
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

/** The families that the host of a proxy has; IPv4 where it does not say. */
function familiesOf({ addresses }: ProxyView): ('v4' | 'v6')[] {
  const families: ('v4' | 'v6')[] = [];
  if (addresses.some((address) => isIP(address) !== 6)) families.push('v4');
  if (addresses.some((address) => isIP(address) === 6)) families.push('v6');
  return families.length === 0 ? ['v4'] : families;
}

/** Any address of its families at `port`: a socket each. */
function everyAddress(proxy: ProxyView, port: number): DeepPartial<Listener> {
  const [first, ...others] = familiesOf(proxy).map((family) =>
    tcpAddress(family === 'v4' ? '0.0.0.0' : '::', port),
  );
  return { address: first, additionalAddresses: others.map((address) => ({ address })) };
}

function inboundSource(proxy: ProxyView): DeepPartial<Cluster>['upstreamBindConfig'] {
  const [first, ...others] = familiesOf(proxy).map((family) => ({
    address: INBOUND_SOURCE[family],
    portSpecifier: { $case: 'portValue' as const, value: 0 },
  }));
  return { sourceAddress: first, extraSourceAddresses: others.map((address) => ({ address })) };
}

/** A connection to the sidecar's own port was not redirected: answering it would be a call of itself. */
function trap(
  name: string,
  destinationPort: number,
  { options }: OwnSources,
): DeepPartial<FilterChain> {
  return {
    name,
    filterChainMatch: { destinationPort },
    filters: [tcpProxy(BLACK_HOLE_CLUSTER, BLACK_HOLE_CLUSTER, options)],
  };
}

/** Ports that the app did not declare, by the mode of the whole workload. */
function passthroughChains(snapshot: OwnSources, proxy: ProxyView): DeepPartial<FilterChain>[] {
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
