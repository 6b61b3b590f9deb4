import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { writeJson } from '../proto/json.ts';
import { AdminServer } from './admin/admin-server.ts';
import type { AdminSource, JsonObject, Readiness } from './admin/admin-source.ts';
import { clusterStatuses } from './admin/cluster-status.ts';
import { MetricsServer } from './admin/metrics-server.ts';
import { ReadinessServer } from './admin/readiness-server.ts';
import { DateHeader } from './connection-manager/date-header.ts';
import { HttpConnectionManager } from './connection-manager/http-connection-manager.ts';
import { encodePeerMetadata } from './connection-manager/peer-metadata.ts';
import type { DnsProxy } from './dns/dns-proxy.ts';
import type { WorkloadIdentity } from './identity/workload-identity.ts';
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
import { formatHostPort, type HostPort } from './xds/bootstrap/host-port.ts';
import type { CompileContext } from './xds/compile/compile-context.ts';
import { liveContext, storeSecret } from './xds/compile/live-context.ts';
import { configDump } from './xds/config-dump.ts';
import type { ControlPlaneSession } from './xds/control-plane-session.ts';
import type { ConfigTarget } from './xds/dynamic-resources.ts';
import { localWorkload, nodeMetadata } from './xds/node-workload.ts';

export const VERSION = '0.1.0';

/** Connections of one listener at a time (A1.5). */
const CONNECTIONS_PER_LISTENER_MAX = 20_000;
/** Milliseconds that a start waits for the names of static clusters. */
const STATIC_WARMING_MS = 5000;
/** Milliseconds that the first certificate may hold up the configuration. */
const FIRST_CERTIFICATE_MS = 2000;
/** Milliseconds without a connection after which a draining proxy may go before its time. */
const DRAINED_AFTER_MS = 1000;
/** Milliseconds before the end of the drain when the ports close, so that the last requests can end. */
const LAST_REQUESTS_MS = 1000;
/** Milliseconds of a turn of the event loop in which hardly a connection can have arrived. */
const QUIET_TURN_MS = 0.3;
/** Turns looked at before the ports close anyway. */
const QUIET_TURNS_MAX = 500;
/** Milliseconds between looks at the connections while draining. */
const DRAIN_LOOK_MS = 100;

export interface SidecarOptions {
  /** The bootstrap's text and what to call it in messages. */
  readonly text: string;
  readonly fileName: string;
  readonly overrides: BootstrapOverrides;
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

/** Why a proxy did not start; `lines` are complete messages for people. */
export class StartError extends Error {
  readonly code = 'WEFT_START';
  readonly lines: readonly string[];

  constructor(lines: readonly string[]) {
    super(lines.join('\n'));
    this.lines = lines;
  }
}

/** Starts a proxy; resolves when its static part serves. Rejects with `StartError`. */
export async function startSidecar(options: SidecarOptions): Promise<Sidecar> {
  const sidecar = new Sidecar(options);
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
  #identity: WorkloadIdentity | null = null;
  #probe: AppProbe | null = null;
  #dns: DnsProxy | null = null;
  /** Why the proxy is not ready yet; '' once it is. */
  #waitingFor = 'the static configuration is being applied';
  #rootFilePem = '';
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
    this.#metrics = new IstioMetrics(this.stats, localWorkload(node), VERSION);
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
      isOwnListener: (address: string) => {
        const at = address.lastIndexOf(':');
        return isOwnAddress(
          address.slice(0, at).replace(/^\[|\]$/g, ''),
          Number(address.slice(at + 1)),
        );
      },
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
      connectionsPerListenerMax: CONNECTIONS_PER_LISTENER_MAX,
      connectionsMax: connectionsByOpenFiles(),
    });
  }

  /** Resolves when the static part serves; what the control plane brings follows. */
  async start(): Promise<void> {
    const { bootstrap } = this;
    this.#closers.push(defineProcessMetrics(this.stats, this.#startedMs));
    for (const { name, secret } of bootstrap.secrets) storeSecret(this.secrets, name, secret);
    for (const { config } of bootstrap.clusters) this.clusters.setCluster(config);
    if (bootstrap.settings.redirected) this.#checkRedirection();
    await this.#openPorts();
    await this.#openDns();
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

  readiness(): Readiness {
    if (this.#draining) return { ready: false, reason: 'draining' };
    if (!this.#healthCheckPassing) return { ready: false, reason: 'POST /healthcheck/fail' };
    if (this.#waitingFor !== '') return { ready: false, reason: this.#waitingFor };
    if (this.#identity !== null && this.#identity.current === null) {
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

  /**
   * Not ready, `connection: close` on everything, still accepting (OP-05). Shortly before `drainMs` the ports close, so
   * that the last requests taken can end before `close` cuts what is left. Resolves early when no connection has been
   * open for a second, but not before `minimumMs`.
   */
  async drain(drainMs: number, minimumMs = 0): Promise<void> {
    this.startDraining();
    this.listeners.drain();
    const endMs = performance.now() + drainMs;
    const lastRequestsMs = Math.min(LAST_REQUESTS_MS, drainMs / 2);
    await waitMs(Math.min(minimumMs, drainMs - lastRequestsMs));
    if (await this.#noConnections(endMs - lastRequestsMs, DRAINED_AFTER_MS)) return;
    await this.#quietTurn();
    this.listeners.stopAccepting();
    await this.#noConnections(endMs, 0);
  }

  /**
   * Resolves right after a turn of the event loop that was short and accepted nothing. What the kernel
   * holds unaccepted when a port closes is reset, and only such a turn has left next to nothing there.
   */
  async #quietTurn(): Promise<void> {
    for (let turn = 0; turn < QUIET_TURNS_MAX; turn++) {
      const accepted = this.#connectionsAccepted();
      const startMs = performance.now();
      await new Promise((resolve) => setImmediate(resolve));
      if (this.#connectionsAccepted() !== accepted) continue;
      if (performance.now() - startMs < QUIET_TURN_MS) return;
    }
  }

  #connectionsAccepted(): number {
    let total = 0;
    for (const { stats } of this.listeners.listeners.values())
      total += stats.connectionsTotal.value;
    return total;
  }

  /** True once no connection has been open for `idleMs`, false at `endMs`. */
  async #noConnections(endMs: number, idleMs: number): Promise<boolean> {
    let idleSinceMs = performance.now();
    for (let nowMs = idleSinceMs; nowMs < endMs; nowMs = performance.now()) {
      if (this.listeners.connectionsActive > 0) idleSinceMs = nowMs;
      else if (nowMs - idleSinceMs >= idleMs) return true;
      await new Promise((resolve) => setTimeout(resolve, Math.min(DRAIN_LOOK_MS, endMs - nowMs)));
    }
    return false;
  }

  /** Ends everything; logs get `flushMs`. */
  async close(flushMs: number): Promise<void> {
    this.#probe?.close();
    this.#identity?.close();
    this.listeners.destroy();
    this.clusters.close();
    await this.#session?.close();
    for (const closer of this.#closers) await closer();
    await this.#accessLogs.close(flushMs);
  }

  countBug(): void {
    this.#bugs.add(1);
  }

  async #openPorts(): Promise<void> {
    const { admin, settings } = this.bootstrap;
    const { loggers, wallClockMs } = this.#options;
    const servers = [
      [admin, () => new AdminServer(this.#adminOptions(loggers, wallClockMs))],
      [settings.readiness, () => new ReadinessServer(() => this.readiness())],
      [settings.prometheus, () => new MetricsServer(this.stats)],
    ] as const;
    for (const [address, make] of servers) {
      if (address === null) continue;
      const server = make();
      await server.listen(address);
      this.#closers.push(() => server.close());
    }
    if (settings.status !== null) await this.#openStatusPort(settings.status);
  }

  /** Port 15020; loaded where there is one. */
  async #openStatusPort(address: HostPort): Promise<void> {
    const { admin, settings, node } = this.bootstrap;
    const { appEndpoints, loggers, onStop } = this.#options;
    const [{ StatusServer }, { ownPorts }, { refusedTargets }, { appAddress }] = await Promise.all([
      import('./status/status-server.ts'),
      import('./status/own-ports.ts'),
      import('./status/scrape-target.ts'),
      import('./status/app-address.ts'),
    ]);
    const mode = String(node.metadata?.['WEFT_MODE'] ?? '');
    const bound = [
      [admin, 'the admin port of the sidecar'],
      [settings.readiness, 'the readiness port of the sidecar'],
      [settings.prometheus, "the sidecar's own metrics, which are merged already"],
      [address, 'the status port of the sidecar, which is this page itself'],
    ] as const;
    const ports = ownPorts(
      mode,
      bound.flatMap(([at, what]) => (at === null ? [] : [[at.port, what] as const])),
    );
    const refused = refusedTargets(appEndpoints.targets, ports);
    if (refused.length > 0) {
      throw new StartError(refused.map((each) => `${appEndpoints.targetsVariable}: ${each}`));
    }
    const addresses = String(node.metadata?.['INSTANCE_IPS'] ?? '').split(',');
    const server = new StatusServer({
      readiness: () => this.readiness(),
      registry: this.stats,
      app: appAddress(mode, addresses[0] ?? ''),
      ...appEndpoints,
      ownPorts: ports,
      drain: () => this.startDraining(),
      quit: onStop,
      log: loggers.get('status'),
    });
    await server.listen(address);
    this.#closers.push(() => server.close());
  }

  /** Answers from the beginning, if only by SERVFAIL: an app whose question nobody takes waits for seconds. */
  async #openDns(): Promise<void> {
    const { dns, dnsUpstreams, namespace } = this.bootstrap.settings;
    if (dns === null) return;
    const { loggers, random } = this.#options;
    const { DnsProxy } = await import('./dns/dns-proxy.ts');
    const proxy = new DnsProxy({
      listen: dns,
      upstreams: dnsUpstreams,
      resolvConfPath: '/etc/resolv.conf',
      namespace,
      stats: this.stats,
      log: loggers.get('dns'),
      nowMs: () => performance.now(),
      random,
      after,
    });
    this.#dns = proxy;
    this.#closers.push(() => proxy.close());
    try {
      const addresses = (await proxy.listen()).map(formatHostPort);
      loggers.get('dns').info({ addresses }, 'answering names');
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      throw new StartError([
        `cannot answer names at ${formatHostPort(dns)}: ${code ?? message}; choose another address with WEFT_DNS, or none`,
      ]);
    }
  }

  #adminOptions(loggers: Loggers, nowMs: () => number) {
    return { source: this.#adminSource(), registry: this.stats, loggers, nowMs };
  }

  // --- Mesh -------------------------------------------------------------------------------------

  /** Identity first, because the control plane asks for it; then configuration, then the app's health. */
  async #joinMesh(address: ControlPlaneAddress): Promise<void> {
    const { bootstrap } = this;
    const { loggers, wallClockMs, random } = this.#options;
    await withinMs(FIRST_CERTIFICATE_MS, this.#startIdentity(address));
    const { ControlPlaneSession } = await import('./xds/control-plane-session.ts');
    const session = new ControlPlaneSession({
      bootstrap,
      address,
      credential: {
        certificate: () => this.#identity?.credential ?? null,
        token: () => readTokenSync(bootstrap.settings.tokenFile),
        rootCertsPem: () => this.#rootCertsPem(address),
      },
      target: this.#configTarget(),
      context: this.#context,
      timers: { now: wallClockMs, after },
      random,
      stats: this.stats,
      log: loggers.get('xds'),
      localSecrets: new Set(['default', 'ROOTCA', ...bootstrap.secrets.map(({ name }) => name)]),
    });
    this.#session = session;
    session.start();
    await this.#startProbe(session);
    await (bootstrap.dynamicListeners ? session.resources.ready : Promise.resolve());
    this.#waitingFor = '';
    loggers.get('main').info({ node: bootstrap.node.id }, 'ready');
  }

  async #startIdentity(address: ControlPlaneAddress): Promise<void> {
    const { settings } = this.bootstrap;
    const { wallClockMs, random, loggers } = this.#options;
    if (!address.tls || settings.tokenFile === '') return;
    const [{ WorkloadIdentity }, { certificateClient }, { IdentityFile }] = await Promise.all([
      import('./identity/workload-identity.ts'),
      import('./identity/certificate-client.ts'),
      import('./identity/stored-identity.ts'),
    ]);
    const { trustDomain, namespace, serviceAccount } = settings;
    const expiry = this.stats.gauge(
      'weft_certificate_expiry_timestamp_seconds',
      'End of life of the own certificate, seconds since the epoch',
    );
    const service = settings.certificateService;
    this.#identity = new WorkloadIdentity({
      spiffeId: `spiffe://${trustDomain}/ns/${namespace}/sa/${serviceAccount}`,
      request: certificateClient({
        target: service === null ? address.target : formatHostPort(service),
        rootCertsPem: () => this.#rootCertsPem(address),
        serverName: address.serverName,
        now: wallClockMs,
      }),
      readToken: async () => (await readFile(settings.tokenFile, 'utf8')).trim(),
      secrets: this.secrets,
      store: settings.stateDirectory === '' ? null : new IdentityFile(settings.stateDirectory),
      ttlSeconds: settings.certificateTtlSeconds,
      now: wallClockMs,
      after,
      random,
      log: loggers.get('identity'),
      onIssued: ({ principal, notAfterMs }) => {
        expiry.set(notAfterMs / 1000);
        this.#metrics.setLocalPrincipal(principal);
      },
    });
    await this.#identity.start();
  }

  /** The roots of the bootstrap, and those that the mesh has said since: a root may be rotated (SC-06). */
  #rootCertsPem({ rootCertsPem, validationSecret }: ControlPlaneAddress): string {
    return [
      this.#readRootCertFile(),
      rootCertsPem,
      validationSecret === ''
        ? ''
        : (this.secrets.validation(validationSecret)?.trustedCaPem ?? ''),
      this.secrets.validation('ROOTCA')?.trustedCaPem ?? '',
    ]
      .filter((pem) => pem !== '')
      .join('\n');
  }

  /** A mounted file is replaced while it is read: what was read last holds until the new one can be (SC-06). */
  #readRootCertFile(): string {
    const { rootCertFile } = this.bootstrap.settings;
    if (rootCertFile === '') return '';
    try {
      this.#rootFilePem = readFileSync(rootCertFile, 'utf8');
    } catch (error) {
      if (this.#rootFilePem === '') throw error;
    }
    return this.#rootFilePem;
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
      probeListener: (config) => this.#probeListener(config),
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

  /** Binds for a moment, so that an address in use is told in the NACK of a listener that must still wait. */
  async #probeListener(probed: ListenerConfig): Promise<string> {
    const first = { host: probed.address, port: probed.port };
    for (const { host, port } of [first, ...probed.additionalAddresses]) {
      const problem = probed.bindToPort ? await this.#probeAddress(host, port) : '';
      if (problem !== '') return problem;
    }
    return '';
  }

  #probeAddress(address: string, port: number): Promise<string> {
    if (port === 0) return Promise.resolve('');
    for (const { config } of this.listeners.listeners.values()) {
      if (config.port === port && config.bindToPort) return Promise.resolve('');
    }
    return new Promise((resolve) => {
      const server = createServer();
      server.once('error', (error: NodeJS.ErrnoException) => {
        resolve(`cannot listen on ${address}:${port}: ${error.code ?? error.message}`);
      });
      const ipv6Only = address.includes(':');
      server.listen({ host: address, port, exclusive: true, ipv6Only }, () =>
        server.close(() => resolve('')),
      );
    });
  }

  // --- Admin ------------------------------------------------------------------------------------

  #adminSource(): AdminSource {
    const { bootstrap } = this;
    const { wallClockMs, fileName, onQuit } = this.#options;
    const isStatic = (name: string) =>
      bootstrap.clusters.some(({ config }) => config.name === name);
    return {
      state: () => {
        if (this.#draining) return 'DRAINING';
        return this.#waitingFor === '' ? 'LIVE' : 'INITIALIZING';
      },
      readiness: () => this.readiness(),
      serverInfo: () => ({
        version: VERSION,
        uptimeMs: wallClockMs() - this.#startedMs,
        node: writeJson('envoy.config.core.v3.Node', bootstrap.node) as JsonObject,
        configPath: fileName,
      }),
      configDump: ({ includeEndpoints }) =>
        configDump(
          {
            bootstrap,
            startedMs: this.#startedMs,
            resources: this.#session?.resources ?? null,
            secrets: this.#secretPems(),
          },
          includeEndpoints,
        ) as Iterable<JsonObject>,
      clusters: () => clusterStatuses(this.clusters, isStatic),
      listeners: () => this.#listenerStatuses(),
      certificates: () => this.#certificateStatuses(),
      drainListeners: ({ graceful, inboundOnly }) => {
        for (const listener of this.listeners.listeners.values()) {
          if (inboundOnly && listener.config.direction !== 'INBOUND') continue;
          listener.drain();
          if (!graceful) listener.stopAccepting();
        }
      },
      setHealthCheck: (passing) => {
        this.#healthCheckPassing = passing;
      },
      reopenLogs: () => this.#accessLogs.reopen(),
      quit: onQuit,
    };
  }

  *#secretPems() {
    for (const name of this.secrets.names) {
      const certificateChainPem = this.secrets.certificate(name)?.certificateChainPem ?? '';
      const trustedCaPem = this.secrets.validation(name)?.trustedCaPem ?? '';
      yield { name, certificateChainPem, trustedCaPem };
    }
  }

  *#certificateStatuses() {
    for (const { name, ...pems } of this.#secretPems()) yield { path: name, ...pems };
  }

  *#listenerStatuses() {
    for (const { name, allBound } of this.listeners.listeners.values()) {
      for (const { address, port } of allBound) yield { name, address, port };
    }
  }
}

/** Keeps the process alive meanwhile. */
function waitMs(ms: number): Promise<void> {
  return ms <= 0 ? Promise.resolve() : new Promise((resolve) => setTimeout(resolve, ms));
}

/** Waits for `promise`, at most `ms`. */
async function withinMs(ms: number, promise: Promise<unknown>): Promise<void> {
  let cancel = () => {};
  const timeout = new Promise<void>((resolve) => {
    cancel = after(ms, resolve);
  });
  try {
    await Promise.race([promise, timeout]);
  } finally {
    cancel();
  }
}

/** One timer that does not keep the process alive; the answer cancels it. */
function after(ms: number, callback: () => void): () => void {
  const timer = setTimeout(callback, ms);
  timer.unref();
  return () => clearTimeout(timer);
}

/** The token now in the file; '' where it cannot be read, which the server will answer. */
function readTokenSync(file: string): string {
  if (file === '') return '';
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return '';
  }
}
