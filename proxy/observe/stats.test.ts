import { expect, test } from 'vitest';
import { LABEL_VALUE_LENGTH_MAX } from './label-text.ts';
import { Counter } from './metric.ts';
import { renderPrometheus } from './render-prometheus.ts';
import { renderStatsText } from './render-stats.ts';
import type { SeriesPlan } from './series-group.ts';
import { StatsRegistry } from './stats.ts';

const names = (registry: StatsRegistry) => [...registry.series()].map(([, { dotted }]) => dotted);

test('[OB-06] one definition has a dotted name and a Prometheus name', () => {
  const registry = new StatsRegistry();
  registry.clusterScope('outbound|80||a').counter('outlier_detection.ejections_total', 'Ejections');
  const family = registry.families.get('envoy_cluster_outlier_detection_ejections_total')!;
  const [series] = [...family.series.values()];
  expect(series!.dotted).toBe('cluster.outbound|80||a.outlier_detection.ejections_total');
  expect(series!.labelText).toBe('envoy_cluster_name="outbound|80||a"');
});

test('a tagged name keeps its dotted spelling and gives Prometheus a label', () => {
  const registry = new StatsRegistry();
  const name = { dotted: 'upstream_rq_2xx', prometheus: 'upstream_rq_xx' };
  registry.clusterScope('a').counter(name, 'By class', [['envoy_response_code_class', '2']]);
  const [series] = [...registry.families.get('envoy_cluster_upstream_rq_xx')!.series.values()];
  expect(series!.dotted).toBe('cluster.a.upstream_rq_2xx');
  expect(series!.labelText).toBe('envoy_cluster_name="a",envoy_response_code_class="2"');
});

test('the same definition in two scopes is one series, and stays until both are closed', () => {
  const registry = new StatsRegistry();
  const [before, after] = [registry.clusterScope('a'), registry.clusterScope('a')];
  const counter = before.counter('upstream_rq_total', 'Requests');
  counter.add(2);
  expect(after.counter('upstream_rq_total', 'Requests')).toBe(counter);
  expect(after.counter('upstream_rq_total', 'Requests')).toBe(counter);
  before.close();
  expect(names(registry)).toContain('cluster.a.upstream_rq_total');
  after.close();
  expect(names(registry)).not.toContain('cluster.a.upstream_rq_total');
  expect(registry.families.has('envoy_cluster_upstream_rq_total')).toBe(false);
});

test('a read series is read from the newest definition', () => {
  const registry = new StatsRegistry();
  registry.clusterScope('a').gaugeFrom('membership_total', 'Endpoints', () => 1);
  registry.clusterScope('a').gaugeFrom('membership_total', 'Endpoints', () => 2);
  const [series] = [...registry.families.get('envoy_cluster_membership_total')!.series.values()];
  expect(series!.read!()).toBe(2);
});

test('[A7.4] label sets beyond the bound share one series labelled other, and are counted', () => {
  const registry = new StatsRegistry(10);
  const overflowing = Array.from({ length: 30 }, (_, at) =>
    registry.counter('hits', 'Hits', [['path', `/${at}`]]),
  );
  for (const counter of overflowing) counter.add(1);
  const family = registry.families.get('hits')!;
  expect(family.series.size).toBeLessThanOrEqual(10);
  expect(family.overflow!.labelText).toBe('path="other"');
  expect(family.overflow!.metric).toMatchObject({ value: 30 - family.series.size });
  const [overflowed] = [...registry.families.get('weft_stats_overflow_total')!.series.values()];
  expect(overflowed!.metric).toMatchObject({ value: 30 - family.series.size });
});

test('[A7.4] closing a scope makes room again', () => {
  const registry = new StatsRegistry(5);
  for (let at = 0; at < 100; at += 1) {
    const scope = registry.clusterScope(`c${at}`);
    scope.counter('upstream_rq_total', 'Requests');
    scope.close();
  }
  expect(registry.families.has('envoy_cluster_upstream_rq_total')).toBe(false);
  registry.clusterScope('last').counter('upstream_rq_total', 'Requests');
  expect(registry.families.get('envoy_cluster_upstream_rq_total')!.overflow).toBeNull();
});

test('[A7.4] hostile label values are escaped and cut, and __proto__ is a value like any other', () => {
  const registry = new StatsRegistry();
  registry.counter('a', 'A', [['v', '__proto__']]).add(1);
  registry.counter('a', 'A', [['v', 'x"} 1\ny 2\\']]).add(1);
  registry.counter('a', 'A', [['v', 'z'.repeat(10_000)]]).add(1);
  const texts = [...registry.families.get('a')!.series.keys()];
  expect(texts[0]).toBe('v="__proto__"');
  expect(texts[1]).toBe('v="x\\"} 1\\ny 2\\\\"');
  expect(texts[2]).toHaveLength(LABEL_VALUE_LENGTH_MAX + 'v=""'.length);
});

test('a histogram counts by inclusive upper bound', () => {
  const histogram = new StatsRegistry().histogram('h', 'H', [1, 5]);
  for (const value of [0, 1, 1.1, 5, 6]) histogram.observe(value);
  expect([...histogram.counts]).toEqual([2, 2, 1]);
  expect(histogram.count).toBe(5);
  expect(histogram.sum).toBeCloseTo(13.1);
});

test('resetCounters empties counters and histograms and leaves gauges', () => {
  const registry = new StatsRegistry();
  const counter = registry.counter('c', 'C');
  const gauge = registry.gauge('g', 'G');
  const histogram = registry.histogram('h', 'H', [1]);
  counter.add(3);
  gauge.set(4);
  histogram.observe(1);
  registry.resetCounters();
  expect([counter.value, gauge.value, histogram.count, histogram.sum]).toEqual([0, 4, 0, 0]);
});

test('one name cannot be two kinds', () => {
  const registry = new StatsRegistry();
  registry.counter('a', 'A');
  expect(() => registry.gauge('a', 'A')).toThrow("metric 'a' is a counter");
  expect(() => registry.counter('no good', 'A')).toThrow('not a metric name');
});

interface Owner {
  readonly counted: Counter | null;
  readonly size: number;
}
const OWNER_SERIES: SeriesPlan<Owner> = {
  dotted: 'cluster',
  prometheus: 'envoy_cluster',
  label: 'envoy_cluster_name',
  series: [
    {
      name: 'upstream_rq_total',
      help: 'Requests',
      kind: 'counter',
      labels: [],
      value: { counter: ({ counted }) => counted },
    },
    {
      name: { dotted: 'upstream_rq_2xx', prometheus: 'upstream_rq_xx' },
      help: 'By class',
      kind: 'counter',
      labels: [['envoy_response_code_class', '2']],
      value: { counter: ({ counted }) => counted },
    },
    {
      name: 'membership_total',
      help: 'Endpoints',
      kind: 'gauge',
      labels: [],
      value: { read: ({ size }) => size },
    },
  ],
  other: () => ({ counted: new Counter(), size: 0 }),
};

test('series of a plan read as those of a scope, and are gone when the last owner leaves', () => {
  const planned = new StatsRegistry();
  const owners = ['a"b', 'c'].map((name, at) => {
    const owner = { counted: at === 0 ? new Counter() : null, size: at };
    expect(planned.join(OWNER_SERIES, name, owner)).toBe(owner);
    return { name, owner };
  });
  owners[0]!.owner.counted!.add(7);
  const scoped = new StatsRegistry();
  for (const [at, name] of ['a"b', 'c'].entries()) {
    const scope = scoped.clusterScope(name);
    const [total, class2] = OWNER_SERIES.series;
    for (const { name: own, help, labels } of [total!, class2!]) {
      scope.counter(own, help, labels).add(at === 0 ? 7 : 0);
    }
    scope.gaugeFrom('membership_total', 'Endpoints', () => at);
  }
  expect([...renderPrometheus(planned)].join('')).toBe([...renderPrometheus(scoped)].join(''));
  expect([...renderStatsText(planned)].join('')).toBe([...renderStatsText(scoped)].join(''));
  planned.resetCounters();
  expect(owners[0]!.owner.counted!.value).toBe(0);
  for (const { name, owner } of owners) planned.leave(OWNER_SERIES, name, owner);
  expect([...planned.series()]).toHaveLength([...new StatsRegistry().series()].length);
});

test('the newest owner of a name is read, and the old one leaves without it', () => {
  const registry = new StatsRegistry();
  const size = () => [
    ...registry.families.get('envoy_cluster_membership_total')!.columns[0]!.rows(),
  ];
  const [old, young] = [1, 2].map((size) => ({ counted: null, size }));
  registry.join(OWNER_SERIES, 'a', old!);
  registry.join(OWNER_SERIES, 'a', young!);
  registry.leave(OWNER_SERIES, 'a', old!);
  expect(size().map(({ read }) => read!())).toEqual([2]);
});

test('[A7.4] owners beyond the bound count as one called other, and are counted', () => {
  const registry = new StatsRegistry(10);
  const owners = Array.from({ length: 30 }, (_, at) => {
    const owner = { counted: new Counter(), size: 1 };
    return registry.join(OWNER_SERIES, `c${at}`, owner);
  });
  for (const { counted } of owners) counted!.add(1);
  const rows = [...registry.families.get('envoy_cluster_upstream_rq_total')!.columns[0]!.rows()];
  const last = rows.at(-1)!;
  expect(rows.length).toBeLessThan(5);
  expect(last.labelText).toBe('envoy_cluster_name="other"');
  expect(last.metric).toMatchObject({ value: 31 - rows.length });
  const [overflowed] = [...registry.families.get('weft_stats_overflow_total')!.series.values()];
  expect(overflowed!.metric).toMatchObject({ value: 3 * (31 - rows.length) });
});
