import { closeSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { dirname, join } from 'node:path';
import { CommandError } from '../exit-code.ts';
import { Child } from './child-process.ts';
import { NODE_FLAGS } from './node-flags.ts';
import { PROXY_PROGRAM } from './proxy-program.ts';
import { type SidecarSettings, sidecarBootstrap, splitHostPort } from './sidecar-bootstrap.ts';

export interface SidecarProcessOptions {
  readonly settings: SidecarSettings;
  /** Directory of the bootstrap file (mode 0700). */
  readonly directory: string;
  readonly logLevel: string;
  /** File for the sidecar's log; '' = this process's standard error. */
  readonly logFile: string;
  /** Called with each start after the first. */
  readonly onRestart: (code: number) => void;
}

/** A sidecar as a child process: started from a bootstrap file, restarted with back-off when it dies, drained at the end. */
export class SidecarProcess {
  readonly settings: SidecarSettings;
  readonly #options: SidecarProcessOptions;
  readonly #bootstrapFile: string;
  #child: Child;
  #stopping = false;
  #restartTimer: NodeJS.Timeout | undefined;
  #ends = 0;
  #lastCode = 0;

  constructor(options: SidecarProcessOptions) {
    this.#options = options;
    this.settings = options.settings;
    mkdirSync(options.directory, { recursive: true, mode: 0o700 });
    this.#bootstrapFile = join(options.directory, 'bootstrap.json');
    const text = JSON.stringify(sidecarBootstrap(options.settings), null, 2);
    writeFileSync(this.#bootstrapFile, `${text}\n`, { mode: 0o600 });
    this.#child = this.#start(0);
  }

  get pid(): number {
    return this.#child.pid;
  }

  /**
   * Resolves when `/healthz/ready` answers 200. Rejects with CommandError after `timeoutMs`, saying what it last said,
   * or once it has ended `ENDS_BEFORE_READY_MAX` times: a setting that it refuses does not get better.
   */
  async ready(timeoutMs: number): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    let last = 'it did not answer';
    while (performance.now() < deadline && !this.#stopping) {
      if (this.#ends >= ENDS_BEFORE_READY_MAX) {
        throw new CommandError(
          `the sidecar of ${this.settings.workload} ended ${this.#ends} times before it was ready, with ${this.#lastCode}`,
          `it says why ${this.#options.logFile === '' ? 'above' : `in ${this.#options.logFile}`}`,
        );
      }
      const answer = await readinessOf(this.settings.readiness);
      if (answer === '') {
        this.#ends = 0;
        return;
      }
      last = answer;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    throw new CommandError(
      `the sidecar of ${this.settings.workload} is not ready: ${last}`,
      'is the control plane up, and does the join token fit?',
    );
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** SIGTERM and the time to drain; then SIGKILL. */
  async stop(graceMs = DRAIN_GRACE_MS): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#restartTimer);
    await this.#child.stop(graceMs);
  }

  #start(failures: number): Child {
    const options = ['-c', this.#bootstrapFile, '--log-level', this.#options.logLevel];
    const args = [...NODE_FLAGS, PROXY_PROGRAM, ...options];
    const { logFile } = this.#options;
    const log = logFile === '' ? 2 : openLog(logFile);
    const child = Child.start(process.execPath, args, {
      stdio: ['ignore', log, log],
      ownSession: true,
    });
    if (logFile !== '') closeSync(log);
    const startedMs = performance.now();
    void child.ended.then(({ code }) => {
      this.#ends += 1;
      this.#lastCode = code;
      if (this.#stopping) return;
      const again = performance.now() - startedMs > STABLE_MS ? 0 : failures + 1;
      const delayMs = again === 0 ? 0 : Math.min(RESTART_MS_MAX, 100 * 2 ** (again - 1));
      this.#restartTimer = setTimeout(() => {
        this.#options.onRestart(code);
        this.#child = this.#start(again);
      }, delayMs);
    });
    return child;
  }
}

function openLog(file: string): number {
  try {
    mkdirSync(dirname(file), { recursive: true });
    return openSync(file, 'a');
  } catch (error) {
    throw new CommandError(`the sidecar's log cannot be written: ${(error as Error).message}`);
  }
}

/** '' = ready, else the reason. */
function readinessOf(address: string): Promise<string> {
  const { host, port } = splitHostPort(address);
  return new Promise((resolve) => {
    const probe = request({ host, port, path: '/healthz/ready', timeout: 1000 }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk.slice(0, 500);
      });
      response.on('error', (error) => resolve(error.message));
      response.on('end', () =>
        resolve(response.statusCode === 200 ? '' : text.trim() || 'not ready'),
      );
    });
    probe.on('timeout', () => probe.destroy(new Error('no answer within 1 s')));
    probe.on('error', (error) => resolve(error.message));
    probe.end();
  });
}

const POLL_MS = 25;
const ENDS_BEFORE_READY_MAX = 3;
const DRAIN_GRACE_MS = 20_000;
/** A sidecar that lived this long starts again at once. */
const STABLE_MS = 10_000;
const RESTART_MS_MAX = 5000;
