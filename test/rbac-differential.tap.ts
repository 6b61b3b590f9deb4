import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { freePorts } from '../cli/run/free-port.ts';
import { type IssuedCertificate, makeAuthority, type TestAuthority } from './certificates.ts';
import { noEnvoy } from './harness/envoy.ts';
import { EnvoyProcess } from './harness/envoy-process.ts';
import { httpListener, ROUTER_FILTER, staticProxy } from './harness/static-proxy.ts';

/**
 * One bootstrap with authorization rules given to Envoy and to Weft, the same requests sent to both by clients of
 * several identities: status, body, what the access log says of each, and what the statistics count are the same.
 */

t.setTimeout(200_000);

const TYPE = 'type.googleapis.com/envoy';
const ANY = [{ any: true }];
const text = (kind: string, value: string, ignoreCase = false) => ({
  [kind]: kind === 'safe_regex' ? { regex: value } : value,
  ...(ignoreCase ? { ignore_case: true } : {}),
});
const header = (name: string, match: object) => ({ header: { name, ...match } });
const path = (kind: string, value: string) => ({ url_path: { path: text(kind, value) } });
const cidr = (address: string, bits: number) => ({ address_prefix: address, prefix_len: bits });
const named = (match: object) => ({ authenticated: { principal_name: match } });

/** Each is tried as what an ALLOW and as what a DENY policy asks for. */
const PERMISSIONS: readonly object[] = [
  { any: true },
  header(':method', { string_match: text('exact', 'GET') }),
  header(':method', { string_match: text('exact', 'GET'), invert_match: true }),
  header(':path', { string_match: text('suffix', '/public') }),
  header(':authority', { string_match: text('exact', 'a.test') }),
  header('host', { string_match: text('prefix', 'A.', true) }),
  header('x-role', { string_match: text('exact', 'admin') }),
  header('x-role', { string_match: text('exact', 'admin,user') }),
  header('x-role', { string_match: text('contains', 'user') }),
  header('x-role', { string_match: text('exact', 'admin'), invert_match: true }),
  header('x-role', {
    string_match: text('exact', 'admin'),
    invert_match: true,
    treat_missing_header_as_empty: true,
  }),
  header('x-role', { present_match: true }),
  header('x-role', { present_match: false }),
  header('x-role', { present_match: true, treat_missing_header_as_empty: true }),
  header('x-role', {
    present_match: true,
    invert_match: true,
    treat_missing_header_as_empty: true,
  }),
  header('x-role', { present_match: false, treat_missing_header_as_empty: true }),
  header('x-role', {}),
  header('x-role', { invert_match: true }),
  header('x-role', { exact_match: '' }),
  header('x-role', { exact_match: '', invert_match: true }),
  header('x-role', { exact_match: 'admin' }),
  header('x-role', { string_match: text('exact', ''), treat_missing_header_as_empty: true }),
  header('x-role', { safe_regex_match: { regex: '.*' } }),
  header('x-level', { range_match: { start: '1', end: '10' } }),
  path('suffix', '/public'),
  path('contains', 'SECRET'),
  path('safe_regex', '/[ad]/\\d+/(public|open)'),
  { url_path: { path: text('contains', 'secret', true) } },
  { destination_ip: cidr('127.0.0.0', 8) },
  { destination_ip: cidr('10.0.0.0', 8) },
  { destination_ip: cidr('::1', 128) },
  { destination_port: 1 },
  { destination_port_range: { start: 1, end: 65535 } },
  { requested_server_name: text('exact', 'a.test') },
  { requested_server_name: text('exact', '') },
  {
    and_rules: {
      rules: [
        header(':method', { string_match: text('exact', 'GET') }),
        { not_rule: path('suffix', '/public') },
      ],
    },
  },
  {
    or_rules: {
      rules: [
        header('x-role', { string_match: text('exact', 'admin') }),
        path('suffix', '/public'),
      ],
    },
  },
  { not_rule: { or_rules: { rules: [{ destination_port: 1 }, path('prefix', '/a/')] } } },
];

const PRINCIPALS: readonly object[] = [
  named(text('exact', 'spiffe://cluster.local/ns/default/sa/client')),
  named(text('prefix', 'spiffe://cluster.local/ns/default/')),
  named(text('safe_regex', 'spiffe://.*/sa/[a-z]+')),
  named(text('exact', 'client.example')),
  named(text('exact', 'CN=plain')),
  named(text('exact', 'CN=plain\\,O=admins')),
  named(text('exact', 'CN=plain,O=admins')),
  named(text('contains', 'a')),
  { not_id: named(text('prefix', 'spiffe://')) },
  { direct_remote_ip: cidr('127.0.0.1', 32) },
  { direct_remote_ip: cidr('10.0.0.0', 8) },
  { source_ip: cidr('127.0.0.0', 8) },
  { remote_ip: cidr('127.0.0.0', 8) },
  { remote_ip: cidr('10.0.0.0', 8) },
  { remote_ip: cidr('192.0.2.0', 24) },
  { remote_ip: cidr('2001:db8::', 32) },
  { remote_ip: cidr('0.0.0.0', 0) },
  header('x-role', { string_match: text('exact', 'admin') }),
  path('suffix', '/public'),
  {
    and_ids: {
      ids: [
        named(text('prefix', 'spiffe://')),
        { not_id: header('x-role', { present_match: true }) },
      ],
    },
  },
  { or_ids: { ids: [named(text('exact', 'client.example')), { remote_ip: cidr('10.0.0.0', 8) }] } },
];

const POLICIES = [
  ...PERMISSIONS.map((permission) => ({ permissions: [permission], principals: ANY })),
  ...PRINCIPALS.map((principal) => ({ permissions: ANY, principals: [principal] })),
  {
    permissions: [{ destination_port: 1 }, path('suffix', '/public')],
    principals: [named(text('exact', 'nobody')), { any: true }],
  },
];

/** Which of several policies is named, and how; where there is none; and rules that are switched off. */
const RULES: Readonly<Record<string, object>> = {
  'first-by-name': {
    rules: {
      action: 'DENY',
      policies: {
        b: { permissions: ANY, principals: ANY },
        'a b\tc': { permissions: [path('suffix', '/public')], principals: ANY },
      },
    },
  },
  'deny-all': { rules: { action: 'ALLOW' } },
  'allow-all': { rules: { action: 'DENY' } },
  none: {},
};

const OFF = '/off/';
const ENABLED = '/enabled/';
const DENY_PUBLIC = {
  rules: {
    action: 'DENY',
    policies: { public: { permissions: [path('suffix', '/public')], principals: ANY } },
  },
};

const REQUESTS: readonly (readonly [method: string, path: string, headers: object])[] = [
  ['GET', '/public', {}],
  ['POST', '/secret?next=/public', {}],
  ['GET', '/SECRET', { 'x-role': 'admin', host: 'A.TEST' }],
  ['GET', '/open', { 'x-role': 'user', 'x-level': '9' }],
  ['DELETE', '/public', { 'x-role': '', 'x-level': '10', 'x-forwarded-for': '10.1.2.3' }],
  ['GET', '/', { 'x-level': '-1', 'x-forwarded-for': '10.1.2.3, 192.0.2.7' }],
  ['GET', '/', { 'x-level': '5x', 'x-forwarded-for': '192.0.2.7,nonsense' }],
  ['GET', '/', { 'x-forwarded-for': ['10.0.0.1', ' 2001:db8::7 '] }],
  ['POST', '/public', { 'content-type': 'application/grpc' }],
];

const FORMAT =
  '%REQ(X-CLIENT)% %REQ(:METHOD)% %REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\n';

const perRoute = (config: object, filter = 'rbac') => ({
  typed_per_filter_config: {
    [filter]: { '@type': `${TYPE}.extensions.filters.http.rbac.v3.RBACPerRoute`, ...config },
  },
});

interface Files {
  readonly certificate: string;
  readonly key: string;
  readonly ca: string;
}

function resources(port: number, files: Files, log: string): object {
  const served = { direct_response: { status: 200, body: { inline_string: 'passed' } } };
  const route = (prefix: string, config: object) => ({
    match: { prefix },
    ...served,
    ...perRoute(config),
  });
  const routes = [
    ...(['ALLOW', 'DENY'] as const).flatMap((action) =>
      POLICIES.map((policy, index) =>
        route(`/${action[0]!.toLowerCase()}/${index}/`, {
          rbac: {
            rules: { action, policies: { [`policy ${index}`]: policy } },
            track_per_rule_stats: index % 2 === 0,
          },
        }),
      ),
    ),
    ...Object.entries(RULES).map(([name, rbac]) => route(`/${name}/`, { rbac })),
    route(OFF, {}),
    { match: { prefix: ENABLED }, ...served, ...perRoute({ rbac: DENY_PUBLIC }, 'disabled') },
    { match: { prefix: '/' }, ...served },
  ];
  const listener = httpListener(
    port,
    [
      { name: 'all', domains: ['*'], routes },
      // Its own rules stand between the listener's and a route's.
      {
        name: 'vhost',
        domains: ['vhost.test'],
        routes: [{ match: { prefix: '/' }, ...served }],
        ...perRoute({ rbac: { rules: { action: 'ALLOW' } } }),
      },
    ],
    {
      normalize_path: true,
      http_filters: [
        {
          name: 'rbac',
          typed_config: {
            '@type': `${TYPE}.extensions.filters.http.rbac.v3.RBAC`,
            rules: {
              action: 'DENY',
              policies: {
                'ns[a]-policy[b]-rule[0]': {
                  permissions: [header('x-role', { present_match: true })],
                  principals: ANY,
                },
              },
            },
            rules_stat_prefix: 'own',
            shadow_rules: {
              policies: {
                admins: {
                  permissions: [header('x-role', { string_match: text('exact', 'admin') })],
                  principals: ANY,
                },
              },
            },
            shadow_rules_stat_prefix: 'istio_dry_run_allow_',
            track_per_rule_stats: true,
          },
        },
        // A second one of the same kind goes by its own name, and no route speaks of it.
        {
          name: 'second',
          typed_config: {
            '@type': `${TYPE}.extensions.filters.http.rbac.v3.RBAC`,
            rules: {
              action: 'DENY',
              policies: {
                denied: {
                  permissions: [header('x-denied', { present_match: true })],
                  principals: ANY,
                },
              },
            },
          },
        },
        // Only where a route has rules for it.
        {
          name: 'disabled',
          disabled: true,
          typed_config: {
            '@type': `${TYPE}.extensions.filters.http.rbac.v3.RBAC`,
            rules: { action: 'ALLOW' },
            rules_stat_prefix: 'disabled',
          },
        },
        ROUTER_FILTER,
      ],
      access_log: [
        {
          name: 'file',
          typed_config: {
            '@type': `${TYPE}.extensions.access_loggers.file.v3.FileAccessLog`,
            path: log,
            log_format: { text_format_source: { inline_string: FORMAT } },
          },
        },
      ],
    },
    {
      transport_socket: {
        name: 'tls',
        typed_config: {
          '@type': `${TYPE}.extensions.transport_sockets.tls.v3.DownstreamTlsContext`,
          common_tls_context: {
            tls_certificates: [
              {
                certificate_chain: { filename: files.certificate },
                private_key: { filename: files.key },
              },
            ],
            validation_context: { trusted_ca: { filename: files.ca } },
          },
        },
      },
    },
  );
  return {
    listeners: [
      { ...listener, listener_filters: [{ name: 'tls_inspector', typed_config: TLS_INSPECTOR }] },
    ],
  };
}

const TLS_INSPECTOR = {
  '@type': `${TYPE}.extensions.filters.listener.tls_inspector.v3.TlsInspector`,
};

interface Answer {
  readonly status: number;
  readonly grpcStatus: string;
  readonly body: string;
}

/** A client of one identity, towards one of the two proxies. */
class Client {
  readonly name: string;
  readonly #port: number;
  readonly #agent: Agent;

  constructor(
    name: string,
    port: number,
    authority: TestAuthority,
    identity: IssuedCertificate | null,
    servername: string,
  ) {
    this.name = name;
    this.#port = port;
    this.#agent = new Agent({
      keepAlive: true,
      maxSockets: 4,
      servername,
      ca: authority.certificatePem,
      checkServerIdentity: () => undefined,
      ...(identity === null ? {} : { cert: identity.certificatePem, key: identity.privateKeyPem }),
    });
  }

  send(method: string, path: string, headers: object): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const outgoing = request(
        {
          host: '127.0.0.1',
          port: this.#port,
          agent: this.#agent,
          method,
          path,
          headers: { host: 'a.test', 'content-length': '0', 'x-client': this.name, ...headers },
        },
        (response) => {
          let body = '';
          response.setEncoding('utf8');
          response.on('data', (chunk: string) => {
            body += chunk;
          });
          response.on('error', reject);
          response.on('end', () =>
            resolve({
              status: response.statusCode ?? 0,
              grpcStatus: String(response.headers['grpc-status'] ?? ''),
              body,
            }),
          );
        },
      );
      outgoing.on('error', reject);
      outgoing.end();
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

t.test(
  '[SC-08] [SC-09] [SC-10] [SC-11] [SC-12] Envoy and Weft authorize alike',
  { skip: noEnvoy() },
  async (t) => {
    const directory = mkdtempSync(join(tmpdir(), 'weft-rbac-'));
    t.teardown(() => rmSync(directory, { recursive: true, force: true }));
    const file = (name: string, content: string) => {
      writeFileSync(join(directory, name), content);
      return join(directory, name);
    };
    const authority = await makeAuthority();
    const server = await authority.issue({ dns: ['a.test'] });
    const files: Files = {
      certificate: file('server.pem', server.certificateChainPem),
      key: file('server-key.pem', server.privateKeyPem),
      ca: file('ca.pem', authority.certificatePem),
    };
    const logs = ['weft.log', 'envoy.log'].map((name) => join(directory, name));
    const ports = (await freePorts(2)) as [number, number];
    const weft = await staticProxy(resources(ports[0], files, logs[0]!));
    t.teardown(() => weft.stop());
    const envoy = new EnvoyProcess(() => ({
      bootstrap: {
        node: { id: 'test', cluster: 'test' },
        static_resources: resources(ports[1], files, logs[1]!),
      },
    }));
    t.teardown(() => envoy.stop());
    await envoy.untilLive();

    const spiffe = 'spiffe://cluster.local/ns/default/sa/client';
    const identities: readonly (readonly [string, IssuedCertificate | null, string])[] = [
      ['mesh', await authority.issue({ uri: [spiffe] }), 'a.test'],
      ['dns', await authority.issue({ dns: ['other.example', 'client.example'] }), 'a.test'],
      ['subject', await authority.issue({ commonName: 'plain' }), ''],
      ['comma', await authority.issue({ commonName: 'plain\\,O=admins' }), ''],
      ['nobody', null, 'b.test'],
    ];
    const clients = identities.map(([name, identity, servername]) =>
      ports.map((port) => new Client(name, port, authority, identity, servername)),
    );
    t.teardown(() => {
      for (const client of clients.flat()) client.close();
    });

    const prefixes = [
      ...POLICIES.flatMap((_, index) => [`/a/${index}`, `/d/${index}`]),
      ...Object.keys(RULES).map((name) => `/${name}`),
      OFF.slice(0, -1),
      ENABLED.slice(0, -1),
      '',
    ];
    let passed = 0;
    let denied = 0;
    const compare = async (
      pair: readonly Client[],
      method: string,
      path: string,
      headers: object,
    ): Promise<void> => {
      const [ours, theirs] = await Promise.all(
        pair.map((client) => client.send(method, path, headers)),
      );
      if (ours!.status === 403 || ours!.grpcStatus === '7') denied += 1;
      else passed += 1;
      const name = `${pair[0]!.name} ${method} ${path} ${JSON.stringify(headers)}`;
      // Only what differs is told: a line for each of thousands that agree says no more than their number.
      if (JSON.stringify(ours) !== JSON.stringify(theirs)) t.same(ours, theirs, name);
    };
    for (const prefix of prefixes) {
      for (const [method, path, headers] of REQUESTS) {
        await compare(clients[0]!, method, prefix + path, headers);
      }
      await compare(clients[0]!, 'GET', `${prefix}/public`, { 'x-denied': '1' });
      for (const pair of clients.slice(1)) {
        await compare(pair, 'GET', `${prefix}/public`, {});
        await compare(pair, 'GET', `${prefix}/x`, { 'x-role': 'admin' });
      }
    }
    await compare(clients[0]!, 'GET', '/public', { host: 'vhost.test' });
    t.ok(passed > 300, `${passed} requests passed`);
    t.ok(denied > 300, `${denied} requests were denied`);

    const counted = (stats: string) =>
      stats.split('\n').filter((line) => /^http\.http\.rbac\./.test(line) && !/: 0$/.test(line));
    const [ours, theirs] = await Promise.all([weft.admin('/stats'), envoy.admin('/stats')]);
    t.same(counted(ours).sort(), counted(theirs).sort(), 'statistics');
    t.match(ours, /^http\.http\.rbac\.own\.denied: [1-9]/m);
    t.match(
      ours,
      /^http\.http\.rbac\.istio_dry_run_allow_\.policy\.admins\.shadow_allowed: [1-9]/m,
    );

    for (const client of clients.flat()) client.close();
    await Promise.all([weft.stop(), envoy.process.stop()]);
    const [ourLog, theirLog] = logs.map((log) => readFileSync(log, 'utf8').split('\n').sort());
    t.equal(ourLog!.length, passed + denied + 1, 'a line a request');
    t.same(ourLog, theirLog, 'access logs');
    t.ok(
      ourLog!.some((line) => line.endsWith('403 - rbac_access_denied_matched_policy[a_b_c]')),
      'blanks of a name are _ in the log',
    );
  },
);
