import { join } from 'node:path';
import type { Bench } from '../bench.ts';
import { LoadFailed } from '../rounds.ts';

const LANES = 8;

/** Connections with a full handshake and one request each, `https://127.0.0.1:<port><path>`; wrk would resume its sessions. */
export async function tlsHandshakes(
  bench: Bench,
  port: number,
  path: string,
  seconds: number,
): Promise<number> {
  const program = join(import.meta.dirname, 'new-connections.ts');
  const args = [program, `${port}`, path, `${LANES}`, `${seconds}`];
  const client = bench.startBeside(process.execPath, args);
  if ((await client.exited) !== 0) throw new LoadFailed(client.stderr.trim());
  return Number(/(\d+) connections/.exec(client.stdout)?.[1] ?? 0);
}
