import { isDeepStrictEqual } from 'node:util';
import { destinationRule } from '../kinds/destination-rule.ts';
import { type Kind, storedApiVersion, validateSpec, withDefaults } from '../kinds/kind.ts';
import { peerAuthentication } from '../kinds/peer-authentication.ts';
import { formatPath, printable } from '../kinds/problem.ts';
import { keyOf, type Resource, type ResourceKey } from '../kinds/resource.ts';
import { serviceEntry } from '../kinds/service-entry.ts';
import { Findings } from '../kinds/validate.ts';
import { virtualService } from '../kinds/virtual-service.ts';
import { workloadEntry } from '../kinds/workload-entry.ts';
import { statusAddresses } from '../registry/address-allocation.ts';
import type { ConfigStore, Watch, WatchEvent } from '../store/config-store.ts';
import type { SnapshotInputs } from './snapshot.ts';

export type PolicyInputs = Omit<SnapshotInputs, 'registries'>;

/** An object of the store that the mesh does not take, and everything that is wrong with it. */
export interface PolicyRefusal {
  readonly key: ResourceKey;
  /** `spec.http[0].timeout: must be a duration such as 10s`. */
  readonly problems: readonly string[];
}

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

  /** What is in the store and not in the mesh. */
  refusals(): readonly PolicyRefusal[] {
    return [...this.#byKind.values()].flatMap((collection) => collection.refusals());
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
    const isNews =
      type === 'DELETED' ? this.#collection(resource)?.delete(resource) : this.#put(resource);
    if (isNews === true) this.#options.onChange();
  }

  /** False where nothing that the mesh reads is another: somebody wrote the status. */
  #put(resource: Resource): boolean {
    const put = this.#collection(resource)?.put(resource);
    if (put === undefined || put.kind === 'same') return false;
    if (put.kind === 'refused') {
      const { namespace, name } = resource.metadata;
      const fields = { kind: resource.kind, namespace, name, problem: put.problems[0] };
      this.#options.onProblem(fields, 'a stored object is not valid and is left out');
    }
    return true;
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

type Put =
  | { readonly kind: 'taken' }
  | { readonly kind: 'same' }
  | { readonly kind: 'refused'; readonly problems: readonly string[] };

class Collection {
  readonly #kind: Kind;
  /** As the store has them, refused ones too. */
  readonly #stored = new Map<string, Resource>();
  readonly #byName = new Map<string, Resource>();
  readonly #refused = new Map<string, PolicyRefusal>();
  #list: readonly Resource[] | null = null;

  constructor(kind: Kind) {
    this.#kind = kind;
  }

  put(resource: Resource): Put {
    const name = nameOf(resource);
    const before = this.#stored.get(name);
    this.#stored.set(name, resource);
    if (before !== undefined && isSamePolicy(before, resource)) return { kind: 'same' };
    this.#byName.delete(name);
    this.#refused.delete(name);
    this.#list = null;
    const findings = new Findings();
    const spec = validateSpec(this.#kind, resource.spec, ['spec'], findings);
    if (findings.list.length > 0) {
      const problems = findings.list.map(
        ({ path, message }) => `${printable(formatPath(path), 200)}: ${message}`,
      );
      this.#refused.set(name, { key: keyOf(resource), problems });
      return { kind: 'refused', problems };
    }
    this.#byName.set(name, {
      ...resource,
      apiVersion: storedApiVersion(this.#kind),
      spec: withDefaults(this.#kind, spec),
    });
    return { kind: 'taken' };
  }

  /** False where it was not here. */
  delete(resource: Resource): boolean {
    const name = nameOf(resource);
    this.#byName.delete(name);
    this.#refused.delete(name);
    this.#list = null;
    return this.#stored.delete(name);
  }

  clear(): void {
    this.#stored.clear();
    this.#byName.clear();
    this.#refused.clear();
    this.#list = null;
  }

  list(): readonly Resource[] {
    this.#list ??= [...this.#byName.values()];
    return this.#list;
  }

  refusals(): readonly PolicyRefusal[] {
    return [...this.#refused.values()];
  }
}

/** Whether only the version and what the mesh does not read of `status` were written. */
function isSamePolicy(a: Resource, b: Resource): boolean {
  const [{ resourceVersion: _a, ...before }, { resourceVersion: _b, ...after }] = [
    a.metadata,
    b.metadata,
  ];
  return (
    isDeepStrictEqual(before, after) &&
    isDeepStrictEqual(a.spec, b.spec) &&
    isDeepStrictEqual(statusAddresses(a), statusAddresses(b))
  );
}

function nameOf({ metadata }: Resource): string {
  return `${metadata.namespace}/${metadata.name}`;
}
