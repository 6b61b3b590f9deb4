import { isDeepStrictEqual } from 'node:util';
import type { Resource } from '../kinds/resource.ts';
import { keyOf } from '../kinds/resource.ts';
import type { ServiceEntrySpec } from '../kinds/service-entry.ts';
import type { ConfigStore } from '../store/config-store.ts';
import {
  type AllocationPlan,
  declaredKey,
  planAddresses,
  type StatusAddress,
  statusAddresses,
} from './address-allocation.ts';
import { slotAddresses } from './address-pool.ts';
import type { RegistryContents, RegistryProblem } from './registry.ts';

export interface AddressAllocatorOptions {
  readonly store: ConfigStore;
  /** ServiceEntries as they are now. */
  readonly serviceEntries: () => readonly Resource<ServiceEntrySpec>[];
  /** Services of sidecars that registered themselves. */
  readonly registered: () => RegistryContents;
  /** Whether this replica is the one that writes to the store; asked before each write. */
  readonly mayWrite: () => boolean;
  /** The slots of registered services have changed: time to write them down. */
  readonly onSlots: () => void;
  /** A write that the store did not take; it is tried again. */
  readonly onProblem: (fields: object, message: string) => void;
  /** Calls back once after `delayMs`; returns the way to call it off. */
  readonly schedule: (delayMs: number, callback: () => void) => () => void;
}

/** Milliseconds before a store that refused a write is asked again. */
const RETRY_MS = 5000;

/**
 * Gives every host an address of its own (DS-06): to ServiceEntries by their `status.addresses`, written with
 * compare-and-set, so that all replicas and proxies see the same; to services that only sidecars declare from memory.
 * One writing pass at a time; what changes meanwhile is looked at in the next one.
 */
export class AddressAllocator {
  readonly #options: AddressAllocatorOptions;
  /** Told before, so that each is told once. */
  #told = '[]';
  #slots: ReadonlyMap<string, number> = new Map();
  #isDirty = false;
  #writing: Promise<void> | null = null;
  #cancelRetry: (() => void) | null = null;
  #isClosed = false;
  #planned: {
    readonly serviceEntries: unknown;
    readonly registered: unknown;
    readonly plan: AllocationPlan;
  } | null = null;
  /** What `registered` was made of, and what came of it. */
  #contents: {
    readonly from: RegistryContents;
    readonly slots: unknown;
    readonly made: RegistryContents;
  } | null = null;

  constructor(options: AddressAllocatorOptions) {
    this.#options = options;
  }

  /** Slots of registered services, to be written down. */
  get slots(): ReadonlyMap<string, number> {
    return this.#slots;
  }

  /** Slots of a former run; whoever still wants one keeps it. */
  restore(slots: ReadonlyMap<string, number>): void {
    this.#slots = slots;
    this.#planned = null;
  }

  /** The registered services with their addresses. */
  registered(): RegistryContents {
    this.#plan();
    const from = this.#options.registered();
    if (this.#contents?.from === from && this.#contents.slots === this.#slots) {
      return this.#contents.made;
    }
    const services = from.services.map((service) => {
      const slot = this.#slots.get(declaredKey(service));
      return slot === undefined ? service : { ...service, addresses: slotAddresses(slot) };
    });
    const made = { ...from, services };
    this.#contents = { from, slots: this.#slots, made };
    return made;
  }

  /** ServiceEntries may have changed, or this replica may write from now on. */
  changed(): void {
    if (this.#isClosed) return;
    this.#isDirty = true;
    this.#writing ??= this.#writeAll();
  }

  /** When all that was to be written is, or was refused. */
  async settled(): Promise<void> {
    await this.#writing;
  }

  close(): void {
    this.#isClosed = true;
    this.#cancelRetry?.();
  }

  /** The same one until something changes. */
  #plan(): AllocationPlan {
    const serviceEntries = this.#options.serviceEntries();
    const registered = this.#options.registered();
    if (
      this.#planned?.serviceEntries === serviceEntries &&
      this.#planned.registered === registered
    ) {
      return this.#planned.plan;
    }
    const { services: declared } = registered;
    const plan = planAddresses({ serviceEntries, declared, remembered: this.#slots });
    this.#planned = { serviceEntries, registered, plan };
    this.#tell(plan.problems);
    if (!sameSlots(this.#slots, plan.declared)) {
      this.#slots = plan.declared;
      this.#options.onSlots();
    }
    return plan;
  }

  #tell(problems: readonly RegistryProblem[]): void {
    const text = JSON.stringify(problems);
    if (text === this.#told) return;
    this.#told = text;
    for (const { subject, message } of problems) this.#options.onProblem({ subject }, message);
  }

  async #writeAll(): Promise<void> {
    // What changes in this turn is planned once.
    await Promise.resolve();
    while (this.#isDirty && !this.#isClosed) {
      this.#isDirty = false;
      for (const { entry, addresses } of this.#plan().writes) {
        if (this.#isClosed || !this.#options.mayWrite()) break;
        if (!(await this.#write(entry, addresses))) {
          this.#retry();
          break;
        }
      }
    }
    this.#writing = null;
  }

  /** False: the store does not take writes now. An object that has changed meanwhile comes again by its change. */
  async #write(
    entry: Resource<ServiceEntrySpec>,
    addresses: readonly StatusAddress[],
  ): Promise<boolean> {
    const { store, onProblem } = this.#options;
    const { namespace, name } = entry.metadata;
    try {
      const current = await store.get(keyOf(entry));
      if (current === undefined || !isSameEntry(current, entry)) return true;
      if (isDeepStrictEqual(statusAddresses(current), addresses)) return true;
      const status = { ...(current.status as object | undefined), addresses };
      const result = await store.replace({ ...current, status }, current.metadata.resourceVersion);
      // Perhaps only another part of the status was written, of which nobody is told.
      if (result.kind === 'conflict') this.#isDirty = true;
      if (result.kind !== 'unavailable') return true;
      onProblem({ namespace, name, problem: result.message }, REFUSED);
    } catch (error) {
      onProblem({ namespace, name, err: error }, REFUSED);
    }
    return false;
  }

  #retry(): void {
    this.#cancelRetry?.();
    this.#cancelRetry = this.#options.schedule(RETRY_MS, () => this.changed());
  }
}

/** Whether what was planned for is still there; others may have written to its status meanwhile. */
function isSameEntry({ metadata: now }: Resource, { metadata: planned }: Resource): boolean {
  return (
    now.uid === planned.uid &&
    now.generation === planned.generation &&
    isDeepStrictEqual({ ...now.labels }, { ...planned.labels })
  );
}

const REFUSED = 'the address of a ServiceEntry could not be stored; trying again';

function sameSlots(a: ReadonlyMap<string, number>, b: ReadonlyMap<string, number>): boolean {
  return a.size === b.size && [...a].every(([key, slot]) => b.get(key) === slot);
}
