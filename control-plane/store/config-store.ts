import type { Resource, ResourceKey } from '../kinds/resource.ts';

/**
 * Where policy objects live. One revision counts all writes; every object carries a version, `metadata.resourceVersion`,
 * that each write changes: the revision of the write, or what the server behind the store makes of it (Kubernetes: opaque).
 * A write that was acknowledged survives kill -9. The store judges no content: callers validate before, and set all
 * metadata but `resourceVersion` (Kubernetes sets its own).
 */
export interface ConfigStore {
  /** UUID of this body of data. A revision means nothing in a store with another identity. */
  readonly identity: string;
  /** The revision of the last write; where there was none yet, where the counting begins: 0 for a store of our own. */
  revision(): Promise<number>;
  get(key: ResourceKey): Promise<Resource | undefined>;
  /** Ordered by group, kind, namespace, name. `revision` is where a watch has to go on from. */
  list(selection: Selection): Promise<ResourceList>;
  create(resource: Resource): Promise<WriteResult>;
  /** `resourceVersion`: expected version of the object that is replaced; undefined = whatever is there. */
  replace(resource: Resource, resourceVersion: string | undefined): Promise<WriteResult>;
  delete(key: ResourceKey, resourceVersion: string | undefined): Promise<WriteResult>;
  /**
   * Every change after `fromRevision`, in order, none twice, from history and then as it happens. Never calls the
   * sink before it has returned. History is bounded: `onEnd` says `gone` where it no longer reaches back that far.
   */
  watch(selection: Selection, fromRevision: number, sink: WatchSink): Watch;
  /** Ends all watches with `closed`. */
  close(): Promise<void>;
}

/** All objects, those of one kind, those of one kind in one namespace. */
export interface Selection {
  readonly group?: string;
  readonly kind?: string;
  readonly namespace?: string;
}

export interface ResourceList {
  readonly items: readonly Resource[];
  readonly revision: number;
}

export type WriteResult =
  /** `resource` as stored; after a delete the last state, with the revision of the deletion. */
  | { readonly kind: 'ok'; readonly resource: Resource; readonly revision: number }
  | { readonly kind: 'alreadyExists'; readonly current: Resource }
  | { readonly kind: 'notFound' }
  /** The object changed since the expected version. */
  | { readonly kind: 'conflict'; readonly current: Resource }
  /** Nothing was written: disk full, quota, store unreachable. Reads may still work. */
  | { readonly kind: 'unavailable'; readonly reason: 'full' | 'failed'; readonly message: string };

export interface WatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  /** For DELETED the last state, its resourceVersion being that of the deletion. */
  readonly resource: Resource;
  readonly revision: number;
}

export interface WatchSink {
  onEvent(event: WatchEvent): void;
  /** Called once at most, never after `Watch.close`. `gone`: list again and watch from there. */
  onEnd(reason: WatchEnd): void;
}

export type WatchEnd =
  | { readonly kind: 'gone'; readonly oldestRevision: number }
  | { readonly kind: 'closed' }
  | { readonly kind: 'failed'; readonly message: string };

export interface Watch {
  /** No call to the sink after this. */
  close(): void;
}
