import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts } from '../../cli/run/free-port.ts';
import type { ControlPlane } from './control-plane.ts';
import { NodeProcess, ROOT } from './node-process.ts';
import { until } from './until.ts';
import { joinToken } from './workload.ts';

/** A sidecar as a container runs it: configured by its environment alone, every port its own. */
export class EnvironmentSidecar {
  readonly directory = mkdtempSync(join(tmpdir(), 'weft-env-sidecar-'));
  readonly env: Readonly<Record<string, string>>;
  process!: NodeProcess;

  private constructor(env: Readonly<Record<string, string>>, token: string) {
    const tokenFile = join(this.directory, 'token');
    writeFileSync(tokenFile, token, { mode: 0o600 });
    this.env = { WEFT_TOKEN_FILE: tokenFile, ...env };
  }

  /** Started, not waited for. Explicit mode, so that it needs no redirection. `env` stands over what is set here. */
  static async spawn(
    controlPlane: ControlPlane,
    env: Readonly<Record<string, string>> = {},
    args: readonly string[] = [],
  ): Promise<EnvironmentSidecar> {
    const [outbound, admin, readiness, prometheus, status] = (await freePorts(5)).map(
      (port) => `127.0.0.1:${port}`,
    ) as [string, string, string, string, string];
    const sidecar = new EnvironmentSidecar(
      {
        WEFT_CONTROL_PLANE: controlPlane.xds.replace('127.0.0.1', 'localhost'),
        WEFT_ROOT_CERT: controlPlane.rootCertFile,
        WEFT_MODE: 'explicit',
        WEFT_OUTBOUND: outbound,
        WEFT_ADMIN: admin,
        WEFT_READINESS: readiness,
        WEFT_PROMETHEUS: prometheus,
        WEFT_STATUS: status,
        POD_NAME: 'client-5f7d8c9b4-x2k9q',
        INSTANCE_IP: '127.0.0.1',
        ...env,
      },
      await joinToken(controlPlane, env['POD_NAMESPACE'] ?? 'default', 'default'),
    );
    sidecar.start(args);
    return sidecar;
  }

  static async ready(
    controlPlane: ControlPlane,
    env: Readonly<Record<string, string>> = {},
  ): Promise<EnvironmentSidecar> {
    const sidecar = await EnvironmentSidecar.spawn(controlPlane, env);
    await sidecar.untilReady();
    return sidecar;
  }

  start(args: readonly string[] = []): void {
    this.process = new NodeProcess(['--disable-sigusr1', join(ROOT, 'proxy/main.ts'), ...args], {
      env: this.env,
    });
  }

  /** `weft proxy <args>` in the same environment, as a hook of the container runs it. */
  run(...args: string[]): NodeProcess {
    return new NodeProcess([join(ROOT, 'proxy/main.ts'), ...args], { env: this.env });
  }

  async untilReady(): Promise<void> {
    await until('the sidecar to be ready', async () => {
      if (this.process.exitCode !== undefined) throw new Error(`it ended: ${this.process.output}`);
      const response = await fetch(`http://${this.env['WEFT_READINESS']}/healthz/ready`).catch(
        () => undefined,
      );
      return response?.status === 200;
    });
  }

  /** A page of the status port. */
  status(path: string, init: RequestInit = {}): Promise<Response> {
    return fetch(`http://${this.env['WEFT_STATUS']}${path}`, init);
  }

  async stop(): Promise<number> {
    const code = await this.process.stop();
    rmSync(this.directory, { recursive: true, force: true });
    return code;
  }
}
