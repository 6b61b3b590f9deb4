import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePorts } from '../../../../cli/run/free-port.ts';
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
export async function startWeftOn(
  bench: Bench,
  bootstrap: (places: Places) => object,
): Promise<RunningProxy> {
  const [port, adminPort] = (await freePorts(2)) as [number, number];
  const file = join(bench.directory, `weft-${port}.json`);
  const accessLogFile = join(bench.directory, `weft-${port}.log`);
  writeFileSync(file, JSON.stringify(bootstrap({ port, adminPort, accessLogFile })));
  const main = join(ROOT, 'proxy/main.ts');
  const args = [main, '-c', file, '--drain-time-s', '1', '-l', 'warning'];
  const process_ = bench.startProxy(process.execPath, args);
  await untilAdminLive('Weft', process_, adminPort);
  return { subject: WEFT, port, pids: [process_.pid] };
}
