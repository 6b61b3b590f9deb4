import type { Clock } from '../../clock.ts';
import { Informer, type InformerChange, type InformerLog } from '../../kubernetes/informer.ts';
import type { KubernetesClient } from '../../kubernetes/kubernetes-client.ts';
import type { KubernetesObject } from '../../kubernetes/kubernetes-object.ts';
import {
  ENDPOINT_SLICES,
  NODES,
  PODS,
  type ResourceType,
  SERVICES,
} from '../../kubernetes/resource-type.ts';
import type {
  ProvidedService,
  Registry,
  RegistryContents,
  RegistryProblem,
  Workload,
} from '../registry.ts';
import { type SliceRecord, sliceRecord } from './endpoint-slice.ts';
import { localityOf, nodeLocality } from './node-locality.ts';
import { type PodRecord, podRecord, samePod } from './pod.ts';
import { aliasOf, providedService } from './provided-service.ts';
import { type ServiceRecord, serviceRecord } from './service.ts';

export interface KubernetesRegistryOptions {
  readonly client: KubernetesClient;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: InformerLog;
  /** DNS domain of the cluster: `cluster.local`. */
  readonly domain: string;
}

/**
 * Services of a Kubernetes cluster (DS-01): Services, EndpointSlices, Pods and Nodes, each followed by an informer. A change
 * rebuilds the services that it touches, when somebody next reads; all others stay the very objects they were.
 */
export class KubernetesRegistry implements Registry {
  readonly name = 'Kubernetes';
  readonly services: Informer<ServiceRecord>;
  readonly slices: Informer<SliceRecord>;
  readonly pods: Informer<PodRecord>;
  readonly nodes: Informer<string>;
  readonly #options: KubernetesRegistryOptions;
  readonly #listeners = new Set<() => void>();
  readonly #slicesOf = new Map<string, Map<string, SliceRecord>>();
  /** Pod → services whose slices name it. */
  readonly #servicesOfPod = new Map<string, Set<string>>();
  /** Service → ExternalNames that stand for it. */
  readonly #aliases = new Map<string, Set<string>>();
  readonly #provided = new Map<string, ProvidedService>();
  readonly #problems = new Map<string, RegistryProblem>();
  readonly #dirty = new Set<string>();
  readonly #workloads = new Map<string, Workload>();
  #workloadList: readonly Workload[] = [];
  #contents: RegistryContents | null = null;

  constructor(options: KubernetesRegistryOptions) {
    this.#options = options;
    this.services = this.#informer(SERVICES, serviceRecord);
    this.slices = this.#informer(ENDPOINT_SLICES, sliceRecord);
    this.pods = this.#informer(PODS, podRecord);
    this.nodes = this.#informer(NODES, nodeLocality);
    this.services.onChange((changes) => this.#servicesChanged(changes));
    this.slices.onChange((changes) => this.#slicesChanged(changes));
    this.pods.onChange((changes) => this.#podsChanged(changes));
    this.nodes.onChange((changes) => this.#nodesChanged(changes));
  }

  get informers(): readonly Informer<unknown>[] {
    return [this.services, this.slices, this.pods, this.nodes] as readonly Informer<unknown>[];
  }

  start(): void {
    for (const informer of this.informers) informer.start();
  }

  close(): void {
    for (const informer of this.informers) informer.close();
    this.#listeners.clear();
  }

  /** Everything has been listed once. */
  get synced(): boolean {
    return this.informers.every(({ synced }) => synced);
  }

  async whenSynced(): Promise<void> {
    await Promise.all(this.informers.map((informer) => informer.whenSynced()));
  }

  read(): RegistryContents {
    if (this.#contents !== null) return this.#contents;
    this.#rebuild();
    this.#contents = {
      services: [],
      workloads: this.#workloadList,
      provided: [...this.#provided.values()],
      problems: [...this.#problems.values()],
    };
    return this.#contents;
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #informer<T>(type: ResourceType, project: (object: KubernetesObject) => T | null): Informer<T> {
    const { client, clock, random, log } = this.#options;
    return new Informer<T>({ client, type, project, clock, random, log });
  }

  #servicesChanged(changes: readonly InformerChange<ServiceRecord>[]): void {
    const { domain } = this.#options;
    let isNews = false;
    for (const { key, before, after } of changes) {
      if (before !== undefined && JSON.stringify(before) === JSON.stringify(after)) continue;
      isNews = true;
      this.#dirty.add(key);
      const [old, now] = [before, after].map((each) => (each ? aliasOf(each, domain) : ''));
      if (old !== '') this.#aliases.get(old!)?.delete(key);
      if (now !== '') add(this.#aliases, now!, key);
    }
    if (isNews) this.#changed();
  }

  #slicesChanged(changes: readonly InformerChange<SliceRecord>[]): void {
    let isNews = false;
    for (const { key, before, after } of changes) {
      if (before !== undefined && JSON.stringify(before) === JSON.stringify(after)) {
        this.#slicesOf.get(before.service)?.set(key, after!);
        continue;
      }
      isNews = true;
      if (before !== undefined) {
        this.#dirty.add(before.service);
        const slices = this.#slicesOf.get(before.service);
        slices?.delete(key);
        if (slices?.size === 0) this.#slicesOf.delete(before.service);
        this.#unlink(before);
      }
      if (after === undefined) continue;
      this.#dirty.add(after.service);
      let slices = this.#slicesOf.get(after.service);
      if (slices === undefined) {
        slices = new Map();
        this.#slicesOf.set(after.service, slices);
      }
      slices.set(key, after);
      for (const { pod } of after.endpoints) {
        if (pod !== '') add(this.#servicesOfPod, pod, after.service);
      }
    }
    if (isNews) this.#changed();
  }

  /** Pods of a slice that is no more, unless another slice of the service has them. */
  #unlink({ service, endpoints }: SliceRecord): void {
    const others = [...(this.#slicesOf.get(service)?.values() ?? [])];
    const still = new Set(others.flatMap((slice) => slice.endpoints.map(({ pod }) => pod)));
    for (const { pod } of endpoints) {
      if (pod === '' || still.has(pod)) continue;
      const services = this.#servicesOfPod.get(pod);
      services?.delete(service);
      if (services?.size === 0) this.#servicesOfPod.delete(pod);
    }
  }

  #podsChanged(changes: readonly InformerChange<PodRecord>[]): void {
    let isNews = false;
    for (const { key, before, after } of changes) {
      if (before !== undefined && after !== undefined && samePod(before, after)) continue;
      isNews = true;
      const workload = after === undefined ? null : this.#workloadOf(after);
      if (workload === null) this.#workloads.delete(key);
      else this.#workloads.set(key, workload);
      for (const service of this.#servicesOfPod.get(key) ?? []) this.#dirty.add(service);
    }
    if (!isNews) return;
    this.#workloadList = [...this.#workloads.values()];
    this.#changed();
  }

  /** Rare: everything is made anew, and what comes out the same is kept by the directory. */
  #nodesChanged(changes: readonly InformerChange<string>[]): void {
    if (changes.every(({ before, after }) => before === after)) return;
    for (const key of this.#provided.keys()) this.#dirty.add(key);
    for (const [key, pod] of this.pods.read()) {
      const workload = this.#workloadOf(pod);
      if (workload !== null) this.#workloads.set(key, workload);
    }
    this.#workloadList = [...this.#workloads.values()];
    this.#changed();
  }

  #rebuild(): void {
    for (const key of [...this.#dirty]) {
      for (const alias of this.#aliases.get(key) ?? []) this.#dirty.add(alias);
    }
    // What others stand for comes before them.
    const services = this.services.read();
    const isAlias = (key: string): number => (services.get(key)?.externalName ? 1 : 0);
    for (const key of [...this.#dirty].sort((a, b) => isAlias(a) - isAlias(b))) {
      this.#dirty.delete(key);
      try {
        this.#rebuildOne(key, services.get(key));
      } catch (error) {
        // One service must not keep the others from being told: it stays as it was (A6.9).
        this.#options.log.warn({ err: error, service: key }, 'a service cannot be made and stays');
      }
    }
  }

  #rebuildOne(key: string, record: ServiceRecord | undefined): void {
    const { domain } = this.#options;
    const previous = this.#provided.get(key);
    const provided =
      record === undefined
        ? null
        : providedService({
            record,
            slices: [...(this.#slicesOf.get(key)?.values() ?? [])],
            pod: (pod) => this.pods.read().get(pod),
            node: (node) => this.nodes.read().get(`/${node}`),
            alias: this.#provided.get(aliasOf(record, domain)),
            domain,
            previous,
          });
    if (provided === null) this.#provided.delete(key);
    else this.#provided.set(key, provided);
    if (record?.hasSessionAffinity === true) {
      this.#problems.set(key, {
        subject: `Service ${key}`,
        message:
          'sessionAffinity ClientIP does not hold for calls through sidecars; use a DestinationRule with consistentHash.useSourceIp',
      });
    } else this.#problems.delete(key);
  }

  #workloadOf(pod: PodRecord): Workload | null {
    if (pod.address === '' || !pod.isReady) return null;
    return {
      name: pod.workload,
      namespace: pod.namespace,
      address: pod.address,
      labels: pod.labels,
      serviceAccount: pod.serviceAccount,
      weight: 1,
      locality: localityOf(pod, this.nodes.read().get(`/${pod.nodeName}`), ''),
      health: 'HEALTHY',
      tlsMode: pod.tlsMode,
      portsByName: NO_PORTS_BY_NAME,
      portsByNumber: NO_PORTS_BY_NUMBER,
      host: '',
      creationTimestamp: pod.creationTimestamp,
    };
  }

  #changed(): void {
    this.#contents = null;
    for (const listener of [...this.#listeners]) listener();
  }
}

const NO_PORTS_BY_NAME: ReadonlyMap<string, number> = new Map();
const NO_PORTS_BY_NUMBER: ReadonlyMap<number, number> = new Map();

function add(sets: Map<string, Set<string>>, key: string, member: string): void {
  const set = sets.get(key);
  if (set === undefined) sets.set(key, new Set([member]));
  else set.add(member);
}
