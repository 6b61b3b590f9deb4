import { startNginxBackend } from '../backends/nginx-files.ts';
import { type Bench, SIDE_PACE, TARGET_PACE } from '../bench.ts';
import { wrk } from '../load/wrk.ts';
import { startEnvoy } from '../proxies/envoy.ts';
import { startHaproxy } from '../proxies/haproxy.ts';
import { type Hop, PLAIN_HTTP1, type RunningProxy } from '../proxies/hop.ts';
import { startNginx } from '../proxies/nginx.ts';
import { startWeft } from '../proxies/weft.ts';
import { ratioTarget, type Target } from '../result.ts';
import { takeTurns } from '../rounds.ts';
import type { BenchCase } from './case.ts';

const SIZES: readonly (readonly [string, number])[] = [
  ['0 B', 0],
  ['1 KiB', 1024],
  ['64 KiB', 65_536],
];
const CONNECTIONS = [1, 32, 256] as const;
const TARGETS: readonly Target[] = [
  ratioTarget('nginx', 'atMost', 1.2),
  ratioTarget('Envoy', 'atMost', 0.6),
];

/** HTTP/1.1 in, HTTP/1.1 out, keep-alive on both sides. */
export const h1: BenchCase = {
  name: 'h1',
  title: 'HTTP/1.1 → HTTP/1.1',
  needs: ['wrk', 'nginx'],
  peers: ['nginx', 'HAProxy', 'Envoy'],
  async run(bench, onRow) {
    const backendPort = await startNginxBackend(
      bench,
      SIZES.map(([, bytes]) => bytes),
    );
    const hop = { downstream: PLAIN_HTTP1, upstream: PLAIN_HTTP1, backendPort, accessLog: false };
    const proxies = await startAll(bench, hop);
    for (const [sizeName, bytes] of SIZES) {
      for (const connections of CONNECTIONS) {
        const isTarget = bytes === 1024 && connections === 32;
        const onCross = bytes === 1024 || connections === 32;
        const name = `${sizeName}, ${connections} connection${connections === 1 ? '' : 's'}`;
        if ((!onCross && !bench.full) || !bench.wants(name)) continue;
        const contestants = proxies.map(({ subject, pids, port }) => ({
          subject,
          pids,
          load: (seconds: number) =>
            wrk(bench, { url: `http://127.0.0.1:${port}/${bytes}`, connections }, seconds),
        }));
        onRow({
          name,
          unit: 'µs CPU/request',
          figures: await takeTurns(contestants, bench.pace(isTarget ? TARGET_PACE : SIDE_PACE)),
          targets: isTarget ? TARGETS : [],
          remark: '',
        });
      }
    }
  },
};

async function startAll(bench: Bench, hop: Hop): Promise<RunningProxy[]> {
  const proxies = [await startWeft(bench, hop), await startNginx(bench, hop)];
  if (bench.programs.has('HAProxy')) proxies.push(await startHaproxy(bench, hop));
  if (bench.programs.has('Envoy')) proxies.push(await startEnvoy(bench, hop));
  return proxies;
}
