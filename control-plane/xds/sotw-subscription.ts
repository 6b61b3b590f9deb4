import { hash } from 'node:crypto';
import {
  type DiscoveryRequest,
  DiscoveryResponse,
} from '../../proto/gen/envoy/service/discovery/v3/discovery.ts';
import type { DiscoveryResource } from '../translate/discovery-resource.ts';
import { type Acknowledgement, Delivery } from './delivery.ts';
import { WHOLE_WORLD_TYPES } from './push-order.ts';
import { ResourceNames } from './resource-names.ts';
import { sharedBody } from './response-body.ts';
import type { NextNonce, Pending, Push, Resources, Subscription } from './subscription.ts';

/**
 * One type of a state-of-the-world stream (`StreamAggregatedResources`). Listeners and clusters are sent whole, and
 * absence deletes; of every other type only what changed is sent, and absence means nothing (rule 9).
 */
export class SotwSubscription implements Subscription<DiscoveryRequest, DiscoveryResponse> {
  readonly typeUrl: string;
  readonly names: ResourceNames;
  readonly delivery = new Delivery();
  readonly #isWholeWorld: boolean;
  readonly #nextNonce: NextNonce;
  readonly #sent = new Map<string, DiscoveryResource>();
  readonly #held = new Map<string, string>();
  readonly #owed = new Set<string>();
  /** Of the state last sent, or what the client brought from a former stream; '' = nothing. */
  #version = '';
  #begun = false;
  #owesAnswer = false;
  #doneWith: Resources | null = null;

  constructor(typeUrl: string, nextNonce: NextNonce) {
    this.typeUrl = typeUrl;
    this.#isWholeWorld = WHOLE_WORLD_TYPES.has(typeUrl);
    this.names = new ResourceNames(this.#isWholeWorld);
    this.#nextNonce = nextNonce;
  }

  get held(): ReadonlyMap<string, string> {
    return this.#held;
  }

  get heldAloneCount(): number {
    return this.#held.size;
  }

  get agreed(): null {
    return null;
  }

  receive(request: DiscoveryRequest, nowMs: number): Acknowledgement {
    if (!this.#begun) {
      // Rule 2: a nonce of a former stream means nothing. Rule 5: a version of a former stream does.
      this.#begun = true;
      this.#version = request.versionInfo;
      this.#owesAnswer = request.versionInfo === '' && this.#isWholeWorld;
      this.#replaceNames(request.resourceNames, request.versionInfo === '');
      return 'none';
    }
    const error = request.errorDetail?.message ?? null;
    const result = this.delivery.answered(request.responseNonce, error, nowMs);
    // Rule 3: a newer request is on its way.
    if (result === 'stale') return result;
    if (result === 'ack') this.delivery.error = '';
    this.#replaceNames(request.resourceNames, true);
    return result;
  }

  owe(names: Iterable<string>): void {
    for (const name of names) {
      if (this.names.covers(name)) this.#owed.add(name);
    }
    this.#doneWith = null;
  }

  pending(resources: Resources): Pending {
    if (this.#isDone(resources)) return NOTHING;
    const removals = this.#hasRemovals(resources);
    const changes = this.#owesAnswer || this.#changed(resources).length > 0;
    if (!removals && !changes) this.#doneWith = resources;
    return { changes, removals };
  }

  next(resources: Resources, withRemovals: boolean, nowMs: number): Push<DiscoveryResponse> | null {
    if (this.delivery.isOutstanding || this.#isDone(resources)) return null;
    const wanted = this.#wanted(resources);
    const kept = withRemovals ? [] : this.#gone(resources);
    const version = stateVersion([...wanted, ...kept]);
    const isKnown = version === this.#version && !this.#owesAnswer;
    // The client brought this very state from a former stream.
    if (isKnown && this.delivery.sentCount === 0) this.#remember(wanted);
    const changed = this.#changed(resources);
    const removed = withRemovals ? this.#gone(resources) : [];
    if (isKnown && changed.length === 0) {
      if (kept.length === 0) this.#doneWith = resources;
      return null;
    }
    const said = this.#isWholeWorld ? [...wanted, ...kept] : changed;
    if (said.length === 0 && !this.#isWholeWorld) {
      for (const { name } of removed) this.#forget(name);
      this.#version = version;
      return null;
    }
    for (const { name } of removed) this.#forget(name);
    this.#remember(changed);
    this.#version = version;
    this.#owesAnswer = false;
    this.#owed.clear();
    const body = sharedBody(said);
    const nonce = this.#nextNonce(body.serial);
    this.delivery.sent(nonce, nowMs);
    const response = DiscoveryResponse.create({
      versionInfo: version,
      typeUrl: this.typeUrl,
      nonce,
    });
    response.resources = body.stateOfTheWorldResources;
    return {
      response,
      resources: changed,
      removedCount: removed.length,
      bytes: body.bytes,
    };
  }

  #replaceNames(names: readonly string[], owesNew: boolean): void {
    const hadWildcard = this.names.wildcard;
    const added = this.names.replace(names);
    if (owesNew) {
      for (const name of added) this.#owed.add(name);
      // Rule 8: a listener or cluster that does not exist is answered by its absence.
      if (this.#isWholeWorld && (added.length > 0 || this.names.wildcard !== hadWildcard)) {
        this.#owesAnswer = true;
      }
    }
    for (const name of [...this.#sent.keys()]) if (!this.names.covers(name)) this.#forget(name);
    for (const name of [...this.#owed]) if (!this.names.covers(name)) this.#owed.delete(name);
    this.#doneWith = null;
  }

  #isDone(resources: Resources): boolean {
    return this.#doneWith === resources && !this.#owesAnswer;
  }

  #wanted(resources: Resources): DiscoveryResource[] {
    if (this.names.wildcard) return [...resources.values()];
    const wanted: DiscoveryResource[] = [];
    for (const name of this.names.names) {
      const resource = resources.get(name);
      if (resource !== undefined) wanted.push(resource);
    }
    return wanted;
  }

  /** Sent before and gone since. */
  #gone(resources: Resources): DiscoveryResource[] {
    return [...this.#sent.values()].filter(({ name }) => !resources.has(name));
  }

  #hasRemovals(resources: Resources): boolean {
    for (const name of this.#sent.keys()) if (!resources.has(name)) return true;
    return false;
  }

  #changed(resources: Resources): DiscoveryResource[] {
    return this.#wanted(resources).filter(
      ({ name, version }) => this.#held.get(name) !== version || this.#owed.has(name),
    );
  }

  #remember(resources: readonly DiscoveryResource[]): void {
    for (const resource of resources) {
      this.#sent.set(resource.name, resource);
      this.#held.set(resource.name, resource.version);
    }
  }

  #forget(name: string): void {
    this.#sent.delete(name);
    this.#held.delete(name);
  }
}

const NOTHING: Pending = Object.freeze({ changes: false, removals: false });

/** Equal content, equal version: over names and versions in the order of names, in every replica. */
function stateVersion(resources: readonly DiscoveryResource[]): string {
  const lines = resources.map(({ name, version }) => `${name} ${version}`).sort();
  return hash('sha256', lines.join('\n'), 'hex').slice(0, 16);
}
