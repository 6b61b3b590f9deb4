import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePorts } from '../../../../cli/run/free-port.ts';
import { NODE_FLAGS } from '../../../../cli/run/node-flags.ts';
import { bundle } from '../../../../deploy/docker/bundle.ts';
import { ROOT } from '../../../harness/node-process.ts';
import type { Bench } from '../bench.ts';
import { WEFT } from '../result.ts';
import type { Hop, RunningProxy } from './hop.ts';
import { meshBootstrap, type Places } from './mesh-bootstrap.ts';
import { untilAdminLive } from './ready.ts';

export function startWeft(bench: Bench, hop: Hop): Promise<RunningProxy> {
  return startWeftOn(bench, (places) => meshBootstrap(hop, places));
}

/** With a bootstrap of one's own for the places that it is given. */
export function startWeftOn(
  bench: Bench,
  bootstrap: (places: Places) => object,
): Promise<RunningProxy> {
  return start(bench, bootstrap, WEFT, [...NODE_FLAGS, join(ROOT, 'proxy/main.ts')]);
}

/** Weft as most run it: what the image's entrypoint starts, out of a bundle like the image's. */
export async function bundledWeft(bench: Bench): Promise<typeof startWeftOn> {
  const directory = join(bench.directory, 'bundle');
  mkdirSync(directory);
  await bundle(directory);
  const words = [...entrypointFlags(), join(directory, 'weft.mjs'), 'proxy'];
  const compileCache = join(directory, 'cache'); // filled by the first start
  return (part, bootstrap) => start(part, bootstrap, WEFT, words, compileCache);
}

/** Those between node and the bundle. */
function entrypointFlags(): string[] {
  const file = readFileSync(join(ROOT, 'deploy/docker/Dockerfile'), 'utf8');
  const words = JSON.parse(/^ENTRYPOINT (\[.*\])$/m.exec(file)?.[1] ?? 'null') as string[] | null;
  if (words?.at(-1)?.endsWith('/weft.mjs') !== true) throw new Error('the ENTRYPOINT is another');
  return words.slice(1, -1);
}

/** Weft's sources, beside the bundle. */
export async function startWeftSourcesOn(
  bench: Bench,
  bootstrap: (places: Places) => object,
): Promise<RunningProxy> {
  return start(bench, bootstrap, `${WEFT} from sources`, [
    ...NODE_FLAGS,
    join(ROOT, 'proxy/main.ts'),
  ]);
}

async function start(
  bench: Bench,
  bootstrap: (places: Places) => object,
  subject: string,
  program: readonly string[],
  compileCache = '',
): Promise<RunningProxy> {
  const [port, adminPort] = (await freePorts(2)) as [number, number];
  const file = join(bench.directory, `weft-${port}.json`);
  const accessLogFile = join(bench.directory, `weft-${port}.log`);
  writeFileSync(file, JSON.stringify(bootstrap({ port, adminPort, accessLogFile })));
  const args = [...program, '-c', file, '--drain-time-s', '1', '-l', 'warning'];
  const process_ =
    compileCache === ''
      ? bench.startProxy(process.execPath, args)
      : bench.startProxy('env', [`NODE_COMPILE_CACHE=${compileCache}`, process.execPath, ...args]);
  await untilAdminLive(subject, process_, adminPort);
  return { subject, port, pids: [process_.pid] };
}
