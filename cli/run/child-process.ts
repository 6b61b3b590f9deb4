import { type ChildProcess, spawn } from 'node:child_process';
import { signalExitCode } from '../interruption.ts';

export interface ChildOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly stdio: 'inherit' | readonly ('ignore' | 'inherit' | number)[];
  /**
   * In a session of its own, so that Ctrl-C in the terminal reaches this process alone, which then ends the child in
   * its turn. An app stays with us: it may read from the terminal.
   */
  readonly ownSession?: boolean;
}

export interface ChildEnd {
  /** 128 + n where signal n ended it; 127 where there is no such program, 126 where it cannot be run. */
  readonly code: number;
  /** Why it was never started, or ''. */
  readonly startError: string;
}

/** A process that was started here: ended by its own id, awaited, never left behind. */
export class Child {
  readonly process: ChildProcess;
  /** Resolves once it has ended. */
  readonly ended: Promise<ChildEnd>;
  #hasEnded = false;

  private constructor(process: ChildProcess) {
    this.process = process;
    this.ended = new Promise((resolve) => {
      const end = (code: number, startError: string) => {
        this.#hasEnded = true;
        resolve({ code, startError });
      };
      process.once('error', (error: NodeJS.ErrnoException) => {
        if (process.pid === undefined) end(error.code === 'ENOENT' ? 127 : 126, error.message);
      });
      process.once('exit', (code, signal) => {
        end(code ?? (signal === null ? 1 : signalExitCode(signal)), '');
      });
    });
  }

  static start(command: string, args: readonly string[], options: ChildOptions): Child {
    return new Child(
      spawn(command, args, {
        stdio: options.stdio === 'inherit' ? 'inherit' : [...options.stdio],
        env: options.env ?? process.env,
        detached: options.ownSession === true,
      }),
    );
  }

  get pid(): number {
    return this.process.pid ?? -1;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  kill(signal: NodeJS.Signals): void {
    if (!this.#hasEnded) this.process.kill(signal);
  }

  /** SIGTERM, then SIGKILL after `graceMs`. */
  async stop(graceMs: number): Promise<void> {
    if (this.#hasEnded) return;
    this.kill('SIGTERM');
    const timer = setTimeout(() => this.kill('SIGKILL'), graceMs);
    await this.ended;
    clearTimeout(timer);
  }
}
