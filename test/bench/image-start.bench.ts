import { readdirSync, readFileSync } from 'node:fs';
import { run } from '../compose/command.ts';
import { residentBytes } from '../harness/resident-bytes.ts';
import { until } from '../harness/until.ts';

/**
 * What a sidecar costs in its container: milliseconds from the start of its process until it logs that it is ready
 * (certificate issued, first configuration in force), and the memory it then holds. Needs Docker and the image:
 * `make image && node_modules/node/bin/node test/bench/image-start.bench.ts [runs] [image]`.
 */

const RUNS = Number(process.argv[2] ?? 9);
const IMAGE = process.argv[3] ?? 'weft:latest';
const BASE = process.env['NODE_IMAGE'] ?? 'node:26-bookworm-slim';
const NAME = `weft-bench-${process.pid}`;
const SETTLE_MS = 3000;
const MIB = 1024 * 1024;
const SIDECAR = [
  ...['--env', 'WEFT_CONTROL_PLANE=control-plane:15012', '--env', 'WEFT_MODE=explicit'],
  ...['--env', 'WEFT_ROOT_CERT=/var/lib/weft/root-cert.pem'],
  ...['--env', 'WEFT_TOKEN_FILE=/var/lib/weft/token'],
  ...['--env', 'POD_NAME=bench', '--env', 'SERVICE_ACCOUNT=bench'],
];

async function docker(...words: string[]): Promise<string> {
  const { code, out, err } = await run(['docker', ...words]);
  if (code !== 0) throw new Error(`docker ${words.slice(0, 2).join(' ')}: ${err.trim()}`);
  return out.trim();
}

const median = (values: readonly number[]) =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;

interface Cost {
  readonly readyMs: number;
  /** Of all its threads, until `SETTLE_MS` after it was ready. */
  readonly cpuMs: number;
  readonly rssAnonMib: number;
  readonly rssMib: number;
}

/** A start of its own, in a container that is made anew. */
async function start(...options: string[]): Promise<Cost> {
  const id = await docker(
    ...['run', '--detach', '--read-only', '--cap-drop', 'ALL', '--network', NAME],
    ...['--label', NAME, '--volume', `${NAME}:/var/lib/weft:ro`, ...SIDECAR, ...options],
    ...[IMAGE, 'proxy'],
  );
  try {
    const readyAt = await until('the sidecar to be ready', async () => {
      const { out, err } = await run(['docker', 'logs', id]);
      const line = `${out}${err}`.split('\n').find((each) => each.endsWith('"msg":"ready"}'));
      return line === undefined
        ? undefined
        : Date.parse((JSON.parse(line) as { time: string }).time);
    });
    const [startedAt, pid] = (
      await docker('inspect', '--format', '{{.State.StartedAt}} {{.State.Pid}}', id)
    ).split(' ');
    await new Promise((done) => setTimeout(done, SETTLE_MS));
    return {
      readyMs: readyAt - Date.parse(startedAt!),
      cpuMs: cpuMs(Number(pid)),
      rssAnonMib: residentBytes(Number(pid), 'RssAnon') / MIB,
      rssMib: residentBytes(Number(pid)) / MIB,
    };
  } finally {
    await docker('rm', '--force', id);
  }
}

/** User and system time, from the scheduler's own nanoseconds. */
function cpuMs(pid: number): number {
  let ns = 0;
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    ns += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]);
  }
  return ns / 1e6;
}

/** In turns, so that what else the machine does falls on all alike. */
async function measure(variants: Readonly<Record<string, readonly string[]>>): Promise<void> {
  const costs = new Map(Object.keys(variants).map((name): [string, Cost[]] => [name, []]));
  for (let count = 0; count < RUNS; count++) {
    for (const [name, options] of Object.entries(variants)) {
      costs.get(name)!.push(await start(...options));
    }
  }
  for (const [name, each] of costs) {
    const of = (key: keyof Cost) => each.map((cost) => cost[key]);
    const ready = of('readyMs');
    console.log(
      `${name.padEnd(24)} ready ${median(ready)} ms (${Math.min(...ready)} to ${Math.max(...ready)}), CPU ${median(of('cpuMs')).toFixed(0)} ms, ` +
        `RssAnon ${median(of('rssAnonMib')).toFixed(1)} MiB, RSS ${median(of('rssMib')).toFixed(1)} MiB`,
    );
  }
}

async function imageBytes(image: string): Promise<number> {
  return Number(await docker('image', 'inspect', '--format', '{{.Size}}', image));
}

console.log(`load average ${readFileSync('/proc/loadavg', 'utf8').split(' ')[0]}`);
const added = (await imageBytes(IMAGE)) - (await imageBytes(BASE));
console.log(`${IMAGE} adds ${(added / 1e6).toFixed(2)} MB to ${BASE}`);
try {
  await docker('network', 'create', NAME);
  const controlPlane = await docker(
    ...['run', '--detach', '--network', NAME, '--network-alias', 'control-plane', '--label', NAME],
    ...['--tmpfs', '/var/lib/weft:uid=1337,gid=1337,mode=0700', IMAGE, 'control-plane'],
    ...['--data=/var/lib/weft', '--xds=0.0.0.0:15012', '--server-names=control-plane'],
  );
  await until('a join token', async () => {
    const create = ['token', 'create', '--service-account=bench', '--to=/var/lib/weft'];
    const network = `container:${controlPlane}`;
    const mounts = ['--volume', `${NAME}:/var/lib/weft`];
    return (
      (await run(['docker', 'run', '--rm', '--network', network, ...mounts, IMAGE, ...create]))
        .code === 0
    );
  });
  await measure({
    'as the image is': [],
    'without compile cache': ['--env', 'NODE_COMPILE_CACHE='],
  });
} finally {
  const { out } = await run(['docker', 'ps', '-aq', '--filter', `label=${NAME}`]);
  const left = out.split('\n').filter((id) => id !== '');
  if (left.length > 0) await run(['docker', 'rm', '-f', '-v', ...left]);
  await run(['docker', 'volume', 'rm', NAME]);
  await run(['docker', 'network', 'rm', NAME]);
}
