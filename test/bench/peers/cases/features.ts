import { startNginxBackend } from '../backends/nginx-files.ts';
import { TARGET_PACE } from '../bench.ts';
import { wrk } from '../load/wrk.ts';
import { type Hop, PLAIN_HTTP1 } from '../proxies/hop.ts';
import { startWeft } from '../proxies/weft.ts';
import { type Target, WEFT } from '../result.ts';
import { takeTurns } from '../rounds.ts';
import type { BenchCase } from './case.ts';

const WITHOUT = 'Weft without';
const BARE = {
  accessLog: false,
  retries: false,
  metrics: false,
  authorization: false,
  tracingPercent: null,
  connectionsMax: null,
};
const FEATURES: readonly (readonly [string, Partial<Hop>, readonly Target[]])[] = [
  ['metrics', { metrics: true }, []],
  [
    'access log',
    { accessLog: true },
    [{ subject: WEFT, to: WITHOUT, bound: 'atMost', limit: 1.05 }],
  ],
  ['tracing of 1 %', { tracingPercent: 1 }, []],
  ['tracing of 100 %', { tracingPercent: 100 }, []],
  ['retries armed', { retries: true }, []],
  ['authorization by one rule', { authorization: true }, []],
];

/** Weft with one feature beside Weft with none of them; what Envoy counts too (listener, cluster) is always on. */
export const features: BenchCase = {
  name: 'features',
  title: 'Price of each feature',
  needs: ['wrk', 'nginx'],
  peers: [],
  async run(bench, onRow) {
    const backendPort = await startNginxBackend(bench, [1024]);
    const plain = { downstream: PLAIN_HTTP1, upstream: PLAIN_HTTP1, backendPort, ...BARE };
    for (const [name, feature, targets] of FEATURES) {
      if (!bench.wants(name)) continue;
      await bench.part(async (part) => {
        const sides = [
          { ...(await startWeft(part, { ...plain, ...feature })), subject: WEFT },
          { ...(await startWeft(part, plain)), subject: WITHOUT },
        ];
        const loaded = sides.map(({ subject, pids, port }) => ({
          subject,
          pids,
          load: (seconds: number) =>
            wrk(part, { url: `http://127.0.0.1:${port}/1024`, connections: 32 }, seconds),
        }));
        const figures = await takeTurns(loaded, bench.pace(TARGET_PACE));
        onRow({ name, unit: 'µs CPU/request', figures, targets, remark: '' });
      });
    }
  },
};
