import { keyOf, type Resource, type ResourceKey } from '../kinds/resource.ts';
import type {
  ConfigStore,
  ResourceList,
  Selection,
  Watch,
  WatchEvent,
  WatchSink,
  WriteResult,
} from './config-store.ts';
import { parseStored } from './stored-json.ts';
import { WatchHistory } from './watch-history.ts';

/** Objects of one store. More is an accident, and would not fit into the mesh's memory. */
export const OBJECTS_MAX = 100_000;

/** Makes one change durable before it is acknowledged, and is never asked for two at once. */
export interface Journal {
  append(change: Change): Promise<AppendResult>;
  close(): Promise<void>;
}

export interface Change {
  readonly type: WatchEvent['type'];
  readonly key: ResourceKey;
  /** The object's revision, that of the deletion for DELETED. */
  readonly revision: number;
  /** The object, or its last state. */
  readonly json: string;
}

export type AppendResult =
  | { readonly kind: 'ok' }
  | { readonly kind: 'unavailable'; readonly reason: 'full' | 'failed'; readonly message: string };

/** What a journal held when it was opened. */
export interface JournalContent {
  readonly identity: string;
  readonly revision: number;
  readonly objects: readonly string[];
  /** The latest changes, without gaps up to `revision`; may be fewer than there were. */
  readonly history: readonly Change[];
}

/**
 * A store that holds all objects in memory and writes through a journal: reads and watches go on while the disk is
 * full or slow. Writes are taken one after another.
 */
export class JournaledStore implements ConfigStore {
  readonly identity: string;
  readonly #journal: Journal;
  readonly #objects = new Map<string, Resource>();
  readonly #history: WatchHistory;
  #writes: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(journal: Journal, content: JournalContent, historyEventsMax?: number) {
    this.identity = content.identity;
    this.#journal = journal;
    for (const json of content.objects) {
      const resource = parseStored(json);
      this.#objects.set(keyText(keyOf(resource)), resource);
    }
    this.#history = new WatchHistory(content.revision - content.history.length, historyEventsMax);
    for (const { type, revision, json } of content.history) {
      this.#history.append({ type, revision, resource: parseStored(json) }, json.length);
    }
  }

  async revision(): Promise<number> {
    return this.#history.revision;
  }

  async get(key: ResourceKey): Promise<Resource | undefined> {
    return this.#objects.get(keyText(key));
  }

  async list({ group, kind, namespace }: Selection): Promise<ResourceList> {
    const found: [string, Resource][] = [];
    for (const entry of this.#objects) {
      const key = keyOf(entry[1]);
      if (group !== undefined && key.group !== group) continue;
      if (kind !== undefined && key.kind !== kind) continue;
      if (namespace !== undefined && key.namespace !== namespace) continue;
      found.push(entry);
    }
    found.sort(([a], [b]) => (a < b ? -1 : 1));
    return { items: found.map(([, resource]) => resource), revision: this.#history.revision };
  }

  create(resource: Resource): Promise<WriteResult> {
    return this.#write(async () => {
      const key = keyOf(resource);
      const current = this.#objects.get(keyText(key));
      if (current !== undefined) return { kind: 'alreadyExists', current };
      if (this.#objects.size >= OBJECTS_MAX) {
        const message = `the store holds ${OBJECTS_MAX} objects already; delete some`;
        return { kind: 'unavailable', reason: 'full', message };
      }
      return this.#commit('ADDED', key, resource);
    });
  }

  replace(resource: Resource, resourceVersion: string | undefined): Promise<WriteResult> {
    return this.#write(async () => {
      const key = keyOf(resource);
      const current = this.#objects.get(keyText(key));
      if (current === undefined) return { kind: 'notFound' };
      if (isStale(current, resourceVersion)) return { kind: 'conflict', current };
      return this.#commit('MODIFIED', key, resource);
    });
  }

  delete(key: ResourceKey, resourceVersion: string | undefined): Promise<WriteResult> {
    return this.#write(async () => {
      const current = this.#objects.get(keyText(key));
      if (current === undefined) return { kind: 'notFound' };
      if (isStale(current, resourceVersion)) return { kind: 'conflict', current };
      return this.#commit('DELETED', key, current);
    });
  }

  watch(selection: Selection, fromRevision: number, sink: WatchSink): Watch {
    return this.#history.watch(selection, fromRevision, sink);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#writes;
    this.#history.close();
    await this.#journal.close();
  }

  #write(step: () => Promise<WriteResult>): Promise<WriteResult> {
    const done = this.#writes.then(() => {
      if (!this.#closed) return step();
      return { kind: 'unavailable', reason: 'failed', message: 'the store is closed' } as const;
    });
    this.#writes = done.catch(() => undefined); // the caller has it; the next write starts anew
    return done;
  }

  /** Durable first, then visible: nobody ever reads what a crash could take back. */
  async #commit(type: Change['type'], key: ResourceKey, resource: Resource): Promise<WriteResult> {
    const revision = this.#history.revision + 1;
    const metadata = { ...resource.metadata, resourceVersion: String(revision) };
    const json = JSON.stringify({ ...resource, metadata });
    const appended = await this.#journal.append({ type, key, revision, json });
    if (appended.kind === 'unavailable') return appended;
    const stored = parseStored(json);
    if (type === 'DELETED') this.#objects.delete(keyText(key));
    else this.#objects.set(keyText(key), stored);
    this.#history.append({ type, resource: stored, revision }, json.length);
    return { kind: 'ok', resource: stored, revision };
  }
}

function isStale(current: Resource, resourceVersion: string | undefined): boolean {
  return resourceVersion !== undefined && current.metadata.resourceVersion !== resourceVersion;
}

/** Sorts as group, kind, namespace, name do. */
function keyText({ group, kind, namespace, name }: ResourceKey): string {
  return `${group}\0${kind}\0${namespace}\0${name}`;
}
