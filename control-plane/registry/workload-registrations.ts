import { sameIdentity, type WorkloadIdentity } from '../auth/spiffe-id.ts';
import type { StringMap } from '../kinds/resource.ts';
import { declaredKey } from './address-allocation.ts';
import { compare } from './age.ts';
import { clusterLocalName } from './host-name.ts';
import type {
  DeclaredService,
  Health,
  Registry,
  RegistryContents,
  ServicePort,
  Workload,
} from './registry.ts';

/** What a sidecar says of itself when its discovery stream opens. */
export interface RegistrationRequest {
  /** Who the stream's credential says it is; null = not authenticated. */
  readonly identity: WorkloadIdentity | null;
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly workload: string;
  /** FQDN of the service it joins. */
  readonly host: string;
  /** Where other sidecars reach it. */
  readonly address: string;
  readonly ports: readonly RegisteredPort[];
  readonly labels: StringMap;
  /** `region/zone/subzone`, or ''. */
  readonly locality: string;
  /** True: not healthy until it says so (the sidecar probes its app). */
  readonly startsUnhealthy: boolean;
}

export interface RegisteredPort extends ServicePort {
  /** Port that others dial for `number`. */
  readonly dial: number;
}

export type RegisterResult =
  | { readonly ok: true; readonly registration: Registration }
  | {
      readonly ok: false;
      readonly reason: 'permissionDenied' | 'invalid' | 'resourceExhausted';
      readonly message: string;
    };

/** One sidecar's hold on its entry, for as long as its stream lives. */
export interface Registration {
  setHealth(health: Health): void;
  /** The stream ended: the entry goes when the lease runs out, unless it comes back. */
  end(): void;
}

/** An entry as it is written down, so that a restarted control plane knows what it knew. */
export interface RegistrationRecord extends Omit<RegistrationRequest, 'startsUnhealthy'> {
  readonly identity: WorkloadIdentity;
  readonly health: Health;
  readonly registeredAtMs: number;
}

export interface RegistrationClock {
  /** Wall clock, milliseconds since 1970. */
  nowMs(): number;
  /** Calls back once after `delayMs`; returns the way to call it off. */
  schedule(delayMs: number, callback: () => void): () => void;
}

export interface RegistrationOptions {
  readonly clock: RegistrationClock;
  /** `<name>.<namespace>.svc.<domain>`. */
  readonly domain: string;
  /** Milliseconds that an entry outlives its stream, default 10 000 (DS-04). */
  readonly leaseMs: number;
  /**
   * Milliseconds that a service without workloads stays known, default 1 h: its callers get 503 `UH`, as with a
   * Kubernetes Service that is scaled to zero, and not an answer from somewhere else.
   */
  readonly serviceRetentionMs: number;
  /** Entries in all, default 10 000: an identity that registers without end must not take the memory of all. */
  readonly workloadsMax: number;
}

export const REGISTRATION_DEFAULTS = {
  domain: 'cluster.local',
  leaseMs: 10_000,
  serviceRetentionMs: 3_600_000,
  workloadsMax: 10_000,
} as const;

const PORTS_MAX = 64;
/** Accounts remembered for one service. */
const ACCOUNTS_MAX = 64;

interface Entry {
  readonly key: string;
  record: RegistrationRecord;
  workload: Workload;
  /** Counts up with every stream that takes the entry, so that a late end of an old one changes nothing. */
  holder: number;
  /** When the entry goes; 0 while its stream lives. */
  expiresAtMs: number;
}

interface KnownService {
  service: DeclaredService;
  readonly entries: Map<string, Entry>;
  /** `namespace/account` → when its last workload went, 0 while it has one. */
  readonly accounts: Map<string, number>;
  /** Entries came or went since `service` was made; nobody needs it before the next `read`. */
  isOld: boolean;
  /** When it is forgotten; 0 while it has workloads. */
  expiresAtMs: number;
}

/**
 * The registry of sidecars that register themselves by opening a stream (DS-04). A workload registers only for its
 * own namespace and account (A6.5). Its address is part of what an entry is: replicas may share a name, and one that
 * starts again somewhere else leaves its old entry to the lease.
 */
export class WorkloadRegistrations implements Registry {
  readonly name = 'sidecars';
  readonly #options: RegistrationOptions;
  readonly #entries = new Map<string, Entry>();
  /**
   * By namespace and host: one that is no name of the cluster may be declared in several namespaces, and nobody may add
   * his account to those that callers of another's expect (SC-03).
   */
  readonly #services = new Map<string, KnownService>();
  /** By namespace and dialled socket, so that a registration finds whose place it takes. */
  readonly #bySocket = new Map<string, Set<Entry>>();
  /** Entries and services that have an end, so that a change need not look at all the others. */
  readonly #ending = new Set<Entry | KnownService>();
  readonly #listeners = new Set<() => void>();
  #contents: RegistryContents | null = null;
  #holders = 0;
  #cancelTimer: (() => void) | null = null;
  #timerAtMs = 0;

  constructor(options: Partial<RegistrationOptions> & { readonly clock: RegistrationClock }) {
    this.#options = { ...REGISTRATION_DEFAULTS, ...options };
  }

  register(request: RegistrationRequest): RegisterResult {
    const refused = this.#refusal(request);
    if (refused !== null) return refused;
    const identity = request.identity!;
    const nowMs = this.#options.clock.nowMs();
    const key = entryKey(request);
    const old = this.#entries.get(key);
    if (old !== undefined && !sameIdentity(old.record.identity, identity)) {
      return denied(
        `workload ${request.namespace}/${request.workload} at ${request.address} is registered with another identity`,
      );
    }
    if (old === undefined && this.#entries.size >= this.#options.workloadsMax) {
      return {
        ok: false,
        reason: 'resourceExhausted',
        message: `${this.#entries.size} workloads are registered, which is the limit`,
      };
    }
    const { startsUnhealthy, ...said } = request;
    const record: RegistrationRecord = {
      ...said,
      identity,
      health: startsUnhealthy ? (old?.record.health ?? 'UNHEALTHY') : 'HEALTHY',
      registeredAtMs: old?.record.registeredAtMs ?? nowMs,
    };
    const entry = this.#put(key, record, 0);
    this.#removeReplaced(entry);
    this.#changed();
    return { ok: true, registration: this.#hold(key, entry.holder) };
  }

  /**
   * Entries without a stream at a socket that a live one has now: an address was given to another workload, and whoever dialled
   * the old one there would reach a stranger until the lease ran out. Only of the same namespace: nobody ends what is others'.
   */
  #removeReplaced(entry: Entry): void {
    for (const socket of socketsOf(entry.record)) {
      for (const other of [...(this.#bySocket.get(socket) ?? [])]) {
        if (other !== entry && other.expiresAtMs !== 0) this.#remove(other);
      }
    }
  }

  /** What to write down; `restore` reads it. */
  export(): readonly RegistrationRecord[] {
    return [...this.#entries.values()].map(({ record }) => record);
  }

  /** Entries of a former run, as if their streams had ended now: who is still there comes back within `leaseMs`. */
  restore(records: readonly RegistrationRecord[], leaseMs = this.#options.leaseMs): void {
    const expiresAtMs = this.#options.clock.nowMs() + leaseMs;
    for (const record of records.slice(0, this.#options.workloadsMax)) {
      const key = entryKey(record);
      if (!this.#entries.has(key)) this.#put(key, record, expiresAtMs);
    }
    this.#changed();
  }

  read(): RegistryContents {
    this.#contents ??= {
      services: [...this.#services.values()]
        .map((known) => this.#serviceOf(known))
        .sort((a, b) => compare(a.host, b.host) || compare(a.namespace, b.namespace)),
      workloads: [...this.#entries.values()]
        .map(({ workload }) => workload)
        .sort((a, b) => compare(a.name, b.name) || compare(a.address, b.address)),
    };
    return this.#contents;
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Calls off the timer; nothing expires after this. */
  close(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    this.#listeners.clear();
  }

  #refusal(request: RegistrationRequest): Exclude<RegisterResult, { ok: true }> | null {
    const { identity, host } = request;
    if (identity === null) {
      return denied(
        'a workload registers only over a stream with an identity (join token or certificate)',
      );
    }
    if (
      identity.namespace !== request.namespace ||
      identity.serviceAccount !== request.serviceAccount
    ) {
      return denied(
        `${identity.namespace}/${identity.serviceAccount} may not register a workload of ${request.namespace}/${request.serviceAccount}`,
      );
    }
    const local = clusterLocalName(host, this.#options.domain);
    if (local !== null && local.namespace !== request.namespace) {
      return denied(
        `a workload of namespace ${request.namespace} may not join ${host}, which belongs to namespace ${local.namespace}`,
      );
    }
    if (request.ports.length === 0 || request.ports.length > PORTS_MAX) {
      return invalid(`a registration needs 1 to ${PORTS_MAX} ports`);
    }
    if (request.address === '' || request.workload === '' || host === '') {
      return invalid('a registration needs a host, an address and a workload name');
    }
    return null;
  }

  #put(key: string, record: RegistrationRecord, expiresAtMs: number): Entry {
    const old = this.#entries.get(key);
    if (old !== undefined) this.#remove(old);
    this.#holders++;
    const entry: Entry = {
      key,
      record,
      workload: workloadOf(record),
      holder: this.#holders,
      expiresAtMs,
    };
    this.#entries.set(key, entry);
    for (const socket of socketsOf(record)) {
      const there = this.#bySocket.get(socket);
      if (there === undefined) this.#bySocket.set(socket, new Set([entry]));
      else there.add(entry);
    }
    if (expiresAtMs !== 0) this.#ending.add(entry);
    this.#learnService(entry);
    return entry;
  }

  #learnService(entry: Entry): void {
    const { host, namespace, serviceAccount, registeredAtMs } = entry.record;
    const key = declaredKey({ host, namespace });
    let known = this.#services.get(key);
    if (known === undefined) {
      known = {
        service: {
          host,
          namespace,
          ports: [],
          serviceAccounts: [],
          creationTimestamp: timestamp(registeredAtMs),
        },
        entries: new Map(),
        accounts: new Map(),
        isOld: true,
        expiresAtMs: 0,
      };
      this.#services.set(key, known);
    }
    known.entries.set(entry.key, entry);
    known.expiresAtMs = 0;
    this.#ending.delete(known);
    known.accounts.set(`${namespace}/${serviceAccount}`, 0);
    known.isOld = true;
  }

  /** The last one to leave starts the retention of its service. */
  #remove(entry: Entry): void {
    this.#entries.delete(entry.key);
    this.#ending.delete(entry);
    for (const socket of socketsOf(entry.record)) {
      const there = this.#bySocket.get(socket);
      there?.delete(entry);
      if (there?.size === 0) this.#bySocket.delete(socket);
    }
    const known = this.#services.get(declaredKey(entry.record))!;
    known.entries.delete(entry.key);
    known.isOld = true;
    const nowMs = this.#options.clock.nowMs();
    const { namespace, serviceAccount } = entry.record;
    const isLast = ![...known.entries.values()].some(
      ({ record }) => record.serviceAccount === serviceAccount,
    );
    if (isLast) known.accounts.set(`${namespace}/${serviceAccount}`, nowMs);
    if (known.entries.size > 0) return;
    known.expiresAtMs = nowMs + this.#options.serviceRetentionMs;
    this.#ending.add(known);
  }

  #hold(key: string, holder: number): Registration {
    const held = (): Entry | null => {
      const entry = this.#entries.get(key);
      return entry?.holder === holder ? entry : null;
    };
    return {
      setHealth: (health) => {
        const entry = held();
        if (entry === null || entry.record.health === health) return;
        entry.record = { ...entry.record, health };
        entry.workload = workloadOf(entry.record);
        this.#changed();
      },
      end: () => {
        const entry = held();
        if (entry === null || entry.expiresAtMs !== 0) return;
        entry.expiresAtMs = this.#options.clock.nowMs() + this.#options.leaseMs;
        this.#ending.add(entry);
        this.#arm();
      },
    };
  }

  #serviceOf(known: KnownService): DeclaredService {
    if (!known.isOld) return known.service;
    known.isOld = false;
    // An account stays expected for a while after its last workload, so that a restart changes no caller's cluster.
    const oldestMs = this.#options.clock.nowMs() - this.#options.serviceRetentionMs;
    for (const [account, goneAtMs] of known.accounts) {
      if (goneAtMs !== 0 && goneAtMs < oldestMs) known.accounts.delete(account);
    }
    known.service = {
      ...known.service,
      // A service without workloads keeps the ports it had.
      ports: known.entries.size > 0 ? servicePorts(known.entries.values()) : known.service.ports,
      serviceAccounts: [...known.accounts.keys()].slice(-ACCOUNTS_MAX).sort(compare),
    };
    return known.service;
  }

  #changed(): void {
    this.#contents = null;
    this.#arm();
    for (const listener of [...this.#listeners]) listener();
  }

  #expire(): void {
    const nowMs = this.#options.clock.nowMs();
    let gone = false;
    for (const ending of [...this.#ending]) {
      if (ending.expiresAtMs > nowMs) continue;
      gone = true;
      if ('record' in ending) this.#remove(ending);
      else {
        this.#services.delete(declaredKey(ending.service));
        this.#ending.delete(ending);
      }
    }
    if (gone) this.#changed();
    else this.#arm();
  }

  /** One timer for the nearest end. */
  #arm(): void {
    let nextMs = Number.POSITIVE_INFINITY;
    for (const { expiresAtMs } of this.#ending) nextMs = Math.min(nextMs, expiresAtMs);
    if (nextMs === this.#timerAtMs && this.#cancelTimer !== null) return;
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    this.#timerAtMs = nextMs;
    if (nextMs === Number.POSITIVE_INFINITY) return;
    const delayMs = Math.max(0, nextMs - this.#options.clock.nowMs());
    this.#cancelTimer = this.#options.clock.schedule(delayMs, () => {
      this.#cancelTimer = null;
      this.#expire();
    });
  }
}

/** What the workloads of a service declare; where two differ on a port, the one registered first decides. */
function servicePorts(entries: Iterable<Entry>): readonly ServicePort[] {
  const ports = new Map<number, ServicePort>();
  const oldestFirst = [...entries].sort(
    (a, b) => a.record.registeredAtMs - b.record.registeredAtMs || compare(a.key, b.key),
  );
  for (const { record } of oldestFirst) {
    for (const { number, name, protocol } of record.ports) {
      if (!ports.has(number)) ports.set(number, { number, name, protocol });
    }
  }
  return [...ports.values()].sort((a, b) => a.number - b.number);
}

function workloadOf(record: RegistrationRecord): Workload {
  return {
    name: record.workload,
    namespace: record.namespace,
    address: record.address,
    labels: record.labels,
    serviceAccount: record.serviceAccount,
    weight: 1,
    locality: record.locality,
    health: record.health,
    tlsMode: 'istio',
    portsByName: new Map(record.ports.map(({ name, dial }) => [name, dial])),
    portsByNumber: new Map(record.ports.map(({ number, dial }) => [number, dial])),
    host: record.host,
    creationTimestamp: timestamp(record.registeredAtMs),
  };
}

/** Where others dial it, each with its namespace. */
function socketsOf({ namespace, address, ports }: RegistrationRecord): string[] {
  return ports.map(({ dial }) => `${namespace}/${address}:${dial}`);
}

/** Replicas may carry one name: the address tells them apart. */
function entryKey(record: {
  readonly namespace: string;
  readonly workload: string;
  readonly address: string;
  readonly ports: readonly RegisteredPort[];
}): string {
  return `${record.namespace}/${record.workload}/${record.address}:${record.ports[0]?.dial ?? 0}`;
}

function timestamp(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

function denied(message: string): Exclude<RegisterResult, { ok: true }> {
  return { ok: false, reason: 'permissionDenied', message };
}

function invalid(message: string): Exclude<RegisterResult, { ok: true }> {
  return { ok: false, reason: 'invalid', message };
}
