import { type DestinationRuleSpec, destinationRule } from '../kinds/destination-rule.ts';
import { type Kind, validateSpec, withDefaults } from '../kinds/kind.ts';
import { type PeerAuthenticationSpec, peerAuthentication } from '../kinds/peer-authentication.ts';
import { groupOf, type Resource } from '../kinds/resource.ts';
import { type ServiceEntrySpec, serviceEntry } from '../kinds/service-entry.ts';
import { Findings } from '../kinds/validate.ts';
import { type VirtualServiceSpec, virtualService } from '../kinds/virtual-service.ts';
import { type WorkloadEntrySpec, workloadEntry } from '../kinds/workload-entry.ts';
import type { Registry } from '../registry/registry.ts';
import type { ConfigStore, Watch, WatchEnd } from '../store/config-store.ts';
import type { MeshOptions } from './mesh-options.ts';
import { buildSnapshot, type MeshSnapshot } from './snapshot.ts';

export interface MeshFeedOptions {
  readonly store: ConfigStore;
  readonly registries: readonly Registry[];
  readonly mesh: MeshOptions;
  /** Calls back once after `delayMs`; returns the way to call it off. */
  readonly schedule: (delayMs: number, callback: () => void) => () => void;
  /** What an operator should know: the watch broke, a stored object is unusable. */
  readonly warn: (message: string) => void;
}

/** Milliseconds before the store is asked again after it failed. */
const RETRY_MS = 1000;

/**
 * Follows the store and the registries and holds the newest snapshot. A change only marks it as old; it is built when
 * asked for, so that whoever debounces pays for one build a push. While the store is away the last one stays (F6, I7).
 */
export class MeshFeed {
  readonly #options: MeshFeedOptions;
  readonly #listeners = new Set<() => void>();
  readonly #unsubscribe: (() => void)[] = [];
  readonly #objects = new Map<string, TypedObjects>();
  #watch: Watch | null = null;
  #cancelRetry: (() => void) | null = null;
  #snapshot: MeshSnapshot | null = null;
  #isOld = true;
  #isClosed = false;

  constructor(options: MeshFeedOptions) {
    this.#options = options;
    for (const kind of MESH_KINDS) this.#objects.set(kindKey(kind.group, kind.kind), new Map());
  }

  /** Resolves once the whole store was read; rejects where it cannot be read. */
  async start(): Promise<void> {
    for (const registry of this.#options.registries) {
      this.#unsubscribe.push(registry.onChange(() => this.#changed()));
    }
    await this.#list();
  }

  /** The mesh as it is now; the same object until something changes. */
  snapshot(): MeshSnapshot {
    if (this.#snapshot === null || this.#isOld) {
      this.#isOld = false;
      this.#snapshot = buildSnapshot(
        {
          virtualServices: this.#all<VirtualServiceSpec>(virtualService),
          destinationRules: this.#all<DestinationRuleSpec>(destinationRule),
          serviceEntries: this.#all<ServiceEntrySpec>(serviceEntry),
          workloadEntries: this.#all<WorkloadEntrySpec>(workloadEntry),
          peerAuthentications: this.#all<PeerAuthenticationSpec>(peerAuthentication),
          registries: this.#options.registries.map((registry) => registry.read()),
        },
        this.#options.mesh,
        this.#snapshot ?? undefined,
      );
    }
    return this.#snapshot;
  }

  /** Called after each change, before the snapshot is built. Returns the way to stop it. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    this.#isClosed = true;
    this.#watch?.close();
    this.#cancelRetry?.();
    for (const stop of this.#unsubscribe) stop();
    this.#listeners.clear();
  }

  async #list(): Promise<void> {
    const { items, revision } = await this.#options.store.list({});
    if (this.#isClosed) return;
    for (const objects of this.#objects.values()) objects.clear();
    for (const resource of items) this.#put(resource);
    this.#watch = this.#options.store.watch({}, revision, {
      onEvent: ({ type, resource }) => {
        if (type === 'DELETED') this.#remove(resource);
        else this.#put(resource);
        this.#changed();
      },
      onEnd: (reason) => this.#resume(reason),
    });
    this.#changed();
  }

  /** The watch ended: list again, so that nothing that happened in between is missed. */
  #resume(reason: WatchEnd): void {
    this.#watch = null;
    if (this.#isClosed || reason.kind === 'closed') return;
    if (reason.kind === 'failed')
      this.#options.warn(`watching the store failed: ${reason.message}`);
    this.#cancelRetry = this.#options.schedule(reason.kind === 'gone' ? 0 : RETRY_MS, () => {
      this.#list().catch((error: unknown) => {
        const message = error instanceof Error ? error.message : String(error);
        this.#resume({ kind: 'failed', message });
      });
    });
  }

  #put(resource: Resource): void {
    const kind = MESH_KINDS.find(
      (each) => each.kind === resource.kind && each.group === groupOf(resource.apiVersion),
    );
    if (kind === undefined) return;
    const typed = typedResource(kind, resource);
    if (typed.ok)
      this.#objects.get(kindKey(kind.group, kind.kind))!.set(objectKey(resource), typed.resource);
    else {
      // Whoever wrote it around the API (A6.9) must not stop the rest; what was there under this name stays.
      const { namespace, name } = resource.metadata;
      this.#options.warn(
        `${kind.kind} ${namespace}/${name} in the store is not usable: ${typed.problem}`,
      );
    }
  }

  #remove(resource: Resource): void {
    this.#objects
      .get(kindKey(groupOf(resource.apiVersion), resource.kind))
      ?.delete(objectKey(resource));
  }

  #all<Spec>(kind: Kind<Spec>): readonly Resource<Spec>[] {
    return [...this.#objects.get(kindKey(kind.group, kind.kind))!.values()] as Resource<Spec>[];
  }

  #changed(): void {
    this.#isOld = true;
    for (const listener of [...this.#listeners]) listener();
  }
}

type TypedObjects = Map<string, Resource>;

const MESH_KINDS: readonly Kind[] = [
  virtualService,
  destinationRule,
  serviceEntry,
  workloadEntry,
  peerAuthentication,
];

/** The object with its typed spec, or the first thing that is wrong with it. */
export function typedResource<Spec>(
  kind: Kind<Spec>,
  resource: Resource,
):
  | { readonly ok: true; readonly resource: Resource<Spec> }
  | { readonly ok: false; readonly problem: string } {
  const findings = new Findings();
  const spec = validateSpec(kind, resource.spec, ['spec'], findings);
  const [first] = findings.list;
  if (first !== undefined) {
    return { ok: false, problem: `${first.path.join('.')}: ${first.message}` };
  }
  return { ok: true, resource: { ...resource, spec: withDefaults(kind, spec) } };
}

function kindKey(group: string, kind: string): string {
  return `${group}/${kind}`;
}

function objectKey({ metadata }: Resource): string {
  return `${metadata.namespace}/${metadata.name}`;
}
