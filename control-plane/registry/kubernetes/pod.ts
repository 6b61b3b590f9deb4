import { isIP } from 'node:net';
import type { StringMap } from '../../kinds/resource.ts';
import {
  isRecord,
  type KubernetesMeta,
  type KubernetesObject,
} from '../../kubernetes/kubernetes-object.ts';

/** What is kept of a Pod. */
export interface PodRecord {
  readonly namespace: string;
  readonly name: string;
  /** '' until it has one. */
  readonly address: string;
  readonly nodeName: string;
  readonly labels: StringMap;
  readonly serviceAccount: string;
  /** The name of what made it: Deployment, StatefulSet, … (KI-08). */
  readonly workload: string;
  /** The Ready condition, and not on its way out. */
  readonly isReady: boolean;
  readonly tlsMode: 'istio' | 'disabled';
  readonly creationTimestamp: string;
}

/** Null for pods that have ended: their address may be another's by now. */
export function podRecord({ metadata, spec, status }: KubernetesObject): PodRecord | null {
  const { phase, podIP, conditions } = isRecord(status) ? status : NOTHING;
  if (phase === 'Succeeded' || phase === 'Failed') return null;
  const { nodeName, serviceAccountName } = isRecord(spec) ? spec : NOTHING;
  const labels = stringMap(metadata.labels);
  const isReady =
    metadata.deletionTimestamp === undefined &&
    Array.isArray(conditions) &&
    conditions.some(
      (each: unknown) => isRecord(each) && each['type'] === 'Ready' && each['status'] === 'True',
    );
  return {
    namespace: metadata.namespace ?? '',
    name: metadata.name,
    address: isIP(textOf(podIP)) === 0 ? '' : textOf(podIP),
    nodeName: textOf(nodeName),
    labels,
    serviceAccount: textOf(serviceAccountName) || 'default',
    workload: workloadName(metadata, labels),
    isReady,
    tlsMode: aliased(labels, 'security', 'tlsMode') === 'istio' ? 'istio' : 'disabled',
    creationTimestamp: metadata.creationTimestamp ?? '',
  };
}

/** Whether nothing that others see has changed: most changes of a pod are its status. */
export function samePod(a: PodRecord, b: PodRecord): boolean {
  return (
    a.address === b.address &&
    a.isReady === b.isReady &&
    a.nodeName === b.nodeName &&
    a.serviceAccount === b.serviceAccount &&
    a.workload === b.workload &&
    a.tlsMode === b.tlsMode &&
    JSON.stringify(a.labels) === JSON.stringify(b.labels)
  );
}

/** `X.weft.dev/y`, else `X.istio.io/y`: ours wins. '' where neither stands. */
export function aliased(texts: StringMap, prefix: string, name: string): string {
  return texts[`${prefix}.weft.dev/${name}`] ?? texts[`${prefix}.istio.io/${name}`] ?? '';
}

/** A pod of a Deployment belongs to a ReplicaSet `<deployment>-<hash>`, one of a CronJob to a Job `<cronjob>-<time>`. */
function workloadName(metadata: KubernetesMeta, labels: StringMap): string {
  const owners = Array.isArray(metadata.ownerReferences) ? metadata.ownerReferences : [];
  const owner = owners.find((each) => isRecord(each) && each['controller'] === true);
  if (owner === undefined || typeof owner.name !== 'string') return metadata.name;
  const hash = labels['pod-template-hash'];
  if (owner.kind === 'ReplicaSet' && hash !== undefined && owner.name.endsWith(`-${hash}`)) {
    return owner.name.slice(0, -hash.length - 1);
  }
  if (owner.kind === 'Job') return owner.name.replace(/-[0-9]{8,10}$/, '');
  return owner.name;
}

/** Labels or annotations that somebody else wrote: texts only, without a prototype. */
export function stringMap(value: unknown): StringMap {
  const copy: Record<string, string> = Object.create(null);
  if (!isRecord(value)) return copy;
  for (const [name, text] of Object.entries(value)) {
    if (typeof text === 'string') copy[name] = text;
  }
  return copy;
}

export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

const NOTHING: Readonly<Record<string, unknown>> = Object.freeze({});
