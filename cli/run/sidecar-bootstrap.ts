/** What the sidecar of one app needs to know; addresses are `host:port`. */
export interface SidecarSettings {
  readonly workload: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  /** '' for a mere client. */
  readonly service: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly ports: readonly SidecarPort[];
  /** Address that other sidecars reach this one at. */
  readonly address: string;
  /** Further addresses of this host (redirect mode: IPv4 and IPv6 are both taken care of). */
  readonly furtherAddresses?: readonly string[];
  /** `explicit` (the default): the app names the sidecar. `redirect`: rules bring its connections to 15001 and 15006. */
  readonly mode?: 'explicit' | 'redirect';
  /** Where the app's HTTP_PROXY points; '' in redirect mode. */
  readonly outbound: string;
  readonly admin: string;
  readonly readiness: string;
  readonly prometheus: string;
  readonly controlPlane: string;
  readonly rootCertFile: string;
  readonly joinTokenFile: string;
  /** Of the control plane; '' = cluster.local. */
  readonly trustDomain: string;
  /** '' = nothing is kept over restarts. */
  readonly stateDirectory: string;
  /** `tcp`, `/path` or `none`. */
  readonly probe: string;
}

export interface SidecarPort {
  /** As callers know it. */
  readonly number: number;
  readonly protocol: string;
  readonly listen: string;
  readonly app: string;
}

/** Envoy's bootstrap for a sidecar; Weft's own settings ride in `node.metadata`. */
export function sidecarBootstrap(settings: SidecarSettings): object {
  const { workload, namespace, service, labels, controlPlane } = settings;
  const ads = { ads: {}, resource_api_version: 'V3' };
  const metadata: Record<string, unknown> = {
    NAME: workload,
    NAMESPACE: namespace,
    WORKLOAD_NAME: workload,
    SERVICE_ACCOUNT: settings.serviceAccount,
    CLUSTER_ID: 'Kubernetes',
    LABELS: labels,
    INSTANCE_IPS: [settings.address, ...(settings.furtherAddresses ?? [])].join(','),
    WEFT_MODE: settings.mode ?? 'explicit',
    WEFT_ADMIN: settings.admin,
    WEFT_READINESS: settings.readiness,
    WEFT_PROMETHEUS: settings.prometheus,
    WEFT_CA: controlPlane,
    WEFT_ROOT_CERT: settings.rootCertFile,
    WEFT_TOKEN_FILE: settings.joinTokenFile,
    WEFT_APP_PROBE: settings.probe,
  };
  if (settings.outbound !== '') metadata['WEFT_OUTBOUND'] = settings.outbound;
  if (settings.trustDomain !== '') metadata['WEFT_TRUST_DOMAIN'] = settings.trustDomain;
  if (settings.stateDirectory !== '') metadata['WEFT_STATE_DIR'] = settings.stateDirectory;
  if (service !== '') {
    metadata['WEFT_SERVICE'] = service;
    metadata['WEFT_PORTS'] = settings.ports.map(({ number, protocol, listen, app }) => ({
      number,
      protocol,
      name: `${protocol}-${number}`,
      listen,
      app,
    }));
  }
  return {
    node: {
      id: `sidecar~${settings.address}~${workload}.${namespace}~${namespace}.svc.cluster.local`,
      cluster: `${labels['app'] ?? workload}.${namespace}`,
      metadata,
    },
    admin: { address: socketAddress(settings.admin) },
    dynamic_resources: {
      ads_config: {
        api_type: 'DELTA_GRPC',
        transport_api_version: 'V3',
        grpc_services: [{ envoy_grpc: { cluster_name: 'xds-grpc' } }],
      },
      cds_config: ads,
      lds_config: ads,
    },
    static_resources: {
      clusters: [
        {
          name: 'xds-grpc',
          type: 'STRICT_DNS',
          connect_timeout: '5s',
          load_assignment: {
            cluster_name: 'xds-grpc',
            endpoints: [{ lb_endpoints: [{ endpoint: { address: socketAddress(controlPlane) } }] }],
          },
          transport_socket: {
            name: 'envoy.transport_sockets.tls',
            typed_config: {
              '@type':
                'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
              common_tls_context: {
                validation_context: { trusted_ca: { filename: settings.rootCertFile } },
              },
            },
          },
        },
      ],
    },
  };
}

function socketAddress(hostPort: string): object {
  const { host, port } = splitHostPort(hostPort);
  return { socket_address: { address: host, port_value: port } };
}

/** `127.0.0.1:9080`, `[::1]:9080`. Throws RangeError for anything else. */
export function splitHostPort(text: string): { host: string; port: number } {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) throw new RangeError(`${text} is not host:port`);
  return { host: match[1] ?? match[2]!, port };
}
