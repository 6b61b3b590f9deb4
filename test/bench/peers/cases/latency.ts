import { startNginxBackend } from '../backends/nginx-files.ts';
import type { Bench } from '../bench.ts';
import { h2loadAtRate } from '../load/h2load.ts';
import { wrk } from '../load/wrk.ts';
import { startPairs } from '../proxies/pair.ts';
import { numberText } from '../report/number-text.ts';
import { type Figure, ratioTarget } from '../result.ts';
import { naming } from '../rounds.ts';
import { median, quantile } from '../statistics.ts';
import type { BenchCase } from './case.ts';

const REQUESTS_PER_SECOND = 1000;
const CONNECTIONS = 20;
const PERCENTILES = [
  ['p50', 0.5],
  ['p99', 0.99],
  ['p99.9', 0.999],
] as const;
/** A round is long enough for the tenth of a percent to be more than one request. */
const PACE = { rounds: 5, seconds: 3, warmUpSeconds: 2 };
const WARM_UP_TURNS = 4;
const DIRECT = 'no proxy';

/**
 * Times of answers at a rate that leaves every proxy idle most of the time, whether answers come or not. What a pair adds
 * is the difference to no proxy at all; who adds more is the same for the sums, which noise cannot turn negative.
 */
export const latency: BenchCase = {
  name: 'latency',
  title: `Latency of a pair at ${REQUESTS_PER_SECOND} requests/s`,
  needs: ['h2load', 'wrk', 'nginx'],
  peers: ['HAProxy', 'Envoy'],
  async run(bench, onRow) {
    const backendPort = await startNginxBackend(bench, [1024]);
    const pairs = await startPairs(bench, { apps: 'http1', backendPort });
    const ways = [
      ...pairs
        // HAProxy gives an answer that came by HTTP/2 no reason phrase, which h2load takes for no status.
        .filter(({ subject }) => subject !== 'HAProxy h2')
        .map(({ subject, port }) => ({ subject, port, rounds: [] as number[][] })),
      { subject: DIRECT, port: backendPort, rounds: [] as number[][] },
    ];
    const pace = bench.pace(PACE);
    for (let turn = 0; turn < WARM_UP_TURNS; turn++) {
      for (const { subject, port } of ways) {
        // At the measured rate V8 would be compiling for minutes, on the core of the proxy that it compiles for: as fast as
        // it goes, and by turns as is measured, so that what is new in a round has been met before.
        await naming(subject, wrk(bench, load(port), pace.warmUpSeconds));
        await naming(subject, latencies(bench, port, 1));
      }
    }
    for (let round = 0; round < pace.rounds; round++) {
      for (const { subject, port, rounds } of ways) {
        rounds.push(await naming(subject, latencies(bench, port, pace.seconds)));
      }
    }
    for (const [name, q] of PERCENTILES) {
      const figures = ways.map(({ subject, rounds }) => ({
        subject,
        rounds: rounds.map((times) => quantile(times, q)),
      }));
      onRow({
        name: `${name}, 1 KiB, HTTP/1.1, ${CONNECTIONS} connections`,
        unit: 'ms',
        figures,
        targets: name === 'p99' ? [ratioTarget('Envoy', 'atMost', 1)] : [],
        remark: `added ${addedText(figures)}`,
      });
    }
  },
};

/** `Weft 0.61 ms, Envoy 0.83 ms`: between medians. */
function addedText(figures: readonly Figure[]): string {
  const direct = median(figures.find(({ subject }) => subject === DIRECT)!.rounds);
  return figures
    .filter(({ subject }) => subject !== DIRECT)
    .map(({ subject, rounds }) => `${subject} ${numberText(median(rounds) - direct)} ms`)
    .join(', ');
}

function load(port: number): { readonly url: string; readonly connections: number } {
  return { url: `http://127.0.0.1:${port}/1024`, connections: CONNECTIONS };
}

function latencies(bench: Bench, port: number, seconds: number): Promise<number[]> {
  const paced = { ...load(port), streams: 1, http1: true };
  return h2loadAtRate(bench, paced, seconds, REQUESTS_PER_SECOND);
}
