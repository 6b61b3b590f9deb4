import type { Pod } from './pod.ts';
import type { PodOptions } from './pod-options.ts';
import type { InjectionSettings } from './settings.ts';
import type { Workload } from './workload.ts';

const LABEL_CHARS_MAX = 63;

/**
 * Labels by which the mesh knows the workload (KI-08); those that the pod has stay. A name that is no label value (too
 * long, or a pod's odd name) is cut to one. A pod whose inbound connections are not redirected is not said to take mutual
 * TLS: its app would get it.
 */
export function meshLabels(
  pod: Pod,
  workload: Workload,
  settings: InjectionSettings,
  { interceptionMode, traffic }: PodOptions,
): Record<string, string> {
  const takesInbound = interceptionMode !== 'NONE' && traffic.includeInboundPorts !== '';
  const labels = pod.metadata?.labels ?? {};
  const first = (...names: string[]) =>
    names.map((name) => (Object.hasOwn(labels, name) ? labels[name] : undefined)).find(Boolean);
  const name = first('app.kubernetes.io/name', 'app') ?? workload.name;
  const wanted: Record<string, string | undefined> = {
    'security.istio.io/tlsMode': takesInbound ? 'istio' : undefined,
    'service.istio.io/canonical-name': name === '' ? undefined : labelValue(name),
    'service.istio.io/canonical-revision': labelValue(
      first('app.kubernetes.io/version', 'version') ?? 'latest',
    ),
    'topology.istio.io/network': settings.network,
  };
  return Object.fromEntries(
    Object.entries(wanted).filter(
      (entry): entry is [string, string] =>
        entry[1] !== undefined && !Object.hasOwn(labels, entry[0]),
    ),
  );
}

/** So that `kubectl logs` and `kubectl exec` still mean the app. */
export function kubectlAnnotations(pod: Pod, app: string): Record<string, string> {
  const annotations = pod.metadata?.annotations ?? {};
  const names = [
    'kubectl.kubernetes.io/default-container',
    'kubectl.kubernetes.io/default-logs-container',
  ];
  return Object.fromEntries(
    names.filter((name) => !Object.hasOwn(annotations, name)).map((name) => [name, app]),
  );
}

function labelValue(text: string): string {
  return text
    .replace(/[^A-Za-z0-9._-]/g, '-')
    .slice(0, LABEL_CHARS_MAX)
    .replace(/^[^A-Za-z0-9]+|[^A-Za-z0-9]+$/g, '');
}
