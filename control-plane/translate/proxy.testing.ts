import type { RouteConfiguration } from '../../proto/gen/envoy/config/route/v3/route.ts';
import type { VirtualHost } from '../../proto/gen/envoy/config/route/v3/route_components.ts';
import { TYPE_CLUSTER, TYPE_ENDPOINT, TYPE_LISTENER, TYPE_ROUTE } from '../../proto/type-urls.ts';
import type { MeshSnapshot } from '../mesh/snapshot.ts';
import type { ProxyView } from './proxy-view.ts';
import { translate } from './resource-set.ts';

/** Proxies for tests: productpage's sidecar in explicit mode, but for what is changed. */
export function testProxy(changes: Partial<ProxyView> = {}): ProxyView {
  return {
    id: 'sidecar~127.0.0.1~productpage-v1.default~default.svc.cluster.local',
    kind: 'weft',
    mode: 'explicit',
    namespace: 'default',
    workload: 'productpage-v1',
    serviceAccount: 'productpage',
    labels: { app: 'productpage', version: 'v1' },
    locality: '',
    clusterId: 'Kubernetes',
    host: 'productpage.default.svc.cluster.local',
    ports: [
      {
        number: 9080,
        name: 'http',
        protocol: 'http',
        listen: { host: '127.0.0.1', port: 31_000 },
        app: { host: '127.0.0.1', port: 32_000 },
      },
    ],
    outbound: { host: '127.0.0.1', port: 15_001 },
    addresses: ['127.0.0.1'],
    answersNames: false,
    secrets: 'ads',
    ...changes,
  };
}

/** Everything that `proxy` is sent, by name. */
export function translated(snapshot: MeshSnapshot, proxy: ProxyView = testProxy()) {
  const set = translate(snapshot, proxy);
  return {
    cluster: (name: string) => set.resources(TYPE_CLUSTER).get(name)?.message,
    clusters: [...set.resources(TYPE_CLUSTER).keys()],
    endpoints: (name: string) => set.resources(TYPE_ENDPOINT).get(name)?.message,
    listener: (name: string) => set.resources(TYPE_LISTENER).get(name)?.message,
    listeners: [...set.resources(TYPE_LISTENER).keys()],
    routes: (name: string) => set.resources(TYPE_ROUTE).get(name)?.message,
    set,
  };
}

export function virtualHost(routes: RouteConfiguration | undefined, domain: string): VirtualHost {
  const found = routes?.virtualHosts.find(({ domains }) => domains.includes(domain));
  if (found === undefined) throw new Error(`no virtual host takes ${domain}`);
  return found;
}
