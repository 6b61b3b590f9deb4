import type { DiscoveryResource } from '../translate/discovery-resource.ts';
import type { Acknowledgement, Delivery } from './delivery.ts';
import type { ResourceNames } from './resource-names.ts';

/** Resources of one type by name. The same map object stands for the same content. */
export type Resources = ReadonlyMap<string, DiscoveryResource>;

/** Names and versions of what a client holds. */
export interface Held extends Iterable<readonly [name: string, version: string]> {
  /** Counted when asked. */
  readonly size: number;
  has(name: string): boolean;
  keys(): Iterable<string>;
}

/**
 * A nonce that is new on its stream: the number `atLeast` where that is greater than all before. So streams that are sent
 * the same body mostly give it the same nonce, and the very bytes are the same.
 */
export type NextNonce = (atLeast: number) => string;

/** What a subscription still wants to tell its client. */
export interface Pending {
  /** Something to add, to change, or to answer. */
  readonly changes: boolean;
  /** Something the client holds is gone. */
  readonly removals: boolean;
}

export interface Push<Response> {
  readonly response: Response;
  /** Resources in it: the same list for all streams that are sent the same. */
  readonly resources: readonly DiscoveryResource[];
  readonly removedCount: number;
  /** Of the encoded resources. */
  readonly bytes: number;
}

/**
 * One stream's interest in one type and what its client holds of it: a state machine that knows neither sockets nor
 * timers. `delta-subscription.ts` and `sotw-subscription.ts` are the two protocols.
 */
export interface Subscription<Request, Response> {
  readonly typeUrl: string;
  readonly names: ResourceNames;
  readonly delivery: Delivery;
  /** What the client was sent or said that it has. */
  readonly held: Held;
  /** Entries of `held` that are kept for this client alone. */
  readonly heldAloneCount: number;
  /** The very map that the client holds, as far as its names cover it; null where it holds something else. */
  readonly agreed: Resources | null;
  receive(request: Request, nowMs: number): Acknowledgement;
  pending(resources: Resources): Pending;
  /** The next response, now outstanding; null where there is nothing to say or one is outstanding. */
  next(resources: Resources, withRemovals: boolean, nowMs: number): Push<Response> | null;
  /** To be sent once more even if unchanged: the client waits for them (xDS rule 11). */
  owe(names: Iterable<string>): void;
}
