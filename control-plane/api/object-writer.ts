import { randomUUID } from 'node:crypto';
import type { Manifest, Resource, ResourceKey } from '../kinds/resource.ts';
import type { ConfigStore, WriteResult } from '../store/config-store.ts';
import { jsonEqual } from './json-value.ts';

/** Times that a write which named no version is tried again because another writer was quicker. */
const ATTEMPTS_MAX = 5;

export type ObjectWrite =
  | WriteResult
  /** The object is already what it should be: no new revision, nobody is woken. */
  | { readonly kind: 'unchanged'; readonly resource: Resource }
  /** The caller means an object that has since been deleted and made anew. */
  | { readonly kind: 'otherUid'; readonly current: Resource };

/** Completes the metadata that the server owns, and writes. `dryRun` does everything but the write. */
export class ObjectWriter {
  readonly #store: ConfigStore;
  readonly #now: () => number;

  constructor(store: ConfigStore, now: () => number) {
    this.#store = store;
    this.#now = now;
  }

  async create(manifest: Manifest, key: ResourceKey, dryRun: boolean): Promise<ObjectWrite> {
    const resource: Resource = {
      apiVersion: manifest.apiVersion,
      kind: manifest.kind,
      metadata: {
        name: key.name,
        namespace: key.namespace,
        labels: manifest.metadata.labels,
        annotations: manifest.metadata.annotations,
        creationTimestamp: new Date(this.#now()).toISOString().replace(/\.\d+Z$/, 'Z'),
        generation: 1,
        resourceVersion: '',
        uid: randomUUID(),
      },
      spec: manifest.spec,
    };
    if (!dryRun) return this.#store.create(resource);
    const current = await this.#store.get(key);
    if (current !== undefined) return { kind: 'alreadyExists', current };
    return { kind: 'ok', resource, revision: await this.#store.revision() };
  }

  /** Replaces what the author owns (labels, annotations, spec) and keeps the rest of the object. */
  async replace(manifest: Manifest, key: ResourceKey, dryRun: boolean): Promise<ObjectWrite> {
    const { resourceVersion, uid } = manifest.metadata;
    for (let attempt = 1; ; attempt++) {
      const current = await this.#store.get(key);
      if (current === undefined) return { kind: 'notFound' };
      if (uid !== undefined && uid !== current.metadata.uid) return { kind: 'otherUid', current };
      if (resourceVersion !== undefined && resourceVersion !== current.metadata.resourceVersion) {
        return { kind: 'conflict', current };
      }
      const resource = replaced(current, manifest);
      if (resource === current) return { kind: 'unchanged', resource };
      if (dryRun) return { kind: 'ok', resource, revision: await this.#store.revision() };
      const result = await this.#store.replace(resource, current.metadata.resourceVersion);
      const retry = result.kind === 'conflict' && resourceVersion === undefined;
      if (!retry || attempt === ATTEMPTS_MAX) return result;
    }
  }

  async delete(
    key: ResourceKey,
    expected: { readonly uid?: string; readonly resourceVersion?: string },
    dryRun: boolean,
  ): Promise<ObjectWrite> {
    const current = await this.#store.get(key);
    if (current === undefined) return { kind: 'notFound' };
    if (expected.uid !== undefined && expected.uid !== current.metadata.uid) {
      return { kind: 'otherUid', current };
    }
    if (dryRun) return { kind: 'ok', resource: current, revision: await this.#store.revision() };
    // With a uid, only the very object that was looked at may go.
    const version = expected.uid === undefined ? undefined : current.metadata.resourceVersion;
    return this.#store.delete(key, expected.resourceVersion ?? version);
  }
}

function replaced(current: Resource, { metadata, spec }: Manifest): Resource {
  const sameSpec = jsonEqual(current.spec, spec);
  const { labels, annotations } = metadata;
  if (
    sameSpec &&
    jsonEqual(current.metadata.labels, labels) &&
    jsonEqual(current.metadata.annotations, annotations)
  ) {
    return current;
  }
  const generation = current.metadata.generation + (sameSpec ? 0 : 1);
  return { ...current, metadata: { ...current.metadata, labels, annotations, generation }, spec };
}
