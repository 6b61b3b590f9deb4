import { parseHostPort } from '../../proxy/xds/bootstrap/host-port.ts';
import { sidecarBootstrap as adsBootstrap } from '../../proxy/xds/bootstrap/sidecar-bootstrap.ts';

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
    WEFT_STATUS: 'none',
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
  return adsBootstrap({
    node: {
      id: `sidecar~${settings.address}~${workload}.${namespace}~${namespace}.svc.cluster.local`,
      cluster: `${labels['app'] ?? workload}.${namespace}`,
      metadata,
    },
    admin: splitHostPort(settings.admin),
    controlPlane: splitHostPort(controlPlane),
    tls: true,
    trustedCaFile: settings.rootCertFile,
  });
}

/** `127.0.0.1:9080`, `[::1]:9080`. Throws RangeError for anything else. */
export function splitHostPort(text: string): { host: string; port: number } {
  const address = parseHostPort(text);
  if (address === undefined) throw new RangeError(`${text} is not host:port`);
  return address;
}
