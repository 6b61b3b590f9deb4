import { isIP } from 'node:net';
import { duration } from '../../proto/duration.ts';
import {
  Cluster,
  Cluster_DiscoveryType,
  type DeepPartial,
} from '../../proto/gen/envoy/config/cluster/v3/cluster.ts';
import { TrafficDirection } from '../../proto/gen/envoy/config/core/v3/base.ts';
import { Listener } from '../../proto/gen/envoy/config/listener/v3/listener.ts';
import { COMMON, inboundHttpOptions, serviceMetadata } from './clusters.ts';
import { tcpAddress } from './config-source.ts';
import { outboundConnectionManager } from './connection-manager.ts';
import { inboundChains, inspection } from './inbound-chains.ts';
import { inspect } from './listener-inspection.ts';
import { HTTP_PROXY_ROUTE, inboundName, VIRTUAL_OUTBOUND } from './names.ts';
import type { OwnSources } from './own-resources.ts';
import type { ProxyPort, ProxyView } from './proxy-view.ts';

const CONNECT_TIMEOUT_MS = 10_000;

/** The listener that the app names in HTTP_PROXY, and one for each port of the app. */
export function explicitListeners(snapshot: OwnSources, proxy: ProxyView): Listener[] {
  const listeners = proxy.ports
    .filter(({ protocol }) => protocol !== 'udp')
    .map((port) => inboundListener(port, snapshot, proxy));
  if (proxy.outbound !== null) {
    listeners.unshift(
      Listener.create({
        name: VIRTUAL_OUTBOUND,
        address: tcpAddress(proxy.outbound.host, proxy.outbound.port),
        trafficDirection: TrafficDirection.OUTBOUND,
        metadata: { filterMetadata: new Map([['weft', { explicit_proxy: true }]]) },
        filterChains: [
          {
            name: 'http-proxy',
            // Whom the app asks is not known here: gRPC-Web is translated where it arrives.
            filters: [
              outboundConnectionManager('http_proxy', HTTP_PROXY_ROUTE, false, snapshot.options),
            ],
          },
        ],
      }),
    );
  }
  return listeners;
}

/** The clusters of the app's own ports. */
export function inboundClusters(snapshot: OwnSources, proxy: ProxyView): Cluster[] {
  const { domain } = snapshot.options;
  return proxy.ports
    .filter(({ protocol }) => protocol !== 'udp')
    .map((port) =>
      Cluster.create({
        name: inboundName(port.number),
        ...appEndpoint(port),
        connectTimeout: duration(CONNECT_TIMEOUT_MS),
        ...COMMON,
        typedExtensionProtocolOptions: inboundHttpOptions(port.protocol),
        ...(proxy.host !== '' && {
          metadata: {
            filterMetadata: new Map([
              ['istio', { services: [serviceMetadata(proxy.host, proxy.namespace, domain)] }],
            ]),
          },
        }),
      }),
    );
}

function appEndpoint({ number, app }: ProxyPort): DeepPartial<Cluster> {
  const type =
    isIP(app.host) === 0 ? Cluster_DiscoveryType.STRICT_DNS : Cluster_DiscoveryType.STATIC;
  return {
    clusterDiscoveryType: { $case: 'type', value: type },
    loadAssignment: {
      clusterName: inboundName(number),
      endpoints: [
        {
          lbEndpoints: [
            {
              hostIdentifier: {
                $case: 'endpoint',
                value: { address: tcpAddress(app.host, app.port) },
              },
            },
          ],
        },
      ],
    },
  };
}

function inboundListener(port: ProxyPort, snapshot: OwnSources, proxy: ProxyView): Listener {
  const { peerAuthentications, options } = snapshot;
  const inbound = {
    number: port.number,
    protocol: port.protocol,
    mode: peerAuthentications.mode(proxy.namespace, proxy.labels, port.number),
    host: proxy.host,
    proxy,
    options,
  };
  return Listener.create({
    name: `inbound_${port.listen.port}`,
    address: tcpAddress(port.listen.host, port.listen.port),
    trafficDirection: TrafficDirection.INBOUND,
    ...inspect(inspection(inbound), options),
    filterChains: inboundChains(inbound),
  });
}
