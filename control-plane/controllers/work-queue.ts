import type { Clock } from '../clock.ts';
import { BackOff } from '../kubernetes/back-off.ts';

export interface WorkQueueOptions {
  readonly clock: Clock;
  /** From 0 up to 1. */
  readonly random: () => number;
  /** Brings what the key names to where it should be. */
  readonly reconcile: (key: string) => Promise<Reconciled>;
  /** Asked before each step; what comes while it is false is dropped: who begins to lead looks at everything anew. */
  readonly mayRun: () => boolean;
  /** Steps a second in the long run, and at once after a rest. Bounds what a flapping object can cost the API server. */
  readonly perSecond: number;
  readonly burst: number;
  readonly onError: (error: unknown, key: string) => void;
}

export type Reconciled =
  /** It is as it should be. */
  | 'unchanged'
  | 'written'
  /** To be tried again later. */
  | 'failed';

/**
 * Writes for one key at once, and milliseconds for each one after that: where somebody else insists on another state,
 * neither side may keep the API server busy.
 */
const KEY_WRITES_MAX = 5;
const KEY_WRITE_MS = 5000;
/** Keys whose writes are remembered; those that may write as they like are forgotten first. */
const KEYS_MAX = 10_000;
/** Steps that wait for answers at once. */
const RUNNING_MAX = 8;
/** Milliseconds before a key is tried again after a failure, doubled up to the longest. */
const RETRY_BASE_MS = 500;
const RETRY_MAX_MS = 60_000;

/**
 * Keys to be reconciled, each at most once in the queue and never twice at the same time: what changes while its key is
 * worked on is looked at once more. The state is read when the key is worked on, so that only the newest counts.
 */
export class WorkQueue {
  readonly #options: WorkQueueOptions;
  readonly #waiting = new Set<string>();
  readonly #running = new Set<string>();
  /** Came again while running. */
  readonly #again = new Set<string>();
  readonly #writes = new Map<string, Allowance>();
  readonly #retries = new Map<string, Retry>();
  #tokens: number;
  #tokensAtMs: number;
  #cancel: (() => void) | null = null;
  #isClosed = false;

  constructor(options: WorkQueueOptions) {
    this.#options = options;
    this.#tokens = options.burst;
    this.#tokensAtMs = options.clock.nowMs();
  }

  add(key: string): void {
    if (this.#isClosed) return;
    if (this.#running.has(key)) this.#again.add(key);
    else this.#waiting.add(key);
    // After the running task, so that what changes in one go is one step.
    queueMicrotask(() => this.#pump());
  }

  get size(): number {
    return this.#waiting.size + this.#running.size;
  }

  close(): void {
    this.#isClosed = true;
    this.#cancel?.();
    this.#waiting.clear();
    this.#again.clear();
    for (const { cancel } of this.#retries.values()) cancel?.();
    this.#retries.clear();
  }

  #pump(): void {
    if (this.#cancel !== null || this.#isClosed) return;
    while (this.#running.size < RUNNING_MAX) {
      const [key] = this.#waiting;
      if (key === undefined) return;
      if (!this.#options.mayRun()) {
        this.#waiting.clear();
        return;
      }
      const keyWaitMs = this.#writeWaitMs(key);
      if (keyWaitMs > 0) {
        this.#waiting.delete(key);
        this.#later(key, keyWaitMs);
        continue;
      }
      const waitMs = this.#takeToken();
      if (waitMs > 0) {
        this.#cancel = this.#options.clock.schedule(waitMs, () => {
          this.#cancel = null;
          this.#pump();
        });
        return;
      }
      this.#waiting.delete(key);
      this.#running.add(key);
      void this.#run(key);
    }
  }

  async #run(key: string): Promise<void> {
    let outcome: Reconciled = 'failed';
    try {
      outcome = await this.#options.reconcile(key);
    } catch (error) {
      this.#options.onError(error, key);
    }
    this.#running.delete(key);
    if (this.#isClosed) return;
    if (outcome === 'written') this.#wrote(key);
    if (outcome === 'failed') this.#retry(key);
    else this.#forget(key);
    if (this.#again.delete(key)) this.#waiting.add(key);
    this.#pump();
  }

  #forget(key: string): void {
    this.#retries.get(key)?.cancel?.();
    this.#retries.delete(key);
  }

  #retry(key: string): void {
    this.#later(key, this.#retryOf(key).backOff.next());
  }

  /** At most one timer a key. */
  #later(key: string, delayMs: number): void {
    const retry = this.#retryOf(key);
    retry.cancel?.();
    retry.cancel = this.#options.clock.schedule(delayMs, () => this.add(key));
  }

  #retryOf(key: string): Retry {
    let retry = this.#retries.get(key);
    if (retry === undefined) {
      const backOff = new BackOff(RETRY_BASE_MS, RETRY_MAX_MS, this.#options.random);
      retry = { backOff, cancel: null };
      this.#retries.set(key, retry);
    }
    return retry;
  }

  /** 0, or the milliseconds until this key may write again. */
  #writeWaitMs(key: string): number {
    const allowance = this.#writes.get(key);
    if (allowance === undefined) return 0;
    this.#refill(allowance);
    return allowance.writes >= 1 ? 0 : Math.ceil((1 - allowance.writes) * KEY_WRITE_MS);
  }

  #wrote(key: string): void {
    if (this.#writes.size >= KEYS_MAX) {
      for (const [other, allowance] of this.#writes) {
        this.#refill(allowance);
        if (allowance.writes === KEY_WRITES_MAX) this.#writes.delete(other);
      }
    }
    const allowance = this.#writes.get(key) ?? {
      writes: KEY_WRITES_MAX,
      atMs: this.#options.clock.nowMs(),
    };
    this.#refill(allowance);
    allowance.writes -= 1;
    this.#writes.set(key, allowance);
  }

  #refill(allowance: Allowance): void {
    const nowMs = this.#options.clock.nowMs();
    const gained = (nowMs - allowance.atMs) / KEY_WRITE_MS;
    allowance.writes = Math.min(KEY_WRITES_MAX, allowance.writes + gained);
    allowance.atMs = nowMs;
  }

  /** 0, or the milliseconds until there is a token. */
  #takeToken(): number {
    const { clock, perSecond, burst } = this.#options;
    const nowMs = clock.nowMs();
    const gained = ((nowMs - this.#tokensAtMs) / 1000) * perSecond;
    this.#tokens = Math.min(burst, this.#tokens + gained);
    this.#tokensAtMs = nowMs;
    if (this.#tokens < 1) return Math.ceil(((1 - this.#tokens) * 1000) / perSecond);
    this.#tokens -= 1;
    return 0;
  }
}

interface Retry {
  readonly backOff: BackOff;
  cancel: (() => void) | null;
}

interface Allowance {
  writes: number;
  atMs: number;
}
