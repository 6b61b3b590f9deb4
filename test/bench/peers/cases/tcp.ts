import { startNginxBackend } from '../backends/nginx-files.ts';
import { type Bench, TARGET_PACE } from '../bench.ts';
import { h2load } from '../load/h2load.ts';
import { wrk } from '../load/wrk.ts';
import { MESH_FEATURES, PLAIN_TCP, type Side } from '../proxies/hop.ts';
import { contestants, startProxies } from '../proxies/start-proxies.ts';
import { ratioTarget } from '../result.ts';
import { takeTurns, unitsPerCpuSecond } from '../rounds.ts';
import { pairOfTlsFiles } from '../tls-files.ts';
import type { BenchCase } from './case.ts';

const FILE_MIB = 1;
const CONNECTIONS = 8;

/** Bytes through a TCP proxy that does not look at them, from the backend to the client. */
export const tcp: BenchCase = {
  name: 'tcp',
  title: 'Raw TCP',
  needs: ['wrk', 'h2load', 'nginx'],
  peers: ['HAProxy', 'Envoy'],
  async run(bench, onRow) {
    const fileBytes = FILE_MIB * 1024 * 1024;
    const backendPort = await startNginxBackend(bench, [fileBytes]);
    const { server } = await pairOfTlsFiles(bench.directory);
    const tls: Side = { protocol: 'tcp', tls: { files: server, mutual: false } };
    const path = `/${fileBytes}`;
    for (const [name, downstream, load] of [
      ['TCP in, TCP out', PLAIN_TCP, byWrk],
      ['TLS in, TCP out', tls, byH2load],
    ] as const) {
      if (!bench.wants(name)) continue;
      await bench.part(async (part) => {
        const hop = { downstream, upstream: PLAIN_TCP, backendPort, ...MESH_FEATURES };
        const proxies = await startProxies(part, hop, this.peers);
        const loaded = contestants(proxies, async (port, seconds) => {
          return (await load(part, port, path, seconds)) * FILE_MIB;
        });
        onRow({
          name: `${name}, ${CONNECTIONS} connections`,
          unit: 'MiB/CPU second',
          figures: await takeTurns(loaded, bench.pace(TARGET_PACE), unitsPerCpuSecond),
          targets: [ratioTarget('HAProxy', 'atLeast', 0.8)],
          remark: '',
        });
      });
    }
  },
};

type Load = (part: Bench, port: number, path: string, seconds: number) => Promise<number>;

const byWrk: Load = (part, port, path, seconds) =>
  wrk(part, { url: `http://127.0.0.1:${port}${path}`, connections: CONNECTIONS }, seconds);

/** wrk serves nothing over TLS now and then, and does not say why. */
const byH2load: Load = (part, port, path, seconds) => {
  const url = `https://127.0.0.1:${port}${path}`;
  return h2load(part, { url, connections: CONNECTIONS, streams: 1, http1: true }, seconds);
};
