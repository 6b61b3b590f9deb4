/**
 * Environment of the sidecar that only the injector sets: who it is, whom it trusts, where the kubelet and the redirection
 * rules will look for it, and what Node.js itself would run (threats A8.8, A5.6). Neither a pod's `proxyMetadata` nor its own container for the sidecar may set them.
 */
export const RESERVED_VARIABLES: ReadonlySet<string> = new Set([
  'WEFT_CONTROL_PLANE',
  'WEFT_CA',
  'WEFT_INSECURE_XDS',
  'WEFT_TOKEN_FILE',
  'WEFT_ROOT_CERT',
  'WEFT_STATE_DIR',
  'WEFT_TRUST_DOMAIN',
  'WEFT_MODE',
  'WEFT_STATUS',
  'WEFT_READINESS',
  'WEFT_PROMETHEUS',
  'WEFT_DNS',
  'WEFT_DRAIN_TIME_S',
  'TERMINATION_DRAIN_DURATION_SECONDS',
  'WEFT_LABELS',
  'WEFT_PODINFO',
  'WEFT_APP_PROBERS',
  'WEFT_PROMETHEUS_ANNOTATIONS',
  'ISTIO_KUBE_APP_PROBERS',
  'ISTIO_PROMETHEUS_ANNOTATIONS',
  'ISTIO_META_INTERCEPTION_MODE',
  'ISTIO_META_WORKLOAD_NAME',
  'ISTIO_META_OWNER',
  'ISTIO_META_CLUSTER_ID',
  'ISTIO_META_NAME',
  'ISTIO_META_NAMESPACE',
  'ISTIO_META_SERVICE_ACCOUNT',
  'ISTIO_META_LABELS',
  'ISTIO_META_INSTANCE_IPS',
  'POD_NAME',
  'POD_NAMESPACE',
  'INSTANCE_IP',
  'SERVICE_ACCOUNT',
  'HOST_IP',
  'NODE_OPTIONS',
  'NODE_EXTRA_CA_CERTS',
  'NODE_TLS_REJECT_UNAUTHORIZED',
  'LD_PRELOAD',
  'LD_LIBRARY_PATH',
]);

/** Variables of the sidecar that are left to whoever writes the pod; any other `WEFT_` name would end it at its start. */
const OPEN_VARIABLES: readonly string[] = [
  'WEFT_SERVICE',
  'WEFT_PORTS',
  'WEFT_OUTBOUND',
  'WEFT_APP_PROBE',
  'WEFT_CERT_TTL',
  'WEFT_DNS_UPSTREAM',
];

/** Variables of Istio's agent that a sidecar has too, by names without a prefix. */
const AGENT_VARIABLES: readonly string[] = [
  'EXIT_ON_ZERO_ACTIVE_CONNECTIONS',
  'MINIMUM_DRAIN_DURATION',
];

/** Why a variable may not be given to the sidecar; '' = it may. */
export function variableProblem(name: string): string {
  if (RESERVED_VARIABLES.has(name)) return 'is set by injection itself';
  if (name.startsWith('ISTIO_META_WEFT_')) return 'is no variable of the sidecar';
  if (!name.startsWith('WEFT_') || OPEN_VARIABLES.includes(name)) return '';
  return `is none that may be set here; those are ${OPEN_VARIABLES.join(', ')}`;
}

/** Whether a pod's `proxyMetadata` may hold it: what the sidecar reads, and nothing of its process. */
export function isProxyMetadata(name: string): boolean {
  if (AGENT_VARIABLES.includes(name)) return true;
  return /^(ISTIO_META_|WEFT_)[A-Z0-9_]+$/.test(name) && variableProblem(name) === '';
}
