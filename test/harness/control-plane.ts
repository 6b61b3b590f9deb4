import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts } from '../../cli/run/free-port.ts';
import { NodeProcess, ROOT } from './node-process.ts';
import { until } from './until.ts';

/** A control plane as a process, with a data directory of its own; can be killed and started again on the same ports. */
export class ControlPlane {
  readonly directory = mkdtempSync(join(tmpdir(), 'weft-cp-'));
  readonly flags: readonly string[];
  #addresses: Readonly<Record<'xds' | 'api' | 'monitoring', string>> = {
    xds: '',
    api: '',
    monitoring: '',
  };
  process!: NodeProcess;

  private constructor(flags: readonly string[]) {
    this.flags = flags;
  }

  static async start(...flags: string[]): Promise<ControlPlane> {
    const controlPlane = new ControlPlane(flags);
    const [xds, api, monitoring] = (await freePorts(3)).map((port) => `127.0.0.1:${port}`);
    controlPlane.#addresses = { xds: xds!, api: api!, monitoring: monitoring! };
    await controlPlane.restart();
    return controlPlane;
  }

  get api(): string {
    return `http://${this.#addresses.api}`;
  }

  get xds(): string {
    return this.#addresses.xds;
  }

  get monitoring(): string {
    return `http://${this.#addresses.monitoring}`;
  }

  get data(): string {
    return join(this.directory, 'data');
  }

  get rootCertFile(): string {
    return join(this.data, 'root-cert.pem');
  }

  get log(): string {
    return this.process.output;
  }

  async restart(): Promise<void> {
    const { xds, api, monitoring } = this.#addresses;
    const args = [
      join(ROOT, 'control-plane/main.ts'),
      '--data',
      this.data,
      '--xds',
      xds,
      '--api',
      api,
    ];
    this.process = new NodeProcess([...args, '--monitoring', monitoring, ...this.flags]);
    await until('the control plane to be ready', async () => {
      if (this.process.exitCode !== undefined) throw new Error(`it ended: ${this.process.output}`);
      const response = await fetch(`${this.api}/readyz`).catch(() => undefined);
      return response?.status === 200;
    });
  }

  async killHard(): Promise<void> {
    this.process.kill('SIGKILL');
    await this.process.exited;
  }

  /** Runs `weft …` against it. */
  async weft(...args: string[]): Promise<{ code: number; out: string; err: string }> {
    const child = new NodeProcess([join(ROOT, 'cli/main.ts'), ...args], {
      env: { WEFT_SERVER: this.api, NO_COLOR: '1' },
    });
    const code = await child.exited;
    return { code, out: child.stdout, err: child.stderr };
  }

  rootCert(): string {
    return readFileSync(this.rootCertFile, 'utf8');
  }

  async stop(): Promise<number> {
    const code = await this.process.stop();
    rmSync(this.directory, { recursive: true, force: true });
    return code;
  }
}
