import type { Resource, StringMap } from '../kinds/resource.ts';
import type { ServicePort as EntryPort, ServiceEntrySpec } from '../kinds/service-entry.ts';
import type { WorkloadEntrySpec } from '../kinds/workload-entry.ts';
import { outsideEndpoint } from './outside-endpoint.ts';
import { protocolOf } from './protocol.ts';
import type { Endpoint, Service, Workload } from './registry.ts';

/** A ServiceEntry host before identities are known: `service-directory.ts` completes it. */
export type EntryService = Omit<Service, 'serviceAccounts'>;

/** What was made of an entry, for as long as this very object lives: most entries outlive many changes of others. */
interface EntryParts {
  services: readonly EntryService[];
  /** The allocated addresses of `services`. */
  allocated: string;
  /** By host. */
  readonly endpoints: Map<string, readonly Endpoint[]>;
}

const partsByEntry = new WeakMap<Resource<ServiceEntrySpec>, EntryParts>();

function partsOf(entry: Resource<ServiceEntrySpec>): EntryParts {
  let parts = partsByEntry.get(entry);
  if (parts === undefined) {
    parts = { services: [], allocated: '', endpoints: new Map() };
    partsByEntry.set(entry, parts);
  }
  return parts;
}

/** The hosts of a ServiceEntry (DS-02), each a service of its own with the same endpoints. The same objects every time. */
export function servicesOfEntry(
  entry: Resource<ServiceEntrySpec>,
  /** By host (DS-06). */
  allocated: ReadonlyMap<string, readonly string[]> = NONE_ALLOCATED,
): readonly EntryService[] {
  const parts = partsOf(entry);
  const stamp = [...allocated].join(' ');
  if (parts.services.length === 0 || parts.allocated !== stamp) {
    parts.services = declaredServices(entry, allocated);
    parts.allocated = stamp;
  }
  return parts.services;
}

function declaredServices(
  { metadata, spec }: Resource<ServiceEntrySpec>,
  allocated: ReadonlyMap<string, readonly string[]>,
): EntryService[] {
  const ports = spec.ports
    .map(({ number, name, protocol }) => ({
      number,
      name,
      protocol: protocolOf(protocol, name, number),
    }))
    .sort((a, b) => a.number - b.number);
  return spec.hosts.map((host) => ({
    host: host.toLowerCase(),
    namespace: metadata.namespace,
    ports,
    addresses: allocated.get(host.toLowerCase()) ?? spec.addresses,
    resolution: spec.resolution,
    location: spec.location,
    exportTo: spec.exportTo,
    subjectAltNames: spec.subjectAltNames,
    creationTimestamp: metadata.creationTimestamp,
    origin: `ServiceEntry ${metadata.namespace}/${metadata.name}`,
  }));
}

/** The endpoints written in the entry itself; with resolution DNS and none written, its host. The same list every time. */
export function inlineEndpoints(
  entry: Resource<ServiceEntrySpec>,
  host: string,
): readonly Endpoint[] {
  const { endpoints } = partsOf(entry);
  let list = endpoints.get(host);
  if (list === undefined) {
    list = writtenEndpoints(entry, host);
    endpoints.set(host, list);
  }
  return list;
}

function writtenEndpoints(
  { metadata, spec }: Resource<ServiceEntrySpec>,
  host: string,
): Endpoint[] {
  if (spec.endpoints.length > 0) {
    return spec.endpoints.map((endpoint) =>
      endpointOf(inlineWorkload(endpoint, metadata.namespace), spec.ports),
    );
  }
  if (spec.resolution !== 'DNS' || spec.workloadSelector !== undefined || host.startsWith('*')) {
    return [];
  }
  const ports = new Map(spec.ports.map(({ number, targetPort }) => [number, targetPort]));
  return [outsideEndpoint(host, ports, metadata.namespace)];
}

/** What a WorkloadEntry says of a machine. */
export function workloadOfEntry(entry: Resource<WorkloadEntrySpec>): Workload {
  const { metadata, spec } = entry;
  return {
    ...inlineWorkload(spec, metadata.namespace),
    name: metadata.name,
    creationTimestamp: metadata.creationTimestamp,
  };
}

/** `workload` as an endpoint of a service with these ports. */
export function endpointOf(workload: Workload, ports: readonly EntryPort[]): Endpoint {
  const dial = new Map<number, number>();
  for (const { number, name, targetPort } of ports) {
    dial.set(
      number,
      workload.portsByName.get(name) ?? workload.portsByNumber.get(number) ?? targetPort,
    );
  }
  return {
    address: workload.address,
    ports: dial,
    labels: workload.labels,
    namespace: workload.namespace,
    workload: workload.name,
    serviceAccount: workload.serviceAccount,
    weight: Math.max(1, workload.weight),
    locality: workload.locality,
    health: workload.health,
    tlsMode: workload.tlsMode,
  };
}

/** Every pair of `selector` stands in `labels`. */
export function selects(selector: StringMap, labels: StringMap): boolean {
  for (const key of Object.keys(selector)) {
    if (labels[key] !== selector[key]) return false;
  }
  return true;
}

const NONE_ALLOCATED: ReadonlyMap<string, readonly string[]> = new Map();
const TLS_MODE_LABEL = 'security.istio.io/tlsMode';

function inlineWorkload(spec: WorkloadEntrySpec, namespace: string): Workload {
  const tlsMode = spec.labels[TLS_MODE_LABEL];
  return {
    name: '',
    namespace,
    address: spec.address,
    labels: spec.labels,
    serviceAccount: spec.serviceAccount ?? '',
    weight: Math.max(1, spec.weight),
    locality: spec.locality ?? '',
    health: 'HEALTHY',
    // Istio's rule: the label decides; without it a service account means that a sidecar is there.
    tlsMode:
      tlsMode === undefined
        ? spec.serviceAccount === undefined
          ? 'disabled'
          : 'istio'
        : tlsMode === 'istio'
          ? 'istio'
          : 'disabled',
    portsByName: new Map(Object.entries(spec.ports)),
    portsByNumber: new Map(),
    host: '',
    creationTimestamp: '',
  };
}
