import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { Bench, type Pace } from './bench.ts';
import type { BenchCase } from './cases/case.ts';
import { type Cores, describeMachine, stayOnCore } from './machine.ts';
import { Programs } from './programs.ts';
import { writeResults } from './record.ts';
import { regressions } from './report/regression.ts';
import { plainTable, targetTable } from './report/table.ts';
import type { CaseResult } from './result.ts';
import { runCase } from './run-case.ts';

export interface BenchmarkOptions {
  readonly cores: Cores;
  readonly full: boolean;
  /** Only rows whose names contain it; '' = all. */
  readonly rows: string;
  /** In place of what the cases take; null = as they say. */
  readonly pace: Pace | null;
  readonly jsonFile: string;
  /** Keys of the targets that must not get worse. */
  readonly markedMet: ReadonlySet<string>;
  readonly say: (line: string) => void;
}

export interface BenchmarkRun {
  /** Of cases that went through to their end. */
  readonly results: readonly CaseResult[];
  /** Why the run failed; empty = it did not. */
  readonly problems: readonly string[];
}

/** Runs cases one after the other, on two cores of this machine; this process stays on one of them afterwards. */
export async function runBenchmark(
  cases: readonly BenchCase[],
  options: BenchmarkOptions,
): Promise<BenchmarkRun> {
  const { say, cores } = options;
  stayOnCore(cores.load);
  say(`${describeMachine()}; proxies on core ${cores.proxy}, load and backends on ${cores.load}`);
  const results: CaseResult[] = [];
  const problems: string[] = [];
  for (const benchCase of cases) {
    const bench = new Bench({ ...options, programs: new Programs() });
    const forget = endWithSignals(bench);
    const { result, problem, leftOut } = await runCase(benchCase, bench);
    forget();
    if (problem !== '') problems.push(problem);
    else if (!leftOut) results.push(result);
  }
  if (results.length === 0 && problems.length === 0) problems.push('nothing could be measured');
  problems.push(...regressions(results, options.markedMet));
  const targets = targetTable(results);
  if (targets.length > 1) say(`\n${plainTable(targets)}`);
  mkdirSync(dirname(options.jsonFile), { recursive: true });
  writeResults(options.jsonFile, results);
  say(`\nresults in ${options.jsonFile}`);
  return { results, problems };
}

/** What a case has started ends with this process, also where it is interrupted. */
function endWithSignals(bench: Bench): () => void {
  const end = (signal: 'SIGINT' | 'SIGTERM') => {
    void bench.scope.close().finally(() => process.exit(signal === 'SIGINT' ? 130 : 143));
  };
  process.once('SIGINT', end).once('SIGTERM', end);
  return () => process.off('SIGINT', end).off('SIGTERM', end);
}
