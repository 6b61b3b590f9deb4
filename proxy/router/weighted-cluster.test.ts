import fc from 'fast-check';
import { expect, test } from 'vitest';
import { NO_MUTATIONS } from '../../test/proxy-exchange.ts';
import { pickWeightedCluster } from './weighted-cluster.ts';

function clusters(weights: readonly number[]) {
  return weights.map((weight, n) => ({
    name: String(n),
    weight,
    requestHeaders: NO_MUTATIONS,
    responseHeaders: NO_MUTATIONS,
  }));
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
