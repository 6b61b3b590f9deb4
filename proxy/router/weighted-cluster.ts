import type { WeightedCluster } from './route-config.ts';

/**
 * The cluster whose share holds `draw`, a number in [0, 1) drawn for this request alone (TM-08).
 * Weights are relative to `weightTotal`, their sum (> 0); a weight of 0 gets nothing.
 */
export function pickWeightedCluster(
  clusters: readonly WeightedCluster[],
  weightTotal: number,
  draw: number,
): WeightedCluster {
  let left = Math.floor(draw * weightTotal);
  for (let at = 0; at < clusters.length; at++) {
    const cluster = clusters[at]!;
    if (left < cluster.weight) return cluster;
    left -= cluster.weight;
  }
  // Reached only where weightTotal is larger than the sum of the weights.
  return clusters.findLast((cluster) => cluster.weight > 0) ?? clusters[0]!;
}
