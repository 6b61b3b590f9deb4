import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts } from '../../cli/run/free-port.ts';
import { type SidecarSettings, sidecarBootstrap } from '../../cli/run/sidecar-bootstrap.ts';
import type { ControlPlane } from './control-plane.ts';
import { NodeProcess, ROOT } from './node-process.ts';
import { until } from './until.ts';

export interface WorkloadOptions {
  readonly service?: string;
  readonly version?: string;
  readonly namespace?: string;
  readonly serviceAccount?: string;
  /** Port that the app listens on; 0 = no app. */
  readonly appPort?: number;
  readonly servicePort?: number;
  readonly protocol?: string;
  readonly probe?: string;
  readonly rootCertFile?: string;
  readonly token?: string;
  readonly keepState?: boolean;
  /** Seconds that streams have to end at SIGTERM, default 1. */
  readonly drainTimeS?: number;
  /** Further node metadata. */
  readonly metadata?: Readonly<Record<string, unknown>>;
}

/** A sidecar process of a mesh; its app runs in the test. Can be killed and started again with the same files. */
export class Workload {
  readonly directory = mkdtempSync(join(tmpdir(), 'weft-sidecar-'));
  readonly settings: SidecarSettings;
  readonly #drainTimeS: number;
  process!: NodeProcess;

  private constructor(
    settings: Omit<SidecarSettings, 'stateDirectory' | 'joinTokenFile'>,
    token: string,
    keepState: boolean,
    drainTimeS: number,
  ) {
    this.#drainTimeS = drainTimeS;
    const joinTokenFile = join(this.directory, 'token');
    writeFileSync(joinTokenFile, token, { mode: 0o600 });
    const stateDirectory = keepState ? join(this.directory, 'state') : '';
    this.settings = { ...settings, joinTokenFile, stateDirectory };
  }

  /** Started, not waited for. */
  static async spawn(controlPlane: ControlPlane, options: WorkloadOptions = {}): Promise<Workload> {
    const { service = '', version = 'v1', namespace = 'default', servicePort = 9080 } = options;
    const name = service === '' ? 'client' : `${service}-${version}`;
    const serviceAccount = options.serviceAccount ?? (service === '' ? 'client' : service);
    const [outbound, admin, readiness, prometheus, listen] = await freePorts(5);
    const token = options.token ?? (await joinToken(controlPlane, namespace, serviceAccount));
    const local = (port: number | undefined) => `127.0.0.1:${port}`;
    const workload = new Workload(
      {
        workload: name,
        namespace,
        serviceAccount,
        service,
        labels: { app: service === '' ? name : service, version },
        ports:
          service === ''
            ? []
            : [
                {
                  number: servicePort,
                  protocol: options.protocol ?? 'http',
                  listen: local(listen),
                  app: local(options.appPort),
                },
              ],
        address: '127.0.0.1',
        outbound: local(outbound),
        admin: local(admin),
        readiness: local(readiness),
        prometheus: local(prometheus),
        controlPlane: controlPlane.xds,
        trustDomain: '',
        rootCertFile: options.rootCertFile ?? controlPlane.rootCertFile,
        probe: options.probe ?? (service === '' ? 'none' : 'tcp'),
      },
      token,
      options.keepState ?? false,
      options.drainTimeS ?? 1,
    );
    const bootstrap = sidecarBootstrap(workload.settings) as { node: { metadata: object } };
    Object.assign(bootstrap.node.metadata, options.metadata);
    writeFileSync(join(workload.directory, 'bootstrap.json'), JSON.stringify(bootstrap));
    workload.start();
    return workload;
  }

  /** Started and ready. */
  static async ready(controlPlane: ControlPlane, options: WorkloadOptions = {}): Promise<Workload> {
    const workload = await Workload.spawn(controlPlane, options);
    await workload.untilReady();
    return workload;
  }

  start(): void {
    const bootstrap = join(this.directory, 'bootstrap.json');
    this.process = new NodeProcess([
      join(ROOT, 'proxy/main.ts'),
      '-c',
      bootstrap,
      '--drain-time-s',
      String(this.#drainTimeS),
    ]);
  }

  async untilReady(timeoutMs = 20_000): Promise<void> {
    await until(
      `${this.settings.workload} to be ready`,
      async () => {
        if (this.process.exitCode !== undefined)
          throw new Error(`it ended: ${this.process.output}`);
        const response = await fetch(`http://${this.settings.readiness}/healthz/ready`).catch(
          () => undefined,
        );
        return response?.status === 200;
      },
      timeoutMs,
    );
  }

  async killHard(): Promise<void> {
    this.process.kill('SIGKILL');
    await this.process.exited;
  }

  async admin(path: string): Promise<string> {
    return (await fetch(`http://${this.settings.admin}${path}`)).text();
  }

  /** Where other sidecars connect to. */
  get inboundPort(): number {
    return Number(this.settings.ports[0]!.listen.split(':')[1]);
  }

  get outboundPort(): number {
    return Number(this.settings.outbound.split(':')[1]);
  }

  async stop(): Promise<void> {
    await this.process.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

export async function joinToken(
  controlPlane: ControlPlane,
  namespace: string,
  serviceAccount: string,
): Promise<string> {
  const response = await controlPlane.fetch(`${controlPlane.api}/weft/v1/tokens`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ namespace, serviceAccount, ttlSeconds: 3600 }),
  });
  return ((await response.json()) as { token: string }).token;
}
