/**
 * A policy object in the Kubernetes shape, as stored and as every reader of the store sees it: all metadata is there.
 * `spec` is the validated JSON as its author wrote it; `Kind.withDefaults` turns it into the typed spec that the mesh
 * reads. Objects keyed by names that people choose (labels, header names) have no prototype.
 */
export interface Resource<Spec = unknown> {
  /** `group/version`, always the kind's storage version (`networking.istio.io/v1`). */
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ObjectMeta;
  readonly spec: Spec;
  readonly status?: unknown;
}

export interface ObjectMeta {
  readonly name: string;
  readonly namespace: string;
  readonly labels: StringMap;
  readonly annotations: StringMap;
  /** RFC 3339, UTC, whole seconds. Ties between policies go to the older one, then by name. */
  readonly creationTimestamp: string;
  /** Counts changes of `spec`, from 1. */
  readonly generation: number;
  /** The store's revision that wrote this object, in decimal; opaque to clients. */
  readonly resourceVersion: string;
  /** UUID, new for each creation: a deleted and re-created object is another one. */
  readonly uid: string;
}

/** An object as a file or a request carries it, checked, before the API server completes its metadata. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ManifestMeta;
  readonly spec: unknown;
}

export interface ManifestMeta {
  readonly name: string;
  /** Undefined where the file leaves it to the caller (`-n`, default `default`). */
  readonly namespace: string | undefined;
  readonly labels: StringMap;
  readonly annotations: StringMap;
  /** Set where the writer wants compare-and-set. */
  readonly resourceVersion: string | undefined;
  /** Set where the writer insists on replacing this very object. */
  readonly uid: string | undefined;
}

/** No prototype: reading a name that nobody wrote gives undefined, `constructor` included. */
export type StringMap = Readonly<Record<string, string>>;

/** What names an object. The version is no part of it: all versions of a kind are one object. */
export interface ResourceKey {
  readonly group: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

/** `networking.istio.io` of `networking.istio.io/v1`; the empty string for the core group (`v1`). */
export function groupOf(apiVersion: string): string {
  const slash = apiVersion.indexOf('/');
  return slash < 0 ? '' : apiVersion.slice(0, slash);
}

export function keyOf(resource: Resource): ResourceKey {
  return {
    group: groupOf(resource.apiVersion),
    kind: resource.kind,
    namespace: resource.metadata.namespace,
    name: resource.metadata.name,
  };
}
