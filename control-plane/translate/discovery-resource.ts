import { hash } from 'node:crypto';
import { packAny } from '../../proto/any.ts';
import type { Cluster } from '../../proto/gen/envoy/config/cluster/v3/cluster.ts';
import type { ClusterLoadAssignment } from '../../proto/gen/envoy/config/endpoint/v3/endpoint.ts';
import type { Listener } from '../../proto/gen/envoy/config/listener/v3/listener.ts';
import type { RouteConfiguration } from '../../proto/gen/envoy/config/route/v3/route.ts';
import type { Any } from '../../proto/gen/google/protobuf/any.ts';
import type { NameTable } from '../../proto/gen/istio/networking/nds/v1/nds.ts';
import {
  TYPE_CLUSTER,
  TYPE_ENDPOINT,
  TYPE_LISTENER,
  TYPE_NAME_TABLE,
  TYPE_ROUTE,
} from '../../proto/type-urls.ts';

/** The resource types that translation makes, by type URL. */
export interface ResourceMessages {
  [TYPE_CLUSTER]: Cluster;
  [TYPE_ENDPOINT]: ClusterLoadAssignment;
  [TYPE_LISTENER]: Listener;
  [TYPE_ROUTE]: RouteConfiguration;
  [TYPE_NAME_TABLE]: NameTable;
}

export type ResourceType = keyof ResourceMessages;

/**
 * One named resource of one type. Shared by all proxies that get the same: it is encoded and hashed once, when first
 * asked. Equal content has an equal version, in every replica and after every restart.
 */
export class DiscoveryResource<T extends ResourceType = ResourceType> {
  /** Tells resources apart within this process. */
  readonly serial = ++serials;
  readonly type: T;
  readonly name: string;
  readonly message: ResourceMessages[T];
  #any: Any | null = null;
  #version = '';

  constructor(type: T, name: string, message: ResourceMessages[T]) {
    this.type = type;
    this.name = name;
    this.message = message;
  }

  /** As it stands in a discovery response. Not to be changed. */
  get any(): Any {
    this.#any ??= packAny(this.type, this.message as never);
    return this.#any;
  }

  /** 16 hexadecimal digits of SHA-256 over the encoded message. */
  get version(): string {
    if (this.#version === '') this.#version = hash('sha256', this.any.value, 'hex').slice(0, 16);
    return this.#version;
  }
}

let serials = 0;
