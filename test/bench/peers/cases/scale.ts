import { request } from 'node:http';
import { join } from 'node:path';
import { until } from '../../../harness/until.ts';
import { AdsServer } from '../backends/ads-server.ts';
import { startNginxBackend } from '../backends/nginx-files.ts';
import type { Bench, Pace } from '../bench.ts';
import { wrk } from '../load/wrk.ts';
import { startEnvoyOn } from '../proxies/envoy.ts';
import { ENDPOINTS, type GrownMesh, ROUTES, SERVICES, type Target } from '../proxies/grown-mesh.ts';
import type { RunningProxy } from '../proxies/hop.ts';
import type { Places } from '../proxies/mesh-bootstrap.ts';
import { adsBootstrap } from '../proxies/services-bootstrap.ts';
import { startWeftOn } from '../proxies/weft.ts';
import { type Figure, type Row, ratioTarget, valueTarget, WEFT } from '../result.ts';
import { type Contestant, takeTurns } from '../rounds.ts';
import type { BenchCase } from './case.ts';

const FEW = 10;
const MANY = 10_000;
/** Two sides of the same program are compared, and four of them stand in a row. */
const PACE: Pace = { rounds: 5, seconds: 1, warmUpSeconds: 4 };
/** Of Weft, which has a target; its peers are asked once. */
const PUSHES = 3;
const TAKEN_MS_MAX = 60_000;
type Starter = typeof startWeftOn;

/** Ten and ten thousand of each thing of which a mesh may have many, as a control plane sends them: over incremental ADS. */
export const scale: BenchCase = {
  name: 'scale',
  title: `${FEW} → ${MANY} services, routes and endpoints`,
  needs: ['wrk', 'nginx'],
  peers: ['Envoy'],
  async run(bench, onRow) {
    const backendPort = await startNginxBackend(bench, [0, 1024]);
    const starters: (readonly [string, Starter])[] = [[WEFT, startWeftOn]];
    if (bench.programs.has('Envoy')) starters.push(['Envoy', startEnvoyOn]);
    for (const grown of [SERVICES, ROUTES, ENDPOINTS]) {
      const costName = `1 KiB ${grown.goal}, 32 connections`;
      if (bench.wants(costName)) {
        await bench.part(async (part) => {
          onRow(await requestCost(part, costName, starters, { grown, backendPort }));
        });
      }
      const name = `${FEW} → ${MANY} ${grown.things} while requests run`;
      if (bench.wants(name))
        onRow(await longestAnswers(bench, name, starters, { grown, backendPort }));
    }
  },
};

interface Plan {
  readonly grown: GrownMesh;
  readonly backendPort: number;
}

/** A proxy that is driven by an ADS server of its own, and ready with `count` of the mesh's things. */
async function startDriven(
  bench: Bench,
  starter: Starter,
  { grown, backendPort }: Plan,
  count: number,
) {
  const ads = await AdsServer.start(bench);
  let places: Places | undefined;
  const proxy = await starter(bench, (given) => {
    places = given;
    ads.push(grown.mesh(count, backendPort, given, '1'));
    return adsBootstrap(ads.port, given);
  });
  await serves(ads, proxy, grown.target(count));
  return { ads, proxy, places: places! };
}

/** Waits until the target is answered for. */
async function serves(ads: AdsServer, { port, subject }: RunningProxy, { host, path }: Target) {
  await until(
    `${subject} to serve ${host}${path}`,
    async () => {
      if (ads.refusals.length > 0) throw new Error(`${subject} refused ${ads.refusals[0]}`);
      return (await statusOf(port, host, `${path}/0`)) === 200;
    },
    TAKEN_MS_MAX,
  );
}

/** 0: no answer. `fetch` would not send a Host header of ours. */
function statusOf(port: number, host: string, path: string): Promise<number> {
  return new Promise((resolve) => {
    const outgoing = request({ port, path, agent: false, headers: { host } }, (answer) => {
      answer.resume();
      answer.once('end', () => resolve(answer.statusCode ?? 0));
    });
    outgoing.once('error', () => resolve(0));
    outgoing.end();
  });
}

async function requestCost(
  bench: Bench,
  name: string,
  starters: readonly (readonly [string, Starter])[],
  plan: Plan,
): Promise<Row> {
  const sides: Contestant[] = [];
  for (const [subject, starter] of starters) {
    for (const count of [MANY, FEW]) {
      const { host, path } = plan.grown.target(count);
      const { proxy } = await startDriven(bench, starter, plan, count);
      sides.push({
        subject: count === MANY ? subject : withFew(subject),
        pids: proxy.pids,
        load: (seconds) => {
          const url = `http://127.0.0.1:${proxy.port}${path}/1024`;
          const headers = [`Host: ${host}`];
          return wrk(bench, { url, connections: 32, headers }, seconds);
        },
      });
    }
  }
  return {
    name,
    unit: 'µs CPU/request',
    figures: await takeTurns(sides, bench.pace(PACE)),
    targets: [ratioTarget(withFew(WEFT), 'atMost', 1.1)],
    remark: plan.grown.remark,
  };
}

function withFew(subject: string): string {
  return `${subject} with ${FEW}`;
}

async function longestAnswers(
  bench: Bench,
  name: string,
  starters: readonly (readonly [string, Starter])[],
  plan: Plan,
): Promise<Row> {
  const figures: Figure[] = [];
  for (const [subject, starter] of starters) {
    const rounds: number[] = [];
    const pushes = subject === WEFT ? Math.min(PUSHES, bench.pace(PACE).rounds) : 1;
    for (let push = 0; push < pushes; push++) {
      await bench.part(async (part) => {
        rounds.push(await longestAnswerMs(part, starter, plan));
      });
    }
    figures.push({ subject, rounds });
  }
  const targets = [valueTarget('atMost', 50)];
  return { name, unit: 'ms, longest answer', figures, targets, remark: '' };
}

/** How long the proxy leaves one connection without an answer while it takes a mesh of many in place of one of few. */
async function longestAnswerMs(bench: Bench, starter: Starter, plan: Plan): Promise<number> {
  const { grown, backendPort } = plan;
  const { ads, proxy, places } = await startDriven(bench, starter, plan, FEW);
  const mesh = grown.mesh(MANY, backendPort, places, '2');
  const program = join(import.meta.dirname, '../load/longest-answer.ts');
  const { host, path } = grown.target(FEW);
  const probe = bench.startBeside(process.execPath, [program, `${proxy.port}`, host, `${path}/0`]);
  await probe.seen(/probing/);
  ads.push(mesh);
  await serves(ads, proxy, grown.target(MANY));
  const code = await probe.stop();
  const longest = /longest ([\d.]+) ms/.exec(probe.stdout)?.[1];
  if (code !== 0 || longest === undefined) {
    throw new Error(`${proxy.subject}: ${probe.output.trim()}`);
  }
  return Number(longest);
}
