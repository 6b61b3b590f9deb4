import type { StatsScope } from '../../observe/stats.ts';
import type { RbacConfig, RbacPolicy, RbacRules } from '../../router/rbac-config.ts';
import type { Route } from '../../router/route-table.ts';
import {
  type FilterContext,
  FilterResult,
  type HttpFilter,
  type HttpFilterFactory,
} from '../http-filter.ts';
import { isAllowed, matchedPolicy, RbacRequest } from './matched-policy.ts';
import { RbacStats, type RbacStatsConfig } from './rbac-stats.ts';

/**
 * envoy.filters.http.rbac (SC-08 to SC-12): a request passes or is answered 403 `RBAC: access denied`, before its body
 * is read. Rules of the route under this filter's name replace the listener's, those of the virtual host stand between.
 */
export class RbacFilterFactory implements HttpFilterFactory {
  readonly name: string;
  readonly #config: RbacConfig;
  readonly #enforced: RbacStats;
  readonly #shadow: RbacStats;

  constructor(name: string, config: RbacConfig, stats: RbacStatsConfig, scope: StatsScope) {
    this.name = name;
    this.#config = config;
    this.#enforced = new RbacStats(scope, stats.prefix, 'enforced');
    this.#shadow = new RbacStats(scope, stats.shadowPrefix, 'shadow');
  }

  create(context: FilterContext): HttpFilter | null {
    const config = this.#configOf(context.route);
    if (config === null) return null;
    const { rules, shadowRules, countsPolicies } = config;
    if (rules === null && shadowRules === null) return null;
    const request = new RbacRequest(context);
    if (shadowRules !== null) {
      count(this.#shadow, shadowRules, matchedPolicy(shadowRules, request), countsPolicies);
    }
    if (rules === null) return null;
    const matched = matchedPolicy(rules, request);
    const allowed = count(this.#enforced, rules, matched, countsPolicies);
    return allowed ? null : new Denial(context, matched);
  }

  /** null: switched off for the route. */
  #configOf(route: Route | null): RbacConfig | null {
    if (route === null) return this.#config;
    const ofRoute = route.entry.rbac.get(this.name);
    if (ofRoute !== undefined) return ofRoute;
    const ofVirtualHost = route.virtualHost.config.rbac.get(this.name);
    return ofVirtualHost === undefined ? this.#config : ofVirtualHost;
  }
}

/** Whether the request passes, once that has been counted. */
function count(
  stats: RbacStats,
  rules: RbacRules,
  matched: RbacPolicy | null,
  countsPolicies: boolean,
): boolean {
  const allowed = isAllowed(rules, matched);
  const outcome = allowed ? 'allowed' : 'denied';
  stats.total[outcome].value++;
  if (countsPolicies && matched !== null) stats.ofPolicy(matched.name)[outcome].value++;
  return allowed;
}

/** The answer to a request that may not pass. */
class Denial implements HttpFilter {
  readonly body = null;
  readonly #context: FilterContext;
  readonly #matched: RbacPolicy | null;

  constructor(context: FilterContext, matched: RbacPolicy | null) {
    this.#context = context;
    this.#matched = matched;
  }

  onRequest(): FilterResult {
    this.#context.answer({ kind: 'rbacDenied', policy: this.#matched?.name ?? '' });
    return FilterResult.Answered;
  }

  onResponse(): void {}

  destroy(): void {}
}
