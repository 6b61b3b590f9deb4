import {
  compileJsonAccessLog,
  compileTextAccessLog,
  ISTIO_JSON_FORMAT,
  ISTIO_TEXT_FORMAT,
} from '../../proxy/observe/access-log-format.ts';
import type { Format, FormatProblem } from '../../proxy/observe/format.ts';
import { IstioMetrics } from '../../proxy/observe/istio-metrics.ts';
import { renderPrometheus } from '../../proxy/observe/render-prometheus.ts';
import { RequestRecord, UNKNOWN_WORKLOAD } from '../../proxy/observe/request-record.ts';
import { StatsRegistry } from '../../proxy/observe/stats.ts';

/**
 * What telemetry costs a request: `node_modules/node/bin/node test/bench/observe.bench.ts`.
 * One core, warm; 64 records of 8 peers, 4 statuses, 2 policies taken in turn.
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
  const began = performance.now();
  for (let round = 0; round < ROUNDS; round += 1) {
    for (let at = 0; at < RECORDS; at += 1) run(records[at]!);
  }
  const nanoseconds = ((performance.now() - began) * 1e6) / (ROUNDS * RECORDS);
  console.log(`${name.padEnd(36)} ${nanoseconds.toFixed(0).padStart(6)} ns`);
}

function compiled(format: Format | FormatProblem): Format {
  if ('problem' in format) throw new Error(format.problem);
  return format;
}

const registry = new StatsRegistry();
const metrics = new IstioMetrics(registry, UNKNOWN_WORKLOAD, '0.1.0');
measure('recordRequest, inbound', (record) => metrics.recordRequest(record, 'INBOUND'));
measure('recordRequest, outbound', (record) => metrics.recordRequest(record, 'OUTBOUND'));

let lengths = 0;
const text = compiled(compileTextAccessLog(ISTIO_TEXT_FORMAT));
measure('access-log line, Istio text', (record) => {
  lengths += text.render(record).length;
});
const json = compiled(compileJsonAccessLog(ISTIO_JSON_FORMAT));
measure('access-log line, Istio JSON', (record) => {
  lengths += json.render(record).length;
});

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
