import { isMap } from '../../control-plane/injector/pod.ts';
import type { FieldPath, Fields } from '../../control-plane/kinds/schema.ts';

/** One object of a manifest that holds a pod: where it stands in its document, and where the pod stands in it. */
export interface WorkloadPlace {
  /** Path of the object; empty but in a List. */
  readonly object: FieldPath;
  /** Path of the pod or pod template, from the document's root. */
  readonly pod: FieldPath;
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly namespace: string | undefined;
}

/** An object of any kind, for the report. */
export interface ManifestObject {
  readonly kind: string;
  readonly name: string;
  readonly workload: WorkloadPlace | undefined;
}

const TEMPLATE = ['spec', 'template'];
/** Kinds with pods by API group, as `istioctl kube-inject` knows them. */
const PODS: ReadonlyMap<string, FieldPath> = new Map([
  ['/Pod', []],
  ['/ReplicationController', TEMPLATE],
  ['apps/Deployment', TEMPLATE],
  ['apps/StatefulSet', TEMPLATE],
  ['apps/DaemonSet', TEMPLATE],
  ['apps/ReplicaSet', TEMPLATE],
  ['extensions/Deployment', TEMPLATE],
  ['extensions/DaemonSet', TEMPLATE],
  ['extensions/ReplicaSet', TEMPLATE],
  ['batch/Job', TEMPLATE],
  ['batch/CronJob', ['spec', 'jobTemplate', 'spec', 'template']],
]);

/** The objects of one document, those of a `List` one by one. */
export function objectsOf(value: unknown, path: FieldPath = []): ManifestObject[] {
  if (!isMap(value)) return [];
  const { kind, apiVersion, items, metadata } = value;
  if (typeof kind !== 'string' || typeof apiVersion !== 'string') return [];
  if (kind === 'List' && Array.isArray(items) && path.length === 0) {
    return items.flatMap((item, index) => objectsOf(item, ['items', index]));
  }
  const fields: Fields = isMap(metadata) ? metadata : {};
  const name = String(fields['name'] ?? fields['generateName'] ?? '');
  const group = apiVersion.includes('/') ? apiVersion.split('/')[0]! : '';
  const below = PODS.get(`${group}/${kind}`);
  if (below === undefined) return [{ kind, name, workload: undefined }];
  const namespace = typeof fields['namespace'] === 'string' ? fields['namespace'] : undefined;
  const pod = [...path, ...below];
  return [{ kind, name, workload: { object: path, pod, apiVersion, kind, name, namespace } }];
}

export function valueAt(value: unknown, path: FieldPath): unknown {
  let at = value;
  for (const step of path) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, step)) return undefined;
    at = (at as Fields)[step];
  }
  return at;
}
