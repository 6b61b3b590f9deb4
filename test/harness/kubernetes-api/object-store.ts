import type { KubernetesObject } from '../../../control-plane/kubernetes/kubernetes-object.ts';
import { kindKey, type ServedKind } from './served-kind.ts';

export interface StoreEvent {
  readonly revision: number;
  readonly kind: string;
  readonly key: string;
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  /** As it is now; of a DELETED one as it was, with the revision of the deletion. */
  readonly object: KubernetesObject;
  readonly before: KubernetesObject | undefined;
}

/**
 * What etcd is for an API server: objects by kind, one revision for all of them, and a history that watches read and that
 * can be cut off. Objects are never changed, only replaced.
 */
export class ObjectStore {
  #revision = 1000;
  readonly #kinds = new Map<string, Map<string, KubernetesObject>>();
  #history: StoreEvent[] = [];
  #compacted = 0;
  readonly #listeners = new Set<(event: StoreEvent) => void>();
  readonly #historyMax: number;

  constructor(historyMax: number) {
    this.#historyMax = historyMax;
  }

  get revision(): number {
    return this.#revision;
  }

  /** The oldest revision from which a watch can go on. */
  get compactedRevision(): number {
    return this.#compacted;
  }

  get(kind: ServedKind, namespace: string, name: string): KubernetesObject | undefined {
    return this.#kinds.get(kindKey(kind))?.get(`${namespace}/${name}`);
  }

  /** In the order of their keys, as they were at `revision`, which must not be older than `compactedRevision`. */
  list(kind: ServedKind, namespace: string, revision = this.#revision): KubernetesObject[] {
    const id = kindKey(kind);
    let objects = this.#kinds.get(id) ?? new Map<string, KubernetesObject>();
    if (revision < this.#revision) {
      objects = new Map(objects);
      for (let index = this.#history.length - 1; index >= 0; index--) {
        const event = this.#history[index]!;
        if (event.revision <= revision) break;
        if (event.kind !== id) continue;
        if (event.before === undefined) objects.delete(event.key);
        else objects.set(event.key, event.before);
      }
    }
    const prefix = `${namespace}/`;
    return [...objects]
      .filter(([key]) => namespace === '' || key.startsWith(prefix))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([, value]) => value);
  }

  /** Gives the object as it is stored, with its new resourceVersion. */
  put(kind: ServedKind, object: KubernetesObject): KubernetesObject {
    const id = kindKey(kind);
    const key = keyOf(object);
    let objects = this.#kinds.get(id);
    if (objects === undefined) {
      objects = new Map();
      this.#kinds.set(id, objects);
    }
    const before = objects.get(key);
    this.#revision++;
    const stored = withVersion(object, this.#revision);
    objects.set(key, stored);
    this.#note({
      revision: this.#revision,
      kind: id,
      key,
      type: before === undefined ? 'ADDED' : 'MODIFIED',
      object: stored,
      before,
    });
    return stored;
  }

  delete(kind: ServedKind, namespace: string, name: string): KubernetesObject | undefined {
    const id = kindKey(kind);
    const key = `${namespace}/${name}`;
    const before = this.#kinds.get(id)?.get(key);
    if (before === undefined) return undefined;
    this.#kinds.get(id)!.delete(key);
    this.#revision++;
    const object = withVersion(before, this.#revision);
    this.#note({ revision: this.#revision, kind: id, key, type: 'DELETED', object, before });
    return object;
  }

  /** Events of a kind after `revision`. */
  since(kind: ServedKind, revision: number): StoreEvent[] {
    const id = kindKey(kind);
    return this.#history.filter((event) => event.revision > revision && event.kind === id);
  }

  /** Forgets the history: older watches and pages get 410. */
  compact(): void {
    this.#history = [];
    this.#compacted = this.#revision;
  }

  /** Writes of others that nobody here looks at move the revision on. */
  advance(revisions: number): void {
    this.#revision += revisions;
  }

  onEvent(listener: (event: StoreEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #note(event: StoreEvent): void {
    this.#history.push(event);
    if (this.#history.length > this.#historyMax * 1.25) {
      const gone = this.#history.splice(0, this.#history.length - this.#historyMax);
      this.#compacted = gone.at(-1)!.revision;
    }
    for (const listener of [...this.#listeners]) listener(event);
  }
}

function keyOf({ metadata }: KubernetesObject): string {
  return `${metadata.namespace ?? ''}/${metadata.name}`;
}

function withVersion(object: KubernetesObject, revision: number): KubernetesObject {
  return { ...object, metadata: { ...object.metadata, resourceVersion: String(revision) } };
}
