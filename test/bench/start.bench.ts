import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { freePorts } from '../../cli/run/free-port.ts';
import { ControlPlane } from '../harness/control-plane.ts';
import { EnvironmentSidecar } from '../harness/environment-sidecar.ts';
import { NodeProcess, ROOT } from '../harness/node-process.ts';
import { residentBytes } from '../harness/resident-bytes.ts';
import { everything, httpListener, socketAddress, staticCluster } from '../harness/static-proxy.ts';
import { Workload } from '../harness/workload.ts';

/**
 * What a start costs: milliseconds until ready, CPU until ready and until `SETTLE_MS` later (in which nothing is asked
 * of it), and the private memory it then holds. Compiled sources are kept in a directory of their own, which the first
 * start fills (`cold`). Figures are medians: `node_modules/node/bin/node test/bench/start.bench.ts [runs]`.
 *
 * Two busy cores, kept sources, generated codecs → `proto/message-codec.ts`: static 353 → 269 ms, CPU 421 → 287 ms,
 * RssAnon 53 → 38 MiB (35 without undici); mesh 574 → 406 ms, CPU 450 → 411 ms, RssAnon 55 → 43 MiB (40); an empty HTTP server 56 ms, 10 MiB.
 */

const RUNS = Number(process.argv[2] ?? 7);
const SETTLE_MS = 1500;
const POLL_MS = 4;
const MIB = 1024 * 1024;

interface Cost {
  readonly readyMs: number;
  readonly readyCpuMs: number;
  readonly settledCpuMs: number;
  readonly rssAnonMib: number;
  readonly rssMib: number;
}

/** User and system time of all threads, from the scheduler's own nanoseconds. */
function cpuMs(pid: number): number {
  let ns = 0;
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    ns += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]);
  }
  return ns / 1e6;
}

const sleep = (ms: number) => new Promise((done) => setTimeout(done, ms));

async function costOf(child: NodeProcess, startMs: number, readyUrl: string): Promise<Cost> {
  const isReady = () =>
    fetch(readyUrl).then(
      ({ status }) => status === 200,
      () => false,
    );
  while (!(await isReady())) {
    if (child.exitCode !== undefined) throw new Error(`it ended: ${child.output}`);
    await sleep(POLL_MS);
  }
  const readyMs = performance.now() - startMs;
  const readyCpuMs = cpuMs(child.pid);
  await sleep(SETTLE_MS);
  return {
    readyMs,
    readyCpuMs,
    settledCpuMs: cpuMs(child.pid),
    rssAnonMib: residentBytes(child.pid, 'RssAnon') / MIB,
    rssMib: residentBytes(child.pid) / MIB,
  };
}

function median(values: readonly number[]): string {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!.toFixed(0);
}

function print(name: string, costs: readonly Cost[]): void {
  const of = (key: keyof Cost) => median(costs.map((cost) => cost[key]));
  console.log(
    `${name.padEnd(22)} ready ${of('readyMs')} ms, CPU ${of('readyCpuMs')} ms (${of('settledCpuMs')} settled), ` +
      `RssAnon ${of('rssAnonMib')} MiB, RSS ${of('rssMib')} MiB`,
  );
}

async function measure(name: string, runs: number, one: () => Promise<Cost>): Promise<void> {
  const costs: Cost[] = [];
  for (let run = 0; run < runs; run++) costs.push(await one());
  print(name, costs);
}

const directory = mkdtempSync(join(tmpdir(), 'weft-start-'));
process.env['NODE_COMPILE_CACHE'] = join(directory, 'cache');
const [adminPort, listenerPort] = await freePorts(2);
const bootstrap = {
  node: { id: 'bench', cluster: 'bench' },
  admin: { address: socketAddress(adminPort!) },
  static_resources: {
    listeners: [httpListener(listenerPort!, [everything('app')])],
    clusters: [staticCluster('app', [9])],
  },
};

async function staticStart(text: string, file: string): Promise<Cost> {
  const path = join(directory, file);
  writeFileSync(path, text);
  const startMs = performance.now();
  const child = new NodeProcess([join(ROOT, 'proxy/main.ts'), '-c', path]);
  try {
    return await costOf(child, startMs, `http://127.0.0.1:${adminPort}/ready`);
  } finally {
    await child.stop();
  }
}

async function emptyProcess(): Promise<Cost> {
  const code = `require('node:http').createServer((_, r) => r.end()).listen(${adminPort}, '127.0.0.1')`;
  const startMs = performance.now();
  const child = new NodeProcess(['-e', code]);
  try {
    return await costOf(child, startMs, `http://127.0.0.1:${adminPort}/`);
  } finally {
    await child.stop();
  }
}

async function commandLine(): Promise<Cost> {
  const startMs = performance.now();
  const child = new NodeProcess([join(ROOT, 'cli/main.ts'), 'version']);
  let peakBytes = 0;
  const look = setInterval(() => {
    peakBytes = Math.max(peakBytes, residentBytes(child.pid, 'RssAnon'));
  }, 2);
  await child.exited;
  clearInterval(look);
  const readyMs = performance.now() - startMs;
  return { readyMs, readyCpuMs: 0, settledCpuMs: 0, rssAnonMib: peakBytes / MIB, rssMib: 0 };
}

const json = JSON.stringify(bootstrap, null, 2);
await measure('empty http server', RUNS, emptyProcess);
await measure('static JSON, cold', 1, () => staticStart(json, 'bootstrap.json'));
await measure('static JSON', RUNS, () => staticStart(json, 'bootstrap.json'));
await measure('static YAML', RUNS, () => staticStart(stringify(bootstrap), 'bootstrap.yaml'));

const controlPlane = await ControlPlane.start();
await measure('mesh (ADS, mutual TLS)', RUNS + 1, async () => {
  const startMs = performance.now();
  const workload = await Workload.spawn(controlPlane);
  try {
    return await costOf(
      workload.process,
      startMs,
      `http://${workload.settings.readiness}/healthz/ready`,
    );
  } finally {
    await workload.stop();
  }
});
await measure('by environment', RUNS + 1, async () => {
  const startMs = performance.now();
  const sidecar = await EnvironmentSidecar.spawn(controlPlane);
  try {
    const url = `http://${sidecar.env['WEFT_STATUS']}/healthz/ready`;
    return await costOf(sidecar.process, startMs, url);
  } finally {
    await sidecar.stop();
  }
});
await measure('weft version', RUNS, commandLine);
await controlPlane.stop();
rmSync(directory, { recursive: true, force: true });
