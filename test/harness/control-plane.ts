import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts } from '../../cli/run/free-port.ts';
import { NODE_FLAGS } from '../../cli/run/node-flags.ts';
import { NodeProcess, ROOT } from './node-process.ts';
import { until } from './until.ts';

/** Where a control plane runs, if not on this very host. */
export interface ControlPlanePlace {
  /** `host:port` of each port. */
  readonly addresses: Readonly<Record<'xds' | 'api' | 'monitoring', string>>;
  /** The words that run a program there. */
  command(program: readonly string[]): readonly [string, ...string[]];
  /** A request as made from there. */
  fetch(url: string, init?: RequestInit): Promise<Response>;
}

/** A control plane as a process, with a data directory of its own; can be killed and started again on the same ports. */
export class ControlPlane {
  readonly directory = mkdtempSync(join(tmpdir(), 'weft-cp-'));
  flags: readonly string[];
  readonly #place: ControlPlanePlace;
  process!: NodeProcess;

  private constructor(flags: readonly string[], place: ControlPlanePlace) {
    this.flags = flags;
    this.#place = place;
  }

  static async start(...flags: string[]): Promise<ControlPlane> {
    const [xds, api, monitoring] = (await freePorts(3)).map((port) => `127.0.0.1:${port}`);
    const addresses = { xds: xds!, api: api!, monitoring: monitoring! };
    const command = (program: readonly string[]) => program as [string, ...string[]];
    return ControlPlane.startAt({ addresses, command, fetch }, ...flags);
  }

  static async startAt(place: ControlPlanePlace, ...flags: string[]): Promise<ControlPlane> {
    const controlPlane = new ControlPlane(flags, place);
    await controlPlane.restart();
    return controlPlane;
  }

  get api(): string {
    return `http://${this.#place.addresses.api}`;
  }

  get xds(): string {
    return this.#place.addresses.xds;
  }

  get monitoring(): string {
    return `http://${this.#place.addresses.monitoring}`;
  }

  /** From where the control plane is. */
  fetch(url: string, init?: RequestInit): Promise<Response> {
    return this.#place.fetch(url, init);
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

  /** With other flags, where `flags` are given. */
  async restart(...flags: string[]): Promise<void> {
    if (flags.length > 0) this.flags = flags;
    const { xds, api, monitoring } = this.#place.addresses;
    const args = [
      join(ROOT, 'control-plane/main.ts'),
      '--data',
      this.data,
      '--xds',
      xds,
      '--api',
      api,
    ];
    this.process = this.#run([...args, '--monitoring', monitoring, ...this.flags]);
    await until('the control plane to be ready', async () => {
      if (this.process.exitCode !== undefined) throw new Error(`it ended: ${this.process.output}`);
      const response = await this.fetch(`${this.api}/readyz`).catch(() => undefined);
      return response?.status === 200;
    });
  }

  async killHard(): Promise<void> {
    this.process.kill('SIGKILL');
    await this.process.exited;
  }

  /** Runs `weft …` against it. */
  async weft(...args: string[]): Promise<{ code: number; out: string; err: string }> {
    const child = this.#run([join(ROOT, 'cli/main.ts'), ...args], {
      WEFT_SERVER: this.api,
      NO_COLOR: '1',
    });
    const code = await child.exited;
    return { code, out: child.stdout, err: child.stderr };
  }

  #run(args: readonly string[], env: NodeJS.ProcessEnv = {}): NodeProcess {
    const [command, ...rest] = this.#place.command([process.execPath, ...NODE_FLAGS, ...args]);
    return new NodeProcess(rest, { command, env });
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
