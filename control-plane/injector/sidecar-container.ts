import type { AnnotationValues } from './annotation-table.ts';
import { PROXY_CONTAINER, PROXY_UID } from './conflicts.ts';
import type { Container, Named } from './pod.ts';
import type { PodOptions } from './pod-options.ts';
import type { InjectionSettings } from './settings.ts';
import { ROOT_CERT_FILE, STATE_DIRECTORY, sidecarVolumeMounts, TOKEN_FILE } from './volumes.ts';
import type { Workload } from './workload.ts';

/** `weft proxy …` in the image, which has no shell. */
const PROXY_COMMAND = ['/usr/local/bin/node', '/opt/weft/weft.mjs', 'proxy'];

/** The sidecar itself. Fits Pod Security "restricted". */
export function sidecarContainer(
  options: PodOptions,
  values: AnnotationValues,
  settings: InjectionSettings,
  workload: Workload,
  namespace: string,
): Container {
  const exec = (word: string) => ({ exec: { command: [...PROXY_COMMAND, word] } });
  const holds = !options.native && options.hold;
  const drains = options.statusPort !== 0;
  return {
    name: PROXY_CONTAINER,
    image: options.image,
    ...(options.imagePullPolicy && { imagePullPolicy: options.imagePullPolicy }),
    args: ['proxy', '--log-level', options.logLevel],
    env: environment(options, settings, workload, namespace),
    ...((holds || drains) && {
      lifecycle: {
        ...(holds && { postStart: exec('wait') }),
        ...(drains && { preStop: exec('drain') }),
      },
    }),
    ports: [{ name: 'http-envoy-prom', containerPort: 15_090, protocol: 'TCP' }],
    ...probes(options),
    resources: options.resources,
    securityContext: {
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
      privileged: false,
      readOnlyRootFilesystem: true,
      runAsGroup: PROXY_UID,
      runAsNonRoot: true,
      runAsUser: PROXY_UID,
      seccompProfile: { type: 'RuntimeDefault' },
    },
    volumeMounts: sidecarVolumeMounts(values),
  };
}

/** The sidecar's own default is port 15020 of both families. */
function statusAddress(port: number): string | undefined {
  if (port === 15_020) return undefined;
  return port === 0 ? 'none' : `[::]:${port}`;
}

/** KI-06. A native sidecar's startup probe holds the app back (KI-03). */
function probes({ native, readiness, statusPort }: PodOptions): Partial<Container> {
  if (statusPort === 0) return {};
  const httpGet = { path: '/healthz/ready', port: 15_021 };
  return {
    ...(native && {
      startupProbe: { httpGet, failureThreshold: 600, periodSeconds: 1, timeoutSeconds: 3 },
    }),
    readinessProbe: { httpGet: { ...httpGet }, ...readiness, timeoutSeconds: 3 },
  };
}

function environment(
  options: PodOptions,
  settings: InjectionSettings,
  { apiVersion, kind, name }: Workload,
  namespace: string,
): Named[] {
  const field = (fieldPath: string) => ({ valueFrom: { fieldRef: { fieldPath } } });
  const env: Record<string, string | undefined> = {
    WEFT_TOKEN_FILE: TOKEN_FILE,
    WEFT_ROOT_CERT: ROOT_CERT_FILE,
    WEFT_STATE_DIR: STATE_DIRECTORY,
    WEFT_TRUST_DOMAIN: settings.trustDomain,
    WEFT_STATUS: statusAddress(options.statusPort),
    ISTIO_META_CLUSTER_ID: settings.clusterId,
    ISTIO_META_MESH_ID: settings.meshId ?? settings.trustDomain,
    ISTIO_META_NETWORK: settings.network,
    ISTIO_META_INTERCEPTION_MODE: options.interceptionMode,
    ISTIO_META_WORKLOAD_NAME: name === '' ? undefined : name,
    ISTIO_META_OWNER:
      name === ''
        ? undefined
        : `kubernetes://apis/${apiVersion}/namespaces/${namespace}/${kind.toLowerCase()}s/${name}`,
    // Not by the flag, which would stand over EXIT_ON_ZERO_ACTIVE_CONNECTIONS.
    WEFT_DRAIN_TIME_S: String(options.drainSeconds),
    ...options.env,
    // Last: the redirection rules have been told the same.
    ISTIO_META_DNS_CAPTURE: options.dnsCapture ? 'true' : undefined,
  };
  return [
    { name: 'WEFT_CONTROL_PLANE', value: settings.controlPlane },
    { name: 'POD_NAME', ...field('metadata.name') },
    { name: 'POD_NAMESPACE', ...field('metadata.namespace') },
    // All of them, the primary one first: what redirection takes of a family the sidecar must be there for.
    { name: 'INSTANCE_IP', ...field('status.podIPs') },
    { name: 'SERVICE_ACCOUNT', ...field('spec.serviceAccountName') },
    { name: 'HOST_IP', ...field('status.hostIP') },
    ...Object.entries(env).flatMap(([variable, value]) =>
      value === undefined ? [] : [{ name: variable, value }],
    ),
  ];
}
