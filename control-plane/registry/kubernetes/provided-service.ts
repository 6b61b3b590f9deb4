import { clusterLocalName } from '../host-name.ts';
import { NO_LABELS, outsideEndpoint } from '../outside-endpoint.ts';
import type { Endpoint, ProvidedService, Service, ServicePort } from '../registry.ts';
import type { SliceEndpoint, SliceRecord } from './endpoint-slice.ts';
import { localityOf } from './node-locality.ts';
import type { PodRecord } from './pod.ts';
import type { KubernetesPort, ServiceRecord } from './service.ts';

/** What a service is made from. */
export interface ServiceSources {
  readonly record: ServiceRecord;
  readonly slices: readonly SliceRecord[];
  /** By `namespace/name`. */
  readonly pod: (key: string) => PodRecord | undefined;
  /** Locality of a node by name. */
  readonly node: (name: string) => string | undefined;
  /** Of an ExternalName that is the name of another service of the cluster. */
  readonly alias: ProvidedService | undefined;
  readonly domain: string;
  readonly previous: ProvidedService | undefined;
}

/**
 * A Service joined with its slices and pods (DS-01); null where it has no port that the mesh could route. Only what is ready is an
 * endpoint. Accounts are those of all its pods, ready or not, and the last ones while there are none: who may answer does not
 * change as pods come and go.
 */
export function providedService(sources: ServiceSources): ProvidedService | null {
  const { record, slices, domain, previous } = sources;
  if (record.ports.length === 0) return null;
  const { endpoints, accounts, targets } =
    record.externalName === '' ? joinedSlices(sources) : externalEndpoints(sources);
  const isAlias = sources.alias !== undefined;
  const isExternal = record.externalName !== '' && !isAlias;
  const kept =
    slices.length === 0 || accounts.size === 0 ? previous?.service.serviceAccounts : null;
  const service: Service = {
    host: hostOf(record, domain),
    namespace: record.namespace,
    ports: record.ports.map((port) => servicePort(port, targets)),
    addresses: record.addresses,
    resolution: isExternal ? 'DNS' : 'STATIC',
    location: isExternal ? 'MESH_EXTERNAL' : 'MESH_INTERNAL',
    exportTo: record.exportTo,
    subjectAltNames: [],
    serviceAccounts: isAlias
      ? sources.alias.service.serviceAccounts
      : (kept ?? [...accounts].sort()),
    creationTimestamp: record.creationTimestamp,
    origin: `Service ${record.namespace}/${record.name}`,
    isOfPlatform: true,
    ...(record.selector !== null && { selector: record.selector }),
  };
  return { service, endpoints };
}

/** `name.namespace.svc.<domain>` */
function hostOf(
  { name, namespace }: { readonly name: string; readonly namespace: string },
  domain: string,
): string {
  return `${name}.${namespace}.svc.${domain}`;
}

/** The service of the cluster that an ExternalName names, as `namespace/name`, or ''. */
export function aliasOf({ externalName }: ServiceRecord, domain: string): string {
  const local = externalName === '' ? null : clusterLocalName(externalName, domain);
  return local === null ? '' : `${local.namespace}/${local.name}`;
}

interface Joined {
  readonly endpoints: readonly Endpoint[];
  readonly accounts: ReadonlySet<string>;
  /** Service port → where its pods listen, where a name said so. */
  readonly targets: ReadonlyMap<number, number>;
}

function servicePort(port: KubernetesPort, targets: Joined['targets']): ServicePort {
  const { number, name, protocol } = port;
  const targetPort = port.targetPort ?? targets.get(number);
  return { number, name, protocol, ...(targetPort !== undefined && { targetPort }) };
}

function joinedSlices(sources: ServiceSources): Joined {
  const { record, pod } = sources;
  const accounts = new Set<string>();
  const targets = new Map<number, number>();
  const byAddress = new Map<string, { endpoint: Endpoint; ports: Map<number, number> }>();
  for (const slice of ofFamily(sources)) {
    const dial = dialPorts(record.ports, slice);
    for (const [number, target] of dial) if (!targets.has(number)) targets.set(number, target);
    for (const each of slice.endpoints) {
      const known = pod(each.pod);
      if (known !== undefined) accounts.add(`${known.namespace}/${known.serviceAccount}`);
      if (!each.isReady) continue;
      // One pod stands in several slices where its ports differ from others', or while slices are rearranged.
      const there = byAddress.get(each.address);
      if (there !== undefined) {
        for (const [number, target] of dial) there.ports.set(number, target);
        continue;
      }
      const ports = new Map(dial);
      byAddress.set(each.address, { ports, endpoint: endpointOf(each, known, ports, sources) });
    }
  }
  const endpoints = [...byAddress.values()].map(({ endpoint }) => endpoint);
  // The order of slices says nothing: the same endpoints are the same list.
  endpoints.sort((a, b) => (a.address < b.address ? -1 : 1));
  return { endpoints, accounts, targets };
}

/** Slices of the service's first family; where it has none, whatever there is. */
function ofFamily({ slices, record }: ServiceSources): readonly SliceRecord[] {
  const own = slices.filter(({ family }) => family === record.family);
  return own.length > 0 ? own : slices;
}

/** Ports of a slice carry the names of the service's ports. */
function dialPorts(ports: readonly KubernetesPort[], slice: SliceRecord): Map<number, number> {
  const dial = new Map<number, number>();
  for (const { number, name, protocol } of ports) {
    const wanted = protocol === 'udp' ? 'UDP' : 'TCP';
    const found = slice.ports.find((each) => each.name === name && each.protocol === wanted);
    if (found !== undefined) dial.set(number, found.port);
  }
  return dial;
}

function endpointOf(
  { address, nodeName, zone }: SliceEndpoint,
  pod: PodRecord | undefined,
  ports: ReadonlyMap<number, number>,
  { record, node }: ServiceSources,
): Endpoint {
  return {
    address,
    ports,
    labels: pod?.labels ?? NO_LABELS,
    namespace: record.namespace,
    workload: pod?.workload ?? '',
    serviceAccount: pod?.serviceAccount ?? '',
    weight: 1,
    locality: localityOf(pod, node(nodeName || (pod?.nodeName ?? '')), zone),
    health: 'HEALTHY',
    tlsMode: pod?.tlsMode ?? 'disabled',
  };
}

function externalEndpoints({ record, alias }: ServiceSources): Joined {
  const accounts = new Set<string>();
  const targets = new Map<number, number>();
  if (alias !== undefined) return { endpoints: alias.endpoints, accounts, targets };
  const ports = new Map(record.ports.map(({ number }) => [number, number]));
  const endpoint = outsideEndpoint(record.externalName, ports, record.namespace);
  return { endpoints: [endpoint], accounts, targets };
}
