import { packAny } from '../../proto/any.ts';
import { duration } from '../../proto/duration.ts';
import {
  Cluster,
  Cluster_DiscoveryType,
  Cluster_DnsLookupFamily,
  Cluster_LbPolicy,
  type DeepPartial,
} from '../../proto/gen/envoy/config/cluster/v3/cluster.ts';
import { HttpProtocolOptions } from '../../proto/gen/envoy/extensions/upstreams/http/v3/http_protocol_options.ts';
import type { Any } from '../../proto/gen/google/protobuf/any.ts';
import { HTTP_PROTOCOL_OPTIONS, TYPE_HTTP_PROTOCOL_OPTIONS } from '../../proto/type-urls.ts';
import type { LoadBalancerSettings, PolicyBlocks, Subset } from '../kinds/destination-rule.ts';
import { parseDurationMs } from '../kinds/duration.ts';
import type { MeshDestinationRule } from '../mesh/destination-rule-index.ts';
import type { MeshSnapshot } from '../mesh/snapshot.ts';
import { clusterLocalName } from '../registry/host-name.ts';
import type { Protocol } from '../registry/protocol.ts';
import type { Service, ServicePort } from '../registry/registry.ts';
import { FROM_ADS } from './config-source.ts';
import { loadAssignment } from './endpoints.ts';
import { RAW_BUFFER, serverIdentities, upstreamMeshTls } from './mesh-tls.ts';
import {
  BLACK_HOLE_CLUSTER,
  MESH_HTTP1_ALPN,
  MESH_HTTP2_ALPN,
  MESH_TCP_ALPN,
  meshServerName,
  outboundCluster,
  PASSTHROUGH_CLUSTER,
  SHARED_HTTP2_ALPN,
} from './names.ts';
import type { ProxyView } from './proxy-view.ts';
import { effectivePolicy } from './traffic-policy.ts';

/** What of a proxy shapes its outbound clusters; equal flavours share them. */
export type ClusterFlavour = Pick<ProxyView, 'kind' | 'secrets'>;

/** RS-10. */
const CONNECT_TIMEOUT_MS = 10_000;
/** RS-11. */
const IDLE_TIMEOUT_MS = 3_600_000;
/** RS-13: stands for "off". */
const UNLIMITED = 0xffffffff;
/** DS-03: between two lookups of one name. */
const DNS_REFRESH_MS = 60_000;

/** The cluster of one port of a service, or of one subset of it (TM-09). */
export function outboundClusterOf(
  service: Service,
  port: ServicePort,
  rule: MeshDestinationRule | undefined,
  subset: Subset | undefined,
  snapshot: MeshSnapshot,
  flavour: ClusterFlavour,
): Cluster {
  const subsetName = subset?.name ?? '';
  const name = outboundCluster(port.number, subsetName, service.host);
  const policy = effectivePolicy(rule?.trafficPolicy, subset, port.number);
  return Cluster.create({
    name,
    ...discovery(service, port, subset, name, policy, snapshot, flavour),
    connectTimeout: duration(connectTimeoutMs(policy)),
    ...COMMON,
    typedExtensionProtocolOptions: outboundHttpOptions(port.protocol, flavour.kind),
    ...transport(service, port, subsetName, policy, snapshot, flavour),
    metadata: {
      filterMetadata: new Map([
        ['istio', clusterMetadata(service, port, rule, subsetName, snapshot)],
      ]),
    },
  });
}

/** Where a connection wanted to go, unknown to the mesh (TM-19). */
export function passthroughCluster(): Cluster {
  return Cluster.create({
    name: PASSTHROUGH_CLUSTER,
    ...ORIGINAL_DESTINATION,
    connectTimeout: duration(CONNECT_TIMEOUT_MS),
    ...COMMON,
    typedExtensionProtocolOptions: USE_DOWNSTREAM,
  });
}

/** Nowhere: requests end with 503 `UH`, connections are closed. */
export function blackHoleCluster(): Cluster {
  return Cluster.create({
    name: BLACK_HOLE_CLUSTER,
    clusterDiscoveryType: { $case: 'type', value: Cluster_DiscoveryType.STATIC },
    loadAssignment: { clusterName: BLACK_HOLE_CLUSTER },
    connectTimeout: duration(CONNECT_TIMEOUT_MS),
  });
}

/** RS-13, RS-19: no limits, and no panic: with every endpoint unhealthy the answer is `UH`. */
export const COMMON: DeepPartial<Cluster> = {
  circuitBreakers: {
    thresholds: [
      {
        maxConnections: UNLIMITED,
        maxPendingRequests: UNLIMITED,
        maxRequests: UNLIMITED,
        maxRetries: UNLIMITED,
      },
    ],
  },
  commonLbConfig: { healthyPanicThreshold: { value: 0 } },
};

export const ORIGINAL_DESTINATION: DeepPartial<Cluster> = {
  clusterDiscoveryType: { $case: 'type', value: Cluster_DiscoveryType.ORIGINAL_DST },
  lbPolicy: Cluster_LbPolicy.CLUSTER_PROVIDED,
};

/** HTTP as the caller spoke it. */
const USE_DOWNSTREAM: Map<string, Any> = new Map([
  [
    HTTP_PROTOCOL_OPTIONS,
    packAny(
      TYPE_HTTP_PROTOCOL_OPTIONS,
      HttpProtocolOptions.create({
        commonHttpProtocolOptions: { idleTimeout: duration(IDLE_TIMEOUT_MS) },
        upstreamProtocolOptions: {
          $case: 'useDownstreamProtocolConfig',
          value: { httpProtocolOptions: {}, http2ProtocolOptions: {} },
        },
      }),
    ),
  ],
]);

const HTTP1: Map<string, Any> = new Map([
  [
    HTTP_PROTOCOL_OPTIONS,
    packAny(
      TYPE_HTTP_PROTOCOL_OPTIONS,
      HttpProtocolOptions.create({
        commonHttpProtocolOptions: { idleTimeout: duration(IDLE_TIMEOUT_MS) },
        upstreamProtocolOptions: {
          $case: 'explicitHttpConfig',
          value: { protocolConfig: { $case: 'httpProtocolOptions', value: {} } },
        },
      }),
    ),
  ],
]);

const HTTP2: Map<string, Any> = new Map([
  [
    HTTP_PROTOCOL_OPTIONS,
    packAny(
      TYPE_HTTP_PROTOCOL_OPTIONS,
      HttpProtocolOptions.create({
        commonHttpProtocolOptions: { idleTimeout: duration(IDLE_TIMEOUT_MS) },
        upstreamProtocolOptions: {
          $case: 'explicitHttpConfig',
          value: { protocolConfig: { $case: 'http2ProtocolOptions', value: {} } },
        },
      }),
    ),
  ],
]);

/**
 * PR-05: the app is asked in HTTP/1.1 on a port of HTTP that does not say HTTP/2, whatever the caller speaks, and as
 * the caller speaks on a port that says nothing at all.
 */
export function inboundHttpOptions(protocol: Protocol): Map<string, Any> {
  switch (protocol) {
    case 'http2':
    case 'grpc-web':
      return HTTP2;
    case 'detect':
      return USE_DOWNSTREAM;
    default:
      return HTTP1;
  }
}

/** Likewise. Other sidecars than ours are held to the one ALPN name of the cluster, and so to HTTP/1.1. */
function outboundHttpOptions(protocol: Protocol, kind: ProxyView['kind']): Map<string, Any> {
  return protocol === 'detect' && kind !== 'weft' ? HTTP1 : inboundHttpOptions(protocol);
}

function discovery(
  service: Service,
  port: ServicePort,
  subset: Subset | undefined,
  name: string,
  policy: PolicyBlocks,
  snapshot: MeshSnapshot,
  flavour: ClusterFlavour,
): DeepPartial<Cluster> {
  if (service.resolution === 'NONE' || policy.loadBalancer?.simple === 'PASSTHROUGH') {
    return ORIGINAL_DESTINATION;
  }
  const lbPolicy = loadBalancer(policy.loadBalancer, flavour);
  if (service.resolution === 'DNS') {
    return {
      clusterDiscoveryType: { $case: 'type', value: Cluster_DiscoveryType.STRICT_DNS },
      lbPolicy,
      dnsRefreshRate: duration(DNS_REFRESH_MS),
      respectDnsTtl: true,
      dnsLookupFamily: Cluster_DnsLookupFamily.V4_ONLY,
      loadAssignment: loadAssignment(
        name,
        snapshot.directory.endpoints(service),
        port.number,
        subset?.labels ?? {},
        snapshot,
      ),
    };
  }
  return {
    clusterDiscoveryType: { $case: 'type', value: Cluster_DiscoveryType.EDS },
    lbPolicy,
    edsClusterConfig: { edsConfig: FROM_ADS, serviceName: name },
  };
}

/** LB-01, LB-02. */
function loadBalancer(
  settings: LoadBalancerSettings | undefined,
  { kind }: ClusterFlavour,
): Cluster_LbPolicy {
  switch (settings?.simple) {
    case 'ROUND_ROBIN':
      return Cluster_LbPolicy.ROUND_ROBIN;
    case 'RANDOM':
      // Neither of them is known to stock gRPC, which refuses the cluster (xds.md 5.3).
      return kind === 'grpc' ? Cluster_LbPolicy.ROUND_ROBIN : Cluster_LbPolicy.RANDOM;
    default:
      return kind === 'grpc' ? Cluster_LbPolicy.ROUND_ROBIN : Cluster_LbPolicy.LEAST_REQUEST;
  }
}

function connectTimeoutMs(policy: PolicyBlocks): number {
  const asked = policy.connectionPool?.tcp?.connectTimeout;
  return asked === undefined ? CONNECT_TIMEOUT_MS : (parseDurationMs(asked) ?? CONNECT_TIMEOUT_MS);
}

/** SC-01: without a rule mesh TLS where the endpoint says that a sidecar is there, else plain text. */
function transport(
  service: Service,
  port: ServicePort,
  subset: string,
  policy: PolicyBlocks,
  snapshot: MeshSnapshot,
  { kind, secrets }: ClusterFlavour,
): DeepPartial<Cluster> {
  const mode = policy.tls?.mode;
  if (mode === 'DISABLE' || kind === 'grpc') return {};
  if (secrets === 'none' && mode === undefined) return {};
  const socket = upstreamMeshTls(
    secrets,
    meshServerName(port.number, subset, service.host),
    meshAlpn(port.protocol, kind),
    serverIdentities(service, snapshot.options),
  );
  if (mode === 'ISTIO_MUTUAL') return { transportSocket: socket };
  if (service.location === 'MESH_EXTERNAL' && service.serviceAccounts.length === 0) return {};
  return {
    transportSocketMatches: [
      { name: 'tlsMode-istio', match: { tlsMode: 'istio' }, transportSocket: socket },
      { name: 'tlsMode-disabled', match: {}, transportSocket: RAW_BUFFER },
    ],
  };
}

/** Where `kind` is Weft's own, HTTP/1.1 is offered to ride on HTTP/2 as well (PR-06). */
function meshAlpn(protocol: Protocol, kind: ProxyView['kind']): readonly string[] {
  switch (protocol) {
    case 'http':
      return kind === 'weft' ? SHARED_OR_HTTP1 : MESH_HTTP1_ALPN;
    case 'detect':
      return kind === 'weft' ? SHARED_OR_EITHER : MESH_HTTP1_ALPN;
    case 'http2':
    case 'grpc-web':
      return kind === 'weft' ? SHARED_OR_HTTP2 : MESH_HTTP2_ALPN;
    default:
      return MESH_TCP_ALPN;
  }
}

const SHARED_OR_HTTP1: readonly string[] = [SHARED_HTTP2_ALPN, ...MESH_HTTP1_ALPN];
/** HTTP/2 either way; a sidecar of ours may be asked by PING whether it is still there. */
const SHARED_OR_HTTP2: readonly string[] = [SHARED_HTTP2_ALPN, ...MESH_HTTP2_ALPN];
const SHARED_OR_EITHER: readonly string[] = [...SHARED_OR_HTTP1, ...MESH_HTTP2_ALPN];

/** For metrics (`destination_service*`) and for tools: where the cluster comes from. */
function clusterMetadata(
  service: Service,
  port: ServicePort,
  rule: MeshDestinationRule | undefined,
  subset: string,
  { options }: MeshSnapshot,
): { [key: string]: unknown } {
  const fields: { [key: string]: unknown } = {
    default_original_port: port.number,
    services: [serviceMetadata(service.host, service.namespace, options.domain)],
  };
  if (rule !== undefined) {
    const [namespace, name] = rule.names[0]!.split('/');
    fields['config'] =
      `/apis/networking.istio.io/v1/namespaces/${namespace}/destination-rule/${name}`;
  }
  if (subset !== '') fields['subset'] = subset;
  return fields;
}

export function serviceMetadata(
  host: string,
  namespace: string,
  domain: string,
): { host: string; name: string; namespace: string } {
  return { host, name: clusterLocalName(host, domain)?.name ?? host, namespace };
}
