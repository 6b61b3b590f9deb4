import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePorts } from '../../../../cli/run/free-port.ts';
import type { Bench } from '../bench.ts';
import { untilListening } from '../proxies/ready.ts';

/** nghttpd as the app behind the proxies, HTTP/2 in clear text: `/<bytes>` answers with so many of them. */
export async function startNghttpdBackend(bench: Bench, sizes: readonly number[]): Promise<number> {
  const [port] = (await freePorts(1)) as [number];
  const files = join(bench.directory, `nghttpd-${port}`);
  mkdirSync(files, { recursive: true });
  for (const bytes of sizes) writeFileSync(join(files, `${bytes}`), 'x'.repeat(bytes));
  const args = ['--no-tls', '-a', '127.0.0.1', '-d', files, '-m', '1000', `${port}`];
  const process = bench.startBeside(bench.programs.command('nghttpd'), args);
  await untilListening('the backend (nghttpd)', process, port);
  return port;
}
