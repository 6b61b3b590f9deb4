import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NodeProcess } from '../../harness/node-process.ts';
import { bindToCore, type Cores } from './machine.ts';
import type { Programs } from './programs.ts';
import { Scope } from './scope.ts';

/** How long and how often a row is measured. */
export interface Pace {
  /** Counted rounds of each subject. */
  readonly rounds: number;
  /** Whole seconds of load in a round, for wrk and h2load count no finer. */
  readonly seconds: number;
  /** Seconds of the round that is not counted: it fills caches and connection pools and lets V8 compile. */
  readonly warmUpSeconds: number;
}

/** Of rows with a target. */
export const TARGET_PACE: Pace = { rounds: 7, seconds: 1, warmUpSeconds: 8 };
/** Of rows that stand beside them. */
export const SIDE_PACE: Pace = { rounds: 3, seconds: 1, warmUpSeconds: 2 };

export interface BenchOptions {
  readonly cores: Cores;
  readonly programs: Programs;
  /** The whole matrix instead of a cut through it. */
  readonly full: boolean;
  /** Only rows whose names contain it; '' = all. */
  readonly rows: string;
  /** In place of what a case would take; null = as the case says. */
  readonly pace: Pace | null;
  readonly say: (line: string) => void;
}

/** What a case works with: the machine, its programs, and a scope for all that it starts. */
export class Bench {
  readonly cores: Cores;
  readonly programs: Programs;
  readonly scope: Scope;
  /** Temporary, gone with the scope. */
  readonly directory: string;
  readonly full: boolean;
  readonly #options: BenchOptions;

  constructor(options: BenchOptions) {
    this.cores = options.cores;
    this.programs = options.programs;
    this.full = options.full;
    this.#options = options;
    this.scope = new Scope();
    this.directory = mkdtempSync(join(tmpdir(), 'weft-bench-'));
    this.scope.defer(() => rmSync(this.directory, { recursive: true, force: true }));
  }

  /** Whether a row of this name is to be measured. */
  wants(row: string): boolean {
    return row.includes(this.#options.rows);
  }

  pace(wanted: Pace): Pace {
    return this.#options.pace ?? wanted;
  }

  say(line: string): void {
    this.#options.say(line);
  }

  /** A bench on the same machine with a scope and a directory of its own, for a part of a case that ends before the next. */
  async part<T>(run: (part: Bench) => Promise<T>): Promise<T> {
    const part = new Bench(this.#options);
    this.scope.defer(() => part.scope.close());
    try {
      return await run(part);
    } finally {
      await part.scope.close();
    }
  }

  /** Starts a process on the core of the proxies; it ends with the scope. */
  startProxy(command: string, args: readonly string[]): NodeProcess {
    return this.#start(this.cores.proxy, command, args);
  }

  /** Starts a backend or load generator on the core of everything else; it ends with the scope. */
  startBeside(command: string, args: readonly string[]): NodeProcess {
    return this.#start(this.cores.load, command, args);
  }

  /** For what something else has started. */
  moveToProxyCore(pid: number): void {
    bindToCore(pid, this.cores.proxy);
  }

  #start(core: number, command: string, args: readonly string[]): NodeProcess {
    // taskset becomes the program that it starts: same process id.
    const process = new NodeProcess(['-c', `${core}`, command, ...args], { command: 'taskset' });
    this.scope.defer(() => process.stop(3000));
    return process;
  }
}
