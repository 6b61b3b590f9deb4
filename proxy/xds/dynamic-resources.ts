import { unpackAs, unpackAsSteps } from '../../proto/any.ts';
import type { Resource } from '../../proto/gen/envoy/service/discovery/v3/discovery.ts';
import type { Any } from '../../proto/gen/google/protobuf/any.ts';
import {
  TYPE_CLUSTER,
  TYPE_ENDPOINT,
  TYPE_LISTENER,
  TYPE_NAME_TABLE,
  TYPE_ROUTE,
  TYPE_SECRET,
} from '../../proto/type-urls.ts';
import type { NameTableConfig } from '../dns/name-table-config.ts';
import type { ListenerConfig } from '../listener/listener-config.ts';
import type { RouteConfig } from '../router/route-config.ts';
import type { ClusterConfig, EndpointAssignment } from '../upstream/cluster-config.ts';
import { compileClusterSteps } from './compile/cluster.ts';
import type { CompileContext } from './compile/compile-context.ts';
import { compileListener } from './compile/listener.ts';
import { compileLoadAssignmentSteps } from './compile/load-assignment.ts';
import { compileNameTable } from './compile/name-table.ts';
import { type Compiled, formatProblems } from './compile/problems.ts';
import { compileRouteConfigurationSteps } from './compile/route-configuration.ts';
import { compileSecret, type NamedSecret } from './compile/secret.ts';
import { routeNamesOf, secretNamesOfCluster, secretNamesOfListener } from './referenced-names.ts';
import { type EventLoop, TimeSlices } from './time-slices.ts';

/** The live tables, as this folder may change them; `sidecar.ts` puts the managers behind it. */
export interface ConfigTarget {
  setCluster(config: ClusterConfig): void;
  removeCluster(name: string): void;
  setAssignment(edsServiceName: string, assignment: EndpointAssignment): void;
  /** Resolves when the endpoints of a cluster are known. */
  warmCluster(name: string): Promise<void>;
  /** Why a listener could not be opened on its address, before anything of it is in use; '' = it can. */
  probeListener(config: ListenerConfig): Promise<string>;
  /** Opens or swaps; '' or the reason why not. */
  setListener(config: ListenerConfig): Promise<string>;
  removeListener(name: string): void;
  setRoutes(config: RouteConfig): void;
  removeRoutes(name: string): void;
  /** '' or the reason why not. */
  setSecret(secret: NamedSecret): string;
  setNameTable(table: NameTableConfig): void;
}

/** One resource as `/config_dump` and the copy on disk know it. */
export interface ResourceEntry {
  readonly name: string;
  /** The version in use; '' where none was ever accepted. */
  version: string;
  /** The resource in use, or undefined. */
  resource: Any | undefined;
  lastUpdatedMs: number;
  /** The latest refusal, until a good version comes. */
  error: { readonly version: string; readonly details: string; readonly atMs: number } | null;
}

export interface DynamicResourcesOptions {
  readonly target: ConfigTarget;
  readonly context: CompileContext;
  readonly now: () => number;
  /** Names that clusters and listeners refer to have changed. */
  readonly onNames: (typeUrl: string, names: ReadonlySet<string>) => void;
  /** Something that is in use has changed: time to write the copy on disk. */
  readonly onChange: () => void;
  /** A listener that had waited for its routes could not be opened. */
  readonly onLateProblem: (listener: string, problem: string) => void;
  /** Names of secrets that never come over the wire: the sidecar's own and those of the bootstrap. */
  readonly localSecrets: ReadonlySet<string>;
  /** Told when the taking of a response begins; the answer is called when it ends. */
  readonly onTaking?: () => () => void;
  /** Default: that of the process. */
  readonly loop?: EventLoop;
}

/**
 * Turns resources into live configuration: compiles each, keeps the last good one where the new one is bad, and
 * warms, so that nothing serves before what it needs is there: a listener waits for its routes and secrets and, at
 * the start, for the endpoints of all clusters (rule 11). A cluster that is swapped keeps its endpoints meanwhile.
 */
export class DynamicResources {
  readonly #options: DynamicResourcesOptions;
  readonly #entries = new Map<string, Map<string, ResourceEntry>>(
    [TYPE_CLUSTER, TYPE_ENDPOINT, TYPE_LISTENER, TYPE_ROUTE, TYPE_SECRET, TYPE_NAME_TABLE].map(
      (t) => [t, new Map()],
    ),
  );
  readonly #clusters = new Map<string, ClusterConfig>();
  readonly #listeners = new Map<string, ListenerConfig>();
  /** Listeners that wait for routes or secrets, by listener name. */
  readonly #warming = new Map<string, ListenerConfig>();
  readonly #routes = new Set<string>();
  readonly #missingRoutes = new Set<string>();
  /** Those that came over the wire and are in use. */
  readonly #secrets = new Set<string>();
  readonly #missingSecrets = new Set<string>();
  /** Clusters of the first answer have their endpoints, or 15 s have passed. */
  #clustersWarm = false;
  #listenersAnswered = false;
  /** The latest response that is being taken. */
  #latest: Promise<unknown> = Promise.resolve();
  #closed = false;
  #whenReady: () => void = () => {};
  /** Resolves when the first set of listeners is open. */
  readonly ready: Promise<void>;

  constructor(options: DynamicResourcesOptions) {
    this.#options = options;
    this.ready = new Promise((resolve) => {
      this.#whenReady = resolve;
    });
  }

  entries(typeUrl: string): ReadonlyMap<string, ResourceEntry> {
    return this.#entries.get(typeUrl) ?? new Map();
  }

  /** A listener that waits for something, by name. */
  get warmingListeners(): ReadonlyMap<string, ListenerConfig> {
    return this.#warming;
  }

  /** Takes a response between requests, in slices of time; the next one waits until this one is in use. */
  apply(
    typeUrl: string,
    resources: readonly Resource[],
    removed: readonly string[],
  ): Promise<ReadonlyMap<string, string>> {
    const problems = this.#latest.then(async () => {
      const taken = this.#options.onTaking?.();
      try {
        return await this.#apply(typeUrl, resources, removed);
      } finally {
        taken?.();
      }
    });
    this.#latest = problems.catch(() => {});
    return problems;
  }

  /** Nothing more is changed, of a response under way either. */
  close(): void {
    this.#closed = true;
  }

  async #apply(
    typeUrl: string,
    resources: readonly Resource[],
    removed: readonly string[],
  ): Promise<ReadonlyMap<string, string>> {
    const problems = new Map<string, string>();
    const slices = new TimeSlices(this.#options.loop);
    for (const resource of resources) {
      if (slices.isOver) await slices.next();
      if (this.#closed) return problems;
      const problem = await this.#applyOne(typeUrl, resource, slices);
      this.#note(typeUrl, resource, problem);
      if (problem !== '') problems.set(resource.name, problem);
    }
    for (const name of removed) {
      if (slices.isOver) await slices.next();
      if (this.#closed) return problems;
      this.#remove(typeUrl, name);
    }
    if (slices.isOver) await slices.next();
    if (this.#closed) return problems;
    await this.#announceNames(typeUrl, slices);
    if (this.#closed) return problems;
    if (typeUrl === TYPE_CLUSTER) this.#warmClusters();
    if (typeUrl === TYPE_LISTENER) this.#listenersAnswered = true;
    await this.#activateListeners();
    if (resources.length > problems.size || removed.length > 0) this.#options.onChange();
    return problems;
  }

  /** Asked for and not there: what waited for it goes on without it. */
  missing(typeUrl: string, names: readonly string[]): void {
    const { target } = this.#options;
    for (const name of names) {
      if (typeUrl === TYPE_ROUTE && !this.#routes.has(name)) this.#missingRoutes.add(name);
      if (typeUrl === TYPE_SECRET && !this.#secrets.has(name)) this.#missingSecrets.add(name);
      if (typeUrl === TYPE_ENDPOINT && this.entries(typeUrl).get(name)?.resource === undefined) {
        target.setAssignment(name, { version: '', endpoints: [] });
      }
    }
    void this.#activateListeners();
  }

  /** '' or the reason why it is refused. Those types of which one resource may hold thousands of things are sliced. */
  async #applyOne(typeUrl: string, resource: Resource, slices: TimeSlices): Promise<string> {
    const { name, version } = resource;
    const any = resource.resource!;
    const { target, context } = this.#options;
    switch (typeUrl) {
      case TYPE_CLUSTER: {
        const message = await slices.run(unpackAsSteps('envoy.config.cluster.v3.Cluster', any));
        if (!message.ok) return message.problem;
        const cluster = message.message;
        const compiled = await slices.run(compileClusterSteps(cluster, version, context));
        if (this.#closed) return '';
        return this.#use(name, cluster.name, compiled, (config) => {
          this.#clusters.set(name, config);
          target.setCluster(config);
          return '';
        });
      }
      case TYPE_ENDPOINT: {
        const message = await slices.run(
          unpackAsSteps('envoy.config.endpoint.v3.ClusterLoadAssignment', any),
        );
        if (!message.ok) return message.problem;
        const assignment = message.message;
        const compiled = await slices.run(compileLoadAssignmentSteps(assignment, version, context));
        if (this.#closed) return '';
        return this.#use(name, assignment.clusterName, compiled, (config) => {
          target.setAssignment(name, config);
          return '';
        });
      }
      case TYPE_ROUTE: {
        const message = await slices.run(
          unpackAsSteps('envoy.config.route.v3.RouteConfiguration', any),
        );
        if (!message.ok) return message.problem;
        const routes = message.message;
        const compiled = await slices.run(compileRouteConfigurationSteps(routes, version, context));
        if (this.#closed) return '';
        return this.#use(name, routes.name, compiled, (config) => {
          target.setRoutes(config);
          this.#routes.add(name);
          this.#missingRoutes.delete(name);
          return '';
        });
      }
      case TYPE_SECRET: {
        const message = unpackAs('envoy.extensions.transport_sockets.tls.v3.Secret', any);
        if (!message.ok) return message.problem;
        const compiled = compileSecret(message.message, context);
        return this.#use(name, message.message.name, compiled, (secret) => {
          const problem = target.setSecret(secret);
          if (problem !== '') return problem;
          this.#secrets.add(name);
          this.#missingSecrets.delete(name);
          return '';
        });
      }
      case TYPE_LISTENER: {
        const message = unpackAs('envoy.config.listener.v3.Listener', any);
        if (!message.ok) return message.problem;
        const compiled = compileListener(message.message, version, context);
        return this.#use(name, message.message.name, compiled, (config) =>
          this.#useListener(config),
        );
      }
      case TYPE_NAME_TABLE: {
        const message = unpackAs('istio.networking.nds.v1.NameTable', any);
        if (!message.ok) return message.problem;
        return this.#use(name, name, compileNameTable(message.message, version), (table) => {
          target.setNameTable(table);
          return '';
        });
      }
      default:
        return `resources of type ${typeUrl} are not used`;
    }
  }

  async #use<T>(
    name: string,
    written: string,
    compiled: Compiled<T>,
    use: (value: T) => string | Promise<string>,
  ): Promise<string> {
    if (!compiled.ok) return formatProblems(compiled.problems);
    if (written !== name) return `the resource is called "${written}" inside`;
    return use(compiled.value);
  }

  async #useListener(config: ListenerConfig): Promise<string> {
    const { target } = this.#options;
    if (this.#mustWait(config)) {
      // Not opened yet, but an address that is taken can be told at once.
      const problem = this.#listeners.has(config.name) ? '' : await target.probeListener(config);
      if (problem === '') this.#warming.set(config.name, config);
      return problem;
    }
    const problem = await target.setListener(config);
    if (problem === '') {
      this.#warming.delete(config.name);
      this.#listeners.set(config.name, config);
    }
    return problem;
  }

  #mustWait(config: ListenerConfig): boolean {
    if (!this.#clustersWarm && this.#listeners.size === 0) return true;
    for (const name of routeNamesOf(config)) {
      if (this.#routes.has(name) || this.#missingRoutes.has(name)) continue;
      if (!this.#goesOnWithout(TYPE_ROUTE, name, config)) return true;
    }
    for (const name of secretNamesOfListener(config)) {
      if (this.#secrets.has(name) || this.#missingSecrets.has(name)) continue;
      if (this.#options.localSecrets.has(name)) continue;
      if (!this.#goesOnWithout(TYPE_SECRET, name, config)) return true;
    }
    return false;
  }

  /**
   * What a listener needs came and was refused. One that serves stays as it is; a new one opens without, so that one
   * bad resource does not keep the whole proxy from being ready (OP-06).
   */
  #goesOnWithout(typeUrl: string, name: string, listener: ListenerConfig): boolean {
    if (this.#listeners.has(listener.name)) return false;
    const entry = this.#entries.get(typeUrl)?.get(name);
    return entry !== undefined && entry.resource === undefined && entry.error !== null;
  }

  async #activateListeners(): Promise<void> {
    for (const config of [...this.#warming.values()]) {
      if (this.#mustWait(config)) continue;
      this.#warming.delete(config.name);
      const problem = await this.#options.target.setListener(config);
      if (problem === '') this.#listeners.set(config.name, config);
      else {
        const entry = this.#entries.get(TYPE_LISTENER)!.get(config.name);
        const atMs = this.#options.now();
        if (entry !== undefined) entry.error = { version: config.version, details: problem, atMs };
        this.#options.onLateProblem(config.name, problem);
      }
    }
    if (this.#listenersAnswered && this.#warming.size === 0) this.#whenReady();
  }

  #warmClusters(): void {
    if (this.#clustersWarm) return;
    const { target } = this.#options;
    const waits = [...this.#clusters.keys()].map((name) => target.warmCluster(name));
    void Promise.all(waits).then(() => this.#clustersAreWarm());
  }

  /** Also called when waiting for the first endpoints has taken too long. */
  #clustersAreWarm(): void {
    if (this.#clustersWarm) return;
    this.#clustersWarm = true;
    void this.#activateListeners();
  }

  /** Where clusters are all static, or the wait is over. */
  stopWaitingForClusters(): void {
    this.#clustersAreWarm();
  }

  /** Nobody is there to send secrets, and they are not kept on disk: listeners open without. */
  stopWaitingForSecrets(): void {
    const names = [...this.#warming.values()].flatMap(secretNamesOfListener);
    this.missing(TYPE_SECRET, names);
  }

  #remove(typeUrl: string, name: string): void {
    const { target } = this.#options;
    switch (typeUrl) {
      case TYPE_CLUSTER:
        if (this.#clusters.delete(name)) target.removeCluster(name);
        break;
      case TYPE_LISTENER:
        this.#warming.delete(name);
        if (this.#listeners.delete(name)) target.removeListener(name);
        break;
      default:
        // Endpoints, routes and secrets go when nothing refers to them; until then, and always of names, the last good
        // one serves.
        return;
    }
    this.#entries.get(typeUrl)?.delete(name);
  }

  #note(typeUrl: string, resource: Resource, problem: string): void {
    const entries = this.#entries.get(typeUrl);
    if (entries === undefined) return;
    const { name, version } = resource;
    let entry = entries.get(name);
    if (entry === undefined) {
      entry = { name, version: '', resource: undefined, lastUpdatedMs: 0, error: null };
      entries.set(name, entry);
    }
    const atMs = this.#options.now();
    if (problem !== '') {
      entry.error = { version, details: problem, atMs };
      return;
    }
    entry.version = version;
    entry.resource = resource.resource;
    entry.lastUpdatedMs = atMs;
    entry.error = null;
  }

  /** Tells which names are referred to now, and drops what nothing refers to any more. */
  async #announceNames(typeUrl: string, slices: TimeSlices): Promise<void> {
    if (typeUrl !== TYPE_CLUSTER && typeUrl !== TYPE_LISTENER) return;
    const secrets = new Set<string>();
    const services = new Set<string>();
    for (const config of this.#clusters.values()) {
      if (slices.isOver) await slices.next();
      for (const name of secretNamesOfCluster(config)) secrets.add(name);
      if (config.discovery === 'EDS') services.add(config.edsServiceName);
    }
    if (slices.isOver) await slices.next();
    if (this.#closed) return;
    const listeners = [...this.#listeners.values(), ...this.#warming.values()];
    for (const config of listeners) {
      for (const name of secretNamesOfListener(config)) secrets.add(name);
    }
    for (const name of this.#options.localSecrets) secrets.delete(name);
    for (const names of [this.#secrets, this.#missingSecrets]) {
      for (const name of names) if (!secrets.has(name)) names.delete(name);
    }
    this.#want(TYPE_SECRET, secrets);
    if (typeUrl === TYPE_CLUSTER) {
      this.#want(TYPE_ENDPOINT, services);
    } else {
      const routes = new Set(listeners.flatMap((config) => routeNamesOf(config)));
      for (const name of this.#routes) {
        if (routes.has(name)) continue;
        this.#routes.delete(name);
        this.#options.target.removeRoutes(name);
      }
      for (const name of this.#missingRoutes)
        if (!routes.has(name)) this.#missingRoutes.delete(name);
      this.#want(TYPE_ROUTE, routes);
    }
  }

  #want(typeUrl: string, names: ReadonlySet<string>): void {
    const entries = this.#entries.get(typeUrl)!;
    for (const name of entries.keys()) if (!names.has(name)) entries.delete(name);
    this.#options.onNames(typeUrl, names);
  }
}
