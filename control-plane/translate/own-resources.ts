import type { MeshSnapshot } from '../mesh/snapshot.ts';
import {
  DiscoveryResource,
  type ResourceMessages,
  type ResourceType,
} from './discovery-resource.ts';
import type { ProxyView } from './proxy-view.ts';

type OwnMap = ReadonlyMap<string, DiscoveryResource>;

/** All of a snapshot that a proxy's own listeners and clusters may depend on. */
export type OwnSources = Pick<MeshSnapshot, 'options' | 'peerAuthentications'>;

interface Made extends OwnSources {
  readonly resources: OwnMap;
}

const madeForProxy = new WeakMap<ProxyView, Map<ResourceType, Made>>();

/**
 * A proxy's own listeners or clusters: made once for as long as what they depend on is the same, and shared with the
 * proxies for which they came out the same, as they do for the replicas of one workload.
 */
export function ownResources<T extends ResourceType>(
  snapshot: MeshSnapshot,
  proxy: ProxyView,
  type: T,
  make: (sources: OwnSources, proxy: ProxyView) => readonly ResourceMessages[T][],
): OwnMap {
  const { options, peerAuthentications } = snapshot;
  let ofProxy = madeForProxy.get(proxy);
  if (ofProxy === undefined) {
    ofProxy = new Map();
    madeForProxy.set(proxy, ofProxy);
  }
  const there = ofProxy.get(type);
  if (there?.options === options && there.peerAuthentications === peerAuthentications) {
    return there.resources;
  }
  const messages = make({ options, peerAuthentications }, proxy);
  const resources = sharedMap(
    messages.map((message) => {
      const { name } = message as { readonly name: string };
      return sharedResource(new DiscoveryResource(type, name, message));
    }),
  );
  ofProxy.set(type, { options, peerAuthentications, resources });
  return resources;
}

/** Values by what they are made of, for as long as somebody has them. */
class Shared<V extends object> {
  readonly #values = new Map<string, WeakRef<V>>();
  readonly #gone = new FinalizationRegistry((key: string) => {
    if (this.#values.get(key)?.deref() === undefined) this.#values.delete(key);
  });

  get(key: string, make: () => V): V {
    const there = this.#values.get(key)?.deref();
    if (there !== undefined) return there;
    const value = make();
    this.#values.set(key, new WeakRef(value));
    this.#gone.register(value, key);
    return value;
  }
}

const byContent = new Shared<DiscoveryResource>();
const maps = new Shared<Map<string, DiscoveryResource>>();

function sharedResource(resource: DiscoveryResource): DiscoveryResource {
  const { type, name, version } = resource;
  return byContent.get(`${type} ${name} ${version}`, () => resource);
}

function sharedMap(resources: readonly DiscoveryResource[]): OwnMap {
  return maps.get(resources.map(({ serial }) => serial).join(), () => {
    return new Map(resources.map((resource) => [resource.name, resource]));
  });
}
