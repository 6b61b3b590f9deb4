import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { freePorts } from '../../../../cli/run/free-port.ts';
import { ROOT } from '../../../harness/node-process.ts';
import type { Bench } from '../bench.ts';
import { WEFT } from '../result.ts';
import type { Hop, RunningProxy } from './hop.ts';
import { meshBootstrap } from './mesh-bootstrap.ts';
import { untilAdminLive } from './ready.ts';

export async function startWeft(bench: Bench, hop: Hop): Promise<RunningProxy> {
  const [port, adminPort] = (await freePorts(2)) as [number, number];
  const accessLogFile = join(bench.directory, `weft-${port}.log`);
  return startWeftWith(bench, meshBootstrap(hop, { port, adminPort, accessLogFile }), {
    port,
    adminPort,
  });
}

/** With a bootstrap that listens on `port` and answers on `adminPort`. */
export async function startWeftWith(
  bench: Bench,
  bootstrap: object,
  { port, adminPort }: { readonly port: number; readonly adminPort: number },
): Promise<RunningProxy> {
  const file = join(bench.directory, `weft-${port}.yaml`);
  writeFileSync(file, stringify(bootstrap));
  const main = join(ROOT, 'proxy/main.ts');
  const process_ = bench.startProxy(process.execPath, [
    main,
    ...['-c', file, '--drain-time-s', '1', '-l', 'warning'],
  ]);
  await untilAdminLive('Weft', process_, adminPort);
  return { subject: WEFT, port, pids: [process_.pid] };
}
