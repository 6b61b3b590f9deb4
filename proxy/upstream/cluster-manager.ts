import type { StatsRegistry } from '../observe/stats.ts';
import type { ClusterConfig, EndpointAssignment } from './cluster-config.ts';
import { type ClusterDeps, LiveCluster } from './live-cluster.ts';
import { StrictDns } from './strict-dns.ts';
import type { Cluster, ClusterManager } from './upstream.ts';
import type { UpstreamEndpoint } from './upstream-endpoint.ts';

export type ClusterManagerDeps = ClusterDeps & { readonly stats: StatsRegistry };

/** A cluster with what keeps its endpoints up to date. */
interface Managed {
  readonly cluster: LiveCluster;
  dns: StrictDns | null;
  /** Endpoints are known, or it is known that there are none. */
  warm: boolean;
  readonly waiting: (() => void)[];
}

/** All clusters, from all sources; `sidecar.ts` applies what `xds/` has compiled. */
export class LiveClusterManager implements ClusterManager {
  readonly #deps: ClusterManagerDeps;
  readonly #clusters = new Map<string, Managed>();
  /** Clusters of type EDS by the service whose endpoints they take: an assignment must not look through ten thousand. */
  readonly #byService = new Map<string, readonly Managed[]>();
  /** Also for clusters that have not come yet: EDS may overtake CDS. */
  readonly #assignments = new Map<string, EndpointAssignment>();

  constructor(deps: ClusterManagerDeps) {
    this.#deps = deps;
  }

  get(name: string): LiveCluster | undefined {
    return this.#clusters.get(name)?.cluster;
  }

  get clusters(): ReadonlyMap<string, Cluster> {
    const clusters = new Map<string, Cluster>();
    for (const [name, { cluster }] of this.#clusters) clusters.set(name, cluster);
    return clusters;
  }

  setCluster(config: ClusterConfig): void {
    let managed = this.#clusters.get(config.name);
    if (managed === undefined) {
      const cluster = new LiveCluster(config, this.#deps);
      managed = { cluster, dns: null, warm: false, waiting: [] };
      this.#clusters.set(config.name, managed);
    } else {
      this.#unlist(managed);
      managed.cluster.setConfig(config);
    }
    if (config.discovery === 'EDS') {
      const others = this.#byService.get(config.edsServiceName) ?? [];
      this.#byService.set(config.edsServiceName, [...others, managed]);
    }
    this.#discover(managed, config);
  }

  setAssignment(edsServiceName: string, assignment: EndpointAssignment): void {
    this.#assignments.set(edsServiceName, assignment);
    for (const managed of this.#byService.get(edsServiceName) ?? []) {
      managed.cluster.setAssignment(assignment);
      this.#warmed(managed);
    }
  }

  /** An EDS resource is gone; the endpoints last known stay with their cluster (I7). */
  forgetAssignment(edsServiceName: string): void {
    this.#assignments.delete(edsServiceName);
  }

  removeCluster(name: string): void {
    const managed = this.#clusters.get(name);
    if (managed === undefined) return;
    this.#clusters.delete(name);
    managed.dns?.stop();
    managed.cluster.close();
    this.#warmed(managed);
    this.#unlist(managed);
    const { edsServiceName } = managed.cluster.config;
    if (!this.#byService.has(edsServiceName)) this.#assignments.delete(edsServiceName);
  }

  #unlist(managed: Managed): void {
    const { edsServiceName } = managed.cluster.config;
    const listed = this.#byService.get(edsServiceName);
    if (listed === undefined) return;
    const others = listed.filter((each) => each !== managed);
    if (others.length === 0) this.#byService.delete(edsServiceName);
    else this.#byService.set(edsServiceName, others);
  }

  warm(name: string): Promise<void> {
    const managed = this.#clusters.get(name);
    if (managed === undefined || managed.warm) return Promise.resolve();
    return new Promise((resolve) => managed.waiting.push(resolve));
  }

  /** For `/clusters`. */
  *endpoints(): Generator<readonly [cluster: LiveCluster, endpoint: UpstreamEndpoint]> {
    for (const { cluster } of this.#clusters.values()) {
      for (const endpoint of cluster.endpoints) yield [cluster, endpoint];
    }
  }

  close(): void {
    for (const managed of this.#clusters.values()) {
      managed.dns?.stop();
      managed.cluster.destroy();
      this.#warmed(managed);
    }
    this.#clusters.clear();
    this.#byService.clear();
    this.#assignments.clear();
  }

  #discover(managed: Managed, config: ClusterConfig): void {
    if (config.discovery !== 'STRICT_DNS') {
      managed.dns?.stop();
      managed.dns = null;
    }
    switch (config.discovery) {
      case 'STATIC':
        managed.cluster.setAssignment(config.assignment);
        this.#warmed(managed);
        return;
      case 'EDS': {
        const known = this.#assignments.get(config.edsServiceName);
        if (known === undefined) return;
        managed.cluster.setAssignment(known);
        this.#warmed(managed);
        return;
      }
      case 'STRICT_DNS':
        managed.dns ??= new StrictDns(managed.cluster, () => this.#warmed(managed));
        managed.dns.start(config);
        return;
      case 'ORIGINAL_DST':
        this.#warmed(managed);
        return;
    }
  }

  #warmed(managed: Managed): void {
    managed.warm = true;
    for (const resolve of managed.waiting.splice(0)) resolve();
  }
}
