import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';

export const ROOT = join(import.meta.dirname, '../..');

/** A process of the test: its output is kept, it is ended by its id, and awaited. */
export class NodeProcess {
  readonly child: ChildProcess;
  readonly exited: Promise<number>;
  stdout = '';
  stderr = '';
  exitCode: number | undefined;
  readonly #waiters = new Set<() => void>();

  /** `command`: Node where it is not given. */
  constructor(
    args: readonly string[],
    options: { command?: string; env?: NodeJS.ProcessEnv; cwd?: string } = {},
  ) {
    this.child = spawn(options.command ?? process.execPath, [...args], {
      cwd: options.cwd ?? ROOT,
      env: { ...inherited(), ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
      this.#wake();
    });
    this.child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
      this.#wake();
    });
    this.exited = new Promise((resolve) => {
      this.child.once('close', (code, signal) => {
        this.exitCode = code ?? (signal === 'SIGKILL' ? 137 : 143);
        this.#wake();
        resolve(this.exitCode);
      });
    });
  }

  get pid(): number {
    return this.child.pid!;
  }

  get output(): string {
    return this.stdout + this.stderr;
  }

  kill(signal: NodeJS.Signals): void {
    if (this.exitCode === undefined) this.child.kill(signal);
  }

  /** SIGTERM, SIGKILL after `graceMs`; the exit code. */
  async stop(graceMs = 10_000): Promise<number> {
    this.kill('SIGTERM');
    const timer = setTimeout(() => this.kill('SIGKILL'), graceMs);
    const code = await this.exited;
    clearTimeout(timer);
    return code;
  }

  /** Resolves once the output matches; rejects when the process ends first or after `timeoutMs`. */
  seen(pattern: RegExp, timeoutMs = 20_000): Promise<RegExpMatchArray> {
    return new Promise((resolve, reject) => {
      const look = () => {
        const match = this.output.match(pattern);
        if (match !== null) finish(() => resolve(match));
        else if (this.exitCode !== undefined) {
          finish(() =>
            reject(new Error(`ended with ${this.exitCode} before ${pattern}:\n${this.output}`)),
          );
        }
      };
      const timer = setTimeout(
        () =>
          finish(() => reject(new Error(`no ${pattern} within ${timeoutMs} ms:\n${this.output}`))),
        timeoutMs,
      );
      const finish = (then: () => void) => {
        clearTimeout(timer);
        this.#waiters.delete(look);
        then();
      };
      this.#waiters.add(look);
      look();
    });
  }

  #wake(): void {
    for (const waiter of [...this.#waiters]) waiter();
  }
}

/** Without variables of Weft: what names a tool to the tests would configure a sidecar, wrongly. */
export function inherited(): NodeJS.ProcessEnv {
  const entries = Object.entries(process.env).filter(([name]) => !name.startsWith('WEFT_'));
  return Object.fromEntries(entries);
}
