import type { Cluster } from '../../proto/gen/envoy/config/cluster/v3/cluster.ts';
import type { Listener } from '../../proto/gen/envoy/config/listener/v3/listener.ts';
import type { RouteConfiguration } from '../../proto/gen/envoy/config/route/v3/route.ts';
import {
  TYPE_CLUSTER,
  TYPE_ENDPOINT,
  TYPE_LISTENER,
  TYPE_NAME_TABLE,
  TYPE_ROUTE,
} from '../../proto/type-urls.ts';
import type { StringMap } from '../kinds/resource.ts';
import type { MeshSnapshot } from '../mesh/snapshot.ts';
import type { VirtualServiceIndex } from '../mesh/virtual-service-index.ts';
import type { Service } from '../registry/registry.ts';
import { selects } from '../registry/service-entries.ts';
import { DiscoveryResource, type ResourceType } from './discovery-resource.ts';
import { explicitListeners, inboundClusters } from './explicit-mode.ts';
import { LayeredResources } from './layered-resources.ts';
import { nameFamilies, nameTable } from './name-table.ts';
import { outboundClusters, outboundEndpoints } from './outbound-resources.ts';
import { ownResources } from './own-resources.ts';
import type { ProxyView } from './proxy-view.ts';
import {
  emptyAssignment,
  proxylessBlackHole,
  proxylessListeners,
  proxylessRoutes,
} from './proxyless-mode.ts';
import { redirectInboundClusters, redirectListeners } from './redirect-mode.ts';
import { redirectPortListeners } from './redirect-outbound.ts';
import { explicitProxyRoutes, httpPorts, portRoutes } from './routes.ts';
import { withServicePorts } from './service-ports.ts';

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
export function translate(snapshot: MeshSnapshot, given: ProxyView): ResourceSet {
  const proxy = withServicePorts(snapshot, given);
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
      return endpoints(snapshot, proxy);
    case TYPE_LISTENER:
      return listeners(snapshot, proxy);
    case TYPE_ROUTE:
      return routes(snapshot, proxy);
    case TYPE_NAME_TABLE:
      return names(snapshot, proxy);
  }
}

function clusters(snapshot: MeshSnapshot, proxy: ProxyView): ResourceMap {
  const { kind, secrets, namespace } = proxy;
  const outbound = shared(snapshot, `clusters ${kind} ${secrets} ${namespace}`, () =>
    outboundClusters(snapshot, namespace, { kind, secrets }),
  );
  switch (proxy.mode) {
    case 'explicit':
      return joined(outbound, ownResources(snapshot, proxy, TYPE_CLUSTER, inboundClusters));
    case 'redirect':
      return joined(outbound, ownResources(snapshot, proxy, TYPE_CLUSTER, redirectInboundClusters));
    case 'proxyless':
      return joined(
        outbound,
        ownResources(snapshot, proxy, TYPE_CLUSTER, () => [proxylessBlackHole()]),
      );
  }
}

function endpoints(snapshot: MeshSnapshot, { mode, namespace }: ProxyView): ResourceMap {
  const outbound = shared(snapshot, `endpoints ${namespace}`, () =>
    outboundEndpoints(snapshot, namespace),
  );
  if (mode !== 'proxyless') return outbound;
  return joined(outbound, NOWHERE);
}

const nowhere = emptyAssignment();
const NOWHERE: ResourceMap = new Map([
  [nowhere.clusterName, new DiscoveryResource(TYPE_ENDPOINT, nowhere.clusterName, nowhere)],
]);

function listeners(snapshot: MeshSnapshot, proxy: ProxyView): ResourceMap {
  switch (proxy.mode) {
    case 'explicit':
      return ownResources(snapshot, proxy, TYPE_LISTENER, explicitListeners);
    case 'redirect': {
      const outbound = shared(snapshot, `listeners ${proxy.namespace} ${proxy.answersNames}`, () =>
        redirectPortListeners(snapshot, proxy.namespace, proxy.answersNames),
      );
      return joined(outbound, ownResources(snapshot, proxy, TYPE_LISTENER, redirectListeners));
    }
    case 'proxyless':
      return shared(snapshot, `proxyless listeners ${proxy.namespace}`, () =>
        named(TYPE_LISTENER, proxylessListeners(snapshot, proxy.namespace)),
      );
  }
}

/** Routes depend on services and VirtualServices alone: a change of endpoints or of other rules keeps them. */
const routesMade = new WeakMap<
  readonly Service[],
  WeakMap<VirtualServiceIndex, Map<string, ResourceMap>>
>();

function routes(snapshot: MeshSnapshot, proxy: ProxyView): ResourceMap {
  const { services } = snapshot.directory;
  let ofServices = routesMade.get(services);
  if (ofServices === undefined) {
    ofServices = new WeakMap();
    routesMade.set(services, ofServices);
  }
  let made = ofServices.get(snapshot.virtualServices);
  if (made === undefined) {
    made = new Map();
    ofServices.set(snapshot.virtualServices, made);
  }
  const key = `${proxy.mode} ${snapshot.options.outboundTrafficPolicy} ${callerKey(snapshot, proxy)}`;
  let map = made.get(key);
  if (map === undefined) {
    map = named(TYPE_ROUTE, routeConfigurations(snapshot, proxy));
    made.set(key, map);
  }
  return map;
}

function routeConfigurations(snapshot: MeshSnapshot, proxy: ProxyView): RouteConfiguration[] {
  switch (proxy.mode) {
    case 'explicit':
      return [explicitProxyRoutes(snapshot, proxy)];
    case 'redirect':
      return httpPorts(snapshot, proxy.namespace).map((port) => portRoutes(snapshot, proxy, port));
    case 'proxyless':
      return proxylessRoutes(snapshot, proxy);
  }
}

/** One resource, which as Istio's has no name of its own. */
function names(snapshot: MeshSnapshot, proxy: ProxyView): ResourceMap {
  const { namespace } = proxy;
  const families = nameFamilies(proxy);
  return shared(snapshot, `names ${namespace} ${families.v4} ${families.v6}`, () => {
    const table = nameTable(snapshot, namespace, families);
    return new Map([['', new DiscoveryResource(TYPE_NAME_TABLE, '', table)]]);
  });
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

/** What proxies have in common, and what is this one's own: one map for all proxies of which both are the same. */
function joined(common: ResourceMap, own: ResourceMap): ResourceMap {
  if (own.size === 0) return common;
  let byOwn = joinedMaps.get(common);
  if (byOwn === undefined) {
    byOwn = new WeakMap();
    joinedMaps.set(common, byOwn);
  }
  let map = byOwn.get(own);
  if (map === undefined) {
    map = new LayeredResources(common, own);
    byOwn.set(own, map);
  }
  return map;
}

const joinedMaps = new WeakMap<ResourceMap, WeakMap<ResourceMap, ResourceMap>>();

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
function callerKey({ virtualServices }: MeshSnapshot, { namespace, labels }: ProxyView): string {
  let asked = askedLabels.get(virtualServices);
  if (asked === undefined) {
    asked = virtualServices.all.flatMap(({ http }) =>
      http.flatMap(({ match }) =>
        match
          .map(({ sourceLabels }) => sourceLabels)
          .filter((sourceLabels) => Object.keys(sourceLabels).length > 0),
      ),
    );
    askedLabels.set(virtualServices, asked);
  }
  let held = '';
  for (const sourceLabels of asked) held += selects(sourceLabels, labels) ? '1' : '0';
  return `${namespace} ${held}`;
}

const askedLabels = new WeakMap<VirtualServiceIndex, readonly StringMap[]>();
