import { BackOff } from '../kubernetes/back-off.ts';
import type { Clock } from '../xds/clock.ts';

export interface WorkQueueOptions {
  readonly clock: Clock;
  /** From 0 up to 1. */
  readonly random: () => number;
  /** Brings what the key names to where it should be; false = it failed, and is tried again later. */
  readonly reconcile: (key: string) => Promise<boolean>;
  /** Asked before each step; what comes while it is false is dropped: who begins to lead looks at everything anew. */
  readonly mayRun: () => boolean;
  /** Steps a second in the long run, and at once after a rest. Bounds what a flapping object can cost the API server. */
  readonly perSecond: number;
  readonly burst: number;
  readonly onError: (error: unknown, key: string) => void;
}

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
  readonly #retries = new Map<string, { readonly backOff: BackOff; cancel: (() => void) | null }>();
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
    let isDone = false;
    try {
      isDone = await this.#options.reconcile(key);
    } catch (error) {
      this.#options.onError(error, key);
    }
    this.#running.delete(key);
    if (this.#isClosed) return;
    if (isDone) this.#forget(key);
    else this.#retry(key);
    if (this.#again.delete(key)) this.#waiting.add(key);
    this.#pump();
  }

  #forget(key: string): void {
    this.#retries.get(key)?.cancel?.();
    this.#retries.delete(key);
  }

  #retry(key: string): void {
    const { clock, random } = this.#options;
    let retry = this.#retries.get(key);
    if (retry === undefined) {
      retry = { backOff: new BackOff(RETRY_BASE_MS, RETRY_MAX_MS, random), cancel: null };
      this.#retries.set(key, retry);
    }
    retry.cancel?.();
    retry.cancel = clock.schedule(retry.backOff.next(), () => this.add(key));
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
