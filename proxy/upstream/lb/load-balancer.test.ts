import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LeastRequest } from './least-request.ts';
import type { LoadBalancer, Random, Weighted } from './load-balancer.ts';
import { RandomChoice } from './random.ts';
import { RoundRobin } from './round-robin.ts';

interface Host extends Weighted {
  readonly name: number;
  weight: number;
  active: number;
}

const hostsOf = (weights: readonly number[]): Host[] =>
  weights.map((weight, name) => ({ name, weight, active: 0 }));

/** A generator with a seed, so that a failure can be repeated. */
function seeded(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

function countPicks(balancer: LoadBalancer<Host>, hosts: readonly Host[], picks: number): number[] {
  const counts = hosts.map(() => 0);
  for (let pick = 0; pick < picks; pick++) counts[balancer.pick().name]!++;
  return counts;
}

const RUNS = Number(process.env['WEFT_FUZZ_RUNS'] ?? 200);
const weightLists = fc.array(fc.integer({ min: 1, max: 100 }), { minLength: 1, maxLength: 12 });

const policies: readonly [
  string,
  (hosts: readonly Host[], random: Random) => LoadBalancer<Host>,
][] = [
  ['RoundRobin', (hosts, random) => new RoundRobin(hosts, random)],
  ['LeastRequest', (hosts, random) => new LeastRequest(hosts, 2, random)],
  ['RandomChoice', (hosts, random) => new RandomChoice(hosts, random)],
];

describe.each(policies)('%s (contract of every policy)', (_name, make) => {
  test('one host is always picked', () => {
    const hosts = hostsOf([3]);
    expect(make(hosts, seeded(1)).pick()).toBe(hosts[0]);
  });

  test('fuzz: every pick is one of the hosts, and no weight starves', () => {
    fc.assert(
      fc.property(weightLists, fc.integer(), (weights, seed) => {
        const hosts = hostsOf(weights);
        const balancer = make(hosts, seeded(seed));
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        const counts = countPicks(balancer, hosts, 40 * total);
        expect(counts.every((count) => count > 0)).toBe(true);
      }),
      { numRuns: Math.min(RUNS, 100) },
    );
  });

  test('[LB-07] fuzz: shares follow the weights', () => {
    fc.assert(
      fc.property(weightLists, fc.integer(), (weights, seed) => {
        const hosts = hostsOf(weights);
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        const picks = 4_000;
        const counts = countPicks(make(hosts, seeded(seed)), hosts, picks);
        for (let at = 0; at < hosts.length; at++) {
          const expected = (picks * weights[at]!) / total;
          // Six standard deviations of the binomial: a false alarm in 10^9.
          const slack = 6 * Math.sqrt(expected) + 2;
          expect(Math.abs(counts[at]! - expected)).toBeLessThan(slack);
        }
      }),
      { numRuns: Math.min(RUNS, 200) },
    );
  });
});

describe('RoundRobin', () => {
  test('[LB-02] equal weights go in turn from a random start', () => {
    const hosts = hostsOf([1, 1, 1]);
    const balancer = new RoundRobin(hosts, () => 0.5);
    const names = Array.from({ length: 6 }, () => balancer.pick().name);
    expect(names).toEqual([1, 2, 0, 1, 2, 0]);
  });

  test('[LB-07] fuzz: any stretch holds each host its share to within one turn', () => {
    fc.assert(
      fc.property(weightLists, fc.integer(), (weights, seed) => {
        const hosts = hostsOf(weights);
        const balancer = new RoundRobin(hosts, seeded(seed));
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        const counts = countPicks(balancer, hosts, 3 * total);
        for (let at = 0; at < hosts.length; at++) {
          expect(Math.abs(counts[at]! - 3 * weights[at]!)).toBeLessThanOrEqual(2);
        }
      }),
      { numRuns: RUNS },
    );
  });
});

describe('LeastRequest', () => {
  test('[LB-01] fuzz: of the hosts drawn the one with the fewest active requests wins', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(20), { minLength: 2, maxLength: 8 }),
        fc.integer({ min: 2, max: 4 }),
        fc.integer(),
        (actives, choices, seed) => {
          const hosts = hostsOf(actives.map(() => 1));
          for (let at = 0; at < hosts.length; at++) hosts[at]!.active = actives[at]!;
          const drawn: number[] = [];
          const source = seeded(seed);
          const random = () => {
            const value = source();
            drawn.push(Math.floor(value * hosts.length));
            return value;
          };
          const picked = new LeastRequest(hosts, choices, random).pick();
          expect(drawn).toHaveLength(choices);
          expect(picked.active).toBe(Math.min(...drawn.map((at) => actives[at]!)));
        },
      ),
      { numRuns: RUNS },
    );
  });

  test('[LB-01] a host that does not finish gets hardly anything', () => {
    const hosts = hostsOf([1, 1, 1, 1]);
    hosts[2]!.active = 1_000;
    const counts = countPicks(new LeastRequest(hosts, 2, seeded(7)), hosts, 4_000);
    expect(counts[2]).toBeLessThan((4_000 / 16) * 1.4);
  });

  test('[LB-01] unequal weights are divided by the requests under way', () => {
    const hosts = hostsOf([2, 1]);
    hosts[0]!.active = 3; // 2 / (3 + 1) = 0.5, half of the other
    const counts = countPicks(new LeastRequest(hosts, 2, seeded(7)), hosts, 3_000);
    expect(counts[0]! / counts[1]!).toBeCloseTo(0.5, 1);
  });
});
