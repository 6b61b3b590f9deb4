import { startNginxBackend } from '../backends/nginx-files.ts';
import { wrk } from '../load/wrk.ts';
import { MESH_FEATURES, PLAIN_HTTP1 } from '../proxies/hop.ts';
import { contestants, startProxies } from '../proxies/start-proxies.ts';
import { ratioTarget } from '../result.ts';
import type { BenchCase } from './case.ts';
import { requestRow } from './request-row.ts';

const SIZES: readonly (readonly [string, number])[] = [
  ['0 B', 0],
  ['1 KiB', 1024],
  ['64 KiB', 65_536],
];
const CONNECTIONS = [1, 32, 256] as const;
const TARGETS = [ratioTarget('nginx', 'atMost', 1.2), ratioTarget('Envoy', 'atMost', 0.6)];

/** HTTP/1.1 in, HTTP/1.1 out, keep-alive on both sides. */
export const h1: BenchCase = {
  name: 'h1',
  title: 'HTTP/1.1 → HTTP/1.1',
  needs: ['wrk', 'nginx'],
  peers: ['nginx', 'HAProxy', 'Envoy'],
  async run(bench, onRow) {
    const bytesOf = SIZES.map(([, bytes]) => bytes);
    const backendPort = await startNginxBackend(bench, bytesOf);
    const hop = { downstream: PLAIN_HTTP1, upstream: PLAIN_HTTP1, backendPort, ...MESH_FEATURES };
    const proxies = await startProxies(bench, hop, this.peers);
    for (const [sizeName, bytes] of SIZES) {
      for (const connections of CONNECTIONS) {
        const name = `${sizeName}, ${connections} connection${connections === 1 ? '' : 's'}`;
        const isTarget = bytes === 1024 && connections === 32;
        const onCross = bytes === 1024 || connections === 32;
        if ((!onCross && !bench.full) || !bench.wants(name)) continue;
        const loaded = contestants(proxies, (port, seconds) =>
          wrk(bench, { url: `http://127.0.0.1:${port}/${bytes}`, connections }, seconds),
        );
        onRow(await requestRow(bench, name, loaded, isTarget ? TARGETS : []));
      }
    }
  },
};
