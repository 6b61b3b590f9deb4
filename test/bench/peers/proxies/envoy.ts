import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { freePorts } from '../../../../cli/run/free-port.ts';
import type { Bench } from '../bench.ts';
import type { Hop, RunningProxy } from './hop.ts';
import { meshBootstrap } from './mesh-bootstrap.ts';
import { untilAdminLive } from './ready.ts';

/** One worker thread, on the bootstrap that Weft runs. */
export async function startEnvoy(bench: Bench, hop: Hop): Promise<RunningProxy> {
  const command = bench.programs.command('Envoy');
  const [port, adminPort] = (await freePorts(2)) as [number, number];
  const accessLogFile = join(bench.directory, `envoy-${port}.log`);
  const file = join(bench.directory, `envoy-${port}.yaml`);
  writeFileSync(file, stringify(meshBootstrap(hop, { port, adminPort, accessLogFile })));
  const process = bench.startProxy(command, [
    ...['-c', file, '--concurrency', '1', '--disable-hot-restart', '-l', 'warn'],
    ...['--drain-time-s', '1'],
  ]);
  await untilAdminLive('Envoy', process, adminPort);
  return { subject: 'Envoy', port, pids: [process.pid] };
}
