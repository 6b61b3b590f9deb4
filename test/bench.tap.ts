import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { BenchCase } from './bench/peers/cases/case.ts';
import { wrk } from './bench/peers/load/wrk.ts';
import { type Cores, chooseCores } from './bench/peers/machine.ts';
import { MESH_FEATURES, PLAIN_HTTP1 } from './bench/peers/proxies/hop.ts';
import { startWeft } from './bench/peers/proxies/weft.ts';
import { ratioTarget, valueTarget } from './bench/peers/result.ts';
import { takeTurns } from './bench/peers/rounds.ts';
import { runBenchmark } from './bench/peers/run-benchmark.ts';
import { hasProgram } from './harness/program.ts';

/** The benchmark beside peers measures, and fails where what it loads fails: one tiny case, rounds of a second. */

t.setTimeout(60_000);

const cores = chooseCores();
const missing = !hasProgram('wrk', ['-v'])
  ? 'no wrk here (apt install wrk)'
  : 'problem' in cores
    ? cores.problem
    : false;

const directory = mkdtempSync(join(tmpdir(), 'weft-bench-test-'));
t.teardown(() => rmSync(directory, { recursive: true, force: true }));
const jsonFile = join(directory, 'bench.json');

/** Weft alone before an app that answers with `status`. */
function tinyCase(app: Server): BenchCase {
  return {
    name: 'tiny',
    title: 'One proxy, few connections',
    needs: ['wrk'],
    peers: [],
    async run(bench, onRow) {
      const backendPort = (app.address() as AddressInfo).port;
      const hop = { downstream: PLAIN_HTTP1, upstream: PLAIN_HTTP1, backendPort, ...MESH_FEATURES };
      const { subject, pids, port } = await startWeft(bench, hop);
      const load = (seconds: number) =>
        wrk(bench, { url: `http://127.0.0.1:${port}/`, connections: 4 }, seconds);
      onRow({
        name: '4 connections',
        unit: 'µs CPU/request',
        figures: await takeTurns([{ subject, pids, load }], bench.pace(ONE_SECOND)),
        targets: [valueTarget('atMost', 0.001), ratioTarget('nginx', 'atMost', 1)],
        remark: '',
      });
    },
  };
}

const ONE_SECOND = { rounds: 1, seconds: 1, warmUpSeconds: 1 };

async function run(status: number, markedMet: readonly string[] = []) {
  const app = createServer((_, response) => response.writeHead(status).end('hello'));
  await new Promise<void>((resolve) => app.listen(0, '127.0.0.1', resolve));
  const said: string[] = [];
  try {
    const outcome = await runBenchmark([tinyCase(app)], {
      cores: cores as Cores,
      full: false,
      rows: '',
      pace: null,
      jsonFile,
      markedMet: new Set(markedMet),
      say: (line) => said.push(line),
    });
    return { ...outcome, said: said.join('\n') };
  } finally {
    app.closeAllConnections();
    app.close();
  }
}

t.test('a result comes out, in the table and in the file', { skip: missing }, async (t) => {
  const key = 'tiny | 4 connections | ≤ 0.001 µs CPU/request';
  const { results, problems, said } = await run(200, [key]);
  const [figure] = results[0]!.rows[0]!.figures;
  t.ok(figure!.rounds[0]! > 1 && figure!.rounds[0]! < 10_000, `${figure!.rounds[0]} µs`);
  t.match(said, /4 connections/);
  t.match(said, /≤ 0\.001 µs CPU\/request .* missed by/);
  t.match(said, /≤ 1 × nginx +– +not measured/);
  const written = JSON.parse(readFileSync(jsonFile, 'utf8'));
  t.equal(written.cases[0].name, 'tiny');
  t.equal(written.cases[0].rows[0].figures[0].subject, 'Weft');
  t.match(
    problems,
    [/^tiny, 4 connections: ≤ 0\.001 µs CPU\/request was met and is now /],
    'a target that was met and is missed by far fails the run',
  );
});

t.test('an answer that is not 2xx fails the run, by name', { skip: missing }, async (t) => {
  const { results, problems } = await run(503);
  t.same(results, [], 'what was measured beside errors is no result');
  t.match(problems, [/^tiny: Weft: \d+ answers that are not 2xx or 3xx$/]);
});
