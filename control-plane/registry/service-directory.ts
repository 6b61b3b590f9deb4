import type { Resource } from '../kinds/resource.ts';
import type { ServiceEntrySpec } from '../kinds/service-entry.ts';
import type { WorkloadEntrySpec } from '../kinds/workload-entry.ts';
import { addressesInForce } from './address-allocation.ts';
import { byAge, compare } from './age.ts';
import { clusterLocalName, HostIndex } from './host-name.ts';
import { PlatformAddresses } from './platform-addresses.ts';
import type {
  Endpoint,
  ProvidedService,
  RegistryContents,
  RegistryProblem,
  Service,
  Workload,
} from './registry.ts';
import {
  type EntryService,
  endpointOf,
  inlineEndpoints,
  selects,
  servicesOfEntry,
  workloadOfEntry,
} from './service-entries.ts';
import { isVisible } from './visibility.ts';

export interface DirectoryInputs {
  readonly serviceEntries: readonly Resource<ServiceEntrySpec>[];
  readonly workloadEntries: readonly Resource<WorkloadEntrySpec>[];
  readonly registries: readonly RegistryContents[];
}

/**
 * All services and their endpoints, joined from every source. Immutable. Services and endpoint lists that did not
 * change are the very objects of the directory before, so that what was made from them can be kept.
 */
export class ServiceDirectory {
  /** By host, then owner: the one whose namespace the host names, the oldest, by namespace. */
  readonly services: readonly Service[];
  readonly problems: readonly RegistryProblem[];
  readonly #byHost: HostIndex<Service>;
  readonly #endpoints: ReadonlyMap<Service, readonly Endpoint[]>;
  readonly #byKey: ReadonlyMap<string, Service>;

  constructor(
    entries: readonly { readonly service: Service; readonly endpoints: readonly Endpoint[] }[],
    problems: readonly RegistryProblem[],
    /** Kept where it lists the same: what was made from all services is kept by it. */
    previousServices: readonly Service[] = [],
  ) {
    const services = entries.map(({ service }) => service);
    this.services =
      services.length === previousServices.length &&
      services.every((service, at) => service === previousServices[at])
        ? previousServices
        : services;
    this.problems = problems;
    this.#byHost = new HostIndex();
    for (const { service } of entries) this.#byHost.add(service.host, service);
    this.#endpoints = new Map(entries.map(({ service, endpoints }) => [service, endpoints]));
    this.#byKey = new Map(this.services.map((service) => [serviceKey(service), service]));
  }

  /**
   * The service that a proxy of `namespace` means by `host`: exact before wildcard; of several that declare the same,
   * its own namespace's, then the host's owner.
   */
  find(host: string, namespace: string): Service | undefined {
    for (const services of this.#byHost.groups(host)) {
      const seen = services.filter((each) => isVisible(each.exportTo, each.namespace, namespace));
      const found = seen.find((each) => each.namespace === namespace) ?? seen[0];
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** The service declared for `host` in `namespace`. */
  get(host: string, namespace: string): Service | undefined {
    return this.#byKey.get(`${namespace}/${host}`);
  }

  /** What a proxy of `namespace` can call, one service a host, by host (TM-22). */
  visibleTo(namespace: string): readonly Service[] {
    const byHost = new Map<string, Service>();
    for (const service of this.services) {
      if (!isVisible(service.exportTo, service.namespace, namespace)) continue;
      const there = byHost.get(service.host);
      if (
        there === undefined ||
        (service.namespace === namespace && there.namespace !== namespace)
      ) {
        byHost.set(service.host, service);
      }
    }
    return [...byHost.values()];
  }

  endpoints(service: Service): readonly Endpoint[] {
    return this.#endpoints.get(service) ?? NO_ENDPOINTS;
  }
}

const NO_ENDPOINTS: readonly Endpoint[] = Object.freeze([]);

/**
 * Joins the sources. A workload that declares a host becomes an endpoint of the ServiceEntry that owns this host in
 * the workload's namespace; where none does, of a service that exists by the declaration. A ServiceEntry with a
 * `workloadSelector` takes the matching workloads of its namespace, registered ones too.
 */
export function buildDirectory(
  inputs: DirectoryInputs,
  domain: string,
  previous?: ServiceDirectory,
): ServiceDirectory {
  const problems: RegistryProblem[] = [];
  const workloads = new WorkloadIndex(inputs);
  const drafts = new Map<string, { service: EntryService; endpoints: readonly Endpoint[] }>();
  const accounts = new Map<string, Set<string>>();

  const provided = new Map<string, ProvidedService>();
  for (const contents of inputs.registries) {
    problems.push(...(contents.problems ?? []));
    for (const each of contents.provided ?? []) provided.set(each.service.host, each);
  }

  const platform = new PlatformAddresses(provided.values());
  const allocated = addressesInForce(inputs.serviceEntries);
  for (const entry of [...inputs.serviceEntries].sort(byAge)) {
    for (const declared of servicesOfEntry(entry, allocated.get(entry))) {
      const winner = provided.get(declared.host);
      if (winner !== undefined) {
        problems.push({
          subject: declared.origin,
          message: `host ${declared.host} is ${winner.service.origin}, which alone is used`,
        });
        continue;
      }
      const service = platform.without(declared, problems);
      const key = serviceKey(service);
      const there = drafts.get(key);
      if (there !== undefined) {
        problems.push({
          subject: service.origin,
          message: `host ${service.host} is already declared by the older ${there.service.origin}, which alone is used`,
        });
        continue;
      }
      const selected = workloads.ofEntry(entry, service.host);
      const inline = inlineEndpoints(entry, service.host);
      const endpoints =
        selected.length === 0
          ? inline
          : [...selected.map((workload) => endpointOf(workload, entry.spec.ports)), ...inline];
      drafts.set(key, { service, endpoints });
    }
  }

  for (const contents of inputs.registries) {
    for (const declared of contents.services) {
      if (provided.has(declared.host)) continue;
      const key = serviceKey(declared);
      // Also for a ServiceEntry: accounts seen before stay expected, so that a restart changes no cluster.
      accounts.set(key, new Set(declared.serviceAccounts));
      if (drafts.has(key)) continue;
      if (clusterLocalName(declared.host, domain) === null) {
        problems.push({
          subject: `sidecars of ${declared.namespace}`,
          message: `host ${declared.host} is served by sidecars but no ServiceEntry of namespace ${declared.namespace} declares it; it cannot be called`,
        });
        continue;
      }
      const service: EntryService = {
        host: declared.host,
        namespace: declared.namespace,
        ports: declared.ports,
        addresses: declared.addresses ?? [],
        resolution: 'STATIC',
        location: 'MESH_INTERNAL',
        exportTo: ['*'],
        subjectAltNames: [],
        creationTimestamp: declared.creationTimestamp,
        origin: `registration ${declared.namespace}/${declared.host}`,
      };
      const ports = declared.ports.map((port) => ({ ...port, targetPort: port.number }));
      const members = workloads.ofHost(declared.namespace, declared.host);
      const endpoints = members.map((workload) =>
        declaredOnly(endpointOf(workload, ports), workload),
      );
      drafts.set(key, { service, endpoints });
    }
  }

  const entries = [...drafts]
    .map(draftEntry)
    .concat([...provided.values()])
    .sort((a, b) => byOwner(a.service, b.service, domain))
    .map((entry) => keptEntry(entry, previous));
  reportConflicts(entries, problems);
  return new ServiceDirectory(entries, problems, previous?.services);

  function draftEntry([key, { service, endpoints }]: [
    string,
    { readonly service: EntryService; readonly endpoints: readonly Endpoint[] },
  ]): ProvidedService {
    const expected = accounts.get(key) ?? new Set<string>();
    for (const { namespace, serviceAccount } of endpoints) {
      if (serviceAccount !== '') expected.add(`${namespace}/${serviceAccount}`);
    }
    return { service: completed(service, [...expected].sort(compare)), endpoints };
  }
}

const completedServices = new WeakMap<EntryService, Service>();

/** The same object where it was completed with the same accounts before: then nothing has to be compared. */
function completed(service: EntryService, serviceAccounts: readonly string[]): Service {
  const before = completedServices.get(service);
  if (
    before?.serviceAccounts.length === serviceAccounts.length &&
    serviceAccounts.every((account, at) => account === before.serviceAccounts[at])
  ) {
    return before;
  }
  const made = { ...service, serviceAccounts };
  completedServices.set(service, made);
  return made;
}

/** The objects of the directory before, where they say the same. */
function keptEntry(
  { service, endpoints }: ProvidedService,
  previous: ServiceDirectory | undefined,
): ProvidedService {
  const before = previous?.get(service.host, service.namespace);
  if (previous === undefined || before === undefined) return { service, endpoints };
  const oldEndpoints = previous.endpoints(before);
  return {
    service: before === service || sameService(before, service) ? before : service,
    endpoints:
      oldEndpoints === endpoints || sameEndpoints(oldEndpoints, endpoints)
        ? oldEndpoints
        : endpoints,
  };
}

/** Workloads by namespace, and by the host that they say they serve. */
class WorkloadIndex {
  readonly #byNamespace = new Map<string, Workload[]>();
  readonly #byHost = new Map<string, Workload[]>();

  constructor(inputs: DirectoryInputs) {
    for (const entry of inputs.workloadEntries) this.#add(workloadOfEntry(entry));
    for (const { workloads } of inputs.registries) for (const each of workloads) this.#add(each);
  }

  ofHost(namespace: string, host: string): readonly Workload[] {
    return this.#byHost.get(`${namespace}/${host}`) ?? [];
  }

  /** Those that say they serve the host, and those with the labels that the entry asks for. */
  ofEntry(entry: Resource<ServiceEntrySpec>, host: string): readonly Workload[] {
    const { namespace } = entry.metadata;
    const selector = entry.spec.workloadSelector?.labels;
    if (selector === undefined) return this.ofHost(namespace, host);
    return (this.#byNamespace.get(namespace) ?? []).filter(
      (workload) => workload.host === host || selects(selector, workload.labels),
    );
  }

  #add(workload: Workload): void {
    append(this.#byNamespace, workload.namespace, workload);
    if (workload.host !== '')
      append(this.#byHost, `${workload.namespace}/${workload.host}`, workload);
  }
}

function append<T>(lists: Map<string, T[]>, key: string, item: T): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [item]);
  else list.push(item);
}

/** A service by declaration has on each workload only the ports that this workload declared. */
function declaredOnly(endpoint: Endpoint, workload: Workload): Endpoint {
  return { ...endpoint, ports: workload.portsByNumber };
}

function serviceKey(service: { readonly host: string; readonly namespace: string }): string {
  return `${service.namespace}/${service.host}`;
}

function byOwner(a: Service, b: Service, domain: string): number {
  if (a.host !== b.host) return compare(a.host, b.host);
  const owner = clusterLocalName(a.host, domain)?.namespace;
  const rank = (service: Service) => (service.namespace === owner ? 0 : 1);
  return (
    rank(a) - rank(b) ||
    compare(a.creationTimestamp, b.creationTimestamp) ||
    compare(a.namespace, b.namespace)
  );
}

/** Two namespaces that both export one host to everybody: whoever belongs to neither sees the first. */
function reportConflicts(
  entries: readonly { readonly service: Service }[],
  problems: RegistryProblem[],
): void {
  let first: Service | null = null;
  for (const { service } of entries) {
    if (first === null || first.host !== service.host) first = service;
    else if (service.exportTo.includes('*') && first.exportTo.includes('*')) {
      problems.push({
        subject: service.origin,
        message: `host ${service.host} also belongs to ${first.origin}, which other namespaces use`,
      });
    }
  }
}

function sameService(a: Service, b: Service): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

function sameEndpoints(a: readonly Endpoint[], b: readonly Endpoint[]): boolean {
  return a.length === b.length && a.every((endpoint, index) => sameEndpoint(endpoint, b[index]!));
}

function sameEndpoint(a: Endpoint, b: Endpoint): boolean {
  return (
    a.address === b.address &&
    a.health === b.health &&
    a.weight === b.weight &&
    a.workload === b.workload &&
    a.serviceAccount === b.serviceAccount &&
    a.namespace === b.namespace &&
    a.locality === b.locality &&
    a.tlsMode === b.tlsMode &&
    a.ports.size === b.ports.size &&
    [...a.ports].every(([number, dial]) => b.ports.get(number) === dial) &&
    sameLabels(a.labels, b.labels)
  );
}

function sameLabels(a: Endpoint['labels'], b: Endpoint['labels']): boolean {
  if (a === b) return true;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => a[key] === b[key]);
}
