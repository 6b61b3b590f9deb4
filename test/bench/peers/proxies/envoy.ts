import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePorts } from '../../../../cli/run/free-port.ts';
import type { Bench } from '../bench.ts';
import type { Hop, RunningProxy } from './hop.ts';
import { meshBootstrap, type Places } from './mesh-bootstrap.ts';
import { untilAdminLive } from './ready.ts';

/** One worker thread, on the bootstrap that Weft runs. */
export function startEnvoy(bench: Bench, hop: Hop): Promise<RunningProxy> {
  return startEnvoyOn(bench, (places) => meshBootstrap(hop, places));
}

/** With a bootstrap of one's own for the places that it is given. */
export async function startEnvoyOn(
  bench: Bench,
  bootstrap: (places: Places) => object,
): Promise<RunningProxy> {
  const command = bench.programs.command('Envoy');
  const [port, adminPort] = (await freePorts(2)) as [number, number];
  const file = join(bench.directory, `envoy-${port}.json`);
  const accessLogFile = join(bench.directory, `envoy-${port}.log`);
  writeFileSync(file, JSON.stringify(bootstrap({ port, adminPort, accessLogFile })));
  const process = bench.startProxy(command, [
    ...['-c', file, '--concurrency', '1', '--disable-hot-restart', '-l', 'warn'],
    ...['--drain-time-s', '1'],
  ]);
  await untilAdminLive('Envoy', process, adminPort);
  return { subject: 'Envoy', port, pids: [process.pid] };
}
