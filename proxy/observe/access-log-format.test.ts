import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createAccessLog, type LineSink } from './access-log.ts';
import {
  type AccessLogFilter,
  accessLogFilterMatches,
  responseFlagBits,
} from './access-log-filter.ts';
import {
  compileJsonAccessLog,
  compileTextAccessLog,
  ENVOY_TEXT_FORMAT,
  ISTIO_JSON_FORMAT,
  ISTIO_TEXT_FORMAT,
} from './access-log-format.ts';
import type { FormatProblem } from './format-parser.ts';
import { lineText } from './line.testing.ts';
import type { LineFormat } from './line-format.ts';
import { RequestRecord, ResponseFlag } from './request-record.ts';

const runs = Number(process.env['WEFT_FUZZ_RUNS'] ?? 300);

function ok(format: LineFormat | FormatProblem): LineFormat {
  if ('problem' in format) throw new Error(format.problem);
  return format;
}

function filled(overrides: Partial<RequestRecord> = {}): RequestRecord {
  return Object.assign(
    new RequestRecord(Date.UTC(2026, 2, 5, 14, 7, 9, 42), 1000, {
      localAddress: '10.0.0.1:15006',
      remoteAddress: '10.0.0.2:40000',
      requestedServerName: '',
      peerPrincipal: '',
      localPrincipal: '',
      mutualTls: false,
    }),
    {
      endMs: 1025,
      method: 'GET',
      path: '/reviews/0',
      authority: 'reviews:9080',
      protocol: 'HTTP/1.1',
      requestHeaders: ['user-agent', 'curl/8'],
      responseHeaders: ['x-envoy-upstream-service-time', '14'],
      requestId: 'rid',
      status: 200,
      responseCodeDetails: 'via_upstream',
      bytesSent: 295,
      routeName: 'default',
      upstreamCluster: 'outbound|9080||reviews',
      upstreamHost: '10.0.0.9:9080',
      upstreamLocalAddress: '10.0.0.1:51000',
      ...overrides,
    },
  );
}

test("[OB-07] Envoy's default line", () => {
  expect(lineText(ok(compileTextAccessLog(ENVOY_TEXT_FORMAT)), filled())).toBe(
    '[2026-03-05T14:07:09.042Z] "GET /reviews/0 HTTP/1.1" 200 - 0 295 25 14 "-" "curl/8" "rid" "reviews:9080" "10.0.0.9:9080"\n',
  );
});

test("[OB-07] Istio's default line", () => {
  expect(lineText(ok(compileTextAccessLog(ISTIO_TEXT_FORMAT)), filled())).toBe(
    '[2026-03-05T14:07:09.042Z] "GET /reviews/0 HTTP/1.1" 200 - via_upstream - "-" 0 295 25 14 "-" "curl/8" "rid" ' +
      '"reviews:9080" "10.0.0.9:9080" outbound|9080||reviews 10.0.0.1:51000 10.0.0.1:15006 10.0.0.2:40000 - default\n',
  );
});

test("[OB-07] Istio's JSON keeps numbers, and absent values are null", () => {
  const line = lineText(ok(compileJsonAccessLog(ISTIO_JSON_FORMAT)), filled());
  expect(line.endsWith('}\n')).toBe(true);
  expect(JSON.parse(line)).toEqual({
    start_time: '2026-03-05T14:07:09.042Z',
    route_name: 'default',
    method: 'GET',
    path: '/reviews/0',
    protocol: 'HTTP/1.1',
    response_code: 200,
    response_flags: '-',
    response_code_details: 'via_upstream',
    connection_termination_details: null,
    bytes_received: 0,
    bytes_sent: 295,
    duration: 25,
    upstream_service_time: '14',
    x_forwarded_for: null,
    user_agent: 'curl/8',
    request_id: 'rid',
    authority: 'reviews:9080',
    upstream_host: '10.0.0.9:9080',
    upstream_cluster: 'outbound|9080||reviews',
    upstream_local_address: '10.0.0.1:51000',
    downstream_local_address: '10.0.0.1:15006',
    downstream_remote_address: '10.0.0.2:40000',
    requested_server_name: null,
    upstream_transport_failure_reason: null,
  });
});

test('[OB-07] JSON nests, takes literals, and joins commands into text', () => {
  const template = {
    nested: { list: ['%RESPONSE_CODE%', true, 1.5, null], empty: {} },
    text: 'a "quoted" %REQ(:METHOD)% %REQ(X-NOT)%',
    'odd "key"\n': 'literal \u2028 100%%',
  };
  expect(JSON.parse(lineText(ok(compileJsonAccessLog(template)), filled()))).toEqual({
    nested: { list: [200, true, 1.5, null], empty: {} },
    text: 'a "quoted" GET -',
    'odd "key"\n': 'literal \u2028 100%',
  });
});

test('[OB-07] omit_empty_values leaves absent values out', () => {
  const template = { none: '%REQ(X-NOT)%', code: '%RESPONSE_CODE%', deep: { none: '%TRACE_ID%' } };
  const json = ok(compileJsonAccessLog(template, { omitEmptyValues: true }));
  expect(lineText(json, filled())).toBe('{"code":200}\n');
  const none = ok(compileJsonAccessLog({ a: '%TRACE_ID%' }, { omitEmptyValues: true }));
  expect(lineText(none, filled())).toBe('{}\n');
  const text = ok(compileTextAccessLog('[%REQ(X-NOT)%]', { omitEmptyValues: true }));
  expect(lineText(text, filled())).toBe('[]');
});

test('[OB-07] a problem in JSON names the key', () => {
  expect(compileJsonAccessLog({ a: { b: ['x', '%NOPE%'] } })).toEqual({
    problem: 'a.b[1]: %NOPE% at position 0: no such command is supported',
  });
  let deep: { [key: string]: object } = {};
  for (let at = 0; at < 40; at += 1) deep = { deep };
  expect(compileJsonAccessLog(deep as never)).toHaveProperty('problem');
});

test.each([
  ['path', { path: '/a\r\n[2026] "GET /forged HTTP/1.1" 200' }],
  ['user agent', { requestHeaders: ['user-agent', '\x1b]0;owned\x07"'] }],
  ['upstream failure', { upstreamTransportFailureReason: 'TLS error: CN="evil\n"' }],
])('[A7.3] a hostile %s stays within one line and its quotes', (_, overrides) => {
  const record = filled(overrides);
  const line = lineText(ok(compileTextAccessLog(ISTIO_TEXT_FORMAT)), record);
  expect(line).toMatch(/^[ -~]+\n$/);
  expect(line.replaceAll(/\\./g, '').split('"')).toHaveLength(15);
  const json = lineText(ok(compileJsonAccessLog(ISTIO_JSON_FORMAT)), record);
  expect(json.indexOf('\n')).toBe(json.length - 1);
  expect(Object.keys(JSON.parse(json) as object)).toEqual(Object.keys(ISTIO_JSON_FORMAT));
});

test('[A7.3] fuzz: any request is one JSON line with the keys of the format', () => {
  const format = ok(
    compileJsonAccessLog({ ...ISTIO_JSON_FORMAT, both: '%REQ(:PATH)%|%REQ(USER-AGENT):7%' }),
  );
  const bytes = fc.string({
    unit: fc.integer({ min: 0, max: 255 }).map((c) => String.fromCharCode(c)),
  });
  fc.assert(
    fc.property(bytes, bytes, bytes, (path, agent, authority) => {
      const line = lineText(
        format,
        filled({ path, authority, requestHeaders: ['user-agent', agent] }),
      );
      expect(line.indexOf('\n')).toBe(line.length - 1);
      expect(Object.keys(JSON.parse(line) as object)).toHaveLength(25);
    }),
    { numRuns: runs },
  );
});

test.each<[string, AccessLogFilter, boolean]>([
  ['status ≥ 500', { kind: 'statusCode', op: 'GE', value: 500 }, true],
  ['status ≤ 499', { kind: 'statusCode', op: 'LE', value: 499 }, false],
  ['status = 503', { kind: 'statusCode', op: 'EQ', value: 503 }, true],
  ['status ≠ 503', { kind: 'statusCode', op: 'NE', value: 503 }, false],
  ['duration ≥ 25 ms', { kind: 'duration', op: 'GE', value: 25 }, true],
  ['duration ≥ 26 ms', { kind: 'duration', op: 'GE', value: 26 }, false],
  ['flag UH', { kind: 'responseFlag', flags: ResponseFlag.UH }, true],
  ['flag UF or NR', { kind: 'responseFlag', flags: ResponseFlag.UF | ResponseFlag.NR }, false],
  ['any flag', { kind: 'responseFlag', flags: 0 }, true],
  [
    'and',
    {
      kind: 'and',
      filters: [
        { kind: 'responseFlag', flags: 0 },
        { kind: 'statusCode', op: 'EQ', value: 1 },
      ],
    },
    false,
  ],
  [
    'or',
    {
      kind: 'or',
      filters: [
        { kind: 'responseFlag', flags: 0 },
        { kind: 'statusCode', op: 'EQ', value: 1 },
      ],
    },
    true,
  ],
])('[OB-07] filter %s', (_, filter, matches) => {
  const record = filled({ status: 503, flags: ResponseFlag.UH });
  expect(accessLogFilterMatches(filter, record)).toBe(matches);
  const lines: string[] = [];
  const format = ok(compileTextAccessLog('%RESPONSE_CODE%\n'));
  const sink: LineSink = { write: (...line) => void lines.push(lineText(...line)) };
  createAccessLog(format, sink, filter).log(record);
  expect(lines).toEqual(matches ? ['503\n'] : []);
});

test('[OB-08] flag names become bits, and a name that is none is told', () => {
  expect(responseFlagBits(['UF', 'URX'])).toBe(ResponseFlag.UF | ResponseFlag.URX);
  expect(responseFlagBits(['UF', 'ZZ', '__proto__'])).toEqual({ unknown: 'ZZ' });
});
