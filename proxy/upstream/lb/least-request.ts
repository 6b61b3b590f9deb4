import { EdfSchedule } from './edf-schedule.ts';
import { hasEqualWeights, type LoadBalancer, type Random, type Weighted } from './load-balancer.ts';

/**
 * LB-01. Equal weights: the power of `choices` random choices, the one with the fewest active
 * requests wins. Unequal weights: weighted round robin in which a host's weight is divided by
 * its active requests + 1 (Envoy's `active_request_bias` of 1.0).
 */
export class LeastRequest<Host extends Weighted> implements LoadBalancer<Host> {
  readonly #hosts: readonly Host[];
  readonly #choices: number;
  readonly #random: Random;
  readonly #schedule: EdfSchedule | null;

  /** `choices` ≥ 1, default 2 in the configuration. */
  constructor(hosts: readonly Host[], choices: number, random: Random) {
    this.#hosts = hosts;
    this.#choices = choices;
    this.#random = random;
    this.#schedule = hasEqualWeights(hosts)
      ? null
      : new EdfSchedule(hosts.map(biasedWeight), random);
  }

  pick(): Host {
    const hosts = this.#hosts;
    const schedule = this.#schedule;
    if (schedule !== null) {
      const host = hosts[schedule.earliest()]!;
      schedule.again(biasedWeight(host));
      return host;
    }
    let best = hosts[Math.floor(this.#random() * hosts.length)]!;
    // With replacement, as Envoy: two equal draws are one choice.
    for (let choice = 1; choice < this.#choices; choice++) {
      const host = hosts[Math.floor(this.#random() * hosts.length)]!;
      if (host.active < best.active) best = host;
    }
    return best;
  }
}

function biasedWeight(host: Weighted): number {
  return host.weight / (host.active + 1);
}
