import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type SidecarSettings, sidecarBootstrap } from '../../cli/run/sidecar-bootstrap.ts';
import { ControlPlane } from './control-plane.ts';
import { type NamespaceApp, namespaceApp } from './namespace-app-client.ts';
import { type HostNamespace, NetworkNamespaces, SIDECAR_USER } from './network-namespace.ts';
import { NodeProcess, ROOT } from './node-process.ts';
import { until } from './until.ts';
import { joinToken } from './workload.ts';

/** A port that a workload declares. */
export interface DeclaredPort {
  /** Of the service, and of the app unless `app` says otherwise. */
  readonly number: number;
  readonly protocol: string;
  readonly app?: number;
}

export interface TransparentOptions {
  /** '' or absent: a mere client. */
  readonly service?: string;
  readonly version?: string;
  readonly ports?: readonly DeclaredPort[];
  readonly ipv6?: boolean;
  /** The address family that others reach it by. */
  readonly registered?: 'v4' | 'v6';
  readonly probe?: string;
  readonly keepState?: boolean;
  /** Of `weft redirect`, after the usual ones. */
  readonly redirectFlags?: readonly string[];
  /** Further node metadata of its sidecar. */
  readonly metadata?: Readonly<Record<string, unknown>>;
  /** Its /etc/resolv.conf; absent = the machine's. */
  readonly resolvConf?: string;
}

/**
 * A mesh of hosts that are network namespaces: one for the control plane, and for each workload one in which redirect
 * rules bring an app's connections to its sidecar. The apps know nothing of it.
 */
export class TransparentMesh {
  readonly namespaces: NetworkNamespaces;
  readonly controlPlane: ControlPlane;
  readonly #workloads: TransparentWorkload[] = [];

  private constructor(namespaces: NetworkNamespaces, controlPlane: ControlPlane) {
    this.namespaces = namespaces;
    this.controlPlane = controlPlane;
  }

  static async start(...flags: string[]): Promise<TransparentMesh> {
    const namespaces = new NetworkNamespaces();
    try {
      const host = namespaces.add('control');
      const app = await namespaceApp(host);
      const place = {
        addresses: {
          xds: `${host.v4}:15012`,
          api: '127.0.0.1:15080',
          monitoring: '127.0.0.1:15014',
        },
        command: (program: readonly string[]) => host.command(program),
        fetch: (url: string, init?: RequestInit) => fetchThere(app, url, init),
      };
      const controlPlane = await ControlPlane.startAt(place, ...flags);
      return new TransparentMesh(namespaces, controlPlane);
    } catch (error) {
      await namespaces.close();
      throw error;
    }
  }

  /** A host without a sidecar. */
  async outsider(name: string): Promise<{ host: HostNamespace; app: NamespaceApp }> {
    const host = this.namespaces.add(name);
    return { host, app: await namespaceApp(host) };
  }

  /** A host with an app, redirect rules and a sidecar, which is started and not waited for. */
  async workload(name: string, options: TransparentOptions = {}): Promise<TransparentWorkload> {
    const workload = await TransparentWorkload.start(this, name, options);
    this.#workloads.push(workload);
    return workload;
  }

  async close(): Promise<void> {
    await Promise.all(this.#workloads.map((workload) => workload.stop()));
    await this.controlPlane.stop();
    await this.namespaces.close();
  }
}

/** One host of the mesh. */
export class TransparentWorkload {
  readonly name: string;
  readonly host: HostNamespace;
  readonly app: NamespaceApp;
  readonly settings: SidecarSettings;
  readonly directory: string;
  sidecar!: NodeProcess;

  private constructor(
    name: string,
    host: HostNamespace,
    app: NamespaceApp,
    settings: SidecarSettings,
    directory: string,
  ) {
    this.name = name;
    this.host = host;
    this.app = app;
    this.settings = settings;
    this.directory = directory;
  }

  static async start(
    mesh: TransparentMesh,
    name: string,
    options: TransparentOptions,
  ): Promise<TransparentWorkload> {
    const { service = '', version = 'v1', ports = [], ipv6 = true } = options;
    const host = mesh.namespaces.add(name, { ipv6 });
    if (options.resolvConf !== undefined) host.setResolvConf(options.resolvConf);
    redirect(host, options.redirectFlags ?? []);
    const app = await namespaceApp(host);
    const directory = mkdtempSync(join(tmpdir(), 'weft-transparent-'));
    chmodSync(directory, 0o755);
    const serviceAccount = service === '' ? name : service;
    const rootCertFile = join(directory, 'root-cert.pem');
    writeFileSync(rootCertFile, mesh.controlPlane.rootCert());
    const joinTokenFile = ownFile(
      join(directory, 'token'),
      await joinToken(mesh.controlPlane, 'default', serviceAccount),
    );
    const [first = '', ...others] =
      options.registered === 'v6' ? [host.v6, host.v4] : host.addresses;
    const at = (port: number) => (first.includes(':') ? `[${first}]:${port}` : `${first}:${port}`);
    const settings: SidecarSettings = {
      mode: 'redirect',
      workload: name,
      namespace: 'default',
      serviceAccount,
      service,
      labels: { app: service === '' ? name : service, version },
      ports: ports.map(({ number, protocol, app: appPort = number }) => ({
        number,
        protocol,
        listen: at(appPort),
        app: at(appPort),
      })),
      address: first,
      furtherAddresses: others,
      outbound: '',
      admin: '127.0.0.1:15000',
      readiness: '0.0.0.0:15021',
      prometheus: '0.0.0.0:15090',
      controlPlane: mesh.controlPlane.xds,
      rootCertFile,
      joinTokenFile,
      trustDomain: '',
      stateDirectory: options.keepState === true ? ownDirectory(join(directory, 'state')) : '',
      probe: options.probe ?? 'none',
    };
    const bootstrap = sidecarBootstrap(settings) as { node: { metadata: object } };
    Object.assign(bootstrap.node.metadata, options.metadata);
    ownFile(join(directory, 'bootstrap.json'), JSON.stringify(bootstrap));
    const workload = new TransparentWorkload(name, host, app, settings, directory);
    workload.startSidecar();
    return workload;
  }

  startSidecar(): void {
    const bootstrap = join(this.directory, 'bootstrap.json');
    const main = join(ROOT, 'proxy/main.ts');
    const program = [process.execPath, main, '-c', bootstrap, '--drain-time-s', '1'];
    const [command, ...args] = this.host.command(program, SIDECAR_USER);
    // The cache of compiled sources is kept by user: UID 1337 gets one for the run of the suite.
    this.sidecar = new NodeProcess(args, { command, env: { NODE_COMPILE_CACHE: compileCache() } });
    this.host.keep(this.sidecar.child);
  }

  async untilReady(timeoutMs = 30_000): Promise<void> {
    await until(
      `${this.name} to be ready`,
      async () => {
        if (this.sidecar.exitCode !== undefined)
          throw new Error(`it ended: ${this.sidecar.output}`);
        const ready = this.app.request({ host: '127.0.0.1', port: 15_021, path: '/healthz/ready' });
        return (await ready.catch(() => null))?.status === 200;
      },
      timeoutMs,
    );
  }

  async admin(path: string): Promise<string> {
    return (await this.app.request({ host: '127.0.0.1', port: 15_000, path })).body;
  }

  /** Lines of the Prometheus page that carry all of `words`. */
  async metrics(...words: readonly string[]): Promise<readonly string[]> {
    const path = '/stats/prometheus';
    const { body } = await this.app.request({ host: '127.0.0.1', port: 15_090, path });
    return body.split('\n').filter((line) => words.every((word) => line.includes(word)));
  }

  /** The sum of the values of those lines. */
  async metric(...words: readonly string[]): Promise<number> {
    const lines = await this.metrics(...words);
    return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
  }

  async killHard(): Promise<void> {
    this.sidecar.kill('SIGKILL');
    await this.sidecar.exited;
  }

  async stop(): Promise<void> {
    await this.sidecar.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

let cache = '';

function compileCache(): string {
  if (cache === '') {
    const directory = ownDirectory(mkdtempSync(join(tmpdir(), 'weft-cache-')));
    process.once('exit', () => rmSync(directory, { recursive: true, force: true }));
    cache = directory;
  }
  return cache;
}

function ownDirectory(path: string): string {
  mkdirSync(path, { recursive: true });
  chownSync(path, SIDECAR_USER.uid, SIDECAR_USER.gid);
  return path;
}

function ownFile(path: string, text: string): string {
  writeFileSync(path, text, { mode: 0o600 });
  chownSync(path, SIDECAR_USER.uid, SIDECAR_USER.gid);
  return path;
}

/** `fetch` by the app's words: enough for JSON over plain HTTP. */
async function fetchThere(app: NamespaceApp, url: string, init: RequestInit = {}) {
  const { hostname, port, pathname, search } = new URL(url);
  const { status, headers, body } = await app.request({
    host: hostname,
    port: Number(port),
    path: pathname + search,
    method: init.method ?? 'GET',
    headers: (init.headers ?? {}) as Record<string, string>,
    ...(typeof init.body === 'string' ? { body: init.body } : {}),
  });
  const empty = status === 204 || status === 304;
  return new Response(empty ? null : body, { status, headers });
}

/** As the init container would: before the sidecar, with the right to change the network. */
function redirect(host: HostNamespace, flags: readonly string[]): void {
  const excluded = '15090,15021,15020';
  const program = [process.execPath, join(ROOT, 'redirect/main.ts'), '--quiet'];
  host.run([...program, '--exclude-inbound-ports', excluded, ...flags]);
}
