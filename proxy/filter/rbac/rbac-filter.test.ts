import { expect, test } from 'vitest';
import { type ExchangeOptions, exchange, route } from '../../../test/proxy-exchange.ts';
import { renderPrometheus } from '../../observe/render-prometheus.ts';
import type { RbacCondition, RbacConfig, RbacPolicy } from '../../router/rbac-config.ts';
import type { HeaderMatcher, StringMatcher } from '../../router/route-config.ts';
import { parseIpPrefix } from '../../tcp/ip-prefix.ts';
import type { DownstreamConnectionInfo, PeerCertificate } from '../../tls/peer-certificate.ts';

const ANY: RbacCondition = { kind: 'any' };
const NEVER: RbacCondition = { kind: 'not', condition: ANY };
const exact = (value: string): StringMatcher => ({ kind: 'exact', value, ignoreCase: false });
const prefix = (value: string): StringMatcher => ({ kind: 'prefix', value, ignoreCase: false });

function header(name: string, value: StringMatcher, parts: Partial<HeaderMatcher> = {}) {
  return {
    kind: 'header',
    header: { name, value, invert: false, missingAsEmpty: false, ...parts },
  } satisfies RbacCondition;
}

function policy(
  name: string,
  permissions: RbacCondition,
  principals: RbacCondition = ANY,
): RbacPolicy {
  return { name, permissions, principals };
}

function rules(action: 'ALLOW' | 'DENY', ...policies: RbacPolicy[]): RbacConfig {
  return { rules: { action, policies }, shadowRules: null, countsPolicies: false };
}

function withRbac(rbac: RbacConfig, options: ExchangeOptions = {}) {
  return exchange({
    ...options,
    config: {
      httpFilters: [
        { kind: 'rbac', name: 'rbac', rbac, stats: { prefix: '', shadowPrefix: '' } },
        { kind: 'router' },
      ],
      ...options.config,
    },
  });
}

/** Whether a request passes rules of one policy. */
function passes(
  action: 'ALLOW' | 'DENY',
  permissions: RbacCondition,
  headers: readonly string[],
  principals: RbacCondition = ANY,
  info: Partial<DownstreamConnectionInfo> = {},
  options: ExchangeOptions = {},
): boolean {
  const mesh = withRbac(rules(action, policy('p', permissions, principals)), options);
  mesh.connect(info).get('/', headers);
  expect(mesh.bugs).toEqual([]);
  return mesh.cluster('a').tries.length === 1;
}

test('[SC-11] a denied request is answered 403, with the policy in the log and no flag', () => {
  const mesh = withRbac(rules('DENY', policy('ns[a]-policy[b c]-rule[0]', ANY)));
  const client = mesh.connect().get();
  expect(client.status).toBe(403);
  expect(client.body).toBe('RBAC: access denied');
  expect(mesh.record.responseCodeDetails).toBe(
    'rbac_access_denied_matched_policy[ns[a]-policy[b_c]-rule[0]]',
  );
  expect(mesh.flags).toBe('-');
  expect(mesh.cluster('a').tries).toEqual([]);
});

test('[SC-11] a gRPC request is denied with PERMISSION_DENIED', () => {
  const mesh = withRbac(rules('ALLOW'));
  const client = mesh.connect().get('/', ['content-type: application/grpc']);
  expect(client.status).toBe(200);
  expect(client.header('grpc-status')).toBe('7');
  expect(client.header('grpc-message')).toBe('RBAC: access denied');
  expect(mesh.record.responseCodeDetails).toBe('rbac_access_denied_matched_policy[none]');
});

test('[SC-08] ALLOW without a policy denies all, DENY without one allows all, no rules allow all', () => {
  expect(withRbac(rules('ALLOW')).connect().get().status).toBe(403);
  for (const config of [rules('DENY'), { rules: null, shadowRules: null, countsPolicies: false }]) {
    const mesh = withRbac(config);
    mesh.connect().get();
    expect(mesh.cluster('a').tries.length).toBe(1);
  }
});

test('[SC-09] a policy holds where a permission and a principal hold', () => {
  for (const [permission, principal, allowed] of [
    [ANY, ANY, true],
    [ANY, NEVER, false],
    [NEVER, ANY, false],
  ] as const) {
    expect(passes('ALLOW', permission, [], principal)).toBe(allowed);
    expect(passes('DENY', permission, [], principal)).toBe(!allowed);
  }
});

test('the filter stands where the listener puts it: a request that no route matches is denied first', () => {
  const mesh = withRbac(rules('ALLOW'), { routes: [] });
  expect(mesh.connect().get().status).toBe(403);
  const open = withRbac(rules('DENY'), { routes: [] });
  expect(open.connect().get().status).toBe(404);
});

test('a denied request is denied before its body: no 100 Continue', () => {
  const mesh = withRbac(rules('ALLOW'));
  const client = mesh.connect();
  client.send('POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n');
  expect(client.text).not.toContain('100 Continue');
  expect(client.status).toBe(403);
});

test("a route's rules replace the virtual host's, and those the listener's, by the filter's name", () => {
  const deny = rules('ALLOW');
  const allow = rules('DENY');
  const rows: readonly (readonly [
    listener: RbacConfig,
    virtualHost: RbacConfig | null | undefined,
    ofRoute: RbacConfig | null | undefined,
    passes: boolean,
  ])[] = [
    [deny, undefined, undefined, false],
    [deny, allow, undefined, true],
    [allow, deny, undefined, false],
    [allow, allow, deny, false],
    [deny, deny, allow, true],
    [deny, deny, null, true],
    [deny, null, undefined, true],
    [deny, null, deny, false],
  ];
  const named = (config: RbacConfig | null | undefined, name = 'rbac') =>
    new Map(config === undefined ? [] : [[name, config]]);
  for (const [listener, ofVirtualHost, ofRoute, allowed] of rows) {
    const mesh = withRbac(listener, {
      virtualHost: { rbac: named(ofVirtualHost) },
      routes: [route('/', 'a', {}, { rbac: named(ofRoute) })],
    });
    mesh.connect().get();
    expect(mesh.cluster('a').tries.length).toBe(allowed ? 1 : 0);
  }
  const other = withRbac(deny, { routes: [route('/', 'a', {}, { rbac: named(null, 'other') })] });
  expect(other.connect().get().status).toBe(403);
});

const CERTIFICATE: PeerCertificate = {
  principal: 'spiffe://cluster.local/ns/a/sa/b',
  uriSans: ['spiffe://cluster.local/ns/a/sa/b'],
  dnsSans: ['b.example'],
  ipSans: [],
  subject: 'CN=b',
  sha256: '',
};
const KNOWN = {
  tls: true,
  mutualTls: true,
  peerPrincipal: CERTIFICATE.principal,
  peerCertificate: CERTIFICATE,
};

test('[SC-10] [A1.2] nobody is authenticated without a verified certificate', () => {
  const anybody: RbacCondition = { kind: 'authenticated', name: null };
  const everyName: RbacCondition = { kind: 'authenticated', name: prefix('') };
  const principal: RbacCondition = { kind: 'peerPrincipal', principal: prefix('') };
  for (const asked of [anybody, everyName, principal]) {
    expect(passes('ALLOW', ANY, [], asked)).toBe(false);
    expect(passes('ALLOW', ANY, [], asked, { tls: true })).toBe(false);
    expect(passes('ALLOW', ANY, [], asked, KNOWN)).toBe(true);
  }
  const forged = ['x-forwarded-client-cert: URI=spiffe://cluster.local/ns/a/sa/b'];
  expect(passes('ALLOW', ANY, forged, everyName)).toBe(false);
});

test.each<[string, StringMatcher, boolean]>([
  ['the URI', exact('spiffe://cluster.local/ns/a/sa/b'), true],
  ['a DNS name', exact('b.example'), true],
  ['the subject', exact('CN=b'), true],
  ['no name', exact('b'), false],
])('[SC-10] authenticated as %s', (_, name, expected) => {
  expect(passes('ALLOW', ANY, [], { kind: 'authenticated', name }, KNOWN)).toBe(expected);
});

const range = (text: string) => parseIpPrefix(text)!;

test('[SC-10] addresses and ports of both ends', () => {
  const info = { localAddress: '[fd00::5]:8080', remoteAddress: '10.2.3.4:999' };
  const rows: readonly (readonly [RbacCondition, boolean])[] = [
    [{ kind: 'destinationIp', prefix: range('fd00::/16') }, true],
    [{ kind: 'destinationIp', prefix: range('0.0.0.0/0') }, false],
    [{ kind: 'destinationPort', start: 8080, end: 8081 }, true],
    [{ kind: 'destinationPort', start: 8000, end: 8080 }, false],
    [{ kind: 'directRemoteIp', prefix: range('10.2.0.0/16') }, true],
    [{ kind: 'directRemoteIp', prefix: range('10.3.0.0/16') }, false],
    [{ kind: 'remoteIp', prefix: range('10.2.3.4/32') }, true],
  ];
  for (const [condition, expected] of rows) {
    expect(passes('ALLOW', condition, [], ANY, info), JSON.stringify(condition)).toBe(expected);
  }
});

test('[SC-10] the server name that the client asked for', () => {
  const condition: RbacCondition = { kind: 'requestedServerName', name: exact('a.test') };
  expect(passes('ALLOW', condition, [], ANY, { requestedServerName: 'a.test' })).toBe(true);
  expect(passes('ALLOW', condition, [])).toBe(false);
});

test('[SC-10] url_path sees neither query nor fragment', () => {
  const secret: RbacCondition = { kind: 'urlPath', path: exact('/secret') };
  for (const [path, denied] of [
    ['/secret', true],
    ['/secret?a=1', true],
    ['/x/../secret?', true],
    ['/secret/', false],
    ['/?/secret', false],
  ] as const) {
    const mesh = withRbac(rules('DENY', policy('p', secret)));
    expect(mesh.connect().get(path).status === 403, path).toBe(denied);
  }
});

/** `x-forwarded-for` lines; trusted hops; edge; client. The connection's peer is 10.0.0.9. */
const FORWARDED: readonly (readonly [string[], number, boolean, string])[] = [
  [[], 0, false, '10.0.0.9'],
  [['1.1.1.1'], 0, false, '1.1.1.1'],
  [['1.1.1.1, 2.2.2.2'], 0, false, '2.2.2.2'],
  [['1.1.1.1', '2.2.2.2'], 0, false, '2.2.2.2'],
  [['1.1.1.1, 2.2.2.2'], 1, false, '1.1.1.1'],
  [['1.1.1.1, 2.2.2.2'], 2, false, '10.0.0.9'],
  [['1.1.1.1, nonsense'], 0, false, '10.0.0.9'],
  [[',,,'], 1, false, '10.0.0.9'],
  [['fd00::1'], 0, false, 'fd00::1'],
  [['1.1.1.1:80'], 0, false, '10.0.0.9'],
  [['1.1.1.1'], 0, true, '10.0.0.9'],
  [['1.1.1.1, 2.2.2.2'], 1, true, '2.2.2.2'],
  [['1.1.1.1, 2.2.2.2'], 2, true, '1.1.1.1'],
  [['1.1.1.1'], 2, true, '10.0.0.9'],
];

test.each(FORWARDED)(
  '[SC-10] [PR-16] client of x-forwarded-for %j, %i hops trusted, edge %s: %s',
  (...row) => {
    const [lines, xffTrustedHops, useRemoteAddress, client] = row;
    const headers = lines.map((line) => `x-forwarded-for: ${line}`);
    const config = { xffTrustedHops, useRemoteAddress };
    const from = (address: string) =>
      passes('ALLOW', { kind: 'remoteIp', prefix: range(address) }, headers, ANY, {}, { config });
    expect(from(client)).toBe(true);
    expect(from('9.9.9.9')).toBe(false);
  },
);

/** Lines of `x-role`; whether a rule for `admin` holds for an ALLOW rule, and for a DENY rule. */
const VALUES: readonly (readonly [string[], boolean, boolean])[] = [
  [[], false, false],
  [['admin'], true, true],
  [['user'], false, false],
  [['admin', 'user'], false, true],
  [['user', 'admin'], false, true],
  [['admin', 'admin'], true, true],
  [['admin,user'], false, true],
  [['user , admin'], false, true],
  [['x', 'user,admin'], false, true],
];

test.each(VALUES)('[A2.4] x-role %j: ALLOW %s, DENY %s', (lines, certain, possible) => {
  const headers = lines.map((line) => `x-role: ${line}`);
  const admin = header('x-role', exact('admin'));
  expect(passes('ALLOW', admin, headers)).toBe(certain);
  expect(passes('DENY', admin, headers)).toBe(!possible);
  // Everybody but admins: what might be an admin does not pass.
  const others: RbacCondition = { kind: 'not', condition: admin };
  expect(passes('ALLOW', others, headers)).toBe(!possible);
  expect(passes('DENY', others, headers)).toBe(certain);
  const inverted = header('x-role', exact('admin'), { invert: true, missingAsEmpty: true });
  expect(passes('ALLOW', inverted, headers)).toBe(!possible);
  expect(passes('DENY', inverted, headers)).toBe(certain);
});

test('[A2.4] a value with a comma is one value to an ALLOW rule that asks for it', () => {
  const agent = header('user-agent', prefix('Mozilla/'));
  expect(passes('ALLOW', agent, ['user-agent: Mozilla/5.0 (KHTML, like Gecko)'])).toBe(true);
  expect(passes('ALLOW', agent, ['user-agent: Mozilla/5.0', 'user-agent: curl'])).toBe(false);
  expect(passes('DENY', header('x', exact('a,b')), ['x: a', 'x: b'])).toBe(false);
});

test('[A2.4] more values than are looked at count as a match for DENY, and cost little', () => {
  const many = [`x-role: ${Array<string>(500).fill('u').join(',')}`];
  expect(passes('DENY', header('x-role', exact('admin')), many)).toBe(false);
  expect(passes('ALLOW', header('x-role', exact('admin')), many)).toBe(false);
  expect(passes('ALLOW', header('x-role', exact('admin'), { invert: true }), many)).toBe(false);
});

test('commas of a path are part of it', () => {
  const mesh = withRbac(rules('DENY', policy('p', header(':path', exact('/b')))));
  mesh.connect().get('/a,/b');
  expect(mesh.cluster('a').tries.length).toBe(1);
});

test('[SC-12] rules on trial are counted and not enforced', () => {
  const shadow = {
    action: 'DENY',
    policies: [policy('p', header('x-bad', { kind: 'present' }))],
  } as const;
  const mesh = withRbac({ rules: null, shadowRules: shadow, countsPolicies: true });
  const client = mesh.connect().get('/', ['x-bad: 1']);
  mesh.cluster('a').last.respond(200);
  client.get();
  mesh.cluster('a').last.respond(200);
  expect(mesh.records.map(({ status }) => status)).toEqual([200, 200]);
  expect(mesh.stat('http.test.rbac.shadow_denied')).toBe(1);
  expect(mesh.stat('http.test.rbac.shadow_allowed')).toBe(1);
  expect(mesh.stat('http.test.rbac.policy.p.shadow_denied')).toBe(1);
  expect(mesh.stat('http.test.rbac.denied')).toBe(0);
});

test('[SC-11] a policy without a name is counted by itself', () => {
  const rbac = { ...rules('DENY', policy('', ANY)), countsPolicies: true };
  const mesh = withRbac(rbac);
  mesh.connect().get();
  expect(mesh.stat('http.test.rbac.denied')).toBe(1);
  expect(mesh.stat('http.test.rbac.policy..denied')).toBe(1);
  expect(mesh.record.responseCodeDetails).toBe('rbac_access_denied_matched_policy[none]');
});

test('[SC-11] statistics, whatever their prefixes and policies are called', () => {
  const rbac = {
    ...rules('DENY', policy('a "b"\nc: 9', header('x-bad', { kind: 'present' }))),
    countsPolicies: true,
  };
  const stats = { prefix: 'a b-{}', shadowPrefix: 'istio_dry_run_allow_' };
  const mesh = withRbac(rbac, {
    config: { httpFilters: [{ kind: 'rbac', name: 'rbac', rbac, stats }, { kind: 'router' }] },
  });
  expect(mesh.connect().get('/', ['x-bad: 1']).status).toBe(403);
  expect(mesh.stat('http.test.rbac.a b-{}.denied')).toBe(1);
  expect(mesh.stat('http.test.rbac.a b-{}.policy.a "b"_c: 9.denied')).toBe(1);
  expect(mesh.stat('http.test.rbac.istio_dry_run_allow_.shadow_denied')).toBe(0);
  const text = [...renderPrometheus(mesh.stats)].join('');
  expect(text).toContain(
    'envoy_http_rbac_a_b____policy_denied{envoy_http_conn_manager_prefix="test",envoy_rbac_policy_name="a \\"b\\"\\nc: 9"} 1',
  );
});
