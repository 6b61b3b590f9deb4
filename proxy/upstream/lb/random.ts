import { hasEqualWeights, type LoadBalancer, type Random, type Weighted } from './load-balancer.ts';

/** LB-02: each pick independent of the others, by weight. */
export class RandomChoice<Host extends Weighted> implements LoadBalancer<Host> {
  readonly #hosts: readonly Host[];
  readonly #random: Random;
  /** Running sums of the weights; empty where they are equal. */
  readonly #cumulative: Float64Array;

  constructor(hosts: readonly Host[], random: Random) {
    this.#hosts = hosts;
    this.#random = random;
    this.#cumulative = new Float64Array(hasEqualWeights(hosts) ? 0 : hosts.length);
    let sum = 0;
    for (let at = 0; at < this.#cumulative.length; at++) {
      sum += hosts[at]!.weight;
      this.#cumulative[at] = sum;
    }
  }

  pick(): Host {
    const cumulative = this.#cumulative;
    if (cumulative.length === 0)
      return this.#hosts[Math.floor(this.#random() * this.#hosts.length)]!;
    const draw = this.#random() * cumulative[cumulative.length - 1]!;
    let low = 0;
    let high = cumulative.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (cumulative[middle]! > draw) high = middle;
      else low = middle + 1;
    }
    return this.#hosts[low]!;
  }
}
