import type { ClusterConfig } from './cluster-config.ts';
import { LeastRequest } from './lb/least-request.ts';
import type { LoadBalancer, Random, Weighted } from './lb/load-balancer.ts';
import { RandomChoice } from './lb/random.ts';
import { RoundRobin } from './lb/round-robin.ts';

/** What selection needs to know of a host. */
export interface SelectableHost extends Weighted {
  readonly healthy: boolean;
  readonly priority: number;
  readonly locality: string;
  /** Share of the host's locality, 0 = none. */
  readonly localityWeight: number;
}

/** What of a cluster shapes the choice. */
export type SelectionConfig = Pick<
  ClusterConfig,
  'lbPolicy' | 'leastRequestChoices' | 'panicThresholdPercent' | 'localityWeighted'
>;

/**
 * Which host the next request goes to: priority level, then locality, then the cluster's policy.
 * Built when endpoints, weights or health change; immutable but for the policies' own cursors.
 *
 * ```
 * pick ─▶ priority by load ─▶ locality by weight ─▶ policy ─▶ host
 *          (one level: skipped) (where the cluster says so)
 * ```
 *
 * As Envoy: a level's health is healthy/total × 1.4, at most 100 %; what is missing spills over to
 * the next one. Where all levels together stay below 100 %, a level whose share of healthy hosts is
 * under the panic threshold is used whole, health ignored (RS-19).
 */
export class HostSelection<Host extends SelectableHost> {
  readonly hosts: readonly Host[];
  readonly healthyCount: number;
  readonly #levels: readonly Level<Host>[];
  readonly #random: Random;

  constructor(hosts: readonly Host[], config: SelectionConfig, random: Random) {
    this.hosts = hosts;
    this.healthyCount = hosts.reduce((count, { healthy }) => count + (healthy ? 1 : 0), 0);
    this.#random = random;
    this.#levels = buildLevels(hosts, config, random);
  }

  /** Null: no host may be used (flag UH). */
  pick(): Host | null {
    const levels = this.#levels;
    if (levels.length === 0) return null;
    if (levels.length === 1) return levels[0]!.pick();
    let draw = this.#random() * 100;
    for (let at = 0; at < levels.length - 1; at++) {
      draw -= levels[at]!.loadPercent;
      if (draw < 0) return levels[at]!.pick();
    }
    return levels[levels.length - 1]!.pick();
  }

  /** Any usable host that is not in `excluded`, in no order; null where none is left. */
  pickOther(excluded: readonly unknown[]): Host | null {
    for (const level of this.#levels) {
      for (const host of level.usable) if (!excluded.includes(host)) return host;
    }
    return null;
  }
}

/** Envoy's overprovisioning factor of 140 %. */
const OVERPROVISIONING = 1.4;

interface Level<Host> {
  readonly loadPercent: number;
  readonly usable: readonly Host[];
  pick(): Host;
}

/** The levels that get load, lowest priority number first. */
function buildLevels<Host extends SelectableHost>(
  hosts: readonly Host[],
  config: SelectionConfig,
  random: Random,
): readonly Level<Host>[] {
  const byPriority = [...Map.groupBy(hosts, ({ priority }) => priority).entries()]
    .sort(([a], [b]) => a - b)
    .map(([, members]) => {
      const healthy = members.filter((host) => host.healthy);
      const healthPercent = Math.min(
        100,
        (100 * OVERPROVISIONING * healthy.length) / members.length,
      );
      return { members, healthy, healthPercent };
    });
  const totalHealth = byPriority.reduce((sum, { healthPercent }) => sum + healthPercent, 0);
  const mayPanic = totalHealth < 100;
  const levels: Level<Host>[] = [];
  const allPanic = totalHealth === 0 && config.panicThresholdPercent > 0 && byPriority.length > 0;
  let left = 100;
  for (const { members, healthy, healthPercent } of byPriority) {
    const inPanic =
      mayPanic && (100 * healthy.length) / members.length < config.panicThresholdPercent;
    const usable = inPanic ? members : healthy;
    // Nobody is healthy and health is ignored: load goes by the number of hosts.
    const share = allPanic
      ? (100 * members.length) / hosts.length
      : mayPanic
        ? (100 * healthPercent) / (totalHealth || 1)
        : Math.min(left, healthPercent);
    left -= share;
    if (usable.length === 0 || share <= 0) continue;
    levels.push(buildLevel(usable, members, share, config, random));
  }
  return levels;
}

function buildLevel<Host extends SelectableHost>(
  usable: readonly Host[],
  members: readonly Host[],
  loadPercent: number,
  config: SelectionConfig,
  random: Random,
): Level<Host> {
  const weighed = config.localityWeighted
    ? usable.filter(({ localityWeight }) => localityWeight > 0)
    : [];
  // Without a weight anywhere there is nothing to draw by: everybody takes part, as in Envoy.
  if (weighed.length === 0) {
    const balancer = buildPolicy(usable, config, random);
    return { loadPercent, usable, pick: () => balancer.pick() };
  }
  const localities = Map.groupBy(weighed, ({ locality }) => locality);
  const sizes = Map.groupBy(members, ({ locality }) => locality);
  const weighted = [...localities].map(([locality, hosts]) => ({
    balancer: buildPolicy(hosts, config, random),
    active: 0,
    // A locality that has lost hosts gets less, once more than the overprovisioning is gone.
    weight:
      hosts[0]!.localityWeight *
      Math.min(1, (OVERPROVISIONING * hosts.length) / sizes.get(locality)!.length),
  }));
  const byWeight = new RoundRobin(weighted, random);
  return { loadPercent, usable, pick: () => byWeight.pick().balancer.pick() };
}

function buildPolicy<Host extends Weighted>(
  hosts: readonly Host[],
  config: SelectionConfig,
  random: Random,
): LoadBalancer<Host> {
  switch (config.lbPolicy) {
    case 'ROUND_ROBIN':
      return new RoundRobin(hosts, random);
    case 'LEAST_REQUEST':
      return new LeastRequest(hosts, config.leastRequestChoices, random);
    case 'RANDOM':
      return new RandomChoice(hosts, random);
  }
}
