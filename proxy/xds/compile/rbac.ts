import type { CidrRange } from '../../../proto/gen/envoy/config/core/v3/address.ts';
import type {
  Permission,
  Policy,
  Principal,
  RBAC as RulesProto,
} from '../../../proto/gen/envoy/config/rbac/v3/rbac.ts';
import type {
  RBAC as FilterProto,
  RBACPerRoute,
} from '../../../proto/gen/envoy/extensions/filters/http/rbac/v3/rbac.ts';
import type { FilterStateMatcher } from '../../../proto/gen/envoy/type/matcher/v3/filter_state.ts';
import type { PathMatcher } from '../../../proto/gen/envoy/type/matcher/v3/path.ts';
import type { Int32Range } from '../../../proto/gen/envoy/type/v3/range.ts';
import type { RbacStatsConfig } from '../../filter/rbac/rbac-stats.ts';
import type { RbacCondition, RbacConfig, RbacPolicy, RbacRules } from '../../router/rbac-config.ts';
import type { StringMatcher } from '../../router/route-config.ts';
import { type IpPrefix, parseIpPrefix } from '../../tcp/ip-prefix.ts';
import { compileCidrRange } from './address.ts';
import { compileHeaderMatcher } from './header-matcher.ts';
import type { MessageReader } from './message-reader.ts';
import { compileStringMatcher } from './string-matcher.ts';

/** `envoy.extensions.filters.http.rbac.v3.RBAC`: the listener's rules, and what they count under. */
export function compileRbac(reader: MessageReader<FilterProto>): {
  readonly rbac: RbacConfig;
  readonly stats: RbacStatsConfig;
} {
  return {
    rbac: compileRbacConfig(reader),
    stats: {
      prefix: reader.string('rulesStatPrefix'),
      shadowPrefix: reader.string('shadowRulesStatPrefix'),
    },
  };
}

/** Nothing is enforced, and nothing on trial. */
export const NO_RBAC: RbacConfig = Object.freeze({
  rules: null,
  shadowRules: null,
  countsPolicies: false,
});

/** `RBACPerRoute`: rules in place of the listener's, counted where those are; without `rbac` there are none. */
export function compileRbacPerRoute(reader: MessageReader<RBACPerRoute>): RbacConfig | null {
  const rbac = reader.child('rbac');
  return rbac === undefined ? null : compileRbacConfig(rbac);
}

function compileRbacConfig(reader: MessageReader<FilterProto>): RbacConfig {
  const rules = reader.child('rules');
  const shadowRules = reader.child('shadowRules');
  return {
    rules: rules === undefined ? null : compileRules(rules),
    shadowRules: shadowRules === undefined ? null : compileRules(shadowRules),
    countsPolicies: reader.bool('trackPerRuleStats'),
  };
}

function compileRules(reader: MessageReader<RulesProto>): RbacRules {
  const action = reader.choice('action', ACTIONS, 'ALLOW');
  const policies: RbacPolicy[] = [];
  for (const [name, policy] of reader.entries('policies')) {
    policies.push(compilePolicy(policy, name));
  }
  policies.sort((a, b) => (a.name < b.name ? -1 : 1));
  return { action, policies };
}

/** LOG only sets `access_log_hint` in dynamic metadata, which no access log here reads. */
const ACTIONS = [
  [0, 'ALLOW', 'ALLOW'],
  [1, 'DENY', 'DENY'],
] as const;

function compilePolicy(reader: MessageReader<Policy>, name: string): RbacPolicy {
  const permissions = reader.children('permissions').map((one) => compilePermission(one, 1));
  const principals = reader.children('principals').map((one) => compilePrincipal(one, 1));
  return {
    name,
    permissions: combined(reader, 'permissions', 'or', permissions),
    principals: combined(reader, 'principals', 'or', principals),
  };
}

function compilePermission(reader: MessageReader<Permission>, depth: number): RbacCondition {
  const set = reader.oneof('rule');
  if (depth > DEPTH_MAX) return tooDeep(reader);
  switch (set?.$case) {
    case 'any':
      return any(reader, set);
    case 'andRules':
    case 'orRules': {
      const sub = reader.caseReader(set);
      const conditions = sub.children('rules').map((rule) => compilePermission(rule, depth + 1));
      return combined(sub, 'rules', set.$case === 'andRules' ? 'and' : 'or', conditions);
    }
    case 'notRule':
      return { kind: 'not', condition: compilePermission(reader.caseReader(set), depth + 1) };
    case 'header':
      return { kind: 'header', header: compileHeaderMatcher(reader.caseReader(set)) };
    case 'urlPath':
      return compileUrlPath(reader.caseReader(set));
    case 'destinationIp':
      return { kind: 'destinationIp', prefix: compilePrefix(reader.caseReader(set)) };
    case 'destinationPort':
      if (set.value > PORT_MAX) {
        reader.caseProblem(set, `must lie between 0 and ${PORT_MAX}, is ${set.value}`);
      }
      return { kind: 'destinationPort', start: set.value, end: set.value + 1 };
    case 'destinationPortRange':
      return compilePortRange(reader.caseReader(set));
    case 'requestedServerName':
      return {
        kind: 'requestedServerName',
        name: compileStringMatcher(reader.caseReader(set)),
      };
    case 'metadata':
      reader.caseProblem(set, NO_DYNAMIC_METADATA);
      return NEVER;
    default:
      reader.unsupportedCase(set, PERMISSIONS);
      return NEVER;
  }
}

function compilePrincipal(reader: MessageReader<Principal>, depth: number): RbacCondition {
  const set = reader.oneof('identifier');
  if (depth > DEPTH_MAX) return tooDeep(reader);
  switch (set?.$case) {
    case 'any':
      return any(reader, set);
    case 'andIds':
    case 'orIds': {
      const sub = reader.caseReader(set);
      const conditions = sub.children('ids').map((id) => compilePrincipal(id, depth + 1));
      return combined(sub, 'ids', set.$case === 'andIds' ? 'and' : 'or', conditions);
    }
    case 'notId':
      return { kind: 'not', condition: compilePrincipal(reader.caseReader(set), depth + 1) };
    case 'authenticated': {
      const name = reader.caseReader(set).child('principalName');
      return {
        kind: 'authenticated',
        name: name === undefined ? null : compileStringMatcher(name),
      };
    }
    case 'sourceIp':
    case 'directRemoteIp':
      return { kind: 'directRemoteIp', prefix: compilePrefix(reader.caseReader(set)) };
    case 'remoteIp':
      return { kind: 'remoteIp', prefix: compilePrefix(reader.caseReader(set)) };
    case 'header':
      return { kind: 'header', header: compileHeaderMatcher(reader.caseReader(set)) };
    case 'urlPath':
      return compileUrlPath(reader.caseReader(set));
    case 'filterState':
      return compileFilterState(reader.caseReader(set));
    case 'metadata':
      reader.caseProblem(set, NO_DYNAMIC_METADATA);
      return NEVER;
    default:
      reader.unsupportedCase(set, PRINCIPALS);
      return NEVER;
  }
}

function any<T extends object>(
  reader: MessageReader<T>,
  set: { readonly $case: 'any'; readonly value: boolean },
): RbacCondition {
  if (!set.value) reader.caseProblem(set, 'must be true');
  return { kind: 'any' };
}

function tooDeep<T extends object>(reader: MessageReader<T>): RbacCondition {
  reader.problems.add(reader.path, `nested more than ${DEPTH_MAX} levels deep`);
  return NEVER;
}

/** The conditions of a list that must have some; one needs no list around it. */
function combined<T extends object>(
  reader: MessageReader<T>,
  key: keyof T & string,
  kind: 'and' | 'or',
  conditions: readonly RbacCondition[],
): RbacCondition {
  if (conditions.length === 0) reader.problem(key, 'must not be empty');
  return conditions.length === 1 ? conditions[0]! : { kind, conditions };
}

function compileUrlPath(reader: MessageReader<PathMatcher>): RbacCondition {
  const set = reader.oneof('rule');
  if (set?.$case !== 'path') {
    reader.unsupportedCase(set, 'path');
    return NEVER;
  }
  return { kind: 'urlPath', path: compileStringMatcher(reader.caseReader(set)) };
}

function compilePrefix(reader: MessageReader<CidrRange>): IpPrefix {
  return parseIpPrefix(compileCidrRange(reader)) ?? NO_PREFIX;
}

function compilePortRange(reader: MessageReader<Int32Range>): RbacCondition {
  const start = reader.integer('start', { max: PORT_MAX, fallback: 0 });
  const end = reader.integer('end', { max: PORT_MAX + 1, fallback: 0 });
  if (start >= end) reader.problem('end', `must be more than start, ${start}, is ${end}`);
  return { kind: 'destinationPort', start, end };
}

/** The one object of filter state that a connection has here: who the client is, as Istio names it. */
function compileFilterState(reader: MessageReader<FilterStateMatcher>): RbacCondition {
  const key = reader.required('key');
  if (key !== '' && key !== PEER_PRINCIPAL) {
    reader.problem('key', `"${key}" is not known; use ${PEER_PRINCIPAL}`);
  }
  const set = reader.oneof('matcher');
  if (set?.$case !== 'stringMatch') {
    reader.unsupportedCase(set, 'string_match');
    return NEVER;
  }
  const principal: StringMatcher = compileStringMatcher(reader.caseReader(set));
  return { kind: 'peerPrincipal', principal };
}

/** Stands in after a problem. */
const NEVER: RbacCondition = { kind: 'not', condition: { kind: 'any' } };
const NO_PREFIX: IpPrefix = { bytes: new Uint8Array(0), bits: 0 };
/** Conditions in conditions: what is evaluated for every request must not exhaust the stack. */
const DEPTH_MAX = 32;
const PORT_MAX = 65_535;
const PEER_PRINCIPAL = 'io.istio.peer_principal';
const NO_DYNAMIC_METADATA = 'not supported: no filter here writes dynamic metadata';
const PERMISSIONS =
  'any, and_rules, or_rules, not_rule, header, url_path, destination_ip, destination_port, destination_port_range or requested_server_name';
const PRINCIPALS =
  'any, and_ids, or_ids, not_id, authenticated, direct_remote_ip, remote_ip, source_ip, header, url_path or filter_state';
