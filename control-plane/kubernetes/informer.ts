import type { Clock } from '../clock.ts';
import { BackOff } from './back-off.ts';
import { failed, isExpired, type KubernetesFailure, type KubernetesResult } from './failure.ts';
import type { KubernetesClient } from './kubernetes-client.ts';
import { asKubernetesObject, type KubernetesObject, objectKey } from './kubernetes-object.ts';
import { type ResourceType, typeName } from './resource-type.ts';
import { isOlderVersion } from './resource-version.ts';
import type { Watch, WatchEnd, WatchEvent } from './watch.ts';

export interface InformerOptions<T> {
  readonly client: KubernetesClient;
  readonly type: ResourceType;
  /** '' (default) = all namespaces. */
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /**
   * What is kept of an object; null = nothing, as if it were not there. Only the fields that are needed: the rest of the object is
   * let go. What throws here is left out and counted (A6.9).
   */
  readonly project: (object: KubernetesObject) => T | null;
  readonly clock: Clock;
  /** From 0 up to 1. */
  readonly random: () => number;
  readonly log: InformerLog;
  readonly timing?: InformerTiming;
}

export interface InformerLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export interface InformerTiming {
  /** Objects of a page: it is parsed in one turn of the event loop, and what is let go of it stays in memory for a while. */
  readonly pageLimit: number;
  /** Seconds that the server is asked to let a watch last, drawn from here up to twice that. */
  readonly watchSeconds: number;
  /** Milliseconds without a byte after which a watch is cut; servers send a bookmark about once a minute. */
  readonly silenceMs: number;
  /** Milliseconds of the first wait after a failure, and of the longest. */
  readonly backOffBaseMs: number;
  readonly backOffMaxMs: number;
  /** Milliseconds after which everything is listed again whatever the watch said, drawn up to twice that. */
  readonly relistMs: number;
  /** Milliseconds for which lists older than what is known are not taken: then the cluster itself was set back. */
  readonly staleMs: number;
}

export const INFORMER_TIMING: InformerTiming = {
  pageLimit: 100,
  watchSeconds: 240,
  silenceMs: 150_000,
  backOffBaseMs: 200,
  backOffMaxMs: 15_000,
  relistMs: 30 * 60_000,
  staleMs: 60_000,
};

/** What happened to one object; `before` and `after` are what `project` kept. */
export interface InformerChange<T> {
  /** `namespace/name`; `/name` for cluster-scoped objects. */
  readonly key: string;
  readonly before: T | undefined;
  readonly after: T | undefined;
}

export interface InformerStats {
  readonly objects: number;
  readonly lists: number;
  readonly watches: number;
  readonly events: number;
  /** Failed requests, broken watches, events that could not be taken. */
  readonly errors: number;
  /** Monotonic milliseconds of the last byte of news, 0 = none yet. */
  readonly lastActivityMs: number;
  /** The last failure since the last success, '' if none. */
  readonly problem: string;
}

interface Entry<T> {
  readonly uid: string;
  readonly resourceVersion: string;
  readonly value: T;
}

/** Milliseconds that a watch must have lasted for its end to be no failure. */
const WATCH_MS_MIN = 500;
/** Objects of one kind: beyond it something is wrong, and memory counts more. */
const OBJECTS_MAX = 500_000;

/**
 * A collection of the API server, held as it is: listed in pages, then watched, and listed again whenever the watch cannot be
 * trusted to be complete. It never goes back in time: what is older than what it holds is not taken (E8).
 *
 *     list ──▶ watch from the list's version ──end, cut, silence──▶ watch from the last version seen
 *      ▲                                    └──410, a malformed or contradicting event──┐
 *      └───────────────── back-off, doubled and jittered, Retry-After kept ◀────────────┘
 */
export class Informer<T> {
  readonly type: ResourceType;
  readonly #options: InformerOptions<T>;
  readonly #timing: InformerTiming;
  readonly #backOff: BackOff;
  readonly #values = new Map<string, T>();
  #entries = new Map<string, Entry<T>>();
  readonly #listeners = new Set<(changes: readonly InformerChange<T>[]) => void>();
  readonly #synced = Promise.withResolvers<void>();
  #isSynced = false;
  #isClosed = false;
  #isStarted = false;
  #version = '';
  #watch: Watch | null = null;
  #watchedAtMs = 0;
  #relistAtMs = 0;
  #staleSinceMs = 0;
  #cancelTimer: (() => void) | null = null;
  #lists = 0;
  #watches = 0;
  #events = 0;
  #errors = 0;
  #lastActivityMs = 0;
  #problem = '';

  constructor(options: InformerOptions<T>) {
    this.type = options.type;
    this.#options = options;
    this.#timing = options.timing ?? INFORMER_TIMING;
    const { backOffBaseMs, backOffMaxMs } = this.#timing;
    this.#backOff = new BackOff(backOffBaseMs, backOffMaxMs, options.random);
  }

  /** Begins; an API server that is away is tried until it is there. */
  start(): void {
    if (this.#isStarted) return;
    this.#isStarted = true;
    void this.#list();
  }

  close(): void {
    this.#isClosed = true;
    this.#cancelTimer?.();
    this.#watch?.close();
    this.#listeners.clear();
  }

  /** A whole list has been taken. Stays true. */
  get synced(): boolean {
    return this.#isSynced;
  }

  whenSynced(): Promise<void> {
    return this.#synced.promise;
  }

  /** By `namespace/name`. The live map: it changes under the reader, from one turn of the event loop to the next. */
  read(): ReadonlyMap<string, T> {
    return this.#values;
  }

  get(namespace: string, name: string): T | undefined {
    return this.#values.get(`${namespace}/${name}`);
  }

  /** The resourceVersion up to which everything has been taken; '' before the first list. */
  get resourceVersion(): string {
    return this.#version;
  }

  get stats(): InformerStats {
    return {
      objects: this.#values.size,
      lists: this.#lists,
      watches: this.#watches,
      events: this.#events,
      errors: this.#errors,
      lastActivityMs: this.#lastActivityMs,
      problem: this.#problem,
    };
  }

  /** Called after changes, with those that came together; returns the way to stop it. */
  onChange(listener: (changes: readonly InformerChange<T>[]) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async #list(): Promise<void> {
    const result = await this.#pages();
    if (this.#isClosed) return;
    if (!result.ok) {
      this.#failed(result.failure);
      this.#later(this.#backOff.next(result.failure.retryAfterMs), () => void this.#list());
      return;
    }
    const { entries, version } = result.value;
    const nowMs = this.#options.clock.nowMs();
    if (isOlderVersion(version, this.#version) && this.#isStillStale(nowMs)) {
      const message = `list of ${typeName(this.type)} at version ${version} is older than ${this.#version}, which was seen; not taken`;
      this.#failed(failed('malformed', message).failure);
      this.#later(this.#backOff.next(), () => void this.#list());
      return;
    }
    this.#staleSinceMs = 0;
    this.#lists++;
    this.#active();
    this.#replace(entries);
    this.#version = version;
    this.#relistAtMs = nowMs + this.#timing.relistMs * (1 + this.#options.random());
    if (!this.#isSynced) {
      this.#isSynced = true;
      this.#synced.resolve();
    }
    this.#follow();
  }

  /** For a while: a cluster that was restored from a backup would otherwise never be followed again (A6.10). */
  #isStillStale(nowMs: number): boolean {
    if (this.#staleSinceMs === 0) this.#staleSinceMs = nowMs;
    if (nowMs - this.#staleSinceMs < this.#timing.staleMs) return true;
    this.#options.log.warn(
      { kind: this.type.kind },
      'the API server keeps answering with older data: the cluster was set back; taking it',
    );
    return false;
  }

  async #pages(): Promise<
    KubernetesResult<{ readonly entries: Map<string, Entry<T>>; readonly version: string }>
  > {
    const { client, namespace = '', labelSelector, fieldSelector } = this.#options;
    const selection = {
      namespace,
      ...(labelSelector !== undefined && { labelSelector }),
      ...(fieldSelector !== undefined && { fieldSelector }),
    };
    const entries = new Map<string, Entry<T>>();
    let version = '';
    let next = '';
    let limit = this.#timing.pageLimit;
    for (;;) {
      const page = await client.list(this.type, { ...selection, limit, continue: next });
      if (this.#isClosed) return failed('unreachable', 'closed');
      if (!page.ok) {
        if (next === '' || limit === 0 || !isExpired(page.failure)) return page;
        // The pages were too slow for the server's history: all at once instead.
        entries.clear();
        version = '';
        next = '';
        limit = 0;
        continue;
      }
      // What changed between pages comes again with the watch, which begins at the first one.
      if (version === '') version = page.value.resourceVersion;
      for (const item of page.value.items) this.#take(entries, item);
      if (entries.size > OBJECTS_MAX) {
        return failed('tooLarge', `there are more than ${OBJECTS_MAX} ${typeName(this.type)}`);
      }
      next = page.value.continue;
      if (next === '') return { ok: true, value: { entries, version } };
    }
  }

  /** What is in `entries` already is kept where it is the same version, so that identity says "unchanged". */
  #take(entries: Map<string, Entry<T>>, item: unknown): void {
    const object = asKubernetesObject(item);
    if (object === null || !this.#isOurs(object)) {
      this.#errors++;
      return;
    }
    const key = objectKey(object);
    const known = this.#entries.get(key);
    const { uid = '', resourceVersion = '' } = object.metadata;
    if (isSame(known, uid, resourceVersion)) entries.set(key, known!);
    else {
      const entry = this.#entry(object, uid, resourceVersion);
      if (entry !== null) entries.set(key, entry);
    }
  }

  #isOurs({ metadata }: KubernetesObject): boolean {
    const { namespace = '' } = this.#options;
    return namespace === '' || !this.type.namespaced || metadata.namespace === namespace;
  }

  #entry(object: KubernetesObject, uid: string, resourceVersion: string): Entry<T> | null {
    try {
      const value = this.#options.project(object);
      return value === null ? null : { uid, resourceVersion, value };
    } catch (error) {
      this.#errors++;
      this.#options.log.warn(
        { err: error, kind: this.type.kind, object: objectKey(object) },
        'an object cannot be read and is left out',
      );
      return null;
    }
  }

  #replace(entries: Map<string, Entry<T>>): void {
    const changes: InformerChange<T>[] = [];
    for (const [key, { value }] of this.#entries) {
      if (!entries.has(key)) changes.push({ key, before: value, after: undefined });
    }
    for (const [key, entry] of entries) {
      const before = this.#entries.get(key);
      if (before !== entry) changes.push({ key, before: before?.value, after: entry.value });
    }
    this.#entries = entries;
    this.#publish(changes);
  }

  #follow(): void {
    const { client, namespace, labelSelector, fieldSelector, clock, random } = this.#options;
    const { watchSeconds, silenceMs } = this.#timing;
    this.#watches++;
    this.#watchedAtMs = clock.nowMs();
    const eventsBefore = this.#events;
    this.#watch = client.watch(
      this.type,
      {
        ...(namespace !== undefined && { namespace }),
        ...(labelSelector !== undefined && { labelSelector }),
        ...(fieldSelector !== undefined && { fieldSelector }),
        resourceVersion: this.#version,
        timeoutSeconds: Math.ceil(watchSeconds * (1 + random())),
        silenceMs,
      },
      {
        onEvents: (events) => {
          this.#active();
          if (this.#apply(events)) return;
          this.#watch?.close();
          this.#watch = null;
          this.#isSoundWatch();
          this.#later(this.#backOff.next(), () => void this.#list());
        },
        onEnd: (end) => this.#ended(end, this.#events > eventsBefore),
      },
    );
  }

  #ended(end: WatchEnd, hadEvents: boolean): void {
    this.#watch = null;
    if (this.#isClosed) return;
    const isSound = this.#isSoundWatch() || hadEvents;
    if (end.kind !== 'failed') {
      if (end.kind === 'silent') {
        this.#failed(failed('timeout', `watch of ${typeName(this.type)} went silent`).failure);
      }
      if (this.#options.clock.nowMs() >= this.#relistAtMs) {
        void this.#list();
        return;
      }
      // A server that ends each watch at once must not be asked in a loop.
      this.#later(isSound ? 0 : this.#backOff.next(), () => this.#follow());
      return;
    }
    const { failure } = end;
    this.#failed(failure);
    const isComplete = failure.kind === 'unreachable' || failure.kind === 'timeout';
    const isBusy = failure.code === 429 || failure.code >= 500;
    const delayMs = this.#backOff.next(failure.retryAfterMs);
    if (isComplete || isBusy) this.#later(delayMs, () => this.#follow());
    else this.#later(delayMs, () => void this.#list());
  }

  /** False where an event contradicts what is known: only a list can tell. */
  #apply(events: readonly WatchEvent[]): boolean {
    const changes: InformerChange<T>[] = [];
    const isSound = events.every((event) => this.#applyOne(event, changes));
    this.#publish(changes);
    return isSound;
  }

  #applyOne(event: WatchEvent, changes: InformerChange<T>[]): boolean {
    if (event.type === 'BOOKMARK') {
      this.#events++;
      if (!isOlderVersion(event.resourceVersion, this.#version)) {
        this.#version = event.resourceVersion;
      }
      return true;
    }
    const { object } = event;
    if (!this.#isOurs(object)) {
      this.#errors++;
      return true;
    }
    const key = objectKey(object);
    const known = this.#entries.get(key);
    const { uid = '', resourceVersion = '' } = object.metadata;
    if (known !== undefined && isOlderVersion(resourceVersion, known.resourceVersion)) {
      this.#errors++;
      return true;
    }
    if (event.type !== 'DELETED' && isSame(known, uid, resourceVersion)) return true;
    if (isOlderVersion(resourceVersion, this.#version)) {
      // It may bring back what is gone, or be late: a list knows.
      this.#failed(
        failed('malformed', `watch of ${typeName(this.type)}: events are out of order`).failure,
      );
      return false;
    }
    this.#events++;
    this.#version = resourceVersion;
    const entry = event.type === 'DELETED' ? null : this.#entry(object, uid, resourceVersion);
    if (entry !== null) this.#entries.set(key, entry);
    else this.#entries.delete(key);
    if (entry !== null || known !== undefined) {
      changes.push({ key, before: known?.value, after: entry?.value });
    }
    return true;
  }

  #publish(changes: readonly InformerChange<T>[]): void {
    for (const { key, after } of changes) {
      if (after === undefined) this.#values.delete(key);
      else this.#values.set(key, after);
    }
    if (changes.length === 0) return;
    for (const listener of [...this.#listeners]) listener(changes);
  }

  #active(): void {
    this.#lastActivityMs = this.#options.clock.nowMs();
    this.#problem = '';
  }

  /** How long the watch held decides: a list that succeeds and a watch that fails at once must not take turns in a loop. */
  #isSoundWatch(): boolean {
    const isSound = this.#options.clock.nowMs() - this.#watchedAtMs >= WATCH_MS_MIN;
    if (isSound) this.#backOff.reset();
    return isSound;
  }

  #failed({ kind, code, message }: KubernetesFailure): void {
    this.#errors++;
    // The same again says nothing new.
    if (this.#problem !== message) {
      this.#options.log.warn({ kind: this.type.kind, failure: kind, code }, message);
    }
    this.#problem = message;
  }

  #later(delayMs: number, callback: () => void): void {
    this.#cancelTimer?.();
    this.#cancelTimer = this.#options.clock.schedule(delayMs, () => {
      this.#cancelTimer = null;
      if (!this.#isClosed) callback();
    });
  }
}

function isSame(
  known: { readonly uid: string; readonly resourceVersion: string } | undefined,
  uid: string,
  resourceVersion: string,
): boolean {
  return known?.uid === uid && known.resourceVersion === resourceVersion;
}
