import {
  type DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
} from '../../proto/gen/envoy/service/discovery/v3/discovery.ts';
import type { DiscoveryResource } from '../translate/discovery-resource.ts';
import { type Acknowledgement, Delivery } from './delivery.ts';
import { HeldVersions } from './held-versions.ts';
import { WHOLE_WORLD_TYPES } from './push-order.ts';
import { Refusals } from './refusals.ts';
import { changedNames } from './resource-difference.ts';
import { ResourceNames, WILDCARD } from './resource-names.ts';
import { type ResponseBody, sharedBody } from './response-body.ts';
import type { Held, NextNonce, Pending, Push, Resources, Subscription } from './subscription.ts';

/**
 * One type of an incremental stream (`DeltaAggregatedResources`). What has to be sent is always the difference between
 * what the client holds and what it should hold now, so a push that was overtaken by a newer one never leaves.
 */
export class DeltaSubscription
  implements Subscription<DeltaDiscoveryRequest, DeltaDiscoveryResponse>
{
  readonly typeUrl: string;
  readonly names: ResourceNames;
  readonly delivery = new Delivery();
  readonly #nextNonce: NextNonce;
  readonly #held: HeldVersions;
  /** To be answered even if unchanged, or if there is no such resource (rules 8, 10, 11). */
  readonly #owed = new Set<string>();
  readonly #refusals = new Refusals();
  #outstanding: { readonly body: ResponseBody; readonly removed: readonly string[] } | null = null;
  #begun = false;
  /** A wildcard subscriber that gets nothing has to be told so once: it waits for the first answer. */
  #owesFirstAnswer = false;
  /** Nothing was left to say about this very map. */
  #doneWith: Resources | null = null;

  constructor(typeUrl: string, nextNonce: NextNonce) {
    this.typeUrl = typeUrl;
    this.names = new ResourceNames(WHOLE_WORLD_TYPES.has(typeUrl));
    this.#held = new HeldVersions(this.names);
    this.#nextNonce = nextNonce;
  }

  get held(): Held {
    return this.#held;
  }

  get heldAloneCount(): number {
    return this.#held.exceptionCount;
  }

  get agreed(): Resources | null {
    return this.heldAloneCount === 0 ? this.#held.agreed : null;
  }

  /**
   * A stale nonce voids the acknowledgement only; what is subscribed and unsubscribed beside it counts (rule 3).
   */
  receive(request: DeltaDiscoveryRequest, nowMs: number): Acknowledgement {
    const acknowledgement = this.#acknowledge(request, nowMs);
    const { resourceNamesSubscribe, resourceNamesUnsubscribe } = request;
    if (!this.#begun) this.#begin(request);
    else if (resourceNamesSubscribe.length > 0) this.#subscribe(resourceNamesSubscribe);
    if (resourceNamesUnsubscribe.length > 0) this.#unsubscribe(resourceNamesUnsubscribe);
    return acknowledgement;
  }

  owe(names: Iterable<string>): void {
    for (const name of names) {
      if (this.names.covers(name)) this.#owed.add(name);
    }
    this.#doneWith = null;
  }

  pending(resources: Resources): Pending {
    if (this.#isDone(resources)) return NOTHING;
    let removals = false;
    for (const { resource } of this.#differences(resources)) {
      if (resource !== null) return { changes: true, removals: true };
      removals = true;
    }
    if (!removals) this.#holds(resources);
    return { changes: this.#owesFirstAnswer || this.#owesAbsent(resources), removals };
  }

  next(
    resources: Resources,
    withRemovals: boolean,
    nowMs: number,
  ): Push<DeltaDiscoveryResponse> | null {
    if (this.delivery.isOutstanding || this.#isDone(resources)) return null;
    const sent: DiscoveryResource[] = [];
    const removed: string[] = [];
    let bytes = 0;
    let isWhole = true;
    for (const { name, resource } of this.#differences(resources)) {
      if (resource === null) {
        if (withRemovals || this.#owed.has(name)) removed.push(name);
        else isWhole = false;
        continue;
      }
      bytes += resource.any.value.length + name.length + OVERHEAD_BYTES;
      // The rest follows when this part is acknowledged (rule 18).
      if (bytes > RESPONSE_BYTES_MAX && sent.length > 0) {
        isWhole = false;
        break;
      }
      sent.push(resource);
    }
    const isEmpty = sent.length === 0 && removed.length === 0;
    if (isEmpty && !(this.#owesFirstAnswer && isWhole)) {
      if (isWhole) this.#holds(resources);
      return null;
    }
    if (isWhole) {
      this.#owesFirstAnswer = false;
      this.#owed.clear();
      this.#holds(resources);
    } else {
      this.#note(sent, removed);
    }
    return this.#send(sharedBody(sent), removed, nowMs);
  }

  /** The client holds all that it asks for of these and is owed nothing of it. */
  #holds(resources: Resources): void {
    this.#held.agree(resources);
    if (!this.#owesFirstAnswer) this.#doneWith = resources;
  }

  #note(sent: readonly DiscoveryResource[], removed: readonly string[]): void {
    for (const { name, version } of sent) {
      this.#held.set(name, version);
      this.#owed.delete(name);
    }
    for (const name of removed) {
      this.#held.delete(name);
      this.#owed.delete(name);
    }
  }

  #send(
    body: ResponseBody,
    removed: readonly string[],
    nowMs: number,
  ): Push<DeltaDiscoveryResponse> {
    this.#owesFirstAnswer = false;
    this.#outstanding = { body, removed };
    const nonce = this.#nextNonce(body.serial);
    this.delivery.sent(nonce, nowMs);
    const response = DeltaDiscoveryResponse.create({
      typeUrl: this.typeUrl,
      nonce,
    });
    response.resources = body.deltaResources;
    response.removedResources = [...removed];
    return {
      response,
      resources: body.resources,
      removedCount: removed.length,
      bytes: body.bytes,
    };
  }

  #acknowledge(request: DeltaDiscoveryRequest, nowMs: number): Acknowledgement {
    const error = request.errorDetail?.message ?? null;
    const result = this.delivery.answered(request.responseNonce, error, nowMs);
    if (result === 'none' || result === 'stale') return result;
    const { body, removed } = this.#outstanding!;
    this.#outstanding = null;
    if (result === 'nack') {
      const sent = body.resources.map(({ name }) => name);
      this.#refusals.refused(sent, this.delivery.error);
    } else if (this.#refusals.stand) {
      this.#refusals.accepted([...body.resources.map(({ name }) => name), ...removed]);
    }
    this.delivery.error = this.#refusals.text;
    return result;
  }

  #begin(request: DeltaDiscoveryRequest): void {
    this.#begun = true;
    // Rule 12: only the first request of a type says what the client has.
    for (const [name, version] of request.initialResourceVersions) {
      this.#held.set(name, version);
    }
    this.names.begin(request.resourceNamesSubscribe);
    for (const name of this.names.names) {
      if (!this.#held.has(name)) this.#owed.add(name);
    }
    // What the client has and does not ask for is none of ours.
    this.#held.forgetUncovered();
    this.#owesFirstAnswer = this.names.wildcard && this.#held.exceptionCount === 0;
  }

  /** Rule 10: sent even where the client should have it, it may have dropped it. */
  #subscribe(names: readonly string[]): void {
    const hadWildcard = this.names.wildcard;
    this.#held.beforeAdding(names, names.includes(WILDCARD));
    this.names.add(names);
    for (const name of names) if (name !== WILDCARD) this.#owed.add(name);
    if (this.names.wildcard && !hadWildcard) this.#owesFirstAnswer = true;
    this.#doneWith = null;
  }

  /** Rules 7 and 10: no answer, unless the wildcard still covers the name: then the client must learn if it is there. */
  #unsubscribe(names: readonly string[]): void {
    this.names.delete(names);
    if (names.includes(WILDCARD)) {
      this.#held.forgetUncovered();
      for (const name of this.#owed) if (!this.names.covers(name)) this.#owed.delete(name);
    }
    for (const name of names) {
      if (name === WILDCARD || this.names.names.has(name)) continue;
      this.#held.delete(name);
      this.#refusals.accepted([name]);
      if (this.names.wildcard) this.#owed.add(name);
      else this.#owed.delete(name);
    }
    this.delivery.error = this.#refusals.text;
    this.#doneWith = null;
  }

  #isDone(resources: Resources): boolean {
    return this.#doneWith === resources && this.#owed.size === 0 && !this.#owesFirstAnswer;
  }

  #owesAbsent(resources: Resources): boolean {
    for (const name of this.#owed) if (!resources.has(name)) return true;
    return false;
  }

  /** What the client does not hold as it is now; `resource` null: what it holds or waits for is not there. */
  *#differences(
    resources: Resources,
  ): IterableIterator<{ name: string; resource: DiscoveryResource | null }> {
    const candidates = this.#candidates(resources);
    for (const name of candidates) {
      const resource = resources.get(name);
      if (resource === undefined || !this.names.covers(name)) continue;
      if (this.#held.get(name) !== resource.version || this.#owed.has(name)) {
        yield { name, resource };
      }
    }
    for (const name of this.#owed) {
      if (!resources.has(name) && !this.#held.has(name)) yield { name, resource: null };
    }
    for (const name of this.#held.agreed === null ? this.#held.exceptions : candidates) {
      if (!resources.has(name) && this.#held.has(name)) yield { name, resource: null };
    }
  }

  /** Names that may differ: all, or, where the client agreed to a map, what has changed since and what is its own. */
  #candidates(resources: Resources): Iterable<string> {
    const { agreed, exceptions, exceptionCount } = this.#held;
    if (agreed === null) return this.names.wildcard ? resources.keys() : this.names.names;
    const changed = changedNames(agreed, resources);
    if (exceptionCount === 0 && this.#owed.size === 0) return changed;
    return new Set([...changed, ...exceptions, ...this.#owed]);
  }
}

const NOTHING: Pending = Object.freeze({ changes: false, removals: false });

/** A quarter below the 4 MiB that gRPC clients take by default. */
const RESPONSE_BYTES_MAX = 3 * 1024 * 1024;
/** Type URL, version and field tags of one resource. */
const OVERHEAD_BYTES = 128;
