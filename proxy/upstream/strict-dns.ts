import { Timer, type TimerOwner } from '../tcp/timer-list.ts';
import type { ClusterConfig, EndpointAssignment, EndpointConfig } from './cluster-config.ts';
import type { DnsAnswer } from './dns-resolver.ts';
import type { LiveCluster } from './live-cluster.ts';

/**
 * Keeps a STRICT_DNS cluster's endpoints equal to what its names resolve to (DS-03): every address
 * is an endpoint, one that is gone from the answer is dropped at the next resolution, and a failing
 * resolution keeps the last good addresses (I7, D27).
 */
export class StrictDns implements TimerOwner {
  readonly #cluster: LiveCluster;
  readonly #onFirstAnswer: () => void;
  readonly #timer: Timer = new Timer(this, 0);
  readonly #lastGood = new Map<string, readonly string[]>();
  #config: ClusterConfig;
  /** Answers to an older configuration are dropped. */
  #generation = 0;
  #applied = '';
  #stopped = false;

  constructor(cluster: LiveCluster, onFirstAnswer: () => void) {
    this.#cluster = cluster;
    this.#config = cluster.config;
    this.#onFirstAnswer = onFirstAnswer;
  }

  /** Resolves now, and again every `dnsRefreshMs`. */
  start(config: ClusterConfig): void {
    this.#config = config;
    this.#generation++;
    this.#applied = '';
    this.#resolveAll();
  }

  stop(): void {
    this.#stopped = true;
    this.#generation++;
    this.#cluster.deps.timers.cancel(this.#timer);
  }

  onTimer(): void {
    this.#resolveAll();
  }

  #resolveAll(): void {
    const config = this.#config;
    const generation = this.#generation;
    const { dns } = this.#cluster.deps;
    const names = new Set(config.assignment.endpoints.map(({ address }) => address));
    const answers = [...names].map(async (name): Promise<[string, DnsAnswer]> => {
      return [name, await dns.resolve(name, config.dnsFamily)];
    });
    Promise.all(answers).then((resolved) => {
      if (generation !== this.#generation || this.#stopped) return;
      let failed = false;
      for (const [name, { addresses }] of resolved) {
        if (addresses.length > 0) this.#lastGood.set(name, addresses);
        else failed = true;
      }
      if (failed) this.#cluster.updates.updateFailure.value++;
      for (const name of this.#lastGood.keys()) if (!names.has(name)) this.#lastGood.delete(name);
      this.#apply(config);
      this.#onFirstAnswer();
      this.#cluster.deps.timers.arm(this.#timer, Math.max(config.dnsRefreshMs, REFRESH_MS_MIN));
    });
  }

  #apply(config: ClusterConfig): void {
    const endpoints: EndpointConfig[] = [];
    for (const endpoint of config.assignment.endpoints) {
      for (const address of this.#lastGood.get(endpoint.address) ?? []) {
        const hostname = endpoint.hostname === '' ? endpoint.address : endpoint.hostname;
        endpoints.push({ ...endpoint, address, hostname });
      }
    }
    const summary = endpoints.map(({ address, port }) => `${address} ${port}`).join('\n');
    if (summary === this.#applied) return;
    this.#applied = summary;
    const assignment: EndpointAssignment = { version: config.assignment.version, endpoints };
    this.#cluster.setAssignment(assignment);
  }
}

/** A refresh of 0 must not become a busy loop. */
const REFRESH_MS_MIN = 100;
