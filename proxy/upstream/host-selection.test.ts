import { describe, expect, test } from 'vitest';
import { HostSelection, type SelectableHost, type SelectionConfig } from './host-selection.ts';

interface Host extends SelectableHost {
  readonly name: string;
}

function host(name: string, change: Partial<Host> = {}): Host {
  const defaults = { weight: 1, active: 0, healthy: true, priority: 0, locality: '' };
  return { name, localityWeight: 0, ...defaults, ...change };
}

const CONFIG = {
  lbPolicy: 'ROUND_ROBIN',
  leastRequestChoices: 2,
  panicThresholdPercent: 50,
  localityWeighted: false,
} as const;

function shares(hosts: readonly Host[], config: Partial<SelectionConfig> = {}) {
  let step = 0;
  // Every multiple of 1/1000 once: shares come out exact.
  const random = () => (step++ % 1_000) / 1_000;
  const selection = new HostSelection(hosts, { ...CONFIG, ...config }, random);
  const counts: Record<string, number> = {};
  for (let pick = 0; pick < 10_000; pick++) {
    const { name } = selection.pick() ?? { name: 'none' };
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return Object.fromEntries(
    Object.entries(counts).map(([name, count]) => [name, Math.round(count / 100)]),
  );
}

const sick = { healthy: false };
const WEIGHED = { localityWeighted: true };

describe('HostSelection', () => {
  test('no hosts, no pick', () => {
    expect(shares([])).toEqual({ none: 100 });
  });

  test('unhealthy hosts get nothing', () => {
    expect(shares([host('a'), host('b'), host('c', sick)])).toEqual({ a: 50, b: 50 });
  });

  test('[RS-19] below the panic threshold health is ignored', () => {
    const hosts = [host('a'), host('b', sick), host('c', sick), host('d', sick)];
    expect(shares(hosts)).toEqual({ a: 25, b: 25, c: 25, d: 25 });
    expect(shares(hosts, { panicThresholdPercent: 0 })).toEqual({ a: 100 });
  });

  test('[RS-19] all unhealthy: UH with panic off, everybody with panic on', () => {
    const hosts = [host('a', sick), host('b', sick)];
    expect(shares(hosts, { panicThresholdPercent: 0 })).toEqual({ none: 100 });
    expect(shares(hosts)).toEqual({ a: 50, b: 50 });
  });

  test('the next priority gets what the first one lacks beyond 40 % overprovisioning', () => {
    const level = (priority: number, names: string[], sickCount: number) =>
      names.map((name, at) => host(name, { priority, healthy: at >= sickCount }));
    const spare = level(1, ['x'], 0);
    expect(shares([...level(0, ['a', 'b'], 0), ...spare])).toEqual({ a: 50, b: 50 });
    // 3 of 4: 75 % × 1.4 = 105 %: still enough.
    expect(shares([...level(0, ['a', 'b', 'c', 'd'], 1), ...spare])).toEqual({
      b: 33,
      c: 33,
      d: 33,
    });
    // 2 of 4: 50 % × 1.4 = 70 %.
    expect(shares([...level(0, ['a', 'b', 'c', 'd'], 2), ...spare])).toEqual({
      c: 35,
      d: 35,
      x: 30,
    });
    expect(shares([...level(0, ['a'], 1), ...spare])).toEqual({ x: 100 });
  });

  test('levels that are short together share the load by their health', () => {
    const hosts = [
      host('a'),
      ...['b', 'c', 'd'].map((name) => host(name, sick)),
      host('x', { priority: 1 }),
      ...['y', 'z', 'w'].map((name) => host(name, { ...sick, priority: 1 })),
    ];
    // 35 % each, normalised to 50 %.
    expect(shares(hosts, { panicThresholdPercent: 0 })).toEqual({ a: 50, x: 50 });
  });

  test('where the cluster weighs localities each gets its share, whatever its number of hosts', () => {
    const hosts = [
      host('a', { locality: 'near', localityWeight: 3 }),
      host('b', { locality: 'far', localityWeight: 1 }),
      host('c', { locality: 'far', localityWeight: 1 }),
    ];
    expect(shares(hosts, WEIGHED)).toEqual({ a: 75, b: 13, c: 13 });
    expect(shares(hosts)).toEqual({ a: 33, b: 33, c: 33 });
    const equal = hosts.map((one) => ({ ...one, localityWeight: 2 }));
    expect(shares(equal, WEIGHED)).toEqual({ a: 50, b: 25, c: 25 });
  });

  test('a locality without a weight gets nothing; where none has one, all hosts take part', () => {
    const hosts = [
      host('a', { locality: 'near', localityWeight: 3 }),
      host('b', { locality: 'far' }),
    ];
    expect(shares(hosts, WEIGHED)).toEqual({ a: 100 });
    expect(shares([host('a', { locality: 'near' }), hosts[1]!], WEIGHED)).toEqual({ a: 50, b: 50 });
  });

  test('a locality that has lost hosts gets less, beyond 40 % overprovisioning', () => {
    const hosts = [
      host('a', { locality: 'near', localityWeight: 1 }),
      host('b', { locality: 'near', localityWeight: 1, healthy: false }),
      host('c', { locality: 'far', localityWeight: 1 }),
    ];
    // 1 of 2 × 1.4 = 70 % of its weight: 0.7 to 1.
    expect(shares(hosts, WEIGHED)).toEqual({ a: 41, c: 59 });
  });

  test('[RS-02] pickOther gives a host that was not tried, or null', () => {
    const [a, b, c] = [host('a'), host('b'), host('c', sick)];
    const selection = new HostSelection([a, b, c], CONFIG, Math.random);
    expect(selection.pickOther([a])).toBe(b);
    expect(selection.pickOther([a, b])).toBeNull();
  });
});
