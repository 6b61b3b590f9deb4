import { destinationRule } from '../kinds/destination-rule.ts';
import { type Kind, storedApiVersion, withDefaults } from '../kinds/kind.ts';
import { peerAuthentication } from '../kinds/peer-authentication.ts';
import type { Resource } from '../kinds/resource.ts';
import { serviceEntry } from '../kinds/service-entry.ts';
import { virtualService } from '../kinds/virtual-service.ts';
import { workloadEntry } from '../kinds/workload-entry.ts';
import type { ConfigStore, Watch, WatchEvent } from '../store/config-store.ts';
import type { SnapshotInputs } from './snapshot.ts';

export type PolicyInputs = Omit<SnapshotInputs, 'registries'>;

export interface PolicyWatchOptions {
  readonly store: ConfigStore;
  readonly onChange: () => void;
  /** An object of the store that cannot be read, or the watch's end; policies stay as they were. */
  readonly onProblem: (fields: object, message: string) => void;
}

/**
 * The policies of the store, always complete, with defaults applied: listed once, then followed. An object that cannot
 * be read is left out and reported, and the others hold (A6.9).
 */
export class PolicyWatch {
  readonly #options: PolicyWatchOptions;
  readonly #byKind: ReadonlyMap<string, Collection> = new Map(
    KINDS.map((kind) => [`${kind.group}/${kind.kind}`, new Collection(kind)]),
  );
  #watch: Watch | null = null;
  #isClosed = false;

  constructor(options: PolicyWatchOptions) {
    this.#options = options;
  }

  /** Lists and begins to follow. Rejects where the store cannot be read. */
  async start(): Promise<void> {
    const { items, revision } = await this.#options.store.list({});
    if (this.#isClosed) return;
    for (const collection of this.#byKind.values()) collection.clear();
    for (const resource of items) this.#put(resource);
    this.#watch = this.#options.store.watch({}, revision, {
      onEvent: (event) => this.#follow(event),
      onEnd: (reason) => {
        if (this.#isClosed || reason.kind === 'closed') return;
        this.#options.onProblem({ reason }, 'the watch of the store ended; listing again');
        this.start().then(this.#options.onChange, (error: unknown) =>
          this.#options.onProblem({ err: error }, 'the store cannot be listed; policies stay'),
        );
      },
    });
  }

  /** Lists that are the same objects until something of the kind changes. */
  read(): PolicyInputs {
    return {
      virtualServices: this.#list(virtualService),
      destinationRules: this.#list(destinationRule),
      serviceEntries: this.#list(serviceEntry),
      workloadEntries: this.#list(workloadEntry),
      peerAuthentications: this.#list(peerAuthentication),
    };
  }

  close(): void {
    this.#isClosed = true;
    this.#watch?.close();
    this.#watch = null;
  }

  #follow({ type, resource }: WatchEvent): void {
    if (type === 'DELETED') this.#collection(resource)?.delete(resource);
    else this.#put(resource);
    this.#options.onChange();
  }

  #put(resource: Resource): void {
    try {
      this.#collection(resource)?.put(resource);
    } catch (error) {
      const { namespace, name } = resource.metadata;
      const fields = { err: error, kind: resource.kind, namespace, name };
      this.#options.onProblem(fields, 'a stored object cannot be read and is left out');
    }
  }

  #collection({ apiVersion, kind }: Resource): Collection | undefined {
    return this.#byKind.get(`${apiVersion.slice(0, apiVersion.indexOf('/'))}/${kind}`);
  }

  #list<Spec>(kind: Kind<Spec>): readonly Resource<Spec>[] {
    return this.#byKind.get(`${kind.group}/${kind.kind}`)!.list() as readonly Resource<Spec>[];
  }
}

const KINDS: readonly Kind[] = [
  virtualService,
  destinationRule,
  serviceEntry,
  workloadEntry,
  peerAuthentication,
];

class Collection {
  readonly #kind: Kind;
  readonly #byName = new Map<string, Resource>();
  #list: readonly Resource[] | null = null;

  constructor(kind: Kind) {
    this.#kind = kind;
  }

  put(resource: Resource): void {
    this.delete(resource);
    this.#byName.set(nameOf(resource), {
      ...resource,
      apiVersion: storedApiVersion(this.#kind),
      spec: withDefaults(this.#kind, resource.spec),
    });
  }

  delete(resource: Resource): void {
    this.#byName.delete(nameOf(resource));
    this.#list = null;
  }

  clear(): void {
    this.#byName.clear();
    this.#list = null;
  }

  list(): readonly Resource[] {
    this.#list ??= [...this.#byName.values()];
    return this.#list;
  }
}

function nameOf({ metadata }: Resource): string {
  return `${metadata.namespace}/${metadata.name}`;
}
