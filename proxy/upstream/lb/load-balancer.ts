/** What a policy needs to know of an endpoint. */
export interface Weighted {
  /** ≥ 1 (LB-07). */
  readonly weight: number;
  /** Requests under way, for LEAST_REQUEST. */
  readonly active: number;
}

/**
 * One policy over a fixed, non-empty list of endpoints that may be used. Made again whenever the
 * list, a weight or a health changes; `pick` allocates nothing and never fails.
 */
export interface LoadBalancer<Host extends Weighted> {
  pick(): Host;
}

/** A source of numbers in [0, 1), `Math.random` outside tests. */
export type Random = () => number;

export function hasEqualWeights(hosts: readonly Weighted[]): boolean {
  for (let at = 1; at < hosts.length; at++) {
    if (hosts[at]!.weight !== hosts[0]!.weight) return false;
  }
  return true;
}
