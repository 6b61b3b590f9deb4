import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { AdsServer } from '../backends/ads-server.ts';
import { startNginxBackend } from '../backends/nginx-files.ts';
import type { Bench } from '../bench.ts';
import { IdleClients } from '../idle-clients.ts';
import { settledPrivateBytes } from '../private-memory.ts';
import { startEnvoyOn } from '../proxies/envoy.ts';
import { MESH_FEATURES, PLAIN_HTTP1, type RunningProxy, type Side } from '../proxies/hop.ts';
import type { Places } from '../proxies/mesh-bootstrap.ts';
import { adsBootstrap, servicesBootstrap, servicesMesh } from '../proxies/services-bootstrap.ts';
import { startProxies } from '../proxies/start-proxies.ts';
import { bundledWeft, startWeftSourcesOn } from '../proxies/weft.ts';
import { type Figure, type Row, valueTarget } from '../result.ts';
import { naming } from '../rounds.ts';
import { pairOfTlsFiles } from '../tls-files.ts';
import type { BenchCase } from './case.ts';

const CONNECTIONS_WANTED = 10_000;
const OPEN_FILES_WANTED = 40_000;
/** Of its open files a proxy needs some for upstream connections, of which idle clients need next to none, and for itself. */
const DOWNSTREAM_SHARE = 0.8;
const WARM_CONNECTIONS = 50;
const STARTS = 5;
const KIB = 1024;
const MIB = 1024 * KIB;

/** What is held while nothing happens, and how long it takes to get there. */
export const idle: BenchCase = {
  name: 'idle',
  title: 'Memory and start',
  needs: ['nginx'],
  peers: ['nginx', 'Envoy'],
  async run(bench, onRow) {
    const backendPort = await startNginxBackend(bench, [0]);
    const { server } = await pairOfTlsFiles(bench.directory);
    const tls: Side = { protocol: 'http1', tls: { files: server, mutual: false } };
    raiseOpenFiles();
    const room = Math.floor(openFilesMax() * DOWNSTREAM_SHARE) - 2 * WARM_CONNECTIONS;
    const count = Math.min(CONNECTIONS_WANTED, room);
    for (const [name, downstream, limit] of [
      [`${count} idle connections in clear text`, PLAIN_HTTP1, 6],
      [`${count} idle connections with TLS`, tls, 40],
    ] as const) {
      if (!bench.wants(name)) continue;
      const figures = await bench.part(async (part) => {
        const hop = {
          ...{ downstream, upstream: PLAIN_HTTP1, backendPort, ...MESH_FEATURES },
          connectionsMax: count + 2 * WARM_CONNECTIONS,
        };
        const proxies = await startProxies(part, hop, this.peers);
        return perConnection(proxies, count, downstream.tls !== null);
      });
      const targets = [valueTarget('atMost', limit)];
      onRow({ name, unit: 'KiB/connection', figures, targets, remark: 'after one request each' });
    }
    const one = { services: 1, endpointsEach: 1, backendPort };
    const many = { services: 1000, endpointsEach: 10, backendPort };
    const starters = [await bundledWeft(bench), startWeftSourcesOn];
    if (bench.programs.has('Envoy')) starters.push(startEnvoyOn);
    await measureStarts(bench, starters, one, 'static', { memoryMib: 35, startMs: 300 }, onRow);
    await measureStarts(bench, starters, many, 'static', {}, onRow);
    await measureStarts(bench, starters, many, 'over ADS', { memoryMib: 60 }, onRow);
  },
};

async function perConnection(
  proxies: readonly RunningProxy[],
  count: number,
  tls: boolean,
): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const { subject, port, pids } of proxies) {
    const clients = new IdleClients(port, tls);
    try {
      await naming(subject, clients.open(WARM_CONNECTIONS));
      const before = await settledPrivateBytes(pids);
      await naming(subject, clients.open(count));
      const held = (await settledPrivateBytes(pids)) - before;
      if (clients.lost > 0) throw new Error(`${subject}: ${clients.lost} connections were lost`);
      figures.push({ subject, rounds: [held / count / KIB] });
    } finally {
      clients.close();
    }
  }
  return figures;
}

type Plan = Parameters<typeof servicesBootstrap>[0];
type Starter = typeof startWeftSourcesOn;

/**
 * Proxies started by turns on one configuration: time until ready, and private memory once it stands still. Weft is the
 * bundle that the image runs; its sources stand beside it, for they hold what compiled them.
 */
async function measureStarts(
  bench: Bench,
  starters: readonly Starter[],
  plan: Plan,
  way: 'static' | 'over ADS',
  limits: { readonly memoryMib?: number; readonly startMs?: number },
  onRow: (row: Row) => void,
): Promise<void> {
  const { services, endpointsEach } = plan;
  const size = services === 1 ? 'one service' : `${services} services × ${endpointsEach} endpoints`;
  const [memoryName, startName] = [`private memory, ${size}, ${way}`, `ready, ${size}, ${way}`];
  if (!bench.wants(memoryName) && !bench.wants(startName)) return;
  const pace = bench.pace({ rounds: STARTS, seconds: 1, warmUpSeconds: 1 });
  const rounds = Math.min(STARTS, pace.rounds);
  const memory = new Map<string, number[]>();
  const start = new Map<string, number[]>();
  // The first start of each fills the caches of files and of compiled sources, and is not counted.
  for (let round = -1; round < rounds; round++) {
    for (const starter of starters) {
      await bench.part(async (part) => {
        const ads = way === 'static' ? null : await AdsServer.start(part);
        const describe = (places: Places): object => {
          if (ads === null) return servicesBootstrap(plan, places);
          ads.push(servicesMesh(plan, places, '1'));
          return adsBootstrap(ads.port, places);
        };
        let beganMs = 0;
        const proxy = await starter(part, (places) => {
          const bootstrap = describe(places);
          beganMs = performance.now();
          return bootstrap;
        });
        const readyMs = performance.now() - beganMs;
        if (round < 0) return;
        push(start, proxy.subject, readyMs);
        push(memory, proxy.subject, (await settledPrivateBytes(proxy.pids)) / MIB);
      });
    }
  }
  const figures = (of: Map<string, number[]>): Figure[] =>
    [...of].map(([subject, rounds]) => ({ subject, rounds }));
  onRow({
    name: memoryName,
    unit: 'MiB (RssAnon)',
    figures: figures(memory),
    targets: limits.memoryMib === undefined ? [] : [valueTarget('atMost', limits.memoryMib)],
    remark: '',
  });
  onRow({
    name: startName,
    unit: 'ms',
    figures: figures(start),
    targets: limits.startMs === undefined ? [] : [valueTarget('atMost', limits.startMs)],
    remark: '',
  });
}

function push(to: Map<string, number[]>, subject: string, value: number): void {
  const values = to.get(subject);
  if (values === undefined) to.set(subject, [value]);
  else values.push(value);
}

/** For this process and all that it starts; works for root alone, and less is measured with what there is. */
function raiseOpenFiles(): void {
  if (openFilesMax() >= OPEN_FILES_WANTED) return;
  const limit = `--nofile=${OPEN_FILES_WANTED}:${OPEN_FILES_WANTED}`;
  spawnSync('prlimit', ['--pid', `${process.pid}`, limit]);
}

/** `ulimit -n` of this process; Node.js has raised it as far as it may. */
function openFilesMax(): number {
  const limits = readFileSync('/proc/self/limits', 'utf8');
  return Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? 1024);
}
