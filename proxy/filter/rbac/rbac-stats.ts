import type { Counter } from '../../observe/metric.ts';
import type { StatsScope } from '../../observe/stats.ts';

/** `rules_stat_prefix`, `shadow_rules_stat_prefix`. */
export interface RbacStatsConfig {
  readonly prefix: string;
  readonly shadowPrefix: string;
}

/** Counters of one set of rules, or of one policy in it. */
export interface RbacCounters {
  readonly allowed: Counter;
  readonly denied: Counter;
}

/**
 * `http.<stat_prefix>.rbac.[<rules_stat_prefix>.]allowed`, `…denied`, and `…shadow_allowed`, `…shadow_denied` of rules
 * on trial (SC-12): Envoy's names, except that Prometheus has a policy's name as a label and not in the metric's name.
 */
export class RbacStats {
  readonly total: RbacCounters;
  readonly #scope: StatsScope;
  readonly #prefix: string;
  readonly #kind: RulesKind;
  readonly #ofPolicy = new Map<string, RbacCounters>();

  constructor(scope: StatsScope, prefix: string, kind: RulesKind) {
    this.#scope = scope;
    this.#prefix = prefix === '' || prefix.endsWith('.') ? prefix : `${prefix}.`;
    this.#kind = kind;
    this.total = this.#counters(null);
  }

  ofPolicy(name: string): RbacCounters {
    let found = this.#ofPolicy.get(name);
    if (found === undefined) {
      found = this.#counters(name);
      // Routes bring new names without end; the number of series is the registry's to bound.
      if (this.#ofPolicy.size >= POLICIES_MAX) this.#ofPolicy.clear();
      this.#ofPolicy.set(name, found);
    }
    return found;
  }

  /** `policy`: null = all of them together. */
  #counters(policy: string | null): RbacCounters {
    const { start, who } = KINDS[this.#kind];
    const dotted = `rbac.${printable(this.#prefix)}`;
    const metric = `rbac_${this.#prefix.replaceAll(NOT_OF_METRICS, '_')}`;
    const counter = (outcome: 'allowed' | 'denied', help: string): Counter => {
      const name = start + outcome;
      if (policy === null) {
        return this.#scope.counter({ dotted: dotted + name, prometheus: metric + name }, help);
      }
      return this.#scope.counter(
        {
          dotted: `${dotted}policy.${printable(policy)}.${name}`,
          prometheus: `${metric}policy_${name}`,
        },
        help,
        [['envoy_rbac_policy_name', policy]],
      );
    };
    return {
      allowed: counter('allowed', `Requests that ${who} let pass`),
      denied: counter('denied', `Requests that ${who} refuse`),
    };
  }
}

type RulesKind = 'enforced' | 'shadow';

const KINDS = {
  enforced: { start: '', who: 'the rules' },
  shadow: { start: 'shadow_', who: 'the rules on trial' },
} as const;

const POLICIES_MAX = 1000;

/** A name is of whoever wrote the policy, and `/stats` is read line by line. */
function printable(name: string): string {
  return name.replaceAll(CONTROL, '_');
}

const NOT_OF_METRICS = /[^A-Za-z0-9_:]/g;
const CONTROL = /\p{Cc}/gu;
