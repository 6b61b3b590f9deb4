import type { Counter } from '../../observe/metric.ts';
import type { StatsScope } from '../../observe/stats.ts';

/** `rules_stat_prefix`, `shadow_rules_stat_prefix`. */
export interface RbacStatsConfig {
  readonly prefix: string;
  readonly shadowPrefix: string;
}

/** Counters of one set of rules: of a whole filter, or of one policy in it. */
export interface RbacCounters {
  readonly allowed: Counter;
  readonly denied: Counter;
}

/**
 * `http.<stat_prefix>.rbac.[<rules_stat_prefix>.]allowed`, `…denied`, and `…shadow_allowed`, `…shadow_denied` of rules
 * on trial (SC-12): Envoy's names, except that Prometheus has a policy's name as a label and not in the metric's name.
 */
export class RbacStats {
  readonly enforced: RbacCounters;
  readonly shadow: RbacCounters;
  readonly #scope: StatsScope;
  readonly #config: RbacStatsConfig;
  readonly #ofPolicy = new Map<string, RbacCounters>();
  readonly #ofShadowPolicy = new Map<string, RbacCounters>();

  constructor(scope: StatsScope, config: RbacStatsConfig) {
    this.#scope = scope;
    this.#config = config;
    this.enforced = counters(scope, withDot(config.prefix), '', null);
    this.shadow = counters(scope, withDot(config.shadowPrefix), 'shadow_', null);
  }

  ofPolicy(name: string, shadow: boolean): RbacCounters {
    const { prefix, shadowPrefix } = this.#config;
    const known = shadow ? this.#ofShadowPolicy : this.#ofPolicy;
    let found = known.get(name);
    if (found === undefined) {
      found = shadow
        ? counters(this.#scope, withDot(shadowPrefix), 'shadow_', name)
        : counters(this.#scope, withDot(prefix), '', name);
      // Routes bring new names without end; the number of series is the registry's to bound.
      if (known.size >= POLICIES_MAX) known.clear();
      known.set(name, found);
    }
    return found;
  }
}

const POLICIES_MAX = 1000;

function counters(
  scope: StatsScope,
  prefix: string,
  shadow: '' | 'shadow_',
  policy: string | null,
): RbacCounters {
  const metric = `rbac_${prefix.replaceAll(NOT_OF_METRICS, '_')}`;
  const counter = (outcome: 'allowed' | 'denied', help: string): Counter => {
    const name = `${shadow}${outcome}`;
    return policy === null
      ? scope.counter(
          { dotted: `rbac.${printable(prefix)}${name}`, prometheus: `${metric}${name}` },
          help,
        )
      : scope.counter(
          {
            dotted: `rbac.${printable(prefix)}policy.${printable(policy)}.${name}`,
            prometheus: `${metric}policy_${name}`,
          },
          help,
          [['envoy_rbac_policy_name', policy]],
        );
  };
  const rules = shadow === '' ? 'the rules' : 'the rules on trial';
  return {
    allowed: counter('allowed', `Requests that ${rules} let pass`),
    denied: counter('denied', `Requests that ${rules} refuse`),
  };
}

/** A name is of whoever wrote the policy, and `/stats` is read line by line. */
function printable(name: string): string {
  return name.replaceAll(CONTROL, '_');
}

const NOT_OF_METRICS = /[^A-Za-z0-9_:]/g;
const CONTROL = /\p{Cc}/gu;

function withDot(prefix: string): string {
  return prefix === '' || prefix.endsWith('.') ? prefix : `${prefix}.`;
}
