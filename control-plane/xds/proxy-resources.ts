import type { ResourceType } from '../translate/discovery-resource.ts';
import type { ResourceSet } from '../translate/resource-set.ts';
import type { ResourcesByType } from './ads-stream.ts';
import { PUSH_ORDER } from './push-order.ts';
import type { Resources } from './subscription.ts';

/**
 * A proxy's resources, translated when asked for. Where translation of a type throws, the proxy keeps what it had of
 * this type, and neither its other types nor other proxies are affected (F13).
 */
export class ProxyResources implements ResourcesByType {
  readonly #set: ResourceSet;
  readonly #onError: (error: unknown, typeUrl: string) => void;
  readonly #done = new Map<string, Resources>();
  #previous: ProxyResources | null;

  constructor(
    set: ResourceSet,
    previous: ProxyResources | null,
    onError: (error: unknown, typeUrl: string) => void,
  ) {
    this.#set = set;
    this.#onError = onError;
    this.#previous = previous;
    // A chain of predecessors would keep every snapshot alive.
    if (previous !== null) previous.#previous = null;
  }

  of(typeUrl: string): Resources {
    let resources = this.#done.get(typeUrl);
    if (resources === undefined) {
      resources = this.#translate(typeUrl);
      this.#done.set(typeUrl, resources);
    }
    return resources;
  }

  #translate(typeUrl: string): Resources {
    if (!TRANSLATED.has(typeUrl)) return NO_RESOURCES;
    try {
      return this.#set.resources(typeUrl as ResourceType);
    } catch (error) {
      this.#onError(error, typeUrl);
      return this.#previous?.of(typeUrl) ?? NO_RESOURCES;
    }
  }
}

const TRANSLATED: ReadonlySet<string> = new Set(PUSH_ORDER);
const NO_RESOURCES: Resources = new Map();
