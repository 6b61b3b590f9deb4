import type { Cluster } from '../../proto/gen/envoy/config/cluster/v3/cluster.ts';
import type { Listener } from '../../proto/gen/envoy/config/listener/v3/listener.ts';
import type { RouteConfiguration } from '../../proto/gen/envoy/config/route/v3/route.ts';
import { TYPE_CLUSTER, TYPE_ENDPOINT, TYPE_LISTENER, TYPE_ROUTE } from '../../proto/type-urls.ts';
import type { MeshSnapshot } from '../mesh/snapshot.ts';
import { selects } from '../registry/service-entries.ts';
import { DiscoveryResource, type ResourceType } from './discovery-resource.ts';
import { explicitListeners, inboundClusters } from './explicit-mode.ts';
import { outboundClusters, outboundEndpoints } from './outbound-resources.ts';
import type { ProxyView } from './proxy-view.ts';
import { explicitProxyRoutes } from './routes.ts';

export type ResourceMap<T extends ResourceType = ResourceType> = ReadonlyMap<
  string,
  DiscoveryResource<T>
>;

/** All that one proxy may ask for. Each type is translated when it is first asked for. */
export interface ResourceSet {
  readonly snapshot: MeshSnapshot;
  readonly proxy: ProxyView;
  /** By name. The same map every time. */
  resources<T extends ResourceType>(type: T): ResourceMap<T>;
}

/** Pure: equal arguments give equal resources. Parts that proxies have in common are made once for a snapshot. */
export function translate(snapshot: MeshSnapshot, proxy: ProxyView): ResourceSet {
  const done = new Map<ResourceType, ResourceMap>();
  return {
    snapshot,
    proxy,
    resources<T extends ResourceType>(type: T): ResourceMap<T> {
      let map = done.get(type);
      if (map === undefined) {
        map = translateType(snapshot, proxy, type);
        done.set(type, map);
      }
      return map as ResourceMap<T>;
    },
  };
}

function translateType(snapshot: MeshSnapshot, proxy: ProxyView, type: ResourceType): ResourceMap {
  switch (type) {
    case TYPE_CLUSTER:
      return clusters(snapshot, proxy);
    case TYPE_ENDPOINT:
      return shared(snapshot, `endpoints ${proxy.namespace}`, () =>
        outboundEndpoints(snapshot, proxy.namespace),
      );
    case TYPE_LISTENER:
      return named(TYPE_LISTENER, listeners(snapshot, proxy));
    case TYPE_ROUTE:
      return shared(snapshot, `routes ${proxy.mode} ${callerKey(snapshot, proxy)}`, () =>
        named(TYPE_ROUTE, routes(snapshot, proxy)),
      );
  }
}

function clusters(snapshot: MeshSnapshot, proxy: ProxyView): ResourceMap {
  const { kind, secrets, namespace } = proxy;
  const outbound = shared(snapshot, `clusters ${kind} ${secrets} ${namespace}`, () =>
    outboundClusters(snapshot, namespace, { kind, secrets }),
  );
  if (proxy.ports.length === 0) return outbound;
  return new Map([...outbound, ...named(TYPE_CLUSTER, inboundClusters(snapshot, proxy))]);
}

function listeners(snapshot: MeshSnapshot, proxy: ProxyView): Listener[] {
  return explicitListeners(snapshot, proxy);
}

function routes(snapshot: MeshSnapshot, proxy: ProxyView): RouteConfiguration[] {
  return [explicitProxyRoutes(snapshot, proxy)];
}

function named<T extends ResourceType>(
  type: T,
  messages: readonly (Cluster | Listener | RouteConfiguration)[],
): Map<string, DiscoveryResource<T>> {
  return new Map(
    messages.map((message) => [
      message.name,
      new DiscoveryResource(type, message.name, message as never),
    ]),
  );
}

/** What was translated for proxies that cannot be told apart, kept with its snapshot. */
const sharedBySnapshot = new WeakMap<MeshSnapshot, Map<string, ResourceMap>>();

function shared(snapshot: MeshSnapshot, key: string, make: () => ResourceMap): ResourceMap {
  let ofSnapshot = sharedBySnapshot.get(snapshot);
  if (ofSnapshot === undefined) {
    ofSnapshot = new Map();
    sharedBySnapshot.set(snapshot, ofSnapshot);
  }
  let map = ofSnapshot.get(key);
  if (map === undefined) {
    map = make();
    ofSnapshot.set(key, map);
  }
  return map;
}

/** The namespace, and which of all `sourceLabels` of the mesh hold for this proxy: all that rules ask of a caller. */
function callerKey(snapshot: MeshSnapshot, { namespace, labels }: ProxyView): string {
  let held = '';
  for (const { http } of snapshot.virtualServices.all) {
    for (const { match } of http) {
      for (const { sourceLabels } of match) {
        if (Object.keys(sourceLabels).length > 0) held += selects(sourceLabels, labels) ? '1' : '0';
      }
    }
  }
  return `${namespace} ${held}`;
}
