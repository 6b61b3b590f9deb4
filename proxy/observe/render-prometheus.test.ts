import { expect, test } from 'vitest';
import { negotiateFormat, renderPrometheus } from './render-prometheus.ts';
import { quantile, renderStatsJson, renderStatsText } from './render-stats.ts';
import { StatsRegistry } from './stats.ts';

const text = (chunks: Iterable<string>) => [...chunks].join('');

interface Sample {
  readonly name: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly value: number;
}

/** A strict reader of exposition 0.0.4, written from the format's own description. */
function parse(exposition: string): { samples: Sample[]; types: Map<string, string> } {
  const samples: Sample[] = [];
  const types = new Map<string, string>();
  expect(exposition.endsWith('\n')).toBe(true);
  for (const line of exposition.slice(0, -1).split('\n')) {
    const type = /^# TYPE ([a-zA-Z_:][\w:]*) (counter|gauge|histogram|unknown)$/.exec(line);
    if (type !== null) {
      expect(types.has(type[1]!)).toBe(false);
      types.set(type[1]!, type[2]!);
      continue;
    }
    if (/^# HELP [a-zA-Z_:][\w:]* /.test(line) || line === '# EOF') continue;
    const sample = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (NaN|[+-]Inf|[-+.\deE]+)$/.exec(line);
    if (sample === null) throw new Error(`not an exposition line: ${line}`);
    const labels = new Map<string, string>();
    let rest = sample[2] ?? '';
    while (rest !== '') {
      const label = /^([a-zA-Z_]\w*)="((?:[^"\\\n]|\\[\\n"])*)"(?:,|$)/.exec(rest);
      if (label === null) throw new Error(`not a label: ${rest}`);
      labels.set(label[1]!, JSON.parse(`"${label[2]}"`) as string);
      rest = rest.slice(label[0].length);
    }
    samples.push({
      name: sample[1]!,
      labels,
      value: Number(sample[3]!.replace('Inf', 'Infinity')),
    });
  }
  return { samples, types };
}

const sample = (samples: Sample[], name: string, ...labels: string[]) =>
  samples.find(
    (one) => one.name === name && labels.every((value) => [...one.labels.values()].includes(value)),
  )?.value;

function filled(): StatsRegistry {
  const registry = new StatsRegistry();
  const cluster = registry.clusterScope('outbound|80||reviews');
  cluster.counter('upstream_rq_total', 'Requests\nsent \\ upstream').add(3);
  cluster.gauge('membership_healthy', 'Healthy endpoints').set(-1.5);
  const duration = registry.histogram('duration_ms', 'Duration', [0.5, 10], [['to', 'a"b\nc\\']]);
  for (const value of [0.2, 0.7, 11]) duration.observe(value);
  return registry;
}

test('the exposition is well formed and reads back', () => {
  const { samples, types } = parse(text(renderPrometheus(filled())));
  expect(types.get('envoy_cluster_upstream_rq_total')).toBe('counter');
  expect(sample(samples, 'envoy_cluster_upstream_rq_total', 'outbound|80||reviews')).toBe(3);
  expect(sample(samples, 'envoy_cluster_membership_healthy')).toBe(-1.5);
  expect(types.get('duration_ms')).toBe('histogram');
  expect(sample(samples, 'duration_ms_bucket', '0.5', 'a"b\nc\\')).toBe(1);
  expect(sample(samples, 'duration_ms_bucket', '10')).toBe(2);
  expect(sample(samples, 'duration_ms_bucket', '+Inf')).toBe(3);
  expect(sample(samples, 'duration_ms_count')).toBe(3);
  expect(sample(samples, 'duration_ms_sum')).toBeCloseTo(11.9);
});

test('OpenMetrics names the family of a counter without _total and ends with EOF', () => {
  const registry = filled();
  registry.envoy.counter('listener_added', 'No total in its name').add(1);
  const openmetrics = text(renderPrometheus(registry, { format: 'openmetrics' }));
  const { types } = parse(openmetrics);
  expect(types.get('envoy_cluster_upstream_rq')).toBe('counter');
  expect(types.get('envoy_listener_added')).toBe('unknown');
  expect(openmetrics.endsWith('# EOF\n')).toBe(true);
  expect(negotiateFormat('application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1')).toBe(
    'openmetrics',
  );
  expect(negotiateFormat('text/plain')).toBe('prometheus');
  expect(negotiateFormat(undefined)).toBe('prometheus');
});

test('values that are no number have their spelling', () => {
  const registry = new StatsRegistry();
  for (const [name, value] of Object.entries({ a: Number.NaN, b: Infinity, c: -Infinity })) {
    registry.gauge(name, name).set(value);
  }
  expect(text(renderPrometheus(registry))).toMatch(/^a NaN\n(?:.*\n)*b \+Inf\n(?:.*\n)*c -Inf\n/m);
});

test('10 000 series come in pieces, so that the event loop turns between them', () => {
  const registry = new StatsRegistry();
  for (let at = 0; at < 10_000; at += 1) {
    registry.counter('many_total', 'Many', [['path', `/${at}/${'x'.repeat(100)}`]]).add(at);
  }
  const chunks = [...renderPrometheus(registry)];
  expect(chunks.length).toBeGreaterThan(30);
  expect(Math.max(...chunks.map((chunk) => chunk.length))).toBeLessThan(40_000);
  expect(parse(chunks.join('')).samples.length).toBeGreaterThanOrEqual(10_000);
});

test('series that go while the text is written do no harm', () => {
  const registry = new StatsRegistry();
  const scopes = Array.from({ length: 3_000 }, (_, at) => {
    const scope = registry.clusterScope(`cluster-${at}`);
    scope.counter('upstream_rq_total', 'Requests');
    return scope;
  });
  let output = '';
  for (const chunk of renderPrometheus(registry)) {
    output += chunk;
    for (const scope of scopes.splice(0, 1_000)) scope.close();
  }
  expect(parse(output).samples.length).toBeGreaterThan(0);
});

test('[CL-07] /stats shows dotted names, sorted', () => {
  const lines = text(
    renderStatsText(filled(), { wanted: (name) => /cluster|duration/.test(name), usedOnly: false }),
  ).split('\n');
  expect(lines).toEqual([
    'cluster.outbound|80||reviews.membership_healthy: -1.5',
    'cluster.outbound|80||reviews.upstream_rq_total: 3',
    'duration_ms{to="a\\"b\\nc\\\\"}: P50(10) P95(+Inf) P99(+Inf) sum(11.9) count(3)',
    '',
  ]);
});

test('[CL-07] /stats?format=json is JSON whatever the values are', () => {
  const registry = filled();
  registry.gauge('odd', 'Odd').set(Number.NaN);
  const { stats } = JSON.parse(text(renderStatsJson(registry))) as {
    stats: { name: string; value: unknown }[];
  };
  expect(stats).toContainEqual({
    name: 'cluster.outbound|80||reviews.upstream_rq_total',
    value: 3,
  });
  expect(stats).toContainEqual({ name: 'odd', value: 'NaN' });
});

test('[CL-07] a filter leaves out series, and families without any', () => {
  const registry = filled();
  registry.clusterScope('unused').counter('upstream_rq_total', 'Requests');
  const exposition = text(
    renderPrometheus(registry, { wanted: (name) => name.includes('rq_total'), usedOnly: true }),
  );
  const { samples, types } = parse(exposition);
  expect(samples.map(({ name }) => name)).toEqual(['envoy_cluster_upstream_rq_total']);
  expect([...types.keys()]).toEqual(['envoy_cluster_upstream_rq_total']);
});

test('a quantile is the upper bound of its bucket', () => {
  const histogram = new StatsRegistry().histogram('h', 'H', [1, 2, 3]);
  expect(quantile(histogram, 0.5)).toBeNaN();
  for (const value of [0, 0, 0, 2, 9]) histogram.observe(value);
  expect(quantile(histogram, 0.5)).toBe(1);
  expect(quantile(histogram, 0.8)).toBe(2);
  expect(quantile(histogram, 0.99)).toBe(Infinity);
});
