import {
  DeltaDiscoveryResponse,
  DiscoveryResponse,
  Resource,
} from '../../proto/gen/envoy/service/discovery/v3/discovery.ts';
import type { Any } from '../../proto/gen/google/protobuf/any.ts';
import type { DiscoveryResource } from '../translate/discovery-resource.ts';

/**
 * The resources of one response. Streams that are sent the very same have one body together: it is encoded once for each
 * protocol, and what differs from stream to stream (the nonce, removed names) is put behind it. Immutable.
 */
export class ResponseBody {
  readonly resources: readonly DiscoveryResource[];
  #delta: Encoded<Resource> | null = null;
  #stateOfTheWorld: Encoded<Any> | null = null;

  constructor(resources: readonly DiscoveryResource[]) {
    this.resources = resources;
  }

  /** For `DeltaDiscoveryResponse.resources`: the same array every time, not to be changed. */
  get deltaResources(): Resource[] {
    if (this.#delta === null) {
      const list = this.resources.map(({ name, version, any }) => {
        const resource = Resource.create({ name, version });
        resource.resource = any;
        return resource;
      });
      this.#delta = new Encoded(list, (resources) =>
        DeltaDiscoveryResponse.encode({ ...EMPTY_DELTA, resources }).finish(),
      );
      deltaBodies.set(list, this.#delta);
    }
    return this.#delta.list;
  }

  /** For `DiscoveryResponse.resources`, likewise. */
  get stateOfTheWorldResources(): Any[] {
    if (this.#stateOfTheWorld === null) {
      const list = this.resources.map(({ any }) => any);
      this.#stateOfTheWorld = new Encoded(list, (resources) =>
        DiscoveryResponse.encode({ ...EMPTY_STATE_OF_THE_WORLD, resources }).finish(),
      );
      stateOfTheWorldBodies.set(list, this.#stateOfTheWorld);
    }
    return this.#stateOfTheWorld.list;
  }
}

/** A field's list and the bytes of its fields, made when the first message with it is written. */
class Encoded<T> {
  readonly list: T[];
  readonly #encode: (list: T[]) => Uint8Array;
  /** The message that was written last, and the bytes of it that are the list's. */
  #whole: Buffer = NO_BYTES;
  #listBytes = 0;

  constructor(list: T[], encode: (list: T[]) => Uint8Array) {
    this.list = list;
    this.#encode = encode;
  }

  /**
   * The whole message, not to be changed. Fields may stand in any order, so the list's go before `rest`, which is only
   * this stream's. Streams that began alike are given equal nonces: then it is the very buffer of the stream before.
   */
  before(rest: Uint8Array): Buffer {
    if (this.#whole === NO_BYTES) {
      const list = this.#encode(this.list);
      this.#listBytes = list.length;
      this.#whole = Buffer.concat([list, rest]);
    } else if (!this.#whole.subarray(this.#listBytes).equals(rest)) {
      this.#whole = Buffer.concat([this.#whole.subarray(0, this.#listBytes), rest]);
    }
    return this.#whole;
  }
}

const NO_BYTES = Buffer.alloc(0);
const EMPTY_DELTA = DeltaDiscoveryResponse.create();
const EMPTY_STATE_OF_THE_WORLD = DiscoveryResponse.create();

/** By the very lists that stand in messages. */
const deltaBodies = new WeakMap<Resource[], Encoded<Resource>>();
const stateOfTheWorldBodies = new WeakMap<Any[], Encoded<Any>>();

/** The message on the wire. */
export function encodeDelta(message: DeltaDiscoveryResponse): Buffer {
  const body = deltaBodies.get(message.resources);
  if (body === undefined) return Buffer.from(DeltaDiscoveryResponse.encode(message).finish());
  return body.before(DeltaDiscoveryResponse.encode({ ...message, resources: [] }).finish());
}

/** The message on the wire. */
export function encodeStateOfTheWorld(message: DiscoveryResponse): Buffer {
  const body = stateOfTheWorldBodies.get(message.resources);
  if (body === undefined) return Buffer.from(DiscoveryResponse.encode(message).finish());
  return body.before(DiscoveryResponse.encode({ ...message, resources: [] }).finish());
}

const NO_RESOURCES = new ResponseBody([]);

/** By `hashOf`; for as long as somebody is being sent it. */
const bodies = new Map<number, WeakRef<ResponseBody>>();
const forgotten = new FinalizationRegistry((hash: number) => {
  if (bodies.get(hash)?.deref() === undefined) bodies.delete(hash);
});

/** The body that other streams have for these very resources in this order, else a new one. */
export function sharedBody(resources: readonly DiscoveryResource[]): ResponseBody {
  if (resources.length === 0) return NO_RESOURCES;
  const hash = hashOf(resources);
  const there = bodies.get(hash)?.deref();
  if (there !== undefined && isSame(there.resources, resources)) return there;
  const body = new ResponseBody(resources);
  bodies.set(hash, new WeakRef(body));
  forgotten.register(body, hash);
  return body;
}

function hashOf(resources: readonly DiscoveryResource[]): number {
  let hash = resources.length;
  for (const { serial } of resources) hash = (Math.imul(hash, 31) + serial) | 0;
  return hash;
}

function isSame(a: readonly DiscoveryResource[], b: readonly DiscoveryResource[]): boolean {
  if (a.length !== b.length) return false;
  for (let at = 0; at < a.length; at++) if (a[at] !== b[at]) return false;
  return true;
}
