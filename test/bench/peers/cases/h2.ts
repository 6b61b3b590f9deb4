import { startNghttpdBackend } from '../backends/nghttpd-files.ts';
import { h2load } from '../load/h2load.ts';
import { MESH_FEATURES, PLAIN_HTTP2 } from '../proxies/hop.ts';
import { contestants, startProxies } from '../proxies/start-proxies.ts';
import { ratioTarget } from '../result.ts';
import type { BenchCase } from './case.ts';
import { requestRow } from './request-row.ts';

/** Name, bytes of the answer, connections, streams on each. The first has the targets. */
const LOADS = [
  ['1 KiB, 8 connections × 32 streams', 1024, 8, 32],
  ['1 KiB, 1 connection × 1 stream', 1024, 1, 1],
  ['1 KiB, 1 connection × 100 streams', 1024, 1, 100],
  ['1 KiB, 64 connections × 1 stream', 1024, 64, 1],
  ['64 KiB, 8 connections × 8 streams', 65_536, 8, 8],
] as const;
const TARGETS = [ratioTarget('HAProxy', 'atMost', 1), ratioTarget('Envoy', 'atMost', 0.4)];

/** HTTP/2 in and out, both in clear text with prior knowledge. */
export const h2: BenchCase = {
  name: 'h2',
  title: 'HTTP/2 → HTTP/2',
  needs: ['h2load', 'nghttpd'],
  peers: ['HAProxy', 'Envoy'],
  async run(bench, onRow) {
    const backendPort = await startNghttpdBackend(bench, [1024, 65_536]);
    const hop = { downstream: PLAIN_HTTP2, upstream: PLAIN_HTTP2, backendPort, ...MESH_FEATURES };
    const proxies = await startProxies(bench, hop, this.peers);
    for (const [name, bytes, connections, streams] of LOADS) {
      if (!bench.wants(name)) continue;
      const isTarget = name === LOADS[0][0];
      const loaded = contestants(proxies, (port, seconds) =>
        h2load(bench, { url: `http://127.0.0.1:${port}/${bytes}`, connections, streams }, seconds),
      );
      onRow(await requestRow(bench, name, loaded, isTarget ? TARGETS : []));
    }
  },
};
