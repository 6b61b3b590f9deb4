import { startNginxBackend } from '../backends/nginx-files.ts';
import type { Bench } from '../bench.ts';
import { h2loadAtRate } from '../load/h2load.ts';
import { startPairs } from '../proxies/pair.ts';
import { type Figure, ratioTarget } from '../result.ts';
import { naming } from '../rounds.ts';
import { quantile } from '../statistics.ts';
import type { BenchCase } from './case.ts';

const REQUESTS_PER_SECOND = 1000;
const CONNECTIONS = 20;
const PERCENTILES = [
  ['p50', 0.5],
  ['p99', 0.99],
  ['p99.9', 0.999],
] as const;
/** A round is long enough for the tenth of a percent to be more than one request. */
const PACE = { rounds: 5, seconds: 4, warmUpSeconds: 3 };

/** What a pair adds to the time of an answer at a rate that leaves all of them idle most of the time. */
export const latency: BenchCase = {
  name: 'latency',
  title: `Added latency of a pair at ${REQUESTS_PER_SECOND} requests/s`,
  needs: ['h2load', 'nginx'],
  peers: ['HAProxy', 'Envoy'],
  async run(bench, onRow) {
    const backendPort = await startNginxBackend(bench, [1024]);
    const all = await startPairs(bench, { apps: 'http1', backendPort });
    // HAProxy gives an answer that came by HTTP/2 no reason phrase, which h2load takes for no status.
    const pairs = all.filter(({ subject }) => subject !== 'HAProxy h2');
    const pace = bench.pace(PACE);
    for (const { subject, port } of pairs) {
      await naming(subject, latencies(bench, port, pace.warmUpSeconds));
    }
    // By percentile, then by subject: the added milliseconds of each round.
    const added = PERCENTILES.map((): Figure[] => pairs.map(({ subject }) => figure(subject)));
    for (let round = 0; round < pace.rounds; round++) {
      const direct = await latencies(bench, backendPort, pace.seconds);
      for (const [index, { subject, port }] of pairs.entries()) {
        const through = await naming(subject, latencies(bench, port, pace.seconds));
        for (const [which, [, q]] of PERCENTILES.entries()) {
          (added[which]![index]!.rounds as number[]).push(
            quantile(through, q) - quantile(direct, q),
          );
        }
      }
    }
    for (const [which, [name]] of PERCENTILES.entries()) {
      onRow({
        name: `${name}, 1 KiB, HTTP/1.1, ${CONNECTIONS} connections`,
        unit: 'ms added',
        figures: added[which]!,
        targets: name === 'p99' ? [ratioTarget('Envoy', 'atMost', 1)] : [],
        remark: '',
      });
    }
  },
};

function figure(subject: string): Figure {
  return { subject, rounds: [] };
}

function latencies(bench: Bench, port: number, seconds: number): Promise<number[]> {
  const url = `http://127.0.0.1:${port}/1024`;
  const load = { url, connections: CONNECTIONS, streams: 1, http1: true };
  return h2loadAtRate(bench, load, seconds, REQUESTS_PER_SECOND);
}
