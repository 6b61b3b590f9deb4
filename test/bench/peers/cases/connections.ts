import { startNginxBackend } from '../backends/nginx-files.ts';
import { type Bench, SIDE_PACE } from '../bench.ts';
import { tlsHandshakes } from '../load/tls-handshakes.ts';
import { wrk } from '../load/wrk.ts';
import { MESH_FEATURES, PLAIN_HTTP1, type Side } from '../proxies/hop.ts';
import { contestants, startProxies } from '../proxies/start-proxies.ts';
import { takeTurns } from '../rounds.ts';
import { pairOfTlsFiles } from '../tls-files.ts';
import type { BenchCase } from './case.ts';

/** A connection for each request: accept, handshake where there is TLS, one exchange, close. */
export const connections: BenchCase = {
  name: 'connections',
  title: 'New connections',
  needs: ['wrk', 'nginx'],
  peers: ['nginx', 'HAProxy', 'Envoy'],
  async run(bench, onRow) {
    const backendPort = await startNginxBackend(bench, [0]);
    const { server } = await pairOfTlsFiles(bench.directory);
    const tls: Side = { protocol: 'http1', tls: { files: server, mutual: false } };
    for (const [name, downstream, load] of [
      ['TCP', PLAIN_HTTP1, plainConnections],
      ['TLS 1.3, full handshake, P-256', tls, fullHandshakes],
    ] as const) {
      if (!bench.wants(name)) continue;
      await bench.part(async (part) => {
        const hop = { downstream, upstream: PLAIN_HTTP1, backendPort, ...MESH_FEATURES };
        const proxies = await startProxies(part, hop, this.peers);
        const loaded = contestants(proxies, (port, seconds) => load(part, port, seconds));
        const figures = await takeTurns(loaded, bench.pace(SIDE_PACE));
        onRow({ name, unit: 'µs CPU/connection', figures, targets: [], remark: '' });
      });
    }
  },
};

function plainConnections(part: Bench, port: number, seconds: number): Promise<number> {
  const url = `http://127.0.0.1:${port}/0`;
  return wrk(part, { url, connections: 16, headers: ['Connection: close'] }, seconds);
}

function fullHandshakes(part: Bench, port: number, seconds: number): Promise<number> {
  return tlsHandshakes(part, port, '/0', seconds);
}
