import { spawnSync } from 'node:child_process';
import { ROOT } from '../../harness/node-process.ts';
import type { Bench } from './bench.ts';
import type { BenchCase } from './cases/case.ts';
import { describeMachine } from './machine.ts';
import { howToInstall, type Programs } from './programs.ts';
import { caseTables, plainTable } from './report/table.ts';
import type { CaseResult, Row } from './result.ts';

/** What became of a case: its result, or why there is none. `problem` is '' where all went well. */
export interface CaseRun {
  readonly result: CaseResult;
  readonly problem: string;
  /** Nothing was tried, for want of a program. */
  readonly leftOut: boolean;
}

/** Runs one case and ends all that it started. What it measured before it failed is kept for the eye, not for the record. */
export async function runCase(benchCase: BenchCase, bench: Bench): Promise<CaseRun> {
  const { programs } = bench;
  const say = (line: string) => bench.say(line);
  const wanted = [...new Set([...benchCase.needs, ...benchCase.peers])];
  const missing = wanted.filter((name) => !programs.has(name));
  const rows: Row[] = [];
  const result = (): CaseResult => ({
    name: benchCase.name,
    title: benchCase.title,
    measuredAt: new Date().toISOString(),
    commit: currentCommit(),
    machine: describeMachine(),
    programs: { Node: process.version.slice(1), ...versionsOf(programs, wanted) },
    missing,
    rows,
  });
  say(`\n${benchCase.name}: ${benchCase.title}`);
  for (const name of missing) say(`  ${howToInstall(name)}`);
  const lacking = benchCase.needs.filter((name) => missing.includes(name));
  if (lacking.length > 0) {
    await bench.scope.close();
    say(`  left out: it needs ${lacking.join(' and ')}`);
    return { result: result(), problem: '', leftOut: true };
  }
  let problem = '';
  try {
    await benchCase.run(bench, (row) => {
      rows.push(row);
      say(`  ${row.name}`);
    });
  } catch (error) {
    problem = `${benchCase.name}: ${(error as Error).message}`;
  }
  try {
    await bench.scope.close();
  } catch (error) {
    problem ||= `${benchCase.name}: ${(error as Error).message}`;
  }
  for (const { table } of caseTables(rows)) say(`\n${plainTable(table)}`);
  if (problem !== '') say(`\nFAILED ${problem}`);
  return { result: result(), problem, leftOut: false };
}

function versionsOf(programs: Programs, names: readonly string[]): Record<string, string> {
  const versions = Object.entries(programs.versions());
  return Object.fromEntries(versions.filter(([name]) => names.includes(name)));
}

function currentCommit(): string {
  const { status, stdout } = spawnSync(
    'git',
    ['describe', '--always', '--dirty=+', '--abbrev=9', '--exclude=*'],
    { cwd: ROOT, encoding: 'utf8' },
  );
  return status === 0 ? stdout.trim() : '';
}
