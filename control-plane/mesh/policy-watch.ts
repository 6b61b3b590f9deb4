import { destinationRule } from '../kinds/destination-rule.ts';
import { type Kind, storedApiVersion, validateSpec, withDefaults } from '../kinds/kind.ts';
import { peerAuthentication } from '../kinds/peer-authentication.ts';
import type { Resource } from '../kinds/resource.ts';
import { serviceEntry } from '../kinds/service-entry.ts';
import { Findings } from '../kinds/validate.ts';
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
  /** Calls back once after `delayMs`; returns the way to call it off. */
  readonly schedule: (delayMs: number, callback: () => void) => () => void;
}

/** Milliseconds before a store that could not be listed is asked again. */
const RETRY_MS = 1000;

/**
 * The policies of the store, always complete, with defaults applied: listed once, then followed. An object that is not
 * valid, because somebody wrote it around the API, is left out and reported, and the others hold (A6.9, F13). While the
 * store is away the policies stay as they were.
 */
export class PolicyWatch {
  readonly #options: PolicyWatchOptions;
  readonly #byKind: ReadonlyMap<string, Collection> = new Map(
    KINDS.map((kind) => [`${kind.group}/${kind.kind}`, new Collection(kind)]),
  );
  #watch: Watch | null = null;
  #cancelRetry: (() => void) | null = null;
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
        this.#listAgain();
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
    this.#cancelRetry?.();
  }

  #listAgain(): void {
    this.start().then(this.#options.onChange, (error: unknown) => {
      if (this.#isClosed) return;
      this.#options.onProblem({ err: error }, 'the store cannot be listed; policies stay');
      this.#cancelRetry = this.#options.schedule(RETRY_MS, () => this.#listAgain());
    });
  }

  #follow({ type, resource }: WatchEvent): void {
    if (type === 'DELETED') this.#collection(resource)?.delete(resource);
    else this.#put(resource);
    this.#options.onChange();
  }

  #put(resource: Resource): void {
    const problem = this.#collection(resource)?.put(resource) ?? '';
    if (problem === '') return;
    const { namespace, name } = resource.metadata;
    const fields = { kind: resource.kind, namespace, name, problem };
    this.#options.onProblem(fields, 'a stored object is not valid and is left out');
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

  /** '', or what is wrong with the object, which then is not here. */
  put(resource: Resource): string {
    this.delete(resource);
    const findings = new Findings();
    const spec = validateSpec(this.#kind, resource.spec, ['spec'], findings);
    const [first] = findings.list;
    if (first !== undefined) return `${first.path.join('.')}: ${first.message}`;
    this.#byName.set(nameOf(resource), {
      ...resource,
      apiVersion: storedApiVersion(this.#kind),
      spec: withDefaults(this.#kind, spec),
    });
    return '';
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
