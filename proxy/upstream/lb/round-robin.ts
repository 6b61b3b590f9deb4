import { EdfSchedule } from './edf-schedule.ts';
import { hasEqualWeights, type LoadBalancer, type Random, type Weighted } from './load-balancer.ts';

/** LB-02: in turn from a random start; earliest deadline first where weights differ. */
export class RoundRobin<Host extends Weighted> implements LoadBalancer<Host> {
  readonly #hosts: readonly Host[];
  readonly #schedule: EdfSchedule | null;
  #next: number;

  constructor(hosts: readonly Host[], random: Random) {
    this.#hosts = hosts;
    this.#next = Math.floor(random() * hosts.length);
    this.#schedule = hasEqualWeights(hosts)
      ? null
      : new EdfSchedule(
          hosts.map(({ weight }) => weight),
          random,
        );
  }

  pick(): Host {
    const schedule = this.#schedule;
    if (schedule !== null) {
      const host = this.#hosts[schedule.earliest()]!;
      schedule.again(host.weight);
      return host;
    }
    const host = this.#hosts[this.#next]!;
    this.#next = this.#next + 1 === this.#hosts.length ? 0 : this.#next + 1;
    return host;
  }
}
