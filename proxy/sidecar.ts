import type { Readiness, ServerState } from './admin/admin-source.ts';
import { DateHeader } from './connection-manager/date-header.ts';
import { HttpConnectionManager } from './connection-manager/http-connection-manager.ts';
import { encodePeerMetadata } from './connection-manager/peer-metadata.ts';
import type { DnsProxy } from './dns/dns-proxy.ts';
import { probeBind } from './listener/bind-probe.ts';
import { drain } from './listener/drain.ts';
import { INBOUND_SOURCES, missingInboundSource } from './listener/inbound-source.ts';
import type { ListenerConfig } from './listener/listener-config.ts';
import { ListenerManager } from './listener/listener-manager.ts';
import { connectionsByOpenFiles } from './listener/open-files-limit.ts';
import { loadOriginalDestinationLookup } from './listener/original-destination.ts';
import { AccessLogFiles } from './observe/access-log-file.ts';
import { IstioMetrics } from './observe/istio-metrics.ts';
import type { Loggers } from './observe/logger.ts';
import type { Counter } from './observe/metric.ts';
import { defineProcessMetrics } from './observe/process-metrics.ts';
import { StatsRegistry } from './observe/stats.ts';
import type { AppProbe } from './registration/app-probe.ts';
import { RouteTables } from './router/route-tables.ts';
import { adminView } from './sidecar/admin-view.ts';
import { openDnsPort } from './sidecar/dns-port.ts';
import { MeshCredential } from './sidecar/mesh-credential.ts';
import { openServerPorts, type ServerPortsOptions } from './sidecar/server-ports.ts';
import { StartError } from './sidecar/start-error.ts';
import { after, withinMs } from './sidecar/timer.ts';
import { holdYoungGeneration } from './sidecar/young-generation.ts';
import type { AppEndpoints } from './status/status-environment.ts';
import { TimerLists } from './tcp/timer-list.ts';
import { InMemorySecretStore } from './tls/secret-store.ts';
import { TlsContexts } from './tls/tls-context.ts';
import { LiveClusterManager } from './upstream/cluster-manager.ts';
import { DnsResolver } from './upstream/dns-resolver.ts';
import {
  type Bootstrap,
  type BootstrapOverrides,
  loadBootstrap,
} from './xds/bootstrap/bootstrap.ts';
import type { ControlPlaneAddress } from './xds/bootstrap/control-plane-address.ts';
import type { CompileContext } from './xds/compile/compile-context.ts';
import { liveContext, storeSecret } from './xds/compile/live-context.ts';
import type { ControlPlaneSession } from './xds/control-plane-session.ts';
import type { ConfigTarget } from './xds/dynamic-resources.ts';
import { localWorkload, nodeMetadata } from './xds/node-workload.ts';

/** Connections of one listener at a time (A1.5). */
const CONNECTIONS_PER_LISTENER_MAX = 20_000;
/** Milliseconds that a start waits for the names of static clusters. */
const STATIC_WARMING_MS = 5000;
/** Milliseconds that the first certificate may hold up the configuration. */
const FIRST_CERTIFICATE_MS = 2000;
export interface SidecarOptions {
  /** The bootstrap's text and what to call it in messages. */
  readonly text: string;
  readonly fileName: string;
  readonly overrides: BootstrapOverrides;
  /** Of Weft. */
  readonly version: string;
  readonly environment: (name: string) => string | undefined;
  readonly loggers: Loggers;
  readonly wallClockMs: () => number;
  readonly random: () => number;
  /** What the status port knows of the app. */
  readonly appEndpoints: AppEndpoints;
  /** POST /quitquitquit of the admin port. */
  readonly onQuit: () => void;
  /** POST /quitquitquit of the status port: drain, then exit 0. */
  readonly onStop: () => void;
}

/** Starts a proxy; resolves when its static part serves. Rejects with `StartError`. */
export async function startSidecar(options: SidecarOptions): Promise<Sidecar> {
  const letGrow = holdYoungGeneration();
  try {
    return await startParts(new Sidecar(options));
  } finally {
    letGrow();
  }
}

async function startParts(sidecar: Sidecar): Promise<Sidecar> {
  try {
    await sidecar.start();
  } catch (error) {
    await sidecar.close(0);
    if (error instanceof StartError) throw error;
    throw new StartError([error instanceof Error ? error.message : String(error)]);
  }
  return sidecar;
}

/** All parts of one proxy, put together; start, drain and stop. */
export class Sidecar {
  readonly bootstrap: Bootstrap;
  readonly stats = new StatsRegistry();
  readonly secrets = new InMemorySecretStore();
  readonly routes = new RouteTables();
  readonly clusters: LiveClusterManager;
  readonly listeners: ListenerManager;
  readonly #options: SidecarOptions;
  readonly #accessLogs: AccessLogFiles;
  readonly #metrics: IstioMetrics;
  readonly #context: CompileContext;
  readonly #bugs: Counter;
  readonly #startedMs: number;
  readonly #closers: (() => Promise<void> | void)[] = [];
  #session: ControlPlaneSession | null = null;
  #credential: MeshCredential | null = null;
  #probe: AppProbe | null = null;
  #dns: DnsProxy | null = null;
  /** Why the proxy is not ready yet; '' once it is. */
  #waitingFor = 'the static configuration is being applied';
  #draining = false;
  #healthCheckPassing = true;

  constructor(options: SidecarOptions) {
    this.#options = options;
    const { loggers, wallClockMs, random } = options;
    this.#startedMs = wallClockMs();
    this.#accessLogs = new AccessLogFiles(this.stats, {
      onTrouble: (path, error) => {
        loggers.get('access-log').warn({ path, error: error.message }, 'access log lines are lost');
      },
    });
    const contextAt = liveContext({
      ...options,
      secrets: this.secrets,
      accessLogs: this.#accessLogs,
    });
    const loaded = loadBootstrap(options.text, options.fileName, options.overrides, contextAt);
    if (!loaded.ok) throw new StartError(loaded.problems);
    this.bootstrap = loaded.bootstrap;
    this.#context = contextAt([]);
    this.#bugs = this.stats.counter('weft_unexpected_errors_total', 'Bugs that were survived');
    const { node } = this.bootstrap;
    const inMesh = this.bootstrap.controlPlane !== null;
    this.#metrics = new IstioMetrics(this.stats, localWorkload(node), options.version);
    const timers = new TimerLists();
    const tlsContexts = new TlsContexts(this.secrets);
    const isOwnAddress = (host: string, port: number) => this.listeners.isOwnAddress(host, port);
    const shared = { stats: this.stats, timers, random, tlsContexts, wallClockMs };
    this.clusters = new LiveClusterManager({ ...shared, dns: new DnsResolver(), isOwnAddress });
    const managerDeps = {
      ...shared,
      routes: this.routes,
      clusters: this.clusters,
      date: new DateHeader(wallClockMs),
      metrics: this.#metrics,
      peerMetadata: inMesh ? encodePeerMetadata(nodeMetadata(node)) : null,
      isOwnListener: (address: string) => this.listeners.isOwnListener(address),
      onBug: (error: unknown) => {
        this.countBug();
        const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
        loggers.get('connection-manager').error({ error: text }, 'a request met a bug');
      },
    };
    this.listeners = new ListenerManager({
      ...shared,
      clusters: this.clusters,
      metrics: this.#metrics,
      log: loggers.get('listener'),
      httpConnectionManager: (config) => new HttpConnectionManager(config, managerDeps),
      loadOriginalDestination: loadOriginalDestinationLookup,
      connectionsPerListenerMax: Math.max(
        CONNECTIONS_PER_LISTENER_MAX,
        this.bootstrap.connectionsMax,
      ),
      connectionsMax: this.#connectionsMax(),
    });
  }

  /** As configured, else by the open files. */
  #connectionsMax(): number {
    const { connectionsMax } = this.bootstrap;
    const byOpenFiles = connectionsByOpenFiles();
    if (connectionsMax > byOpenFiles) {
      const fields = { configured: connectionsMax, byOpenFiles };
      const text =
        'overload_manager allows more connections than leave an open file for an upstream connection of each; raise `ulimit -n`';
      this.#options.loggers.get('listener').warn(fields, text);
    }
    return connectionsMax === 0 ? byOpenFiles : connectionsMax;
  }

  /** Resolves when the static part serves; what the control plane brings follows. */
  async start(): Promise<void> {
    const { bootstrap } = this;
    this.#closers.push(defineProcessMetrics(this.stats, this.#startedMs));
    for (const { name, secret } of bootstrap.secrets) storeSecret(this.secrets, name, secret);
    for (const { config } of bootstrap.clusters) this.clusters.setCluster(config);
    if (bootstrap.settings.redirected) this.#checkRedirection();
    const { loggers, random } = this.#options;
    await openServerPorts(this.#serverPorts(), this.#closers);
    this.#dns = await openDnsPort(bootstrap.settings, this.stats, loggers, random);
    this.#closers.push(() => this.#dns?.close());
    const warm = bootstrap.clusters.map(({ config }) => this.clusters.warm(config.name));
    await withinMs(STATIC_WARMING_MS, Promise.all(warm));
    for (const { config } of bootstrap.listeners) {
      const problem = await this.#setListener(config);
      if (problem !== '') throw new StartError([`listener "${config.name}": ${problem}`]);
    }
    if (bootstrap.controlPlane === null) {
      this.#waitingFor = '';
      return;
    }
    this.#waitingFor = 'the control plane has not sent a configuration yet';
    this.#joinMesh(bootstrap.controlPlane).catch((error: unknown) => {
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      this.#options.loggers.get('main').error({ error: text }, 'the mesh could not be joined');
    });
  }

  /** What redirect mode needs of this host, said before anything is served. */
  #checkRedirection(): void {
    const problem = this.listeners.loadRedirection();
    if (problem !== '') throw new StartError([problem]);
    const instanceIps = this.bootstrap.node.metadata?.['INSTANCE_IPS'];
    const missing = missingInboundSource(String(instanceIps ?? ''));
    if (missing !== '') this.#options.loggers.get('main').warn(missing);
  }

  #state(): ServerState {
    if (this.#draining) return 'DRAINING';
    return this.#waitingFor === '' ? 'LIVE' : 'INITIALIZING';
  }

  readiness(): Readiness {
    if (this.#draining) return { ready: false, reason: 'draining' };
    if (!this.#healthCheckPassing) return { ready: false, reason: 'POST /healthcheck/fail' };
    if (this.#waitingFor !== '') return { ready: false, reason: this.#waitingFor };
    if (this.#credential?.isAwaited) {
      return { ready: false, reason: 'the control plane has not issued a certificate yet' };
    }
    if (this.#dns?.isReady === false) {
      return { ready: false, reason: 'the control plane has not sent the names of the mesh yet' };
    }
    return { ready: true, reason: '' };
  }

  /**
   * Not ready, and inbound connections are told to end; outbound ones serve the app on, which may still be finishing
   * (`POST /drain` of a preStop hook). The process stays.
   */
  startDraining(): void {
    if (this.#draining) return;
    this.#options.loggers.get('main').info('draining inbound connections');
    this.#draining = true;
    this.#probe?.close();
    // The control plane takes the workload out of everybody's endpoints while it still answers.
    if (this.bootstrap.settings.ports.length > 0) {
      this.#session?.setHealth({ healthy: false, message: 'draining' });
    }
    for (const listener of this.listeners.listeners.values()) {
      if (listener.config.direction === 'INBOUND') listener.drain();
    }
  }

  /** Not ready, and every connection is told to end; see `listener/drain.ts` for the times. */
  async drain(drainMs: number, minimumMs = 0): Promise<void> {
    this.startDraining();
    await drain(this.listeners, drainMs, minimumMs);
  }

  /** Ends everything; logs get `flushMs`. */
  async close(flushMs: number): Promise<void> {
    this.#probe?.close();
    this.#credential?.close();
    this.listeners.destroy();
    this.clusters.close();
    await this.#session?.close();
    for (const closer of this.#closers) await closer();
    await this.#accessLogs.close(flushMs);
  }

  countBug(): void {
    this.#bugs.add(1);
  }

  #serverPorts(): ServerPortsOptions {
    const { bootstrap } = this;
    const { version, fileName, loggers, wallClockMs, appEndpoints, onQuit, onStop } = this.#options;
    return {
      bootstrap,
      source: adminView({
        bootstrap,
        fileName,
        version,
        startedMs: this.#startedMs,
        wallClockMs,
        clusters: this.clusters,
        listeners: this.listeners,
        secrets: this.secrets,
        accessLogs: this.#accessLogs,
        resources: () => this.#session?.resources ?? null,
        state: () => this.#state(),
        readiness: () => this.readiness(),
        setHealthCheck: (passing) => {
          this.#healthCheckPassing = passing;
        },
        quit: onQuit,
      }),
      registry: this.stats,
      loggers,
      wallClockMs,
      appEndpoints,
      onDrain: () => this.startDraining(),
      onStop,
    };
  }

  // --- Mesh -------------------------------------------------------------------------------------

  /** Identity first, because the control plane asks for it; then configuration, then the app's health. */
  async #joinMesh(address: ControlPlaneAddress): Promise<void> {
    const { bootstrap } = this;
    const { loggers, wallClockMs, random } = this.#options;
    const credential = new MeshCredential({
      address,
      settings: bootstrap.settings,
      secrets: this.secrets,
      stats: this.stats,
      wallClockMs,
      random,
      log: loggers.get('identity'),
      onPrincipal: (principal) => this.#metrics.setLocalPrincipal(principal),
    });
    this.#credential = credential;
    await withinMs(FIRST_CERTIFICATE_MS, credential.start());
    const { ControlPlaneSession } = await import('./xds/control-plane-session.ts');
    const session = new ControlPlaneSession({
      bootstrap,
      address,
      credential,
      target: this.#configTarget(),
      context: this.#context,
      timers: { now: wallClockMs, after },
      random,
      stats: this.stats,
      log: loggers.get('xds'),
      onTaking: holdYoungGeneration,
      localSecrets: new Set(['default', 'ROOTCA', ...bootstrap.secrets.map(({ name }) => name)]),
    });
    this.#session = session;
    session.start();
    await this.#startProbe(session);
    await (bootstrap.dynamicListeners ? session.resources.ready : Promise.resolve());
    this.#waitingFor = '';
    loggers.get('main').info({ node: bootstrap.node.id }, 'ready');
  }

  async #startProbe(session: ControlPlaneSession): Promise<void> {
    const { appProbe, ports, redirected } = this.bootstrap.settings;
    if (appProbe.kind === 'none' || ports.length === 0) return;
    const { AppProbe, probeApp } = await import('./registration/app-probe.ts');
    const path = appProbe.kind === 'http' ? appProbe.path : '';
    this.#probe = new AppProbe({
      // From any other address the question would be redirected to the sidecar itself, which always answers.
      targets: ports.map(({ app }) => ({
        ...app,
        path,
        sources: redirected ? INBOUND_SOURCES : [],
      })),
      probe: probeApp,
      after,
      onChange: (result) => {
        this.#options.loggers.get('health').info(result, 'health of the app');
        if (!this.#draining) session.setHealth(result);
      },
    });
    this.#probe.start();
  }

  // --- Configuration ----------------------------------------------------------------------------

  #configTarget(): ConfigTarget {
    return {
      setCluster: (config) => this.clusters.setCluster(config),
      removeCluster: (name) => this.clusters.removeCluster(name),
      setAssignment: (service, assignment) => this.clusters.setAssignment(service, assignment),
      warmCluster: (name) => this.clusters.warm(name),
      probeListener: (config) => probeBind(this.listeners, config),
      setListener: (config) => this.#setListener(config),
      removeListener: (name) => this.listeners.remove(name),
      setRoutes: (config) => this.routes.set(config),
      removeRoutes: (name) => this.routes.remove(name),
      setSecret: ({ name, secret }) => storeSecret(this.secrets, name, secret),
      setNameTable: (table) => this.#dns?.setTable(table),
    };
  }

  async #setListener(config: ListenerConfig): Promise<string> {
    const result = await this.listeners.set(config);
    if (result.kind === 'problem') return result.detail;
    const bound = result.kind === 'listening' ? `${result.address}:${result.port}` : 'not bound';
    this.#options.loggers.get('listener').info({ listener: config.name, bound }, 'listener set');
    return '';
  }
}
