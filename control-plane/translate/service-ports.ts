import type { MeshSnapshot } from '../mesh/snapshot.ts';
import type { Service } from '../registry/registry.ts';
import type { ServiceDirectory } from '../registry/service-directory.ts';
import { selects } from '../registry/service-entries.ts';
import type { ProxyPort, ProxyView } from './proxy-view.ts';

/**
 * The proxy with the ports of the services that select its workload, as Istio finds them: a pod's sidecar declares none. They
 * are known by the port of the container, so that two services may share a number; of several that name one the oldest decides.
 * Ports that no service names pass through.
 */
export function withServicePorts(snapshot: MeshSnapshot, proxy: ProxyView): ProxyView {
  if (proxy.mode !== 'redirect' || proxy.ports.length > 0) return proxy;
  const { services } = snapshot.directory;
  const known = withPorts.get(proxy);
  if (known?.services === services) return known.view;
  const made = withPortsOf(selectingServices(snapshot.directory, proxy), proxy);
  // The very view of before where it says the same: what was made for it is good still.
  const view = known !== undefined && isSameView(known.view, made) ? known.view : made;
  withPorts.set(proxy, { services, view });
  return view;
}

const withPorts = new WeakMap<
  ProxyView,
  { readonly services: readonly Service[]; readonly view: ProxyView }
>();

function isSameView(a: ProxyView, b: ProxyView): boolean {
  return a.host === b.host && JSON.stringify(a.ports) === JSON.stringify(b.ports);
}

function withPortsOf(services: readonly Service[], proxy: ProxyView): ProxyView {
  if (services.length === 0) return proxy;
  const ports = new Map<number, ProxyPort>();
  for (const service of services) {
    for (const { name, protocol, targetPort } of service.ports) {
      if (targetPort === undefined || ports.has(targetPort) || protocol === 'udp') continue;
      ports.set(targetPort, {
        number: targetPort,
        name,
        protocol,
        listen: { host: ANY_ADDRESS, port: targetPort },
        app: { host: LOOPBACK, port: targetPort },
      });
    }
  }
  return {
    ...proxy,
    host: proxy.host || services[0]!.host,
    ports: [...ports.values()].sort((a, b) => a.number - b.number),
  };
}

const ANY_ADDRESS = '0.0.0.0';
const LOOPBACK = '127.0.0.1';

/** Services with a selector by namespace, oldest first; one directory asks many times. */
const selectingByNamespace = new WeakMap<
  readonly Service[],
  ReadonlyMap<string, readonly Service[]>
>();

function selectingServices(
  { services }: ServiceDirectory,
  { namespace, labels }: ProxyView,
): readonly Service[] {
  let index = selectingByNamespace.get(services);
  if (index === undefined) {
    index = indexOf(services);
    selectingByNamespace.set(services, index);
  }
  return (index.get(namespace) ?? []).filter(({ selector }) => selects(selector!, labels));
}

function indexOf(services: readonly Service[]): ReadonlyMap<string, readonly Service[]> {
  const index = Map.groupBy(
    services.filter(({ selector }) => selector !== undefined),
    ({ namespace }) => namespace,
  );
  for (const each of index.values()) {
    each.sort((a, b) => (a.creationTimestamp < b.creationTimestamp ? -1 : 1));
  }
  return index;
}
