import {
  DeltaDiscoveryResponse,
  DiscoveryResponse,
  Resource,
} from '../../proto/gen/envoy/service/discovery/v3/discovery.ts';
import type { Any } from '../../proto/gen/google/protobuf/any.ts';
import type { DiscoveryResource } from '../translate/discovery-resource.ts';
import { FRAME_HEAD_BYTES, framed } from './write-framed.ts';

/**
 * The resources of one response. Streams that are sent the very same have one body together: it is encoded once for each
 * protocol, and what differs from stream to stream (the nonce, removed names) is put behind it. Immutable.
 */
export class ResponseBody {
  /** Counts bodies, from 1; 0 is the one without resources. */
  readonly serial: number;
  readonly resources: readonly DiscoveryResource[];
  /** Of the encoded resources, without their envelopes. */
  readonly bytes: number;
  #delta: Encoded<Resource> | null = null;
  #stateOfTheWorld: Encoded<Any> | null = null;

  constructor(resources: readonly DiscoveryResource[]) {
    this.serial = bodyCount++;
    this.resources = resources;
    this.bytes = resources.reduce((sum, { any }) => sum + any.value.length, 0);
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

let bodyCount = 0;

/** A field's list and the bytes of its fields, made when the first message with it is written. */
class Encoded<T> {
  readonly list: T[];
  readonly #encode: (list: T[]) => Uint8Array;
  /** The framed message that was written last, and where in it the list's bytes end. */
  #whole: Buffer = NO_BYTES;
  #listEnd = 0;

  constructor(list: T[], encode: (list: T[]) => Uint8Array) {
    this.list = list;
    this.#encode = encode;
  }

  /**
   * The framed message, not to be changed. Fields may stand in any order, so the list's go before `rest`, which is only
   * this stream's; where that is as on the stream before, it is the very same buffer.
   */
  before(rest: Uint8Array): Buffer {
    const isNew = this.#whole === NO_BYTES;
    if (!isNew && this.#whole.subarray(this.#listEnd).equals(rest)) return this.#whole;
    const list = isNew
      ? this.#encode(this.list)
      : this.#whole.subarray(FRAME_HEAD_BYTES, this.#listEnd);
    this.#whole = framed(list.length + rest.length);
    this.#listEnd = FRAME_HEAD_BYTES + list.length;
    this.#whole.set(list, FRAME_HEAD_BYTES);
    this.#whole.set(rest, this.#listEnd);
    return this.#whole;
  }
}

const NO_BYTES = Buffer.alloc(0);
const EMPTY_DELTA = DeltaDiscoveryResponse.create();
const EMPTY_STATE_OF_THE_WORLD = DiscoveryResponse.create();

/** By the very lists that stand in messages. */
const deltaBodies = new WeakMap<Resource[], Encoded<Resource>>();
const stateOfTheWorldBodies = new WeakMap<Any[], Encoded<Any>>();

/** The message on the wire, with its head. */
export function frameDelta(message: DeltaDiscoveryResponse): Buffer {
  const body = deltaBodies.get(message.resources);
  if (body === undefined) return frameOf(DeltaDiscoveryResponse.encode(message).finish());
  return body.before(DeltaDiscoveryResponse.encode({ ...message, resources: [] }).finish());
}

/** The message on the wire, with its head. */
export function frameStateOfTheWorld(message: DiscoveryResponse): Buffer {
  const body = stateOfTheWorldBodies.get(message.resources);
  if (body === undefined) return frameOf(DiscoveryResponse.encode(message).finish());
  return body.before(DiscoveryResponse.encode({ ...message, resources: [] }).finish());
}

function frameOf(message: Uint8Array): Buffer {
  const frame = framed(message.length);
  frame.set(message, FRAME_HEAD_BYTES);
  return frame;
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
