import { startNginxBackend } from '../backends/nginx-files.ts';
import { wrk } from '../load/wrk.ts';
import { startPairs } from '../proxies/pair.ts';
import { contestants } from '../proxies/start-proxies.ts';
import { ratioTarget } from '../result.ts';
import type { BenchCase } from './case.ts';
import { requestRow } from './request-row.ts';

const CONNECTIONS = [32, 1, 256] as const;
const TARGETS = [ratioTarget('HAProxy h2', 'atMost', 1.1), ratioTarget('Envoy', 'atMost', 0.5)];

/** Two apps of HTTP/1.1, a sidecar at each, mutual TLS and HTTP/2 between them. */
export const pair: BenchCase = {
  name: 'pair',
  title: 'Pair of sidecars, HTTP/1.1 apps',
  needs: ['wrk', 'nginx'],
  peers: ['HAProxy', 'Envoy'],
  async run(bench, onRow) {
    const backendPort = await startNginxBackend(bench, [1024]);
    const pairs = await startPairs(bench, { apps: 'http1', backendPort });
    for (const connections of CONNECTIONS) {
      const name = `1 KiB, ${connections} connection${connections === 1 ? '' : 's'}`;
      const isTarget = connections === 32;
      if (!bench.wants(name)) continue;
      const loaded = contestants(pairs, (port, seconds) =>
        wrk(bench, { url: `http://127.0.0.1:${port}/1024`, connections }, seconds),
      );
      onRow(await requestRow(bench, name, loaded, isTarget ? TARGETS : []));
    }
  },
};
