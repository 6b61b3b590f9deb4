/**
 * The counts that `n` draws with probability `p` stay within, but for one run in 1/`alpha` (two-sided, exact): what
 * "90/10" may look like in a sample.
 */
export function binomialBound(n: number, p: number, alpha: number): { low: number; high: number } {
  let low = 0;
  let high = n;
  let below = 0;
  let above = 0;
  for (let k = 0; k <= n; k += 1) {
    below += Math.exp(logProbability(n, k, p));
    if (below > alpha / 2) {
      low = k;
      break;
    }
  }
  for (let k = n; k >= 0; k -= 1) {
    above += Math.exp(logProbability(n, k, p));
    if (above > alpha / 2) {
      high = k;
      break;
    }
  }
  return { low, high };
}

function logProbability(n: number, k: number, p: number): number {
  return logChoose(n, k) + k * Math.log(p) + (n - k) * Math.log(1 - p);
}

function logChoose(n: number, k: number): number {
  let sum = 0;
  for (let i = 1; i <= k; i += 1) sum += Math.log(n - k + i) - Math.log(i);
  return sum;
}
