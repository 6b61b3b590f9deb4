import { isDeepStrictEqual } from 'node:util';
import type { Kind } from '../kinds/kind.ts';
import { keyOf, type Resource, type ResourceKey } from '../kinds/resource.ts';
import type { KubernetesFailure, KubernetesResult } from '../kubernetes/failure.ts';
import type { KubernetesClient } from '../kubernetes/kubernetes-client.ts';
import type { KubernetesObject } from '../kubernetes/kubernetes-object.ts';
import { CONTROL_PLANE } from '../kubernetes/own-objects.ts';
import { pause } from '../kubernetes/pause.ts';
import { apiVersionOf, NAMESPACES, type ResourceType } from '../kubernetes/resource-type.ts';
import type {
  ConfigStore,
  ResourceList,
  Selection,
  Watch,
  WatchSink,
  WriteResult,
} from './config-store.ts';
import { KubernetesKind, type KubernetesKindOptions } from './kubernetes-kind.ts';
import { toResource } from './kubernetes-resource.ts';
import { WatchHistory } from './watch-history.ts';

export interface KubernetesStoreOptions
  extends Omit<KubernetesKindOptions, 'kind' | 'onChange' | 'client'> {
  readonly client: KubernetesClient;
  readonly kinds: readonly Kind[];
  /** Milliseconds since 1970; revisions are counted from here. */
  readonly wallMs: () => number;
  readonly historyEventsMax?: number;
}

/** Milliseconds that a write waits for its own event, so that who wrote also reads it. */
const OWN_EVENT_MS = 3000;
/** Times that a write which named no version is tried again because another writer was quicker. */
const ATTEMPTS_MAX = 5;
/** Milliseconds between attempts to reach an API server that is away at the start. */
const START_RETRY_MS = 1000;

/**
 * Policies as custom resources of the cluster. The API server is the store: it keeps objects, versions and
 * compare-and-set; here is a copy that follows it, kind by kind, and never shows less than it once knew while the server
 * is away.
 *
 * Kubernetes has versions of objects, and no revision of everything: `metadata.resourceVersion` is the cluster's, opaque;
 * `revision` counts the changes as this process saw them, from the time at which it began. So a revision of another
 * replica, or of this one before it started again, lies outside of the history and is answered with `gone`.
 */
export class KubernetesStore implements ConfigStore {
  readonly identity: string;
  readonly #options: KubernetesStoreOptions;
  readonly #history: WatchHistory;
  readonly #kinds: ReadonlyMap<string, KubernetesKind>;
  readonly #writes = new Map<string, Promise<unknown>>();
  #isClosed = false;

  private constructor(options: KubernetesStoreOptions, identity: string) {
    this.identity = identity;
    this.#options = options;
    this.#history = new WatchHistory(options.wallMs(), options.historyEventsMax);
    this.#kinds = new Map(
      options.kinds.map((kind) => [
        `${kind.group}/${kind.kind}`,
        new KubernetesKind({
          ...options,
          kind,
          onChange: (type, resource) =>
            this.#history.append(
              { type, resource, revision: this.#history.revision + 1 },
              JSON.stringify(resource).length,
            ),
        }),
      ]),
    );
  }

  /**
   * Resolves once every kind that the cluster has is known whole: an empty mesh is never taken for the truth (I7). An API
   * server that is away is waited for. Null where `signal` called it off.
   */
  static async open(
    options: KubernetesStoreOptions,
    signal?: AbortSignal,
  ): Promise<KubernetesStore | null> {
    const { client, clock, log } = options;
    for (;;) {
      if (signal?.aborted === true) return null;
      // The uid of this namespace is as old as the cluster: what is generally taken for a cluster's own.
      const read = await client.get(NAMESPACES, '', 'kube-system');
      if (read.ok) {
        const store = new KubernetesStore(options, read.value.metadata.uid ?? 'kubernetes');
        await store.#start(signal);
        return store;
      }
      log.warn({ failure: read.failure.kind }, `waiting for the cluster: ${read.failure.message}`);
      await pause((delayMs, then) => clock.schedule(delayMs, then), START_RETRY_MS, signal);
    }
  }

  async #start(signal: AbortSignal | undefined): Promise<void> {
    for (const kind of this.#kinds.values()) kind.start();
    const aborted = new Promise<void>((resolve) => {
      signal?.addEventListener('abort', () => resolve(), { once: true });
    });
    const synced = [...this.#kinds.values()].map((kind) => kind.whenSynced());
    await Promise.race([Promise.all(synced), aborted]);
  }

  async revision(): Promise<number> {
    return this.#history.revision;
  }

  /** From the server itself, so that a compare-and-set starts from the truth; from the copy while it is away. */
  async get(key: ResourceKey): Promise<Resource | undefined> {
    const kind = this.#kind(key);
    if (kind === undefined) return undefined;
    const type = kind.type;
    if (type !== null) {
      const read = await this.#options.client.get(type, key.namespace, key.name);
      if (read.ok) return toResource(kind.kind, read.value);
      if (read.failure.code === 404) return undefined;
    }
    return kind.objects().get(`${key.namespace}/${key.name}`);
  }

  async list({ group, kind, namespace }: Selection): Promise<ResourceList> {
    const items: Resource[] = [];
    for (const source of this.#kinds.values()) {
      if (group !== undefined && source.kind.group !== group) continue;
      if (kind !== undefined && source.kind.kind !== kind) continue;
      for (const resource of source.objects().values()) {
        if (namespace === undefined || resource.metadata.namespace === namespace) {
          items.push(resource);
        }
      }
    }
    items.sort((a, b) => (sortText(a) < sortText(b) ? -1 : 1));
    return { items, revision: this.#history.revision };
  }

  create(resource: Resource): Promise<WriteResult> {
    return this.#write(keyOf(resource), async (kind, type) => {
      const { name, namespace, labels, annotations } = resource.metadata;
      const object = {
        apiVersion: apiVersionOf(type),
        kind: type.kind,
        metadata: { name, namespace, labels, annotations },
        spec: resource.spec,
      };
      const made = await this.#options.client.create(type, object, OWN);
      if (made.ok) return this.#written(kind, made.value);
      if (made.failure.reason === 'AlreadyExists') {
        const current = await this.get(keyOf(resource));
        if (current !== undefined) return { kind: 'alreadyExists', current };
      }
      return unavailable(made.failure);
    });
  }

  replace(resource: Resource, resourceVersion: string | undefined): Promise<WriteResult> {
    return this.#write(keyOf(resource), async (kind, type) => {
      const { name, namespace, labels, annotations } = resource.metadata;
      return this.#change(kind, type, { namespace, name }, resourceVersion, async (current) => {
        // What others have set (finalizers, owners, field managers) stays.
        const object = {
          ...current,
          metadata: { ...current.metadata, labels, annotations },
          spec: resource.spec,
        };
        let latest = current;
        if (!isDeepStrictEqual(plain(object), plain(withMaps(current)))) {
          const written = await this.#options.client.replace(type, object, OWN);
          if (!written.ok) return written;
          latest = written.value;
        }
        // Kubernetes takes a status by its subresource alone, and nothing else that way.
        const { status } = resource;
        if (status !== undefined && !isDeepStrictEqual(plain(latest['status']), plain(status))) {
          const written = await this.#options.client.replace(
            type,
            { ...latest, status },
            { ...OWN, subresource: 'status' },
          );
          if (!written.ok) return written;
          latest = written.value;
        }
        return this.#written(kind, latest);
      });
    });
  }

  delete(key: ResourceKey, resourceVersion: string | undefined): Promise<WriteResult> {
    return this.#write(key, async (kind, type) => {
      const { namespace, name } = key;
      return this.#change(kind, type, key, resourceVersion, async (current) => {
        const { uid = '', resourceVersion: version = '' } = current.metadata;
        const preconditions = { uid, resourceVersion: version };
        const gone = await this.#options.client.delete(type, namespace, name, preconditions);
        if (!gone.ok) return gone;
        await this.#seen(() => kind.objects().get(`${namespace}/${name}`)?.metadata.uid !== uid);
        const resource = kind.lastDeleted(uid) ?? toResource(kind.kind, current);
        return { kind: 'ok', resource, revision: this.#history.revision };
      });
    });
  }

  watch(selection: Selection, fromRevision: number, sink: WatchSink): Watch {
    return this.#history.watch(selection, fromRevision, sink);
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const kind of this.#kinds.values()) kind.close();
    await Promise.allSettled([...this.#writes.values()]);
    this.#history.close();
  }

  /** How each kind is followed, for metrics and logs. */
  get kinds(): readonly KubernetesKind[] {
    return [...this.#kinds.values()];
  }

  /** The current object in the version expected, changed; again where another was faster and no version was asked for. */
  async #change(
    kind: KubernetesKind,
    type: ResourceType,
    { namespace, name }: { readonly namespace: string; readonly name: string },
    resourceVersion: string | undefined,
    write: (current: KubernetesObject) => Promise<WriteResult | Failed>,
  ): Promise<WriteResult> {
    for (let attempt = 1; ; attempt++) {
      const read = await this.#options.client.get(type, namespace, name);
      if (!read.ok) return notFoundOr(read.failure);
      const isStale =
        resourceVersion !== undefined && resourceVersion !== read.value.metadata.resourceVersion;
      if (isStale) return { kind: 'conflict', current: toResource(kind.kind, read.value) };
      const result = await write(read.value);
      if ('kind' in result) return result;
      const { failure } = result;
      if (failure.code !== 409) return notFoundOr(failure);
      if (attempt === ATTEMPTS_MAX) return unavailable(failure);
    }
  }

  /** Writes to one object one after another: of two with the same version one wins, and the other is told so. */
  #write(
    key: ResourceKey,
    step: (kind: KubernetesKind, type: ResourceType) => Promise<WriteResult>,
  ): Promise<WriteResult> {
    const text = `${key.group}/${key.kind}/${key.namespace}/${key.name}`;
    const before = this.#writes.get(text) ?? Promise.resolve();
    const done = before.then(async (): Promise<WriteResult> => {
      const kind = this.#kind(key);
      const type = kind?.type ?? null;
      if (this.#isClosed) return failedWrite('the store is closed');
      if (kind === undefined || type === null) {
        const definition = `CustomResourceDefinition ${kind?.kind.plural ?? key.kind}.${key.group}`;
        return failedWrite(`the cluster has no ${definition}; install Weft's CRDs`);
      }
      return step(kind, type);
    });
    const settled = done.catch(() => undefined);
    this.#writes.set(text, settled);
    void settled.then(() => {
      if (this.#writes.get(text) === settled) this.#writes.delete(text);
    });
    return done;
  }

  async #written(kind: KubernetesKind, object: KubernetesObject): Promise<WriteResult> {
    const { namespace = '', name, resourceVersion = '' } = object.metadata;
    await this.#seen(() => kind.hasSeen(`${namespace}/${name}`, resourceVersion));
    return {
      kind: 'ok',
      resource: toResource(kind.kind, object),
      revision: this.#history.revision,
    };
  }

  /** Until the copy has caught up, or for `OWN_EVENT_MS`: the write itself is safe either way. */
  async #seen(condition: () => boolean): Promise<void> {
    if (condition()) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const look = () => {
      if (condition()) resolve();
    };
    const stops = this.kinds.map((kind) => kind.onProgress(look));
    const cancel = this.#options.clock.schedule(OWN_EVENT_MS, resolve);
    await promise;
    cancel();
    for (const stop of stops) stop();
  }

  #kind({ group, kind }: ResourceKey): KubernetesKind | undefined {
    return this.#kinds.get(`${group}/${kind}`);
  }
}

/** As it travels, to be compared: without prototypes, absent where undefined. */
function plain(value: unknown): unknown {
  return value === undefined ? undefined : JSON.parse(JSON.stringify(value));
}

/** An object without labels equals one with none. */
function withMaps(object: KubernetesObject): KubernetesObject {
  const { labels = {}, annotations = {} } = object.metadata;
  return { ...object, metadata: { ...object.metadata, labels, annotations } };
}

type Failed = Extract<KubernetesResult<unknown>, { ok: false }>;

/** Who we are in `managedFields`. */
const OWN = { fieldManager: CONTROL_PLANE } as const;

function sortText(resource: Resource): string {
  const { group, kind, namespace, name } = keyOf(resource);
  return `${group}\0${kind}\0${namespace}\0${name}`;
}

function notFoundOr(failure: KubernetesFailure): WriteResult {
  return failure.code === 404 ? { kind: 'notFound' } : unavailable(failure);
}

/** etcd's own words where its quota is used up, or 507 of servers that say it in HTTP. */
function unavailable({ code, message }: KubernetesFailure): WriteResult {
  const isFull = code === 507 || message.includes('database space exceeded');
  return { kind: 'unavailable', reason: isFull ? 'full' : 'failed', message };
}

function failedWrite(message: string): WriteResult {
  return { kind: 'unavailable', reason: 'failed', message };
}
