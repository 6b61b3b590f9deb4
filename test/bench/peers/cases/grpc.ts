import { startGrpcBackend } from '../backends/grpc-backend.ts';
import { SIDE_PACE, TARGET_PACE } from '../bench.ts';
import { h2load } from '../load/h2load.ts';
import { MESH_FEATURES, PLAIN_HTTP2 } from '../proxies/hop.ts';
import { startPairs } from '../proxies/pair.ts';
import { contestants, startProxies } from '../proxies/start-proxies.ts';
import { ratioTarget } from '../result.ts';
import { takeTurns } from '../rounds.ts';
import type { BenchCase } from './case.ts';

const SHAPE = { connections: 8, streams: 16 };
/** Few enough that the frames under way stay within the backend's budget of WINDOW_UPDATEs; HAProxy answers each frame with two. */
const STREAMED_SHAPE = { connections: 8, streams: 2 };
const STREAMED_MESSAGES = 100;

/** One proxy between client and server, all in clear text. */
export const grpc: BenchCase = {
  name: 'grpc',
  title: 'gRPC through one proxy',
  needs: ['h2load'],
  peers: ['HAProxy', 'Envoy'],
  async run(bench, onRow) {
    const backend = await startGrpcBackend(bench);
    const hop = {
      downstream: PLAIN_HTTP2,
      upstream: PLAIN_HTTP2,
      backendPort: backend.port,
      ...MESH_FEATURES,
    };
    const proxies = await startProxies(bench, hop, this.peers);
    const unary = contestants(proxies, (port, seconds) =>
      h2load(bench, backend.call(port, '/unary', 1, SHAPE), seconds),
    );
    const streamed = contestants(proxies, async (port, seconds) => {
      const path = `/stream/${STREAMED_MESSAGES}`;
      const call = backend.call(port, path, STREAMED_MESSAGES, STREAMED_SHAPE);
      return (await h2load(bench, call, seconds)) * STREAMED_MESSAGES;
    });
    for (const [name, unit, loaded] of [
      ['unary, 100 B', 'µs CPU/call', unary],
      [`server stream of ${STREAMED_MESSAGES} × 100 B`, 'µs CPU/message', streamed],
    ] as const) {
      if (!bench.wants(name)) continue;
      const figures = await takeTurns(loaded, bench.pace(SIDE_PACE));
      onRow({ name, unit, figures, targets: [], remark: '' });
    }
  },
};

/** Client and server with a sidecar each, mutual TLS between them. */
export const pairGrpc: BenchCase = {
  name: 'pair-grpc',
  title: 'Pair of sidecars, gRPC apps',
  needs: ['h2load'],
  peers: ['HAProxy', 'Envoy'],
  async run(bench, onRow) {
    const name = 'unary, 100 B';
    if (!bench.wants(name)) return;
    const backend = await startGrpcBackend(bench);
    const pairs = await startPairs(bench, { apps: 'http2', backendPort: backend.port });
    const loaded = contestants(pairs, (port, seconds) =>
      h2load(bench, backend.call(port, '/unary', 1, SHAPE), seconds),
    );
    onRow({
      name,
      unit: 'µs CPU/call',
      figures: await takeTurns(loaded, bench.pace(TARGET_PACE)),
      targets: [ratioTarget('Envoy', 'atMost', 0.5)],
      remark: '',
    });
  },
};
