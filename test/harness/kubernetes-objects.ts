import type { KubernetesObject } from '../../control-plane/kubernetes/kubernetes-object.ts';

/** Objects of a cluster as its controllers would write them. */

export interface PodOptions {
  readonly namespace?: string;
  readonly ip?: string;
  readonly node?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly serviceAccount?: string;
  readonly isReady?: boolean;
  readonly ownerKind?: string;
  readonly ownerName?: string;
  readonly hasSidecar?: boolean;
}

export function pod(name: string, options: PodOptions = {}): KubernetesObject {
  const { namespace = 'default', labels = {}, isReady = true, ownerName = '' } = options;
  const { ip = '', node = 'node-1', serviceAccount = 'default', hasSidecar = false } = options;
  const owner = {
    apiVersion: 'apps/v1',
    kind: options.ownerKind ?? 'ReplicaSet',
    name: ownerName,
    uid: `uid-${ownerName}`,
    controller: true,
  };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace,
      labels: { ...labels, ...(hasSidecar && { 'security.istio.io/tlsMode': 'istio' }) },
      ...(ownerName !== '' && { ownerReferences: [owner] }),
      managedFields: [{ manager: 'kubelet', fieldsV1: { 'f:metadata': {} } }],
    },
    spec: {
      nodeName: node,
      serviceAccountName: serviceAccount,
      containers: [{ name: 'app', image: 'app:1', ports: [{ name: 'web', containerPort: 8080 }] }],
    },
    status: {
      phase: 'Running',
      ...(ip !== '' && { podIP: ip, podIPs: [{ ip }] }),
      conditions: [{ type: 'Ready', status: isReady ? 'True' : 'False' }],
    },
  };
}

export interface ServiceOptions {
  readonly namespace?: string;
  readonly ports?: readonly object[];
  readonly annotations?: Readonly<Record<string, string>>;
  readonly [spec: string]: unknown;
}

export function service(name: string, options: ServiceOptions = {}): KubernetesObject {
  const {
    namespace = 'default',
    ports = [{ name: 'http', port: 80, targetPort: 8080 }],
    annotations,
    ...spec
  } = options;
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace, ...(annotations !== undefined && { annotations }) },
    spec: { selector: { app: name }, ports, ...spec },
  };
}

export interface SliceOptions {
  readonly namespace?: string;
  readonly ports?: readonly object[];
  readonly addressType?: string;
}

/** `endpoints`: address, pod name (or '') and whether it is ready. */
export function slice(
  name: string,
  ofService: string,
  endpoints: readonly { ip: string; pod?: string; ready?: boolean; zone?: string }[],
  options: SliceOptions = {},
): KubernetesObject {
  const { namespace = 'default', ports = [{ name: 'http', port: 8080, protocol: 'TCP' }] } =
    options;
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name, namespace, labels: { 'kubernetes.io/service-name': ofService } },
    addressType: options.addressType ?? 'IPv4',
    ports,
    endpoints: endpoints.map(({ ip, pod: podName = '', ready, zone }) => ({
      addresses: [ip],
      conditions: ready === undefined ? {} : { ready, serving: ready, terminating: false },
      ...(podName !== '' && { targetRef: { kind: 'Pod', name: podName, namespace } }),
      ...(zone !== undefined && { zone }),
    })),
  };
}

export function node(name: string, region: string, zone: string): KubernetesObject {
  const labels = { 'topology.kubernetes.io/region': region, 'topology.kubernetes.io/zone': zone };
  return { apiVersion: 'v1', kind: 'Node', metadata: { name, labels }, spec: {}, status: {} };
}
