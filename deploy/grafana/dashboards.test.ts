import { globSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { expect, test } from 'vitest';

/** The dashboards ask for nothing that no process of ours exports. */

const ROOT = join(import.meta.dirname, '../..');

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly gridPos: {
    readonly x: number;
    readonly y: number;
    readonly w: number;
    readonly h: number;
  };
  readonly targets?: readonly { readonly expr: string; readonly refId: string }[];
}

interface Dashboard {
  readonly uid: string;
  readonly title: string;
  readonly panels: readonly Panel[];
  readonly templating: {
    readonly list: readonly {
      readonly name: string;
      readonly type: string;
      readonly definition?: string;
    }[];
  };
}

const dashboards = globSync('deploy/grafana/*.json', { cwd: ROOT }).map((file) => ({
  file: basename(file),
  dashboard: JSON.parse(readFileSync(join(ROOT, file), 'utf8')) as Dashboard,
}));

/** Names that stand quoted in the sources of both planes; what is scraped at 15020 has its `process_` renamed. */
const quoted = new Set(
  globSync('{proxy,control-plane}/**/*.ts', { cwd: ROOT })
    .filter((file) => !/\.(test|testing)\.ts$/.test(file))
    .flatMap((file) =>
      [...readFileSync(join(ROOT, file), 'utf8').matchAll(/['`]([a-z]+(?:_[a-z0-9]+)+)['`]/g)].map(
        ([, name]) => name!,
      ),
    ),
);
const exported = new Set([
  ...quoted,
  ...[...quoted].filter((name) => name.startsWith('process_')).map((name) => `istio_agent_${name}`),
]);
/** Labels of scraping, of histograms, and of prom-client. */
const OTHER_LABELS = new Set(['le', 'pod', 'instance', 'job', 'type', 'quantile', 'reason']);

/** `sum by (a, b)`, `on (c)`, `{d="…"}` → label names; all other words that are no function → metric names. */
function namesOf(expression: string): { metrics: string[]; labels: string[] } {
  const labels: string[] = [];
  const rest = expression
    .replace(/"(?:[^"\\]|\\.)*"/g, '""')
    .replace(/\{([^}]*)\}/g, (_all, matchers: string) => {
      for (const [name] of matchers.matchAll(/\w+(?=\s*[=!])/g)) labels.push(name);
      return '';
    })
    .replace(/\b(?:by|on|without|ignoring)\s*\(([^)]*)\)/g, (_all, list: string) => {
      labels.push(...list.split(',').map((name) => name.trim()));
      return '';
    })
    .replace(/\[[^\]]*\]/g, '');
  const metrics = [...rest.matchAll(/[a-zA-Z_]\w*(?!\w*\s*\()/g)]
    .map(([name]) => name)
    .filter((name) => !['and', 'or', 'unless'].includes(name));
  return { metrics, labels };
}

test('there are an overview of the mesh and a page for a workload', () => {
  expect(dashboards.map(({ dashboard }) => dashboard.uid).sort()).toEqual([
    'weft-mesh-overview',
    'weft-workload',
  ]);
});

test.each(dashboards)('every metric of $file is one that we export', ({ dashboard }) => {
  const expressions = dashboard.panels
    .flatMap(({ targets }) => targets ?? [])
    .map(({ expr }) => expr);
  const variables = dashboard.templating.list.flatMap(({ definition }) =>
    definition === undefined ? [] : [/\((\w+),/.exec(definition)![1]!],
  );
  expect(expressions.length).toBeGreaterThan(8);
  const asked = [...expressions.flatMap((expr) => namesOf(expr).metrics), ...variables];
  expect(asked.length).toBeGreaterThan(expressions.length);
  const unknown = asked.filter(
    (name) => !exported.has(name) && !exported.has(name.replace(/_(bucket|sum|count)$/, '')),
  );
  expect(unknown).toEqual([]);
});

test.each(dashboards)('every label of $file is one that its metrics have', ({ dashboard }) => {
  const sides = ['source', 'destination'];
  const labels = new Set([
    ...[...quoted],
    ...sides.flatMap((side) => ['workload', 'principal'].map((name) => `${side}_${name}`)),
    ...OTHER_LABELS,
    'reporter',
  ]);
  const asked = dashboard.panels
    .flatMap(({ targets }) => targets ?? [])
    .flatMap(({ expr }) => namesOf(expr).labels);
  expect(asked.filter((name) => !labels.has(name))).toEqual([]);
});

test.each(dashboards)(
  'the panels of $file have a name, a place and no two the same',
  ({ dashboard }) => {
    const { panels } = dashboard;
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    for (const panel of panels) {
      expect(panel.title).not.toBe('');
      if (panel.type !== 'row') expect(panel.description, panel.title).toBeTruthy();
      expect(panel.gridPos.x + panel.gridPos.w).toBeLessThanOrEqual(24);
    }
    const overlaps = panels.flatMap((a, index) =>
      panels
        .slice(index + 1)
        .filter(
          (b) =>
            a.gridPos.x < b.gridPos.x + b.gridPos.w &&
            b.gridPos.x < a.gridPos.x + a.gridPos.w &&
            a.gridPos.y < b.gridPos.y + b.gridPos.h &&
            b.gridPos.y < a.gridPos.y + a.gridPos.h,
        ),
    );
    expect(overlaps).toEqual([]);
  },
);

test('what is read out of an expression is right', () => {
  expect(
    namesOf(
      'histogram_quantile(0.9, sum by (le, pod) (rate(a_b_bucket{x="y, z=1", w!~"5.."}[5m]))) or vector(0)',
    ),
  ).toEqual({ metrics: ['a_b_bucket'], labels: ['x', 'w', 'le', 'pod'] });
  expect(namesOf('a_b and on (instance) c_d - time()')).toEqual({
    metrics: ['a_b', 'c_d'],
    labels: ['instance'],
  });
});
