import type { HostPort } from '../../tcp/socket-address.ts';

/** What the bootstrap of a sidecar is made from; Weft's own settings ride in `metadata`. */
export interface SidecarNode {
  /** `sidecar~<ip>~<name>.<namespace>~<namespace>.svc.cluster.local`. */
  readonly id: string;
  /** `<canonical service>.<namespace>`. */
  readonly cluster: string;
  /** `region`, `zone`, `sub_zone`; absent where it is not known. */
  readonly locality?: Readonly<Record<string, string>>;
  readonly metadata: Readonly<Record<string, unknown>>;
}

export interface SidecarBootstrapOptions {
  readonly node: SidecarNode;
  /** Null: no admin port. */
  readonly admin: HostPort | null;
  readonly controlPlane: HostPort;
  /** False: plain text to the control plane. */
  readonly tls: boolean;
  /**
   * PEM file that the static cluster trusts, read once at the start. '' where `WEFT_ROOT_CERT` in the metadata is all,
   * which is read anew for each connection.
   */
  readonly trustedCaFile: string;
}

/** Name of the static cluster of the control plane, as Istio's bootstrap has it. */
const CONTROL_PLANE_CLUSTER = 'xds-grpc';

/** Envoy's bootstrap for a sidecar that takes listeners and clusters from its control plane over incremental ADS. */
export function sidecarBootstrap(options: SidecarBootstrapOptions): object {
  const ads = { ads: {}, resource_api_version: 'V3' };
  const { node, admin } = options;
  return {
    node,
    ...(admin === null ? {} : { admin: { address: socketAddress(admin) } }),
    dynamic_resources: {
      ads_config: {
        api_type: 'DELTA_GRPC',
        transport_api_version: 'V3',
        grpc_services: [{ envoy_grpc: { cluster_name: CONTROL_PLANE_CLUSTER } }],
      },
      cds_config: ads,
      lds_config: ads,
    },
    static_resources: { clusters: [controlPlaneCluster(options)] },
  };
}

function controlPlaneCluster({ controlPlane, tls, trustedCaFile }: SidecarBootstrapOptions) {
  const endpoint = { address: socketAddress(controlPlane) };
  const cluster = {
    name: CONTROL_PLANE_CLUSTER,
    type: 'STRICT_DNS',
    connect_timeout: '5s',
    load_assignment: {
      cluster_name: CONTROL_PLANE_CLUSTER,
      endpoints: [{ lb_endpoints: [{ endpoint }] }],
    },
  };
  return tls ? { ...cluster, transport_socket: tlsSocket(trustedCaFile) } : cluster;
}

function tlsSocket(trustedCaFile: string): object {
  const validation =
    trustedCaFile === '' ? {} : { validation_context: { trusted_ca: { filename: trustedCaFile } } };
  return {
    name: 'envoy.transport_sockets.tls',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
      common_tls_context: validation,
    },
  };
}

function socketAddress({ host, port }: HostPort): object {
  return { socket_address: { address: host, port_value: port } };
}
