/** An object as the API server gives it. Foreign data: whoever may write to the cluster wrote it (A6.9). */
export interface KubernetesObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: KubernetesMeta;
  readonly [field: string]: unknown;
}

export interface KubernetesMeta {
  readonly name: string;
  /** Absent for cluster-scoped kinds. */
  readonly namespace?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly generation?: number;
  readonly creationTimestamp?: string;
  readonly deletionTimestamp?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly ownerReferences?: readonly OwnerReference[];
  readonly finalizers?: readonly string[];
  readonly [field: string]: unknown;
}

export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
}

export interface ObjectList {
  readonly items: readonly KubernetesObject[];
  readonly resourceVersion: string;
  /** '' on the last page. */
  readonly continue: string;
}

const NAME_CHARS_MAX = 253;

/** The value as an object, or null where it has no usable name. */
export function asKubernetesObject(value: unknown): KubernetesObject | null {
  if (!isRecord(value) || !isRecord(value['metadata'])) return null;
  const { name, namespace, resourceVersion } = value['metadata'];
  if (typeof name !== 'string' || name === '' || name.length > NAME_CHARS_MAX) return null;
  if (namespace !== undefined && typeof namespace !== 'string') return null;
  if (resourceVersion !== undefined && typeof resourceVersion !== 'string') return null;
  return value as unknown as KubernetesObject;
}

/** `namespace/name`; `/name` for cluster-scoped objects. */
export function objectKey({ metadata }: KubernetesObject): string {
  return `${metadata.namespace ?? ''}/${metadata.name}`;
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
