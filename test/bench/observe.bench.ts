import { randomUUID } from 'node:crypto';
import {
  compileJsonAccessLog,
  compileTextAccessLog,
  ENVOY_TEXT_FORMAT,
  ISTIO_JSON_FORMAT,
  ISTIO_TEXT_FORMAT,
} from '../../proxy/observe/access-log-format.ts';
import type { FormatProblem } from '../../proxy/observe/format-parser.ts';
import { IstioMetrics } from '../../proxy/observe/istio-metrics.ts';
import type { LineFormat } from '../../proxy/observe/line-format.ts';
import { LineQueue } from '../../proxy/observe/line-queue.ts';
import { renderPrometheus } from '../../proxy/observe/render-prometheus.ts';
import { RequestRecord, UNKNOWN_WORKLOAD } from '../../proxy/observe/request-record.ts';
import { StatsRegistry } from '../../proxy/observe/stats.ts';

/**
 * What telemetry costs a request: `node_modules/node/bin/node test/bench/observe.bench.ts`.
 * CPU time, warm; 64 records of 8 peers, 4 statuses, 2 policies taken in turn. For lines 8192
 * records, of which neighbours differ as those of requests do.
 */

const RECORDS = 64;
const ROUNDS = 30_000;

const peers = Array.from({ length: 8 }, (_, at) => ({ ...UNKNOWN_WORKLOAD, workload: `w${at}` }));
const services = peers.map((_, at) => ({
  host: `s${at}.default.svc.cluster.local`,
  name: `s${at}`,
  namespace: 'default',
}));
const records = Array.from({ length: RECORDS }, (_, at) => {
  const mutualTls = at % 2 === 0;
  const record = new RequestRecord(1_772_719_629_042 + at, 1_000, {
    localAddress: '10.0.0.1:15006',
    remoteAddress: `10.0.0.${at}:40000`,
    requestedServerName: 'outbound_.9080_._.reviews.default.svc.cluster.local',
    peerPrincipal: mutualTls ? `spiffe://cluster.local/ns/default/sa/a${at % 8}` : '',
    localPrincipal: mutualTls ? 'spiffe://cluster.local/ns/default/sa/b' : '',
    mutualTls,
  });
  return Object.assign(record, {
    requestEndMs: 1_001,
    responseStartMs: 1_010,
    endMs: 1_000 + at,
    method: 'GET',
    path: `/reviews/${at}`,
    authority: 'reviews:9080',
    protocol: 'HTTP/1.1',
    requestHeaders: ['accept', '*/*', 'user-agent', 'curl/8.5.0', 'x-forwarded-proto', 'http'],
    responseHeaders: ['content-type', 'application/json', 'x-envoy-upstream-service-time', '9'],
    requestId: '11111111-2222-4333-8444-555555555555',
    status: [200, 201, 404, 503][at % 4]!,
    responseCodeDetails: 'via_upstream',
    bytesSent: 295 * at,
    routeName: 'default',
    upstreamCluster: 'outbound|9080||reviews.default.svc.cluster.local',
    upstreamHost: '10.0.0.9:9080',
    upstreamLocalAddress: '127.0.0.6:51000',
    peer: peers[at % 8]!,
    destinationService: services[at % 8]!,
  });
});

function measure(name: string, run: (record: RequestRecord) => void): void {
  for (let round = 0; round < 2_000; round += 1) for (const record of records) run(record);
  const began = process.cpuUsage();
  for (let round = 0; round < ROUNDS; round += 1) {
    for (let at = 0; at < RECORDS; at += 1) run(records[at]!);
  }
  const { user, system } = process.cpuUsage(began);
  const nanoseconds = ((user + system) * 1e3) / (ROUNDS * RECORDS);
  console.log(`${name.padEnd(36)} ${nanoseconds.toFixed(0).padStart(6)} ns`);
}

function compiled(format: LineFormat | FormatProblem): LineFormat {
  if ('problem' in format) throw new Error(format.problem);
  return format;
}

const registry = new StatsRegistry();
const metrics = new IstioMetrics(registry, UNKNOWN_WORKLOAD, '0.1.0');
measure('recordRequest, inbound', (record) => metrics.recordRequest(record, 'INBOUND'));
measure('recordRequest, outbound', (record) => metrics.recordRequest(record, 'OUTBOUND'));

/** Strings of their own in every record, as parsers make them: what is remembered by identity helps none. */
function logged(count: number): RequestRecord[] {
  return Array.from({ length: count }, (_, at) => {
    const record = Object.assign(
      new RequestRecord(0, 0, records[0]!.downstream),
      records[at % RECORDS],
    );
    record.startTimeMs += at >> 3;
    record.endMs += (at * 7) % 40;
    record.method = own('GET');
    record.path = own(`/reviews/${'items/'.repeat(at % 4)}${(at * 37) % 20}`);
    record.authority = own('reviews:9080');
    record.requestHeaders = ['accept', '*/*', 'user-agent', own('curl/8.5.0')];
    record.requestId = own(randomUUID());
    record.status = 200;
    return record;
  });
}

function own(text: string): string {
  return Buffer.from(text).toString('latin1');
}

/** A line from record to queue, batches taken as a file takes them. */
function measureLines(name: string, format: LineFormat): void {
  const queue = new LineQueue(8 * 1024 * 1024);
  const distinct = logged(8_192);
  let at = 0;
  measure(name, () => {
    queue.begin();
    format.write(distinct[at]!, queue);
    queue.end();
    at = (at + 1) % distinct.length;
    if (queue.queuedBytes < 64 * 1024 || !queue.take(false)) return;
    lengths += queue.batchTo - queue.batchFrom;
    queue.release();
  });
}

let lengths = 0;
measureLines('access-log line, Envoy text', compiled(compileTextAccessLog(ENVOY_TEXT_FORMAT)));
measureLines('access-log line, Istio text', compiled(compileTextAccessLog(ISTIO_TEXT_FORMAT)));
measureLines('access-log line, Istio JSON', compiled(compileJsonAccessLog(ISTIO_JSON_FORMAT)));
measureLines(
  'access-log line, JSON without empty',
  compiled(compileJsonAccessLog(ISTIO_JSON_FORMAT, { omitEmptyValues: true })),
);

for (let at = 0; at < 10_000; at += 1) {
  registry.counter('many_total', 'Many', [['label', `${at}${'x'.repeat(200)}`]]);
}
const began = performance.now();
let longestMs = 0;
let last = began;
let rendered = 0;
for (const chunk of renderPrometheus(registry)) {
  rendered += chunk.length;
  longestMs = Math.max(longestMs, performance.now() - last);
  last = performance.now();
}
console.log(
  `scrape: ${(rendered / 1e6).toFixed(1)} MB in ${(performance.now() - began).toFixed(0)} ms, longest piece ${longestMs.toFixed(1)} ms`,
);
if (lengths === 0) throw new Error('nothing was rendered');
