import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { ProxyStatus } from '../../control-plane/xds/proxy-status.ts';
import { ApiClient } from '../api-client.ts';
import { listProxies } from '../proxy-list.ts';
import { Child } from '../run/child-process.ts';
import { freePorts } from '../run/free-port.ts';
import { proxyEnvironment } from '../run/proxy-environment.ts';
import { SidecarProcess } from '../run/sidecar-process.ts';

const ROOT = join(import.meta.dirname, '../..');

/** The six apps of Bookinfo: service, version, source file. */
const APPS = [
  ['productpage', 'v1', 'productpage.ts'],
  ['details', 'v1', 'details.ts'],
  ['reviews', 'v1', 'reviews.ts'],
  ['reviews', 'v2', 'reviews.ts'],
  ['reviews', 'v3', 'reviews.ts'],
  ['ratings', 'v1', 'ratings.ts'],
] as const;

/** `weft run` for one app of the demo: sidecar and app as two child processes. */
interface MeshedApp {
  readonly workload: string;
  readonly sidecar: SidecarProcess;
  readonly app: Child | null;
}

/**
 * The mesh of the demo on this machine: a control plane, six apps and a client, each with a sidecar of its own. Every
 * process is a child of this one and every file is in one temporary directory; `stop` ends and removes all.
 */
export class DemoMesh {
  readonly directory = mkdtempSync(join(tmpdir(), 'weft-demo-'));
  readonly #logs = join(this.directory, 'logs');
  readonly #apps: MeshedApp[] = [];
  #controlPlane: Child | null = null;
  #addresses = { xds: '', api: '', monitoring: '' };
  #stopped = false;
  /** Serial numbers of the first certificates, by workload: what a renewal is measured against. */
  readonly serials = new Map<string, string>();
  readonly #talk: (text: string) => void;
  readonly #signal: AbortSignal;

  /** `signal` ends whatever waits for something; what was started is ended by `stop`. */
  constructor(signal: AbortSignal, talk: (text: string) => void) {
    this.#signal = signal;
    this.#talk = talk;
    mkdirSync(this.#logs);
  }

  get api(): ApiClient {
    return new ApiClient({ server: this.apiUrl, token: '', signal: this.#signal });
  }

  get apiUrl(): string {
    return `http://${this.#addresses.api}`;
  }

  get dataDirectory(): string {
    return join(this.directory, 'data');
  }

  get controlPlanePid(): number {
    return this.#controlPlane?.pid ?? -1;
  }

  get workloads(): readonly string[] {
    return this.#apps.map(({ workload }) => workload);
  }

  sidecar(workload: string): SidecarProcess {
    const found = this.#apps.find((app) => app.workload === workload);
    if (found === undefined) throw new Error(`the demo has no workload ${workload}`);
    return found.sidecar;
  }

  async start(): Promise<void> {
    const [xds, api, monitoring] = await freePorts(3);
    this.#addresses = {
      xds: `127.0.0.1:${xds}`,
      api: `127.0.0.1:${api}`,
      monitoring: `127.0.0.1:${monitoring}`,
    };
    await this.startControlPlane();
    await Promise.all(
      APPS.map(([service, version, file]) => this.#startApp(service, version, file)),
    );
    await this.#startClient();
  }

  /** Starts it, also again: the same data and the same addresses. Resolves when its API answers. */
  async startControlPlane(): Promise<void> {
    const { xds, api, monitoring } = this.#addresses;
    const main = join(ROOT, 'control-plane/main.ts');
    const flags = ['--data', this.dataDirectory, '--xds', xds, '--api', api];
    flags.push('--monitoring', monitoring, '--workload-cert-ttl', `${CERTIFICATE_TTL_S}s`);
    this.#controlPlane = this.#spawn('control-plane', [main, ...flags], process.env);
    const child = this.#controlPlane;
    await this.until('the control plane to answer', START_TIMEOUT_MS, async () => {
      if (child.hasEnded)
        throw new Error(`the control plane ended; ${this.lastLines('control-plane')}`);
      return this.api.isReady();
    });
  }

  killControlPlane(): Promise<unknown> {
    this.#controlPlane?.kill('SIGKILL');
    return this.#controlPlane?.ended ?? Promise.resolve();
  }

  proxies(): Promise<readonly ProxyStatus[]> {
    return listProxies(this.api);
  }

  /** The end of a process's log, for a failure's message. */
  lastLines(name: string, count = 5): string {
    try {
      const text = readFileSync(join(this.#logs, `${name}.log`), 'utf8');
      return `its last words:\n${text.trimEnd().split('\n').slice(-count).join('\n')}`;
    } catch {
      return 'it left no log';
    }
  }

  get logNames(): string[] {
    return readdirSync(this.#logs);
  }

  readLog(file: string): string {
    return readFileSync(join(this.#logs, file), 'utf8');
  }

  /**
   * Polls until `condition` holds; rejects after `timeoutMs` naming what it waited for and what was `seen` last, and when
   * the demo is to end.
   */
  async until(
    what: string,
    timeoutMs: number,
    condition: () => Promise<boolean>,
    seen: () => string = () => '',
  ): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      this.#signal.throwIfAborted();
      if (await condition()) return;
      if (performance.now() > deadline) {
        throw new Error(`waited ${timeoutMs / 1000} s for ${what}, in vain${seen()}`);
      }
      await new Promise((done) => setTimeout(done, POLL_MS));
    }
  }

  /** Ends every process by its id, then removes the files. Safe to call twice, and while starting. */
  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    const apps = this.#apps.splice(0);
    await Promise.all(apps.map(({ app }) => app?.stop(2000)));
    await Promise.all(apps.map(({ sidecar }) => sidecar.stop(STOP_GRACE_MS)));
    await this.#controlPlane?.stop(STOP_GRACE_MS);
    rmSync(this.directory, { recursive: true, force: true });
  }

  async #startApp(service: string, version: string, file: string): Promise<void> {
    const workload = `${service}-${version}`;
    const [appPort, listen] = await freePorts(2);
    const sidecar = await this.#startSidecar(workload, service, version, [
      {
        number: 9080,
        protocol: 'http',
        listen: `127.0.0.1:${listen}`,
        app: `127.0.0.1:${appPort}`,
      },
    ]);
    const app = this.#spawn(`${workload}-app`, [join(ROOT, 'examples/bookinfo', file)], {
      ...process.env,
      ...proxyEnvironment(sidecar.settings.outbound),
      PORT: String(appPort),
      SERVICE_VERSION: version,
    });
    this.#apps.push({ workload, sidecar, app });
    await sidecar.ready(START_TIMEOUT_MS);
  }

  async #startClient(): Promise<void> {
    const sidecar = await this.#startSidecar('client', '', 'v1', []);
    this.#apps.push({ workload: 'client', sidecar, app: null });
    await sidecar.ready(START_TIMEOUT_MS);
  }

  async #startSidecar(
    workload: string,
    service: string,
    version: string,
    ports: { number: number; protocol: string; listen: string; app: string }[],
  ): Promise<SidecarProcess> {
    const serviceAccount = service === '' ? workload : `bookinfo-${service}`;
    const { token } = await this.api.request<{ token: string }>('POST', '/weft/v1/tokens', {
      namespace: 'default',
      serviceAccount,
      ttlSeconds: 3600,
    });
    const directory = join(this.directory, workload);
    mkdirSync(directory, { mode: 0o700 });
    const joinTokenFile = join(directory, 'join-token');
    writeFileSync(joinTokenFile, token, { mode: 0o600 });
    const [outbound, admin, readiness, prometheus] = await freePorts(4);
    this.#signal.throwIfAborted();
    return new SidecarProcess({
      settings: {
        workload,
        namespace: 'default',
        serviceAccount,
        service,
        labels: { app: service === '' ? workload : service, version },
        ports,
        address: '127.0.0.1',
        outbound: `127.0.0.1:${outbound}`,
        admin: `127.0.0.1:${admin}`,
        readiness: `127.0.0.1:${readiness}`,
        prometheus: `127.0.0.1:${prometheus}`,
        controlPlane: this.#addresses.xds,
        rootCertFile: join(this.dataDirectory, 'root-cert.pem'),
        joinTokenFile,
        trustDomain: '',
        stateDirectory: join(directory, 'state'),
        probe: ports.length === 0 ? 'none' : '/health',
      },
      directory,
      logLevel: 'info',
      logFile: resolve(this.#logs, `${workload}.log`),
      onRestart: (code) => this.#talk(`sidecar of ${workload} ended with ${code}, started again\n`),
    });
  }

  #spawn(name: string, args: readonly string[], env: NodeJS.ProcessEnv): Child {
    this.#signal.throwIfAborted();
    const log = openSync(join(this.#logs, `${name}.log`), 'a');
    const child = Child.start(process.execPath, args, {
      env,
      stdio: ['ignore', log, log],
      ownSession: true,
    });
    closeSync(log);
    return child;
  }
}

/** Short, so that certificates are renewed while the demo runs. */
const CERTIFICATE_TTL_S = 30;
const START_TIMEOUT_MS = 30_000;
const STOP_GRACE_MS = 8000;
const POLL_MS = 50;
