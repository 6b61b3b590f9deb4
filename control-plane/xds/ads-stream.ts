import {
  TYPE_CLUSTER,
  TYPE_ENDPOINT,
  TYPE_LISTENER,
  TYPE_NAME_TABLE,
  TYPE_ROUTE,
} from '../../proto/type-urls.ts';
import type { Clock } from '../clock.ts';
import type { Acknowledgement } from './delivery.ts';
import { pushRank, REMOVAL_ORDER } from './push-order.ts';
import { endpointNameOf, routeNamesOf } from './references.ts';
import type { ResourceNames } from './resource-names.ts';
import type { Push, Resources, Subscription } from './subscription.ts';

/** What one proxy should have. */
export interface ResourcesByType {
  /** The same map every time; an empty one for a type that nobody makes. */
  of(typeUrl: string): Resources;
}

export interface AdsStreamOptions<Request, Response> {
  readonly clock: Clock;
  readonly subscribe: (typeUrl: string) => Subscription<Request, Response>;
  /** False: wait for `drained` before the next one. */
  readonly write: (response: Response) => boolean;
  readonly observer: AdsStreamObserver;
}

export interface AdsStreamObserver {
  /** A response left. */
  pushed(typeUrl: string, push: Push<unknown>): void;
  answered(typeUrl: string, acknowledgement: Acknowledgement, error: string): void;
  /** Everything given to `setResources` is acknowledged or refused, `sinceMs` after it was given. */
  settled(sinceMs: number): void;
}

/** Types that one stream may ask for (A6.3). */
export const TYPES_MAX = 16;

/**
 * All types of one aggregated stream, and the order between them (xDS rule 13):
 *
 *   clusters ▶ their endpoints ▶ (acknowledged) ▶ listeners ▶ routes ▶ (acknowledged) ▶ names, removals
 *
 * Types do not wait for each other otherwise (rule 14), and every wait has an end, so that a client that asks in another
 * way than expected is served late, not never.
 */
export class AdsStream<Request extends { readonly typeUrl: string }, Response> {
  readonly #options: AdsStreamOptions<Request, Response>;
  readonly #subscriptions = new Map<string, Subscription<Request, Response>>();
  #resources: ResourcesByType | null = null;
  #openedAtMs: number;
  #isBlocked = false;
  #isClosed = false;
  /** When the listeners and routes of now began to wait; 0 = they do not. */
  #waitsSinceMs = 0;
  #cancelWait: (() => void) | null = null;
  /** When the resources that are not settled yet were given; 0 = settled. */
  #unsettledSinceMs = 0;

  constructor(options: AdsStreamOptions<Request, Response>) {
    this.#options = options;
    this.#openedAtMs = options.clock.nowMs();
  }

  get subscriptions(): ReadonlyMap<string, Subscription<Request, Response>> {
    return this.#subscriptions;
  }

  get isBlocked(): boolean {
    return this.#isBlocked;
  }

  /** Takes a request in; the answer leaves with the next `pump`. False: one type too many. */
  receive(request: Request): boolean {
    let subscription = this.#subscriptions.get(request.typeUrl);
    if (subscription === undefined) {
      if (this.#subscriptions.size >= TYPES_MAX) return false;
      subscription = this.#options.subscribe(request.typeUrl);
      this.#subscriptions.set(request.typeUrl, subscription);
    }
    const acknowledgement = subscription.receive(request, this.#options.clock.nowMs());
    if (acknowledgement !== 'none') {
      const { error } = subscription.delivery;
      this.#options.observer.answered(request.typeUrl, acknowledgement, error);
    }
    return true;
  }

  /** The newest state; what was not sent of the one before never is. */
  setResources(resources: ResourcesByType): void {
    this.#resources = resources;
    if (this.#unsettledSinceMs === 0) this.#unsettledSinceMs = this.#options.clock.nowMs();
    this.pump();
  }

  /** The socket takes more. */
  drained(): void {
    this.#isBlocked = false;
    this.pump();
  }

  close(): void {
    this.#isClosed = true;
    this.#cancelWait?.();
    this.#cancelWait = null;
  }

  /** Sends what may be sent now. */
  pump(): void {
    if (this.#resources === null || this.#isClosed || this.#isBlocked) return;
    const waitMs = this.#namersWaitMs();
    let namesWaitMs = 0;
    for (const subscription of this.#ordered()) {
      const { typeUrl } = subscription;
      if (typeUrl === TYPE_NAME_TABLE) {
        // Asked here, because the listeners may have left just now.
        namesWaitMs = Math.max(waitMs, this.#namesWaitMs());
        if (namesWaitMs > 0) continue;
      }
      if (waitMs > 0 && (typeUrl === TYPE_LISTENER || typeUrl === TYPE_ROUTE)) continue;
      if (!this.#send(subscription, typeUrl === TYPE_LISTENER)) return;
    }
    if (waitMs > 0) this.#wait(waitMs);
    else if (namesWaitMs > 0) this.#wait(namesWaitMs);
    else if (this.#isQuiet()) this.#sendRemovals();
  }

  /** False: the socket takes no more. */
  #send(subscription: Subscription<Request, Response>, withRemovals: boolean): boolean {
    const { typeUrl } = subscription;
    const push = subscription.next(this.#of(typeUrl), withRemovals, this.#options.clock.nowMs());
    if (push === null) return true;
    this.#oweDependants(typeUrl, push);
    this.#isBlocked = !this.#options.write(push.response);
    this.#options.observer.pushed(typeUrl, push);
    return !this.#isBlocked;
  }

  #sendRemovals(): void {
    for (const typeUrl of REMOVAL_ORDER) {
      const subscription = this.#subscriptions.get(typeUrl);
      if (subscription === undefined) continue;
      if (!this.#send(subscription, true)) return;
      // Whoever named it has to have let go first.
      if (subscription.delivery.isOutstanding) return;
    }
    this.#settle();
  }

  /** Nothing is on the way and nothing but removals is left to say. */
  #isQuiet(): boolean {
    for (const subscription of this.#subscriptions.values()) {
      if (subscription.delivery.isOutstanding) return false;
      if (subscription.pending(this.#of(subscription.typeUrl)).changes) return false;
    }
    return true;
  }

  #settle(): void {
    if (this.#unsettledSinceMs === 0 || this.#subscriptions.size === 0) return;
    const tookMs = this.#options.clock.nowMs() - this.#unsettledSinceMs;
    this.#unsettledSinceMs = 0;
    this.#options.observer.settled(tookMs);
  }

  /** Rule 11: an updated cluster waits for its endpoints, a listener for its routes, even if they are the same. */
  #oweDependants(typeUrl: string, { resources }: Push<Response>): void {
    if (typeUrl === TYPE_CLUSTER) {
      const endpoints = this.#subscriptions.get(TYPE_ENDPOINT);
      endpoints?.owe(resources.map(endpointNameOf).filter((name) => name !== ''));
    } else if (typeUrl === TYPE_LISTENER) {
      this.#subscriptions.get(TYPE_ROUTE)?.owe(resources.flatMap(routeNamesOf));
    }
  }

  /**
   * Milliseconds that listeners and routes, which name clusters, still have to wait; 0 = they go now. A client that
   * subscribes to clusters one by one (gRPC) asks for them because a route named them: there is nothing to wait for.
   */
  #namersWaitMs(): number {
    const boundMs = this.#hasPendingNamers() ? this.#waitBoundMs() : 0;
    if (boundMs === 0) {
      this.#waitsSinceMs = 0;
      return 0;
    }
    const nowMs = this.#options.clock.nowMs();
    if (this.#waitsSinceMs === 0) this.#waitsSinceMs = nowMs;
    return Math.max(0, this.#waitsSinceMs + boundMs - nowMs);
  }

  /** Milliseconds that names, which lead to listeners, wait for these to be acknowledged; 0 = they go now. */
  #namesWaitMs(): number {
    const nowMs = this.#options.clock.nowMs();
    let waitMs = 0;
    for (const typeUrl of [TYPE_LISTENER, TYPE_ROUTE]) {
      const sinceMs = this.#subscriptions.get(typeUrl)?.delivery.outstandingSinceMs ?? 0;
      if (sinceMs !== 0) waitMs = Math.max(waitMs, sinceMs + ACKNOWLEDGE_WAIT_MS - nowMs);
    }
    return waitMs;
  }

  #waitBoundMs(): number {
    const clusters = this.#subscriptions.get(TYPE_CLUSTER);
    if (clusters === undefined) {
      const isNew = this.#options.clock.nowMs() - this.#openedAtMs < CLUSTERS_FIRST_MS;
      return isNew ? CLUSTERS_FIRST_MS : 0;
    }
    if (!clusters.names.wildcard) return 0;
    const endpoints = this.#subscriptions.get(TYPE_ENDPOINT);
    if (clusters.delivery.isOutstanding || clusters.pending(this.#of(TYPE_CLUSTER)).changes) {
      return ACKNOWLEDGE_WAIT_MS;
    }
    if (
      endpoints !== undefined &&
      (endpoints.delivery.isOutstanding || endpoints.pending(this.#of(TYPE_ENDPOINT)).changes)
    ) {
      return ACKNOWLEDGE_WAIT_MS;
    }
    return this.#endpointsAreAskedFor() ? 0 : ASK_WAIT_MS;
  }

  /** The client has asked for the endpoints of every cluster that it holds. */
  #endpointsAreAskedFor(): boolean {
    const resources = this.#of(TYPE_CLUSTER);
    const names = this.#subscriptions.get(TYPE_ENDPOINT)?.names;
    const { held, agreed } = this.#subscriptions.get(TYPE_CLUSTER)!;
    if (agreed === resources && names !== undefined) {
      const { lasting } = names;
      if (names.wildcard || lasting === null) return asksForAll(resources, names);
      return asksForAllOnce(resources, lasting, names);
    }
    for (const cluster of resources.values()) {
      if (!held.has(cluster.name)) continue;
      const name = endpointNameOf(cluster);
      if (name !== '' && names?.covers(name) !== true) return false;
    }
    return true;
  }

  #hasPendingNamers(): boolean {
    for (const typeUrl of [TYPE_LISTENER, TYPE_ROUTE]) {
      const subscription = this.#subscriptions.get(typeUrl);
      if (subscription === undefined) continue;
      const { changes, removals } = subscription.pending(this.#of(typeUrl));
      if (changes || (removals && typeUrl === TYPE_LISTENER)) return true;
    }
    return false;
  }

  #wait(ms: number): void {
    this.#cancelWait?.();
    this.#cancelWait = this.#options.clock.schedule(ms, () => {
      this.#cancelWait = null;
      this.pump();
    });
  }

  #of(typeUrl: string): Resources {
    return this.#resources!.of(typeUrl);
  }

  #ordered(): Subscription<Request, Response>[] {
    return [...this.#subscriptions.values()].sort(
      (a, b) => pushRank(a.typeUrl) - pushRank(b.typeUrl),
    );
  }
}

/** Whether the names cover the endpoints of all these clusters. */
function asksForAll(clusters: Resources, names: ResourceNames): boolean {
  for (const cluster of clusters.values()) {
    const name = endpointNameOf(cluster);
    if (name !== '' && !names.covers(name)) return false;
  }
  return true;
}

/** The same, looked at once for all streams that ask for `lasting`. */
function asksForAllOnce(
  clusters: Resources,
  lasting: ReadonlySet<string>,
  names: ResourceNames,
): boolean {
  let bySet = askedForAll.get(clusters);
  if (bySet === undefined) {
    bySet = new WeakMap();
    askedForAll.set(clusters, bySet);
  }
  let isAll = bySet.get(lasting);
  if (isAll === undefined) {
    isAll = asksForAll(clusters, names);
    bySet.set(lasting, isAll);
  }
  return isAll;
}

const askedForAll = new WeakMap<Resources, WeakMap<ReadonlySet<string>, boolean>>();

/** A stream's first requests may come in any order (rule 15): so long listeners wait for clusters to be asked for. */
const CLUSTERS_FIRST_MS = 100;
/** Longest wait for the acknowledgement of clusters and endpoints. */
const ACKNOWLEDGE_WAIT_MS = 15_000;
/** Longest wait for the client to ask for the endpoints of a new cluster. */
const ASK_WAIT_MS = 1000;
