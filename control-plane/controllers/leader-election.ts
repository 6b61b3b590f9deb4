import type { Clock } from '../clock.ts';
import type { KubernetesResult } from '../kubernetes/failure.ts';
import type { KubernetesClient } from '../kubernetes/kubernetes-client.ts';
import { isRecord, type KubernetesObject } from '../kubernetes/kubernetes-object.ts';
import { collectionPath, LEASES, objectPath } from '../kubernetes/resource-type.ts';

export interface LeaderElectionOptions {
  readonly client: Pick<KubernetesClient, 'request'>;
  readonly namespace: string;
  /** Of the Lease. */
  readonly name: string;
  /** Unique to this process: a pod that starts again is another candidate. */
  readonly identity: string;
  /** Monotonic. */
  readonly clock: Clock;
  /** Milliseconds since 1970, for the Lease's own times, which nobody decides by. */
  readonly wallMs: () => number;
  /** From 0 up to 1. */
  readonly random: () => number;
  readonly timing?: LeaderElectionTiming;
  readonly log: {
    info(fields: object, message: string): void;
    warn(fields: object, message: string): void;
  };
}

export interface LeaderElectionTiming {
  /** Milliseconds that others leave a Lease alone after they last saw it change. Whole seconds. */
  readonly leaseDurationMs: number;
  /** Milliseconds after the last renewal from which on the leader writes no more. Less than the duration. */
  readonly renewDeadlineMs: number;
  /** Milliseconds between attempts. */
  readonly retryPeriodMs: number;
}

/** client-go's. */
export const LEASE_TIMING: LeaderElectionTiming = {
  leaseDurationMs: 15_000,
  renewDeadlineMs: 10_000,
  retryPeriodMs: 2000,
};

/** The same proportions for another duration: renewed within two thirds of it, tried at least five times in that time. */
export function leaseTiming(leaseDurationMs: number): LeaderElectionTiming {
  return {
    leaseDurationMs,
    renewDeadlineMs: (leaseDurationMs * 2) / 3,
    retryPeriodMs: (leaseDurationMs * 2) / 15,
  };
}

/**
 * Which replica may write, by a `coordination.k8s.io/v1` Lease as client-go's leader election does it. Nobody compares
 * clocks with anybody: a candidate counts, on its own monotonic clock, from when it last saw the Lease change.
 *
 *     leader     ──renew sent──────── renewDeadline: mayWrite() ends ──▏
 *     candidate      ──sees the change──────────────────── leaseDuration ──▶ may take it
 *
 * The leader counts from before it sent the renewal, a candidate from after the server had it: the two never overlap,
 * however long a message takes, as long as both clocks run at nearly one speed.
 */
export class LeaderElection {
  readonly #options: LeaderElectionOptions;
  readonly #timing: LeaderElectionTiming;
  readonly #listeners = new Set<(isLeader: boolean) => void>();
  #lease: KubernetesObject | null = null;
  #observed = '';
  #observedAtMs = 0;
  #isLeader = false;
  #renewedAtMs = 0;
  #isClosed = false;
  #cancelAttempt: (() => void) | null = null;
  #cancelDeadline: (() => void) | null = null;
  #attempt: Promise<void> = Promise.resolve();
  #problem = '';

  constructor(options: LeaderElectionOptions) {
    this.#options = options;
    this.#timing = options.timing ?? LEASE_TIMING;
  }

  start(): void {
    this.#again(0);
  }

  /** Asked before each write that only one replica may make. */
  mayWrite(): boolean {
    const { clock } = this.#options;
    return this.#isLeader && clock.nowMs() < this.#renewedAtMs + this.#timing.renewDeadlineMs;
  }

  /** Who holds the Lease as last seen, '' = nobody or not known. */
  get holder(): string {
    return this.#lease === null ? '' : readRecord(this.#lease).holder;
  }

  onChange(listener: (isLeader: boolean) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Stops writing at once and gives the Lease back, so that another replica need not wait for it to run out. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#cancelAttempt?.();
    this.#leads(false);
    this.#listeners.clear();
    await this.#attempt; // it may just be taking the Lease
    const lease = this.#lease;
    if (lease === null) return;
    const { holder, transitions } = readRecord(lease);
    if (holder !== this.#options.identity) return;
    await this.#put(lease, { ...this.#spec('', transitions, null), leaseDurationSeconds: 1 });
  }

  #again(delayMs: number): void {
    this.#cancelAttempt = this.#options.clock.schedule(delayMs, () => {
      this.#attempt = this.#acquireOrRenew().then(
        () => this.#next(),
        (error: unknown) => {
          this.#options.log.warn({ err: error }, 'leader election failed and goes on');
          this.#next();
        },
      );
    });
  }

  #next(): void {
    if (this.#isClosed) return;
    const { retryPeriodMs } = this.#timing;
    // Candidates spread, as client-go's; the leader keeps time.
    const jitter = this.#isLeader ? 0 : this.#options.random() * JITTER;
    this.#again(retryPeriodMs * (1 + jitter));
  }

  async #acquireOrRenew(): Promise<void> {
    // A leader knows its Lease and renews it in one request, unless somebody else has touched it.
    if (this.#isLeader && this.#lease !== null && (await this.#renew(this.#lease))) return;
    const { namespace, name } = this.#options;
    const read = await this.#request('GET', objectPath(LEASES, namespace, name));
    if (!read.ok) {
      if (read.failure.code === 404) await this.#create();
      else this.#failed(read.failure.message);
      return;
    }
    const lease = read.value;
    const record = readRecord(lease);
    this.#observe(lease);
    if (record.holder !== this.#options.identity) {
      this.#leads(false);
      if (record.holder !== '' && this.#isHeld(record)) return;
    }
    await this.#renew(lease);
  }

  /** Whether the holder may still be writing. Its duration is its own, and bounded: a Lease is foreign data. */
  #isHeld({ durationMs }: LeaseRecord): boolean {
    const { leaseDurationMs } = this.#timing;
    const heldMs = Math.min(Math.max(durationMs, leaseDurationMs), DURATION_MS_MAX);
    return this.#options.clock.nowMs() < this.#observedAtMs + heldMs;
  }

  async #renew(lease: KubernetesObject): Promise<boolean> {
    const { holder, transitions, acquireTime } = readRecord(lease);
    const isOwn = holder === this.#options.identity;
    const sentAtMs = this.#options.clock.nowMs();
    const spec = this.#spec(
      this.#options.identity,
      transitions + (isOwn ? 0 : 1),
      isOwn ? acquireTime : null,
    );
    const written = await this.#put(lease, spec);
    if (!written.ok) {
      this.#failed(written.failure.message, written.failure.code);
      return false;
    }
    this.#holds(written.value, sentAtMs);
    return true;
  }

  async #create(): Promise<void> {
    const { namespace, name, identity } = this.#options;
    const sentAtMs = this.#options.clock.nowMs();
    const created = await this.#request('POST', collectionPath(LEASES, namespace), {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { name, namespace },
      spec: this.#spec(identity, 0, null),
    });
    if (created.ok) this.#holds(created.value, sentAtMs);
    else this.#failed(created.failure.message, created.failure.code);
  }

  #holds(lease: KubernetesObject, sentAtMs: number): void {
    this.#observe(lease);
    this.#problem = '';
    // A loop that stood still may be here before the deadline's own timer: who wrote has stopped, and begins anew.
    if (this.#isLeader && !this.mayWrite()) this.#leads(false);
    this.#renewedAtMs = sentAtMs;
    if (this.#isClosed) return;
    const { clock } = this.#options;
    const endMs = sentAtMs + this.#timing.renewDeadlineMs;
    this.#cancelDeadline?.();
    this.#cancelDeadline = clock.schedule(Math.max(0, endMs - clock.nowMs()), () => {
      this.#options.log.warn({}, 'the lease could not be renewed in time; another may lead now');
      this.#leads(false);
    });
    // An answer that came too late proves nothing any more.
    this.#leads(clock.nowMs() < endMs);
  }

  #observe(lease: KubernetesObject): void {
    this.#lease = lease;
    const observed = `${lease.metadata.uid ?? ''} ${lease.metadata.resourceVersion ?? ''}`;
    if (observed === this.#observed) return;
    this.#observed = observed;
    this.#observedAtMs = this.#options.clock.nowMs();
  }

  #leads(isLeader: boolean): void {
    if (!isLeader) {
      this.#cancelDeadline?.();
      this.#cancelDeadline = null;
    }
    if (this.#isLeader === isLeader) return;
    this.#isLeader = isLeader;
    const { identity, name } = this.#options;
    this.#options.log.info({ lease: name, identity }, isLeader ? 'leading' : 'no longer leading');
    for (const listener of [...this.#listeners]) listener(isLeader);
  }

  #spec(holderIdentity: string, leaseTransitions: number, acquireTime: string | null): object {
    const now = microTime(this.#options.wallMs());
    return {
      holderIdentity,
      leaseDurationSeconds: Math.ceil(this.#timing.leaseDurationMs / 1000),
      acquireTime: acquireTime ?? now,
      renewTime: now,
      leaseTransitions,
    };
  }

  /** With the version that was read: of two writers one gets 409. */
  #put(lease: KubernetesObject, spec: object): Promise<KubernetesResult<KubernetesObject>> {
    const { namespace, name } = this.#options;
    return this.#request('PUT', objectPath(LEASES, namespace, name), { ...lease, spec });
  }

  async #request(
    method: 'GET' | 'POST' | 'PUT',
    path: string,
    body?: object,
  ): Promise<KubernetesResult<KubernetesObject>> {
    // Short, so that there is time for another attempt before the deadline.
    const timeoutMs = this.#timing.renewDeadlineMs / 3;
    const result = await this.#options.client.request({
      method,
      path,
      timeoutMs,
      ...(body !== undefined && { body }),
    });
    return result as KubernetesResult<KubernetesObject>;
  }

  /** Another was faster (409): no news. The same failure again: no news either. */
  #failed(message: string, code = 0): void {
    if (code === 409 || this.#problem === message) return;
    this.#problem = message;
    this.#options.log.warn({ lease: this.#options.name }, message);
  }
}

/** client-go's JitterFactor: a candidate waits up to 2.2 times the period. */
const JITTER = 1.2;
/** Milliseconds; the longest that a foreign record may ask to be left alone. */
const DURATION_MS_MAX = 600_000;

interface LeaseRecord {
  readonly holder: string;
  readonly durationMs: number;
  readonly transitions: number;
  readonly acquireTime: string | null;
}

function readRecord(lease: KubernetesObject): LeaseRecord {
  const spec = isRecord(lease['spec']) ? lease['spec'] : {};
  const { holderIdentity, leaseDurationSeconds, leaseTransitions, acquireTime } = spec;
  return {
    holder: typeof holderIdentity === 'string' ? holderIdentity : '',
    durationMs: typeof leaseDurationSeconds === 'number' ? leaseDurationSeconds * 1000 : 0,
    transitions: typeof leaseTransitions === 'number' ? leaseTransitions : 0,
    acquireTime: typeof acquireTime === 'string' ? acquireTime : null,
  };
}

/** `metav1.MicroTime`. */
function microTime(ms: number): string {
  return new Date(ms).toISOString().replace('Z', '000Z');
}
