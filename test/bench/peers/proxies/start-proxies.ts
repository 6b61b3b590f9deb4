import type { Bench } from '../bench.ts';
import type { ProgramName } from '../programs.ts';
import type { Contestant } from '../rounds.ts';
import { startEnvoy } from './envoy.ts';
import { startHaproxy } from './haproxy.ts';
import type { Hop, RunningProxy } from './hop.ts';
import { startNginx } from './nginx.ts';
import { startWeft } from './weft.ts';

const PEERS = [
  ['nginx', startNginx],
  ['HAProxy', startHaproxy],
  ['Envoy', startEnvoy],
] as const;

/** Weft and those of `peers` that are on this machine, all on one hop. */
export async function startProxies(
  bench: Bench,
  hop: Hop,
  peers: readonly ProgramName[],
): Promise<RunningProxy[]> {
  const proxies = [await startWeft(bench, hop)];
  for (const [name, start] of PEERS) {
    if (peers.includes(name) && bench.programs.has(name)) proxies.push(await start(bench, hop));
  }
  return proxies;
}

/** The proxies as contestants of one row: `load` is told the port. */
export function contestants(
  proxies: readonly RunningProxy[],
  load: (port: number, seconds: number) => Promise<number>,
): Contestant[] {
  return proxies.map(({ subject, pids, port }) => ({
    subject,
    pids,
    load: (seconds) => load(port, seconds),
  }));
}
