import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NodeProcess } from './node-process.ts';

/** The real kubectl, with a home of its own. `WEFT_KUBECTL` names another than the one on the path. */
export class Kubectl {
  readonly directory = mkdtempSync(join(tmpdir(), 'weft-kubectl-'));

  constructor(kubeconfig: string) {
    writeFileSync(this.configFile, kubeconfig, { mode: 0o600 });
  }

  /** False, or why there is none: for `skip`. */
  static get missing(): string | false {
    const { error, status } = spawnSync(PROGRAM, ['version', '--client']);
    return error === undefined && status === 0
      ? false
      : 'no kubectl here (package kubernetes-client)';
  }

  get configFile(): string {
    return join(this.directory, 'config');
  }

  /** Started; its output can be waited for. */
  start(...args: string[]): NodeProcess {
    const env = { HOME: this.directory, KUBECONFIG: this.configFile };
    return new NodeProcess(args, { command: PROGRAM, env, cwd: this.directory });
  }

  /** Standard output; rejects with what it said where it fails. */
  async run(...args: string[]): Promise<string> {
    const child = this.start(...args);
    if ((await child.exited) !== 0) throw new Error(`kubectl ${args.join(' ')}: ${child.output}`);
    return child.stdout;
  }

  /** Exit code and all that it said. */
  async tried(...args: string[]): Promise<{ readonly code: number; readonly output: string }> {
    const child = this.start(...args);
    return { code: await child.exited, output: child.output };
  }

  async apply(manifest: string, ...args: string[]): Promise<string> {
    const file = join(this.directory, 'manifest.yaml');
    writeFileSync(file, manifest);
    return this.run('apply', '-f', file, ...args);
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

const PROGRAM = process.env['WEFT_KUBECTL'] ?? 'kubectl';
