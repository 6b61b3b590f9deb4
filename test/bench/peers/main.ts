/**
 * `make bench`: Weft beside nginx, HAProxy and Envoy on this machine, as CPU time of the proxies, each pinned to one core
 * while load and backends have another, measured in turns and compared round by round.
 *
 *   node test/bench/peers/main.ts [options]
 *
 *   --only=h1,pair    these cases (--list names all)
 *   --rows=TEXT       of them the rows whose names contain TEXT
 *   --full            the whole matrix of sizes and connections
 *   --record          write docs/benchmarks.json, .md and .svg; cases that are not run stay as they were recorded
 *   --render          write docs/benchmarks.md and .svg anew from what is recorded, and measure nothing
 *   --json=FILE       results of this run; default tmp/bench.json
 *   --rounds=N --seconds=N --warm-up=N   in place of what the cases take
 *
 * Exit code 1: a load had an error or an answer that is not 2xx, nothing could be measured, or a target that
 * docs/benchmarks.md calls met is missed by more than 15 %.
 */
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { ROOT } from '../../harness/node-process.ts';
import type { Pace } from './bench.ts';
import { ALL_CASES } from './cases/all-cases.ts';
import type { BenchCase } from './cases/case.ts';
import { chooseCores } from './machine.ts';
import { record, recordedAsMet, renderRecorded } from './record.ts';
import { runBenchmark } from './run-benchmark.ts';

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    rows: { type: 'string', default: '' },
    full: { type: 'boolean', default: false },
    record: { type: 'boolean', default: false },
    render: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
    json: { type: 'string', default: join(ROOT, 'tmp/bench.json') },
    rounds: { type: 'string', default: '' },
    seconds: { type: 'string', default: '1' },
    'warm-up': { type: 'string', default: '1' },
  },
});

process.exitCode = await main();

async function main(): Promise<number> {
  if (options.list) {
    for (const { name, title } of ALL_CASES) console.log(`${name.padEnd(14)} ${title}`);
    return 0;
  }
  if (options.render) {
    renderRecorded();
    return 0;
  }
  const cases = chosenCases(options.only);
  if (typeof cases === 'string') return fail([cases]);
  if (options.record && options.rows !== '') {
    return fail(['--record needs whole cases: leave --rows out']);
  }
  const cores = chooseCores();
  if ('problem' in cores) return fail([cores.problem]);
  const { results, problems } = await runBenchmark(cases, {
    cores,
    full: options.full,
    rows: options.rows,
    pace: chosenPace(),
    jsonFile: resolve(options.json),
    markedMet: recordedAsMet(),
    say: console.log,
  });
  if (options.record) {
    const order = ALL_CASES.map(({ name }) => name);
    for (const written of record(results, order)) console.log(`recorded in ${written}`);
  }
  return fail(problems);
}

function chosenCases(only: string): readonly BenchCase[] | string {
  if (only === '') return ALL_CASES;
  const names = only.split(',').map((name) => name.trim());
  const known = ALL_CASES.map(({ name }) => name);
  const unknown = names.filter((name) => !known.includes(name));
  if (unknown.length > 0) {
    return `no case is called ${unknown.join(', ')}; there are ${known.join(', ')}`;
  }
  return ALL_CASES.filter(({ name }) => names.includes(name));
}

function chosenPace(): Pace | null {
  if (options.rounds === '') return null;
  const numbers = [options.rounds, options.seconds, options['warm-up']].map(Number);
  if (!numbers.every((number) => Number.isInteger(number) && number > 0)) {
    throw new Error('--rounds, --seconds and --warm-up are whole numbers above 0');
  }
  const [rounds, seconds, warmUpSeconds] = numbers as [number, number, number];
  return { rounds, seconds, warmUpSeconds };
}

/** Exit code of a run with these problems, each of them said. */
function fail(problems: readonly string[]): number {
  for (const problem of problems) console.error(`bench: ${problem}`);
  return problems.length > 0 ? 1 : 0;
}
