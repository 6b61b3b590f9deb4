import type {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
} from '../../proto/gen/envoy/service/discovery/v3/discovery.ts';
import { createMessage } from '../../proto/message-codec.ts';
import type { Steps } from '../../proto/steps.ts';
import { TYPE_NAME_TABLE } from '../../proto/type-urls.ts';

/** `google.rpc.Code.INVALID_ARGUMENT`, of every NACK. */
const INVALID_ARGUMENT = 3;
/** Characters of an error text: it travels back in one message and is shown to people. */
const ERROR_LENGTH_MAX = 16_384;

/**
 * One type's part of a delta ADS stream, client side: which names are wanted, which versions are held, which
 * nonce is to be answered. Holds no stream and no timer; every method answers the request to send, or null.
 * Rules by number are those of the xDS protocol notes in docs/architecture.md.
 */
export class DeltaSubscription {
  readonly typeUrl: string;
  /** LDS, CDS and the names: everything there is for this node. */
  readonly wildcard: boolean;
  readonly #wanted = new Set<string>();
  /** Versions of the resources that this proxy uses, by name. */
  readonly #held = new Map<string, string>();
  #open = false;

  constructor(typeUrl: string, wildcard: boolean) {
    this.typeUrl = typeUrl;
    this.wildcard = wildcard;
  }

  get names(): ReadonlySet<string> {
    return this.#wanted;
  }

  get held(): ReadonlyMap<string, string> {
    return this.#held;
  }

  /**
   * A new stream: the first request of the type says what is wanted and what is held, so that only the
   * difference is sent (rule 12). Null where nothing is wanted.
   */
  open(): DeltaDiscoveryRequest | null {
    this.#open = this.wildcard || this.#wanted.size > 0;
    if (!this.#open) return null;
    return createMessage('envoy.service.discovery.v3.DeltaDiscoveryRequest', {
      typeUrl: this.typeUrl,
      resourceNamesSubscribe: [...this.#wanted],
      initialResourceVersions: new Map(this.#held),
    });
  }

  /** The stream is gone; what is held stays held (I7). */
  close(): void {
    this.#open = false;
  }

  /** Wants exactly these names. Null where nothing changes, or no stream is open. */
  setNames(names: ReadonlySet<string>, streaming: boolean): DeltaDiscoveryRequest | null {
    const subscribe = [...names].filter((name) => !this.#wanted.has(name));
    const unsubscribe = [...this.#wanted].filter((name) => !names.has(name));
    if (subscribe.length === 0 && unsubscribe.length === 0) return null;
    for (const name of subscribe) this.#wanted.add(name);
    for (const name of unsubscribe) {
      this.#wanted.delete(name);
      this.#held.delete(name);
    }
    if (!streaming) return null;
    if (!this.#open) return this.open();
    return createMessage('envoy.service.discovery.v3.DeltaDiscoveryRequest', {
      typeUrl: this.typeUrl,
      resourceNamesSubscribe: subscribe,
      resourceNamesUnsubscribe: unsubscribe,
    });
  }

  /** Notes a version that was accepted, also one from the disk. */
  accept(name: string, version: string): void {
    this.#held.set(name, version);
  }

  forget(name: string): void {
    this.#held.delete(name);
  }

  /** The answer to a response: a NACK iff `problem` is not empty (rule 1). */
  answer(response: DeltaDiscoveryResponse, problem: string): DeltaDiscoveryRequest {
    return createMessage('envoy.service.discovery.v3.DeltaDiscoveryRequest', {
      typeUrl: this.typeUrl,
      responseNonce: response.nonce,
      ...(problem === ''
        ? {}
        : {
            errorDetail: {
              code: INVALID_ARGUMENT,
              message: problem.slice(0, ERROR_LENGTH_MAX),
              details: [],
            },
          }),
    });
  }

  /** What makes a whole response invalid: a resource that stands in it twice (rule 6), or a wrong type (rule 17). */
  *checkResponse(response: DeltaDiscoveryResponse): Steps<string> {
    const seen = new Set<string>();
    for (const { name, resource } of response.resources) {
      // Istio's name table has none.
      if (name === '' && this.typeUrl !== TYPE_NAME_TABLE) return 'a resource has no name';
      if (seen.has(name)) return `resource "${name}" stands in one response twice`;
      seen.add(name);
      if (resource !== undefined && resource.typeUrl !== this.typeUrl) {
        return `resource "${name}" is a ${resource.typeUrl} in a response of ${this.typeUrl}`;
      }
      yield;
    }
    for (const name of response.removedResources) {
      if (seen.has(name)) return `resource "${name}" is sent and removed in one response`;
    }
    return '';
  }
}
