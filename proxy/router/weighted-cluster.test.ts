import fc from 'fast-check';
import { expect, test } from 'vitest';
import { exchange, route, weightedCluster } from '../../test/proxy-exchange.ts';
import { pickWeightedCluster } from './weighted-cluster.ts';

function clusters(weights: readonly number[]) {
  return weights.map((weight, n) => weightedCluster(String(n), { weight }));
}

test('[TM-08] weights are relative, and 0 gets nothing', () => {
  const list = clusters([0, 1, 3, 0]);
  const at = (draw: number) => pickWeightedCluster(list, 4, draw).name;
  expect([0, 0.24, 0.25, 0.99].map(at)).toEqual(['1', '1', '2', '2']);
});

test('[TM-08] fuzz: every cluster gets exactly its share of the draws', () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat(20), { minLength: 1, maxLength: 6 }).filter((w) => w.some((n) => n > 0)),
      (weights) => {
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        const list = clusters(weights);
        const hits = weights.map(() => 0);
        for (let n = 0; n < total; n++) {
          hits[Number(pickWeightedCluster(list, total, (n + 0.5) / total).name)]!++;
        }
        expect(hits).toEqual(weights);
      },
    ),
    { numRuns: Number(process.env['WEFT_FUZZ_RUNS'] ?? 300) },
  );
});

test('[TM-08] [TM-13] a cluster of the split may have an authority of its own', () => {
  const clusters = [weightedCluster('a', { hostRewrite: 'own.example' }), weightedCluster('b')];
  const routes = [route('/', '', { clusters, weightTotal: 2, hostRewrite: 'route.example' })];
  for (const [draw, cluster, authority] of [
    [0, 'a', 'own.example'],
    [0.5, 'b', 'route.example'],
  ] as const) {
    const mesh = exchange({ routes, random: () => draw });
    mesh.connect().get();
    expect(mesh.cluster(cluster).last.authority).toBe(authority);
    expect(mesh.cluster(cluster).last.header('x-envoy-original-host')).toBe('a');
  }
});
