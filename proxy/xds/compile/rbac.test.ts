import { expect, test } from 'vitest';
import { parse } from 'yaml';
import type { MessageName } from '../../../proto/any.ts';
import type { Any } from '../../../proto/gen/google/protobuf/any.ts';
import type { MessageTypes } from '../../../proto/gen/registry.ts';
import { readJson } from '../../../proto/json.ts';
import type { RbacCondition } from '../../router/rbac-config.ts';
import { MessageReader } from './message-reader.ts';
import { compilePerFilterConfig } from './per-filter-config.ts';
import { formatProblems, Problems } from './problems.ts';
import { compileRbac } from './rbac.ts';

const FILTER = 'envoy.extensions.filters.http.rbac.v3.RBAC';
const PER_ROUTE = 'type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBACPerRoute';

function reader<N extends MessageName>(name: N, yaml: string, problems: Problems) {
  const { message, problems: unread } = readJson(name, parse(yaml));
  expect(unread).toEqual([]);
  return new MessageReader<MessageTypes[N] & object>(problems, name, message as never);
}

function compiled(yaml: string) {
  const problems = new Problems();
  const read = reader(FILTER, yaml, problems);
  const value = compileRbac(read);
  read.finish();
  return { ...value, problems: problems.list.map((problem) => formatProblems([problem])) };
}

/** One policy of one permission and one principal. */
function policy(permission: string, principal = 'any: true') {
  const result = compiled(
    `rules: {policies: {p: {permissions: [{${permission}}], principals: [{${principal}}]}}}`,
  );
  return { ...result, policy: result.rbac.rules!.policies[0]! };
}

function nested(depth: number): string {
  return depth === 0 ? 'any: true' : `not_rule: {${nested(depth - 1)}}`;
}

const HOME: RbacCondition = {
  kind: 'header',
  header: {
    name: ':authority',
    value: { kind: 'exact', value: 'home', ignoreCase: false },
    invert: false,
    missingAsEmpty: false,
  },
};

test.each<[string, RbacCondition]>([
  ['any: true', { kind: 'any' }],
  ['header: {name: Host, string_match: {exact: home}}', HOME],
  [
    'and_rules: {rules: [{any: true}, {header: {name: host, string_match: {exact: home}}}]}',
    { kind: 'and', conditions: [{ kind: 'any' }, HOME] },
  ],
  [
    'or_rules: {rules: [{any: true}, {any: true}]}',
    { kind: 'or', conditions: [{ kind: 'any' }, { kind: 'any' }] },
  ],
  ['or_rules: {rules: [{any: true}]}', { kind: 'any' }],
  ['not_rule: {any: true}', { kind: 'not', condition: { kind: 'any' } }],
  [
    'url_path: {path: {prefix: /a, ignore_case: true}}',
    { kind: 'urlPath', path: { kind: 'prefix', value: '/a', ignoreCase: true } },
  ],
  [
    'destination_ip: {address_prefix: 10.0.0.0, prefix_len: 8}',
    { kind: 'destinationIp', prefix: { bytes: new Uint8Array([10, 0, 0, 0]), bits: 8 } },
  ],
  ['destination_port: 80', { kind: 'destinationPort', start: 80, end: 81 }],
  ['destination_port_range: {start: 80, end: 90}', { kind: 'destinationPort', start: 80, end: 90 }],
  [
    'requested_server_name: {suffix: .local}',
    {
      kind: 'requestedServerName',
      name: { kind: 'suffix', value: '.local', ignoreCase: false },
    },
  ],
])('[SC-09] permission %s', (yaml, condition) => {
  const { policy: made, problems } = policy(yaml);
  expect(problems).toEqual([]);
  expect(made.permissions).toEqual(condition);
});

test.each<[string, RbacCondition]>([
  ['any: true', { kind: 'any' }],
  [
    'and_ids: {ids: [{any: true}, {any: true}]}',
    { kind: 'and', conditions: [{ kind: 'any' }, { kind: 'any' }] },
  ],
  [
    'or_ids: {ids: [{any: true}, {any: true}]}',
    { kind: 'or', conditions: [{ kind: 'any' }, { kind: 'any' }] },
  ],
  ['not_id: {any: true}', { kind: 'not', condition: { kind: 'any' } }],
  ['authenticated: {}', { kind: 'authenticated', name: null }],
  [
    'authenticated: {principal_name: {exact: spiffe://a}}',
    {
      kind: 'authenticated',
      name: { kind: 'exact', value: 'spiffe://a', ignoreCase: false },
    },
  ],
  [
    'filter_state: {key: io.istio.peer_principal, string_match: {exact: spiffe://a}}',
    {
      kind: 'peerPrincipal',
      principal: { kind: 'exact', value: 'spiffe://a', ignoreCase: false },
    },
  ],
  [
    'source_ip: {address_prefix: "fd00::", prefix_len: 8}',
    {
      kind: 'directRemoteIp',
      prefix: { bytes: new Uint8Array([0xfd, ...Array<number>(15).fill(0)]), bits: 8 },
    },
  ],
  [
    'direct_remote_ip: {address_prefix: 10.1.0.0, prefix_len: 16}',
    { kind: 'directRemoteIp', prefix: { bytes: new Uint8Array([10, 1, 0, 0]), bits: 16 } },
  ],
  [
    'remote_ip: {address_prefix: 10.1.0.0, prefix_len: 16}',
    { kind: 'remoteIp', prefix: { bytes: new Uint8Array([10, 1, 0, 0]), bits: 16 } },
  ],
  ['header: {name: host, string_match: {exact: home}}', HOME],
  [
    'url_path: {path: {exact: /a}}',
    { kind: 'urlPath', path: { kind: 'exact', value: '/a', ignoreCase: false } },
  ],
])('[SC-10] principal %s', (yaml, condition) => {
  const { policy: made, problems } = policy('any: true', yaml);
  expect(problems).toEqual([]);
  expect(made.principals).toEqual(condition);
});

const AT_RULES = 'rules.policies.p';
test.each([
  ['any: false', 'any: true', `${AT_RULES}.permissions[0].any: must be true`],
  ['any: true', 'any: false', `${AT_RULES}.principals[0].any: must be true`],
  ['', 'any: true', `${AT_RULES}.permissions[0]: one of any, and_rules`],
  ['any: true', '', `${AT_RULES}.principals[0]: one of any, and_ids`],
  ['and_rules: {}', 'any: true', `${AT_RULES}.permissions[0].and_rules.rules: must not be empty`],
  ['any: true', 'or_ids: {}', `${AT_RULES}.principals[0].or_ids.ids: must not be empty`],
  ['destination_port: 65536', 'any: true', `${AT_RULES}.permissions[0].destination_port: must lie`],
  [
    'destination_port_range: {start: 9, end: 9}',
    'any: true',
    `${AT_RULES}.permissions[0].destination_port_range.end: must be more than start`,
  ],
  [
    'destination_ip: {address_prefix: ten}',
    'any: true',
    `${AT_RULES}.permissions[0].destination_ip.address_prefix: "ten" is not an IP address`,
  ],
  [
    'header: {name: a, string_match: {safe_regex: {regex: "("}}}',
    'any: true',
    `${AT_RULES}.permissions[0].header.string_match.safe_regex.regex: `,
  ],
  ['url_path: {}', 'any: true', `${AT_RULES}.permissions[0].url_path: one of path must be set`],
  [
    'metadata: {filter: f, path: [{key: k}], value: {present_match: true}}',
    'any: true',
    `${AT_RULES}.permissions[0].metadata: not supported: no filter here writes dynamic metadata`,
  ],
  [
    'any: true',
    'metadata: {filter: f, path: [{key: k}], value: {present_match: true}}',
    `${AT_RULES}.principals[0].metadata: not supported: no filter here writes dynamic metadata`,
  ],
  [
    'any: true',
    'filter_state: {key: other, string_match: {exact: a}}',
    `${AT_RULES}.principals[0].filter_state.key: "other" is not known; use io.istio.peer_principal`,
  ],
  [
    'uri_template: {name: t}',
    'any: true',
    `${AT_RULES}.permissions[0].uri_template: not supported; use any`,
  ],
  ['matcher: {name: t}', 'any: true', `${AT_RULES}.permissions[0].matcher: not supported; use any`],
])('refuses permission {%s} with principal {%s}', (permission, principal, problem) => {
  const { problems } = policy(permission, principal);
  expect(problems.length).toBe(1);
  expect(problems[0]).toContain(problem);
});

test.each([
  ['rules: {policies: {p: {principals: [{any: true}]}}}', 'permissions: must not be empty'],
  ['rules: {policies: {p: {permissions: [{any: true}]}}}', 'principals: must not be empty'],
  ['rules: {action: LOG}', 'rules.action: 2 is not supported; use one of ALLOW, DENY'],
  [
    'rules: {audit_logging_options: {audit_condition: ON_DENY}}',
    'rules.audit_logging_options: is not supported by Weft; remove it',
  ],
])('refuses %s', (yaml, problem) => {
  const { problems } = compiled(yaml);
  expect(problems.length).toBe(1);
  expect(problems[0]).toContain(problem);
});

test('conditions nest 32 levels deep and no further', () => {
  expect(policy(nested(31)).problems).toEqual([]);
  const { problems } = policy(nested(32));
  expect(problems).toEqual([expect.stringContaining('nested more than 32 levels deep')]);
});

test('[SC-12] rules, rules on trial and what they count under; policies in order of their names', () => {
  const all = 'permissions: [{any: true}], principals: [{any: true}]';
  const { rbac, stats, problems } = compiled(`
    rules: {action: DENY, policies: {b: {${all}}, a: {${all}}, B: {${all}}}}
    rules_stat_prefix: enforced
    shadow_rules: {policies: {s: {${all}}}}
    shadow_rules_stat_prefix: istio_dry_run_allow_
    track_per_rule_stats: true`);
  expect(problems).toEqual([]);
  expect(rbac.rules?.action).toBe('DENY');
  expect(rbac.rules?.policies.map(({ name }) => name)).toEqual(['B', 'a', 'b']);
  expect(rbac.shadowRules?.action).toBe('ALLOW');
  expect(rbac.countsPolicies).toBe(true);
  expect(stats).toEqual({
    prefix: 'enforced',
    shadowPrefix: 'istio_dry_run_allow_',
  });
});

function perRoute(yaml: string) {
  const problems = new Problems();
  const read = reader('envoy.config.route.v3.Route', `typed_per_filter_config: ${yaml}`, problems);
  const { rbac } = compilePerFilterConfig(
    read as MessageReader<{ typedPerFilterConfig: Map<string, Any> }>,
  );
  read.finish();
  return { rbac, problems: problems.list.map((problem) => formatProblems([problem])) };
}

test('a route has rules for each filter by name, or none', () => {
  const { rbac, problems } = perRoute(`{
    deny: {"@type": ${PER_ROUTE}, rbac: {rules: {action: DENY}}},
    off: {"@type": ${PER_ROUTE}},
    wrapped: {"@type": type.googleapis.com/envoy.config.route.v3.FilterConfig, config: {"@type": ${PER_ROUTE}}}}`);
  expect(problems).toEqual([]);
  expect([...rbac]).toEqual([
    ['deny', { rules: { action: 'DENY', policies: [] }, shadowRules: null, countsPolicies: false }],
    ['off', null],
    ['wrapped', null],
  ]);
});

test("a route's rules count where the filter's do", () => {
  const { problems } = perRoute(
    `{deny: {"@type": ${PER_ROUTE}, rbac: {rules_stat_prefix: other}}}`,
  );
  expect(problems).toEqual([
    expect.stringContaining(
      'typed_per_filter_config.deny.rbac.rules_stat_prefix: is not supported by Weft; remove it',
    ),
  ]);
});
