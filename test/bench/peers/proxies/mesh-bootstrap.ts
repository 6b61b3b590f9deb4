import {
  connectionsAllowed,
  everything,
  httpListener,
  ROUTER_FILTER,
  socketAddress,
  staticCluster,
} from '../../../harness/static-proxy.ts';
import { type Hop, IDLE_SECONDS, type Side } from './hop.ts';

/** The parts of a hop that Envoy and Weft must not share while both run. */
export interface Places {
  readonly port: number;
  readonly adminPort: number;
  readonly accessLogFile: string;
}

/**
 * The bootstrap that Envoy and Weft both run, with what a sidecar of a mesh has switched on: request id, trace context,
 * retries armed as Istio arms them, one rule of authorization, statistics of cluster and listener, access log where the hop
 * says so.
 */
export function meshBootstrap(hop: Hop, places: Places): object {
  const chain =
    hop.downstream.tls === null ? {} : { transport_socket: downstreamSocket(hop.downstream) };
  const listener =
    hop.downstream.protocol === 'tcp'
      ? tcpListener(places.port, chain, accessLog(hop, places))
      : httpListener(
          places.port,
          [
            everything('backend', {
              timeout: '0s',
              ...(hop.retries ? { retry_policy: RETRIES } : {}),
            }),
          ],
          {
            codec_type: 'AUTO',
            ...(hop.tracingPercent === null
              ? {}
              : { tracing: { random_sampling: { value: hop.tracingPercent } } }),
            ...(hop.authorization ? { http_filters: [authorization(hop), ROUTER_FILTER] } : {}),
            ...accessLog(hop, places),
          },
          chain,
        );
  return {
    node: { id: 'bench', cluster: 'bench' },
    admin: { address: socketAddress(places.adminPort) },
    ...(hop.connectionsMax === null
      ? {}
      : { overload_manager: connectionsAllowed(hop.connectionsMax) }),
    static_resources: {
      listeners: [{ ...listener, traffic_direction: trafficDirection(hop) }],
      clusters: [
        staticCluster('backend', [hop.backendPort], {
          ...(hop.upstream.protocol === 'http2' ? UPSTREAM_HTTP2 : {}),
          ...(hop.upstream.tls === null ? {} : { transport_socket: upstreamSocket(hop.upstream) }),
          circuit_breakers: BREAKERS_OUT_OF_THE_WAY,
        }),
      ],
    },
  };
}

/** A sidecar that asks for certificates stands before its app. */
function trafficDirection({ metrics, downstream }: Hop): string {
  if (!metrics) return 'UNSPECIFIED';
  return downstream.tls?.mutual === true ? 'INBOUND' : 'OUTBOUND';
}

/** As Istio makes them of an AuthorizationPolicy: who (behind mutual TLS), and by which methods. */
function authorization({ downstream }: Hop): object {
  const method = (name: string) => ({
    header: { name: ':method', string_match: { exact: name } },
  });
  const anybody = downstream.tls?.mutual === true ? { authenticated: {} } : { any: true };
  const policy = {
    permissions: [{ and_rules: { rules: [{ or_rules: { rules: METHODS.map(method) } }] } }],
    principals: [{ and_ids: { ids: [anybody] } }],
  };
  return {
    name: 'envoy.filters.http.rbac',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC',
      rules: { action: 'ALLOW', policies: { 'ns[default]-policy[bench]-rule[0]': policy } },
    },
  };
}

const METHODS = ['GET', 'POST'];

/** What Istio gives every route that names no policy. */
export const RETRIES = {
  retry_on: 'connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes',
  num_retries: 2,
  retriable_status_codes: [503],
};

/** As Istio's default: no limit that a load of one machine would meet. */
export const BREAKERS_OUT_OF_THE_WAY = {
  thresholds: [
    {
      max_connections: 100_000,
      max_pending_requests: 100_000,
      max_requests: 100_000,
      max_retries: 100_000,
    },
  ],
};

export const UPSTREAM_HTTP2 = {
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
      explicit_http_config: { http2_protocol_options: {} },
    },
  },
};

const TLS = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3';

function downstreamSocket(side: Side): object {
  return {
    name: 'envoy.transport_sockets.tls',
    typed_config: {
      '@type': `${TLS}.DownstreamTlsContext`,
      require_client_certificate: side.tls!.mutual,
      common_tls_context: tlsContext(side),
    },
  };
}

function upstreamSocket(side: Side): object {
  return {
    name: 'envoy.transport_sockets.tls',
    typed_config: {
      '@type': `${TLS}.UpstreamTlsContext`,
      sni: 'server.default.svc.cluster.local',
      common_tls_context: tlsContext(side),
    },
  };
}

function tlsContext({ protocol, tls }: Side): object {
  const { certificate, key, ca } = tls!.files;
  const own = { certificate_chain: { filename: certificate }, private_key: { filename: key } };
  return {
    ...(protocol === 'tcp' ? {} : { alpn_protocols: [protocol === 'http2' ? 'h2' : 'http/1.1'] }),
    tls_certificates: [own],
    ...(tls!.mutual ? { validation_context: { trusted_ca: { filename: ca } } } : {}),
  };
}

function accessLog(hop: Hop, { accessLogFile }: Places): object {
  if (!hop.accessLog) return {};
  return {
    access_log: [
      {
        name: 'envoy.access_loggers.file',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog',
          path: accessLogFile,
        },
      },
    ],
  };
}

function tcpListener(port: number, chain: object, log: object): object {
  return {
    name: `tcp_${port}`,
    address: socketAddress(port),
    filter_chains: [
      {
        filters: [
          {
            name: 'envoy.filters.network.tcp_proxy',
            typed_config: {
              '@type': 'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
              stat_prefix: 'tcp',
              cluster: 'backend',
              idle_timeout: `${IDLE_SECONDS}s`,
              ...log,
            },
          },
        ],
        ...chain,
      },
    ],
  };
}
