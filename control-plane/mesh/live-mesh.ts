import type { Clock } from '../clock.ts';
import { AddressAllocator } from '../registry/address-allocator.ts';
import type { KubernetesRegistry } from '../registry/kubernetes/kubernetes-registry.ts';
import { RegistrationFile } from '../registry/registration-file.ts';
import { WorkloadRegistrations } from '../registry/workload-registrations.ts';
import type { ConfigStore } from '../store/config-store.ts';
import { Debounce, type DebounceOptions } from './debounce.ts';
import type { MeshOptions } from './mesh-options.ts';
import type { MeshWarning } from './mesh-warning.ts';
import { type PolicyRefusal, PolicyWatch } from './policy-watch.ts';
import { buildSnapshot, changeBetween, type MeshSnapshot } from './snapshot.ts';

export interface LiveMeshOptions {
  readonly store: ConfigStore;
  /** A cluster whose services belong to the mesh; null = none. Started here, closed by its owner. */
  readonly cluster: {
    readonly registry: KubernetesRegistry;
    readonly client: { readonly address: string };
  } | null;
  readonly mesh: MeshOptions;
  readonly debounce: DebounceOptions;
  /** Where registrations are kept over a restart. */
  readonly registrationFile: string;
  /** Milliseconds that an endpoint outlives its sidecar's stream (DS-04). */
  readonly registrationLeaseMs: number;
  /** Monotonic. */
  readonly clock: Clock;
  /** Wall clock, milliseconds since 1970. */
  readonly wallMs: () => number;
  /** Whether this replica may write to the store what only one may write. */
  readonly mayWrite: () => boolean;
  /** The mesh was looked at anew, whether it has changed or not. */
  readonly onBuilt: () => void;
  readonly metrics: {
    meshIs(mesh: { services: number; virtualServices: number; warnings: number }): void;
    internalError(): void;
  };
  readonly log: {
    debug(fields: object, message: string): void;
    info(fields: object, message: string): void;
    error(fields: object, message: string): void;
  };
}

/** Milliseconds that what was registered before a restart is kept: the longest back-off of a sidecar, twice. */
const RESTART_LEASE_MS = 60_000;
/** Milliseconds that sidecars get to register again where it is not known who was there. */
const REGISTRATION_WAIT_MS = 15_000;

/**
 * The mesh as it is: policies of the store, workloads that registered themselves and services of the cluster, built into
 * one snapshot soon after each change. A snapshot that cannot be built leaves the one before in place, and none is published
 * before every source is known: a part of the mesh must not be taken for the whole.
 */
export class LiveMesh {
  readonly registrations: WorkloadRegistrations;
  readonly #options: LiveMeshOptions;
  readonly #registrationFile: RegistrationFile;
  readonly #policies: PolicyWatch;
  readonly #allocator: AddressAllocator;
  readonly #debounce: Debounce;
  #publish: (snapshot: MeshSnapshot) => void = () => undefined;
  #snapshot: MeshSnapshot | null = null;
  /** Whether the snapshot knows all policies that are known. */
  #isCurrent = false;
  /** Why it is not known who was registered; '' where it is. */
  #registrationProblem = '';
  #cancelRegistrationWait: () => void = () => undefined;

  /** Reads what was registered, and asks nobody for anything yet. */
  constructor(options: LiveMeshOptions) {
    const { store, mesh, debounce, clock, wallMs, mayWrite, log } = options;
    const { schedule } = clock;
    this.#options = options;
    this.registrations = new WorkloadRegistrations({
      clock: { nowMs: wallMs, schedule },
      domain: mesh.domain,
      leaseMs: options.registrationLeaseMs,
    });
    this.#policies = new PolicyWatch({
      store,
      onChange: () => {
        this.#allocator.changed();
        this.#changed();
      },
      onProblem: (fields, message) => log.error(fields, message),
      schedule,
    });
    this.#allocator = new AddressAllocator({
      store,
      serviceEntries: () => this.#policies.read().serviceEntries,
      registered: () => this.registrations.read(),
      mayWrite,
      onSlots: () => this.#registrationFile.changed(),
      onProblem: (fields, message) => log.error(fields, message),
      schedule,
    });
    this.#registrationFile = new RegistrationFile(
      options.registrationFile,
      () => ({ registrations: this.registrations.export(), slots: this.#allocator.slots }),
      (error) => log.error({ err: error }, 'registrations could not be written down'),
    );
    const known = this.#registrationFile.read();
    if ('problem' in known) {
      this.#registrationProblem = known.problem;
    } else {
      this.registrations.restore(known.registrations, RESTART_LEASE_MS);
      this.#allocator.restore(known.slots);
    }
    this.#debounce = new Debounce(clock, debounce, () => {
      try {
        this.#rebuild();
      } catch (error) {
        options.metrics.internalError();
        log.error({ err: error }, 'the mesh could not be built; the one before stays');
      }
    });
  }

  /** Follows the sources and publishes from now on, at once where all are known. Rejects where the store cannot be read. */
  async start(publish: (snapshot: MeshSnapshot) => void): Promise<void> {
    const { cluster, log } = this.#options;
    this.#publish = publish;
    await this.#policies.start();
    this.#allocator.changed();
    this.registrations.onChange(() => {
      this.#registrationFile.changed();
      this.#changed();
    });
    if (cluster !== null) {
      const { registry, client } = cluster;
      registry.onChange(() => this.#changed());
      registry.start();
      void registry.whenSynced().then(() => {
        log.info({ cluster: client.address }, 'the cluster is known');
        this.#changed();
      });
    }
    if (this.#mayPublish()) this.#rebuild();
    if (this.#registrationProblem !== '') this.#awaitRegistrations();
  }

  /** Why there is no mesh yet; undefined once there is one. */
  notReady(): string | undefined {
    const { cluster } = this.#options;
    if (this.#snapshot !== null) return undefined;
    if (cluster === null || cluster.registry.synced) return 'the mesh is not known yet';
    const waiting = cluster.registry.informers.find(({ synced }) => !synced)!;
    const reason = waiting.stats.problem || 'they are being listed';
    return `${waiting.type.plural} of the cluster are not known yet: ${reason}`;
  }

  /** What is wrong with policies; null while the snapshot is older than they are. */
  findings(): { warnings: readonly MeshWarning[]; refusals: readonly PolicyRefusal[] } | null {
    if (this.#snapshot === null || !this.#isCurrent) return null;
    return { warnings: this.#snapshot.warnings, refusals: this.#policies.refusals() };
  }

  /** This replica may write now what only one may write. */
  leads(): void {
    this.#allocator.changed();
  }

  /** Resolves when what was under way is written. */
  async close(): Promise<void> {
    this.#cancelRegistrationWait();
    this.#allocator.close();
    await this.#allocator.settled();
    this.#policies.close();
    this.#debounce.close();
    this.registrations.close();
    await this.#registrationFile.flush();
  }

  #mayPublish(): boolean {
    const { cluster } = this.#options;
    return this.#registrationProblem === '' && (cluster === null || cluster.registry.synced);
  }

  #changed(): void {
    this.#isCurrent = false;
    if (this.#mayPublish()) this.#debounce.trigger();
  }

  #rebuild(): void {
    const { cluster, mesh, metrics, log } = this.#options;
    const before = this.#snapshot;
    const registries = [this.#allocator.registered()];
    if (cluster !== null) registries.push(cluster.registry.read());
    const inputs = { ...this.#policies.read(), registries };
    const next = buildSnapshot(inputs, mesh, before ?? undefined);
    const change = before === null ? null : changeBetween(before, next);
    this.#isCurrent = true;
    this.#options.onBuilt();
    if (change?.kind === 'none') return;
    this.#snapshot = next;
    metrics.meshIs({
      services: next.directory.services.length,
      virtualServices: next.virtualServices.all.length,
      warnings: next.warnings.length,
    });
    log.debug({ sequence: next.sequence, change: change?.kind ?? 'first' }, 'pushing');
    this.#publish(next);
  }

  #awaitRegistrations(): void {
    const { clock, log } = this.#options;
    log.error(
      { problem: this.#registrationProblem },
      `who was registered is not known: discovery waits ${REGISTRATION_WAIT_MS / 1000} s for sidecars to come back`,
    );
    this.#cancelRegistrationWait = clock.schedule(REGISTRATION_WAIT_MS, () => {
      this.#registrationProblem = '';
      this.#changed();
    });
  }
}
