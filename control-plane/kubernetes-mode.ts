import { Gauge, type Registry } from 'prom-client';
import type { NamespaceLabels } from './admission/pod-injector.ts';
import {
  type AuthoritySecretOptions,
  followAuthoritySecret,
  openAuthoritySecret,
} from './ca/authority-secret.ts';
import type { AuthorityContent, AuthoritySource } from './ca/authority-source.ts';
import type { ReplicaOptions } from './control-plane-options.ts';
import { CaBundleController } from './controllers/ca-bundle-controller.ts';
import { ClusterNamespaces } from './controllers/cluster-namespaces.ts';
import { LeaderElection, leaseTiming } from './controllers/leader-election.ts';
import {
  PolicyStatusController,
  type PolicyStatusControllerOptions,
} from './controllers/policy-status-controller.ts';
import { RootConfigMapController } from './controllers/root-config-map-controller.ts';
import { NEVER_NAMESPACES } from './injector/policy.ts';
import { KINDS } from './kinds/kind-registry.ts';
import type { KubernetesClient } from './kubernetes/kubernetes-client.ts';
import { CONTROL_PLANE, LEADER_LEASE, PORT_XDS } from './kubernetes/own-objects.ts';
import { pause } from './kubernetes/pause.ts';
import { KubernetesStore } from './store/kubernetes-store.ts';

export interface KubernetesDependencies {
  readonly clock: {
    readonly wallMs: () => number;
    readonly monotonicMs: () => number;
    readonly schedule: (delayMs: number, callback: () => void) => () => void;
    /** From 0 up to 1. */
    readonly random?: () => number;
  };
  /** A new UUID. */
  readonly newIdentity: () => string;
  readonly trustDomain: string;
  /** DNS domain of services. */
  readonly domain: string;
  readonly log: {
    info(fields: object, message: string): void;
    warn(fields: object, message: string): void;
    error(fields: object, message: string): void;
  };
  /** Ends waiting for a cluster that is away. */
  readonly signal: AbortSignal;
}

/** What the controllers need of the rest of the control plane. */
export interface ControllerInputs {
  /** Every root that is trusted now, PEM. */
  readonly rootsPem: () => string;
  /** Reads the authority again; rejects and changes nothing where it is not usable. */
  readonly reloadAuthority: () => Promise<void>;
  readonly findings: PolicyStatusControllerOptions['findings'];
  readonly store: KubernetesStore;
  readonly registry: Registry;
  /** This replica may write from now on. */
  readonly onLead: () => void;
}

/** Milliseconds between attempts to read the authority's Secret at the start. */
const RETRY_MS = 1000;

/**
 * The parts of a control plane that lives in a cluster: the client, the authority's Secret, namespaces, the election, and
 * what only the elected replica does (see docs/kubernetes.md). `control-plane.ts` puts them to the others.
 */
export class KubernetesMode {
  readonly client: KubernetesClient;
  readonly podNamespace: string;
  readonly authority: AuthoritySource;
  readonly #options: ReplicaOptions;
  readonly #dependencies: KubernetesDependencies;
  readonly #parts: {
    readonly clock: { nowMs: () => number; schedule: KubernetesDependencies['clock']['schedule'] };
    readonly random: () => number;
    readonly log: KubernetesDependencies['log'];
  };
  readonly #secret: AuthoritySecretOptions;
  readonly #namespaces: ClusterNamespaces;
  readonly #election: LeaderElection;
  readonly #closers: (() => void)[] = [];
  /** As last read, and as last seen. */
  #secretVersion = '';
  #secretSeen = '';
  #isClosed = false;
  #refreshers: { readonly roots: () => void; readonly mesh: () => void } | null = null;

  /** Asks the cluster for nothing yet. */
  constructor(
    client: KubernetesClient,
    options: ReplicaOptions,
    dependencies: KubernetesDependencies,
  ) {
    const { clock, log, newIdentity, trustDomain } = dependencies;
    this.#options = options;
    this.#dependencies = dependencies;
    this.#parts = {
      clock: { nowMs: clock.monotonicMs, schedule: clock.schedule },
      random: clock.random ?? Math.random,
      log,
    };
    this.client = client;
    this.podNamespace = options.podNamespace ?? client.config.namespace;
    this.#secret = {
      client: this.client,
      namespace: this.podNamespace,
      name: options.caSecret,
      trustDomain,
      wallMs: clock.wallMs,
    };
    this.authority = { read: () => this.#readAuthority() };
    this.#namespaces = new ClusterNamespaces(this.client, this.#parts);
    this.#election = new LeaderElection({
      ...this.#parts,
      client: this.client,
      namespace: this.podNamespace,
      name: LEADER_LEASE,
      identity: `${options.podName}_${newIdentity()}`,
      wallMs: clock.wallMs,
      timing: leaseTiming(options.leaseDurationMs),
    });
  }

  /** Whether this replica may write what only one may write; asked before each such write. */
  mayWrite = (): boolean => this.#election.mayWrite();

  get namespaceLabels(): NamespaceLabels {
    return this.#namespaces;
  }

  /** `host:port` of xDS for the sidecars that this control plane injects. */
  get xdsAddress(): string {
    return `${CONTROL_PLANE}.${this.podNamespace}.svc:${PORT_XDS}`;
  }

  /** Names under which the API server and sidecars reach this control plane. */
  get serverNames(): readonly string[] {
    const name = `${CONTROL_PLANE}.${this.podNamespace}`;
    return [name, `${name}.svc`, `${name}.svc.${this.#dependencies.domain}`];
  }

  /** Waits for an API server that is away. Rejects where the wait is called off. */
  async openStore(): Promise<KubernetesStore> {
    const options = {
      ...this.#parts,
      client: this.client,
      kinds: KINDS,
      wallMs: this.#dependencies.clock.wallMs,
    };
    const store = await KubernetesStore.open(options, this.#dependencies.signal);
    if (store === null) throw new CalledOff();
    return store;
  }

  /** Begins to lead or to wait for it, and to do what a leader does. */
  startControllers(inputs: ControllerInputs): void {
    const { client, mayWrite } = this;
    const common = { ...this.#parts, client, mayWrite, rootsPem: inputs.rootsPem };
    const bundles = new CaBundleController({ ...common, namespace: this.podNamespace });
    const configMaps = new RootConfigMapController({
      ...common,
      namespaces: this.#namespaces,
      ignored: NEVER_NAMESPACES,
    });
    const statuses = new PolicyStatusController({
      ...common,
      kinds: inputs.store.kinds,
      findings: inputs.findings,
      wallMs: this.#dependencies.clock.wallMs,
    });
    this.#refreshers = {
      roots: () => {
        bundles.refresh();
        configMaps.refresh();
      },
      mesh: () => statuses.refresh(),
    };
    const leads = new Gauge({
      name: 'weft_leader',
      help: '1 on the replica that writes what only one may write',
      registers: [inputs.registry],
    });
    leads.set(0);
    this.#election.onChange((isLeader) => {
      leads.set(isLeader ? 1 : 0);
      if (!isLeader) return;
      this.rootsChanged();
      this.meshBuilt();
      inputs.onLead();
    });
    this.#namespaces.start();
    bundles.start();
    configMaps.start();
    this.#election.start();
    const unfollow = followAuthoritySecret(this.#secret, this.#parts, (version) => {
      if (version === null) this.#secretIsGone();
      else void this.#secretIs(version, inputs.reloadAuthority);
    });
    this.#closers.push(
      unfollow,
      () => bundles.close(),
      () => configMaps.close(),
      () => statuses.close(),
    );
  }

  /** Another root is trusted, or one no longer: whoever holds a copy gets the new ones. */
  rootsChanged(): void {
    this.#refreshers?.roots();
  }

  /** A snapshot was built: what it says about policies is written to them. */
  meshBuilt(): void {
    this.#refreshers?.mesh();
  }

  /** Stops writing, gives the Lease back. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const close of this.#closers.splice(0)) close();
    this.#namespaces.close();
    await this.#election.close();
  }

  /** Until it has been read in this version: one that is not usable waits for the next, one that could not be asked for is. */
  async #secretIs(version: string, reload: () => Promise<void>): Promise<void> {
    const { clock, log } = this.#dependencies;
    this.#secretSeen = version;
    while (this.#secretSeen === version && this.#secretVersion !== version && !this.#isClosed) {
      try {
        await reload();
      } catch (error) {
        log.error({ err: error }, 'the authority stays as it was');
        if (this.#secretVersion === version) return;
        await pause(clock.schedule, RETRY_MS, this.#dependencies.signal);
      }
    }
  }

  #secretIsGone(): void {
    const { namespace, name } = this.#secret;
    this.#dependencies.log.error(
      { namespace, secret: name },
      'the Secret of the authority was deleted: this replica goes on with what it has, but one that starts now makes a new root; restore the Secret, or restart all replicas and workloads',
    );
  }

  async #readAuthority(): Promise<AuthorityContent> {
    const { clock, signal, log } = this.#dependencies;
    for (let attempt = 1; ; attempt++) {
      if (signal.aborted) throw new CalledOff();
      const read = await openAuthoritySecret(this.#secret);
      if (read.kind !== 'away') this.#secretVersion = read.version;
      if (read.kind === 'unusable') throw read.error;
      if (read.kind === 'read') return read.content;
      const place = `Secret ${this.podNamespace}/${this.#options.caSecret}`;
      // Once the mesh runs, whoever asks for a reload gets the answer instead of a wait.
      if (this.#refreshers !== null) throw new Error(`${place}: ${read.message}`);
      if (attempt === 1) log.warn({}, `waiting for ${place}: ${read.message}`);
      await pause(clock.schedule, RETRY_MS, signal);
    }
  }
}

/** SIGTERM came while the cluster was still away. */
export class CalledOff extends Error {
  readonly code = 'WEFT_CALLED_OFF';

  constructor() {
    super('stopped before the cluster answered');
  }
}
