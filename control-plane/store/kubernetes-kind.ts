import type { Clock } from '../clock.ts';
import type { Kind } from '../kinds/kind.ts';
import type { Resource } from '../kinds/resource.ts';
import { Informer, type InformerLog, type InformerTiming } from '../kubernetes/informer.ts';
import type { KubernetesClient } from '../kubernetes/kubernetes-client.ts';
import { isRecord } from '../kubernetes/kubernetes-object.ts';
import { apiVersionOf, type ResourceType, typeName } from '../kubernetes/resource-type.ts';
import { isOlderVersion } from '../kubernetes/resource-version.ts';
import type { WatchEvent } from './config-store.ts';
import { toResource } from './kubernetes-resource.ts';

export interface KubernetesKindOptions {
  readonly client: KubernetesClient;
  readonly kind: Kind;
  readonly clock: Clock;
  /** From 0 up to 1. */
  readonly random: () => number;
  readonly log: InformerLog;
  readonly timing?: InformerTiming;
  readonly onChange: (type: WatchEvent['type'], resource: Resource) => void;
}

/** Milliseconds between looks at which versions the cluster serves: CRDs are installed and upgraded while we run. */
const DISCOVERY_MS = 15_000;
/** The same where the API server did not answer. */
const RETRY_MS = 1000;
/** Deleted objects that are remembered for whoever deleted them. */
const DELETED_MAX = 64;

/**
 * One kind of policy in the cluster, followed in the newest version that the cluster serves and that we know. A kind
 * whose CRD is not installed has no objects, and is looked for again; one whose version is withdrawn is followed in
 * another without a gap.
 */
export class KubernetesKind {
  readonly kind: Kind;
  readonly #options: KubernetesKindOptions;
  readonly #synced = Promise.withResolvers<void>();
  readonly #listeners = new Set<() => void>();
  readonly #deleted = new Map<string, Resource>();
  #objects = new Map<string, Resource>();
  #informer: Informer<Resource> | null = null;
  /** The one that takes over once it is whole. */
  #next: Informer<Resource> | null = null;
  #isSynced = false;
  #cancel: (() => void) | null = null;
  #isClosed = false;
  #problem = '';

  constructor(options: KubernetesKindOptions) {
    this.kind = options.kind;
    this.#options = options;
  }

  start(): void {
    void this.#discover();
  }

  /** Known whole, or known not to be installed. */
  whenSynced(): Promise<void> {
    return this.#synced.promise;
  }

  /** Null while the cluster does not have this kind. */
  get type(): ResourceType | null {
    return this.#informer?.type ?? null;
  }

  /** By `namespace/name`. */
  objects(): ReadonlyMap<string, Resource> {
    return this.#objects;
  }

  /** Whether a write that gave the object this version shows in the copy, or is behind it already. */
  hasSeen(key: string, resourceVersion: string): boolean {
    const version = this.#objects.get(key)?.metadata.resourceVersion;
    if (version === resourceVersion) return true;
    if (version !== undefined && isOlderVersion(resourceVersion, version)) return true;
    const upTo = this.#informer?.resourceVersion ?? '';
    return isOlderVersion(resourceVersion, upTo) || upTo === resourceVersion;
  }

  /** The last state of an object that was deleted a moment ago. */
  lastDeleted(uid: string): Resource | undefined {
    return this.#deleted.get(uid);
  }

  /** Called after changes; returns the way to stop it. */
  onProgress(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    this.#isClosed = true;
    this.#cancel?.();
    this.#informer?.close();
    this.#next?.close();
    this.#listeners.clear();
  }

  async #discover(): Promise<void> {
    const version = await this.#servedVersion();
    if (this.#isClosed) return;
    if (version === 'unknown') {
      this.#again(RETRY_MS);
      return;
    }
    if (version === 'none') {
      const { plural, group } = this.kind;
      this.#warn(`the cluster has no CustomResourceDefinition ${plural}.${group} that Weft knows`);
      if (this.#informer === null) this.#isKnown();
    } else if (version !== this.type?.version) {
      this.#follow(version);
    }
    this.#again(DISCOVERY_MS);
  }

  #again(delayMs: number): void {
    const { clock, random } = this.#options;
    this.#cancel = clock.schedule(delayMs * (1 + random()), () => void this.#discover());
  }

  /** The first of our versions, newest first, in which the cluster has the kind. */
  async #servedVersion(): Promise<string> {
    const { group, plural, versions } = this.kind;
    for (const version of versions) {
      const path = `/apis/${group}/${version}`;
      const answer = await this.#options.client.request({ method: 'GET', path });
      if (!answer.ok) {
        if (answer.failure.code === 404) continue;
        this.#warn(answer.failure.message);
        return 'unknown';
      }
      const resources = isRecord(answer.value) ? answer.value['resources'] : undefined;
      if (!Array.isArray(resources)) continue;
      if (resources.some((resource) => isRecord(resource) && resource['name'] === plural)) {
        return version;
      }
    }
    return 'none';
  }

  #follow(version: string): void {
    if (this.#next?.type.version === version) return; // its first list is still to come
    const { group, plural, kind } = this.kind;
    const { client, clock, random, log, timing } = this.#options;
    const type = { group, version, plural, kind, namespaced: true };
    const informer = new Informer<Resource>({
      client,
      type,
      project: (object) => toResource(this.kind, object),
      clock,
      random,
      log,
      ...(timing !== undefined && { timing }),
    });
    this.#next?.close();
    this.#next = informer;
    informer.start();
    void informer.whenSynced().then(() => {
      if (this.#isClosed || this.#next !== informer) return;
      this.#problem = '';
      log.info({ kind, version: apiVersionOf(type) }, `following ${typeName(type)}`);
      this.#informer?.close();
      this.#informer = informer;
      this.#next = null;
      this.#takeAll(informer.read());
      informer.onChange((changes) => {
        for (const { key, after } of changes) this.#take(key, after);
        this.#progress();
      });
      this.#isKnown();
    });
  }

  #isKnown(): void {
    this.#isSynced = true;
    this.#synced.resolve();
  }

  /** What is there at the start is no news; what a later list has otherwise is an event. */
  #takeAll(next: ReadonlyMap<string, Resource>): void {
    if (!this.#isSynced) {
      this.#objects = new Map(next);
      return;
    }
    for (const key of [...this.#objects.keys()]) {
      if (!next.has(key)) this.#take(key, undefined);
    }
    for (const [key, resource] of next) {
      const known = this.#objects.get(key)?.metadata;
      if (known?.resourceVersion !== resource.metadata.resourceVersion) this.#take(key, resource);
    }
    this.#progress();
  }

  #take(key: string, after: Resource | undefined): void {
    const before = this.#objects.get(key);
    if (after !== undefined) {
      this.#objects.set(key, after);
      this.#options.onChange(before === undefined ? 'ADDED' : 'MODIFIED', after);
      return;
    }
    this.#objects.delete(key);
    if (before === undefined) return;
    this.#remember(before);
    this.#options.onChange('DELETED', before);
  }

  #remember(resource: Resource): void {
    this.#deleted.set(resource.metadata.uid, resource);
    const [oldest] = this.#deleted.keys();
    if (this.#deleted.size > DELETED_MAX && oldest !== undefined) this.#deleted.delete(oldest);
  }

  #progress(): void {
    for (const listener of [...this.#listeners]) listener();
  }

  #warn(message: string): void {
    if (this.#problem === message) return;
    this.#problem = message;
    this.#options.log.warn({ kind: this.kind.kind }, message);
  }
}
