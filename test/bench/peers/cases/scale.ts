import { request } from 'node:http';
import { join } from 'node:path';
import { until } from '../../../harness/until.ts';
import { AdsServer } from '../backends/ads-server.ts';
import { startNginxBackend } from '../backends/nginx-files.ts';
import { type Bench, TARGET_PACE } from '../bench.ts';
import { wrk } from '../load/wrk.ts';
import { startEnvoyOn } from '../proxies/envoy.ts';
import type { RunningProxy } from '../proxies/hop.ts';
import type { Places } from '../proxies/mesh-bootstrap.ts';
import {
  adsBootstrap,
  lastServiceName,
  type ServicesPlan,
  servicesMesh,
} from '../proxies/services-bootstrap.ts';
import { startWeftOn } from '../proxies/weft.ts';
import { type Figure, type Row, ratioTarget, valueTarget, WEFT } from '../result.ts';
import { type Contestant, takeTurns } from '../rounds.ts';
import type { BenchCase } from './case.ts';

const FEW = 10;
const MANY = 10_000;
const PUSHES = 3;
const TAKEN_MS_MAX = 60_000;
type Starter = typeof startWeftOn;

/** Services as a control plane sends them, over incremental ADS: each a virtual host, a route, a cluster, an endpoint. */
export const scale: BenchCase = {
  name: 'scale',
  title: `${FEW} → ${MANY} services`,
  needs: ['wrk', 'nginx'],
  peers: ['Envoy'],
  async run(bench, onRow) {
    const backendPort = await startNginxBackend(bench, [0, 1024]);
    const plan = (services: number) => ({ services, endpointsEach: 1, backendPort });
    const starters: (readonly [string, Starter])[] = [[WEFT, startWeftOn]];
    if (bench.programs.has('Envoy')) starters.push(['Envoy', startEnvoyOn]);
    const costName = '1 KiB to the last service, 32 connections';
    if (bench.wants(costName)) {
      await bench.part(async (part) => onRow(await requestCost(part, costName, starters, plan)));
    }
    const name = `${FEW} → ${MANY} services while requests run`;
    if (!bench.wants(name)) return;
    const figures: Figure[] = [];
    for (const [subject, starter] of starters) {
      const rounds: number[] = [];
      for (let push = 0; push < Math.min(PUSHES, bench.pace(TARGET_PACE).rounds); push++) {
        await bench.part(async (part) => {
          rounds.push(await longestAnswerMs(part, starter, plan(FEW), plan(MANY)));
        });
      }
      figures.push({ subject, rounds });
    }
    const targets = [valueTarget('atMost', 50)];
    onRow({ name, unit: 'ms, longest answer', figures, targets, remark: '' });
  },
};

/** A proxy that is driven by an ADS server of its own, and ready. */
async function startDriven(bench: Bench, starter: Starter, plan: ServicesPlan) {
  const ads = await AdsServer.start(bench);
  let places: Places | undefined;
  const proxy = await starter(bench, (given) => {
    places = given;
    ads.push(servicesMesh(plan, given, '1'));
    return adsBootstrap(ads.port, given);
  });
  await serves(ads, proxy, lastServiceName(plan));
  return { ads, proxy, places: places! };
}

/** Waits until `service` is answered for. */
async function serves(ads: AdsServer, { port, subject }: RunningProxy, service: string) {
  await until(
    `${subject} to serve ${service}`,
    async () => {
      if (ads.refusals.length > 0) throw new Error(`${subject} refused ${ads.refusals[0]}`);
      return (await statusOf(port, service)) === 200;
    },
    TAKEN_MS_MAX,
  );
}

/** 0: no answer. `fetch` would not send a Host header of ours. */
function statusOf(port: number, host: string): Promise<number> {
  return new Promise((resolve) => {
    const outgoing = request({ port, path: '/0', agent: false, headers: { host } }, (answer) => {
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
  planOf: (services: number) => ServicesPlan,
): Promise<Row> {
  const sides: Contestant[] = [];
  for (const [subject, starter] of starters) {
    for (const services of [MANY, FEW]) {
      const plan = planOf(services);
      const { proxy } = await startDriven(bench, starter, plan);
      sides.push({
        subject: services === MANY ? subject : withFew(subject),
        pids: proxy.pids,
        load: (seconds) => {
          const url = `http://127.0.0.1:${proxy.port}/1024`;
          const headers = [`Host: ${lastServiceName(plan)}`];
          return wrk(bench, { url, connections: 32, headers }, seconds);
        },
      });
    }
  }
  return {
    name,
    unit: 'µs CPU/request',
    figures: await takeTurns(sides, bench.pace(TARGET_PACE)),
    targets: [ratioTarget(withFew(WEFT), 'atMost', 1.1)],
    remark: '',
  };
}

function withFew(subject: string): string {
  return `${subject} with ${FEW}`;
}

/** How long the proxy leaves one connection without an answer while it takes a mesh of `after` in place of `before`. */
async function longestAnswerMs(
  bench: Bench,
  starter: Starter,
  before: ServicesPlan,
  after: ServicesPlan,
): Promise<number> {
  const { ads, proxy, places } = await startDriven(bench, starter, before);
  const mesh = servicesMesh(after, places, '2');
  const program = join(import.meta.dirname, '../load/longest-answer.ts');
  const service = lastServiceName(before);
  const args = [program, `${proxy.port}`, service, '/0'];
  const probe = bench.startBeside(process.execPath, args);
  await probe.seen(/probing/);
  ads.push(mesh);
  await serves(ads, proxy, lastServiceName(after));
  const code = await probe.stop();
  const longest = /longest ([\d.]+) ms/.exec(probe.stdout)?.[1];
  if (code !== 0 || longest === undefined) {
    throw new Error(`${proxy.subject}: ${probe.output.trim()}`);
  }
  return Number(longest);
}
