import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { connect } from 'node:net';
import { SubjectAlternativeNameExtension, X509CertificateGenerator } from '@peculiar/x509';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Loggers } from '../observe/logger.ts';
import { StatsRegistry } from '../observe/stats.ts';
import { AdminServer } from './admin-server.ts';
import { ScriptedAdminSource } from './admin-source.testing.ts';
import type { JsonObject } from './admin-source.ts';
import { EndpointListenError } from './http-endpoint.ts';

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

let source: ScriptedAdminSource;
let registry: StatsRegistry;
let loggers: Loggers;
let server: AdminServer;
let port = 0;

beforeEach(async () => {
  source = new ScriptedAdminSource();
  registry = new StatsRegistry();
  loggers = new Loggers({ destination: { write: () => {} } });
  const nowMs = () => Date.UTC(2026, 0, 1);
  server = new AdminServer({ source, registry, loggers, nowMs });
  ({ port } = await server.listen({ host: '127.0.0.1', port: 0 }));
});
afterEach(() => server.close());

function ask(path: string, method = 'GET', headers: Record<string, string> = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ host: '127.0.0.1', port, path, method, headers }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (text: string) => {
        body += text;
      });
      response.on('end', () =>
        resolve({ status: response.statusCode!, headers: response.headers, body }),
      );
      response.on('error', reject);
    });
    request.on('error', reject);
    request.end();
  });
}

const reading = async (path: string) => {
  const { status, body } = await ask(path);
  expect(status).toBe(200);
  return JSON.parse(body) as Record<string, unknown>;
};

test('[CL-07] / and /help list every page and say which take POST', async () => {
  const { body } = await ask('/help');
  expect((await ask('/')).body).toBe(body);
  for (const path of ['/certs', '/clusters', '/config_dump', '/listeners', '/memory', '/ready']) {
    expect(body).toContain(`  ${path}: `);
  }
  expect(body).toContain('  /quitquitquit (POST): end the process\n');
});

test('[CL-07] an unknown page is 404 and names the list', async () => {
  expect(await ask('/nope')).toMatchObject({ status: 404, body: 'no such page; see /help\n' });
  expect((await ask('/../etc/passwd')).status).toBe(404);
});

test.each([
  '/drain_listeners',
  '/healthcheck/fail',
  '/healthcheck/ok',
  '/logging',
  '/quitquitquit',
  '/reopen_logs',
  '/reset_counters',
])('[CL-07] GET %s changes nothing and says how', async (path) => {
  const { status, body, headers } = await ask(path);
  expect(status).toBe(405);
  expect(headers.allow).toBe('POST');
  expect(body).toContain(`${path} changes something and takes POST: curl -X POST`);
  expect(source.actions).toEqual([]);
});

test('[CL-07] pages that show refuse POST', async () => {
  expect(await ask('/stats', 'POST')).toMatchObject({ status: 405, body: '/stats takes GET\n' });
});

test('[CL-07] POST does what it says', async () => {
  for (const path of [
    '/drain_listeners?graceful',
    '/drain_listeners?inboundonly',
    '/drain',
    '/healthcheck/fail',
    '/healthcheck/ok',
    '/reopen_logs',
  ]) {
    expect(await ask(path, 'POST')).toMatchObject({ status: 200, body: 'OK\n' });
  }
  expect(source.actions).toEqual([
    'drain {"graceful":true,"inboundOnly":false}',
    'drain {"graceful":false,"inboundOnly":true}',
    'drain {"graceful":true,"inboundOnly":false}',
    'healthcheck false',
    'healthcheck true',
    'reopen',
  ]);
});

test('[CL-07] quitquitquit answers before it quits', async () => {
  const quit = new Promise<void>((resolve) => {
    source.quit = () => resolve();
  });
  expect(await ask('/quitquitquit', 'POST')).toMatchObject({ status: 200, body: 'OK\n' });
  await quit;
});

test.each([
  [{ host: 'evil.example' }, 'the Host header must be'],
  [{ host: '127.0.0.1.evil.example:15000' }, 'the Host header must be'],
  [{ origin: 'http://evil.example' }, 'another origin'],
  [{ origin: 'null' }, 'another origin'],
  [{ host: 'localhost:15000', origin: 'https://localhost:15000' }, 'another origin'],
  [{ 'sec-fetch-site': 'cross-site' }, 'another site'],
])('[A7.1] %j is refused', async (headers, reason) => {
  for (const [path, method] of [
    ['/config_dump', 'GET'],
    ['/quitquitquit', 'POST'],
  ] as const) {
    const answer = await ask(path, method, headers as unknown as Record<string, string>);
    expect(answer.status).toBe(403);
    expect(answer.body).toContain(reason);
    expect(answer.headers['access-control-allow-origin']).toBeUndefined();
  }
  expect(source.actions).toEqual([]);
});

test.each([
  [{ host: 'localhost:15000' }],
  [{ host: '[::1]:15000' }],
  [{ host: '10.1.2.3:15000' }],
  [{ host: 'localhost:15000', origin: 'http://localhost:15000', 'sec-fetch-site': 'same-origin' }],
  [{ 'sec-fetch-site': 'none' }],
])('[A7.1] %j comes in', async (headers) => {
  expect((await ask('/ready', 'GET', headers as unknown as Record<string, string>)).status).toBe(
    200,
  );
});

test('[A7.2] answers cannot be taken for a page that runs', async () => {
  registry.clusterScope('<script>alert(1)</script>\n').counter('upstream_rq_total', 'R').add(1);
  const { headers, body } = await ask('/stats?filter=script');
  expect(headers).toMatchObject({
    'content-type': 'text/plain; charset=utf-8',
    'x-content-type-options': 'nosniff',
    'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  });
  expect(body).toBe('cluster.<script>alert(1)</script>?.upstream_rq_total: 1\n');
});

test('[CL-07] /stats filters with RE2 patterns, and shows what was used', async () => {
  registry.clusterScope('a').counter('upstream_rq_total', 'Requests').add(3);
  registry.clusterScope('b').counter('upstream_rq_total', 'Requests');
  expect((await ask('/stats?filter=^cluster\\.[ab]\\.')).body).toBe(
    'cluster.a.upstream_rq_total: 3\ncluster.b.upstream_rq_total: 0\n',
  );
  expect((await ask('/stats?filter=cluster&usedonly')).body).toBe(
    'cluster.a.upstream_rq_total: 3\n',
  );
  expect(JSON.parse((await ask('/stats?filter=cluster.a&format=json')).body)).toEqual({
    stats: [{ name: 'cluster.a.upstream_rq_total', value: 3 }],
  });
  expect((await ask('/stats?format=prometheus&filter=cluster.a')).body).toContain(
    'envoy_cluster_upstream_rq_total{envoy_cluster_name="a"} 3\n',
  );
  expect(await ask('/stats?filter=(')).toMatchObject({ status: 400 });
  expect(await ask(`/stats?filter=${'a'.repeat(2_000)}`)).toMatchObject({ status: 400 });
  expect((await ask('/stats?format=xml')).body).toContain('one of text, json, prometheus');
});

test('[OB-05] /stats/prometheus has the type that scrapers check', async () => {
  const plain = await ask('/stats/prometheus');
  expect(plain.headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
  const open = await ask('/stats/prometheus', 'GET', {
    accept: 'application/openmetrics-text; version=1.0.0',
  });
  expect(open.headers['content-type']).toContain('application/openmetrics-text');
  expect(open.body.endsWith('# EOF\n')).toBe(true);
});

test('[CL-07] reset_counters empties counters', async () => {
  const counter = registry.counter('c', 'C');
  counter.add(3);
  await ask('/reset_counters', 'POST');
  expect(counter.value).toBe(0);
});

test('[CL-07] /logging lists and changes levels, all or nothing', async () => {
  const [xds, upstream] = [loggers.get('xds'), loggers.get('upstream')];
  expect((await ask('/logging', 'POST')).body).toBe(
    'active loggers:\n  upstream: info\n  xds: info\n',
  );
  expect((await ask('/logging?xds=debug', 'POST')).body).toContain('  xds: debug\n');
  expect(xds.isLevelEnabled('debug')).toBe(true);
  await ask('/logging?paths=xds:error,upstream:trace', 'POST');
  expect(loggers.levels()).toEqual([
    ['upstream', 'trace'],
    ['xds', 'error'],
  ]);
  await ask('/logging?level=warning', 'POST');
  expect(upstream.isLevelEnabled('info')).toBe(false);
  for (const query of ['xds=loud', 'nope=debug', 'paths=xds', 'xds=debug&nope=debug']) {
    expect((await ask(`/logging?${query}`, 'POST')).status).toBe(400);
  }
  expect(loggers.levels()).toEqual([
    ['upstream', 'warn'],
    ['xds', 'warn'],
  ]);
});

test('[CL-07] /ready follows the proxy', async () => {
  expect(await ask('/ready')).toMatchObject({ status: 200, body: 'LIVE\n' });
  source.serverState = 'DRAINING';
  source.isReady = { ready: false, reason: 'the proxy is stopping' };
  expect(await ask('/ready')).toMatchObject({
    status: 503,
    body: 'DRAINING: the proxy is stopping\n',
  });
});

test('[CL-07] /server_info and /memory', async () => {
  expect(await reading('/server_info')).toMatchObject({
    version: 'weft/0.1.0',
    state: 'LIVE',
    uptime_current_epoch: '12s',
    node: { id: 'sidecar~a' },
    command_line_options: { config_path: '/b.yaml' },
  });
  const memory = await reading('/memory');
  expect(Number(memory['total_physical_bytes'])).toBeGreaterThan(10_000_000);
});

test('[CL-07] /listeners as text and JSON', async () => {
  source.listenerStatuses = [
    { name: 'virtualInbound', address: '0.0.0.0', port: 15006 },
    { name: 'v6\nforged::1', address: '::1', port: 80 },
  ];
  expect((await ask('/listeners')).body).toBe(
    'virtualInbound::0.0.0.0:15006\nv6?forged::1::[::1]:80\n',
  );
  expect(await reading('/listeners?format=json')).toMatchObject({
    listener_statuses: [
      {
        name: 'virtualInbound',
        local_address: { socket_address: { address: '0.0.0.0', port_value: 15006 } },
      },
      { local_address: { socket_address: { address: '::1', port_value: 80 } } },
    ],
  });
});

test('[CL-07] [OB-06] /clusters as text and JSON', async () => {
  source.clusterStatuses = [
    {
      name: 'outbound|80||a',
      edsServiceName: 'outbound|80||a',
      addedViaApi: true,
      connectionsMax: 1024,
      pendingRequestsMax: 1024,
      requestsMax: 1024,
      retriesMax: 3,
      hosts: [
        {
          address: '10.0.0.9',
          port: 9080,
          hostname: '',
          health: 'HEALTHY',
          failedOutlierCheck: true,
          failedActiveHealthCheck: false,
          weight: 2,
          priority: 0,
          locality: 'r1/z1/s1',
          stats: [
            { name: 'cx_active', value: 1, type: 'GAUGE' },
            { name: 'rq_total', value: 0, type: 'COUNTER' },
          ],
        },
      ],
    },
  ];
  const { body } = await ask('/clusters');
  const lines = body.split('\n');
  for (const line of [
    'outbound|80||a::default_priority::max_connections::1024',
    'outbound|80||a::added_via_api::true',
    'outbound|80||a::10.0.0.9:9080::cx_active::1',
    'outbound|80||a::10.0.0.9:9080::health_flags::/failed_outlier_check',
    'outbound|80||a::10.0.0.9:9080::zone::z1',
    'outbound|80||a::10.0.0.9:9080::weight::2',
  ]) {
    expect(lines).toContain(line);
  }
  expect(await reading('/clusters?format=json')).toMatchObject({
    cluster_statuses: [
      {
        name: 'outbound|80||a',
        added_via_api: true,
        host_statuses: [
          {
            address: { socket_address: { address: '10.0.0.9', port_value: 9080 } },
            stats: [{ type: 'GAUGE', value: '1', name: 'cx_active' }, { name: 'rq_total' }],
            health_status: { failed_outlier_check: true, eds_health_status: 'HEALTHY' },
            weight: 2,
            locality: { region: 'r1', zone: 'z1', sub_zone: 's1' },
          },
        ],
        circuit_breakers: { thresholds: [{ priority: 'DEFAULT', max_retries: 3 }] },
      },
    ],
  });
});

const TYPE = 'type.googleapis.com/envoy.admin.v3.';
const PEM = '-----BEGIN PRIVATE KEY-----\nMIIsecret\n-----END PRIVATE KEY-----\n';

const dump = (): JsonObject[] => [
  {
    '@type': `${TYPE}BootstrapConfigDump`,
    bootstrap: {
      node: { id: 'n' },
      dynamic_resources: {
        initial_metadata: [
          { key: 'authorization', value: 'Bearer secret' },
          { key: 'x', value: 'y' },
        ],
      },
      secret: { private_key: { filename: '/key.pem' } },
    },
  },
  {
    '@type': `${TYPE}ClustersConfigDump`,
    version_info: '7',
    dynamic_active_clusters: [
      { version_info: '7', cluster: { name: 'outbound|80||a' } },
      { version_info: '7', cluster: { name: 'outbound|80||b' } },
    ],
  },
  {
    '@type': `${TYPE}SecretsConfigDump`,
    dynamic_active_secrets: [
      {
        name: 'default',
        secret: {
          tls_certificate: {
            certificate_chain: { inline_string: 'CERT' },
            private_key: { inline_string: PEM },
            privateKey: { inlineBytes: 'c2VjcmV0' },
            password: { inline_string: 'hunter2' },
          },
          other: PEM,
        },
      },
    ],
  },
  {
    '@type': `${TYPE}EndpointsConfigDump`,
    dynamic_endpoint_configs: [{ endpoint_config: { cluster_name: 'a' } }],
  },
];

test('[A5.1] /config_dump shows what is in force, and no key, password or token', async () => {
  source.sections = dump();
  const { body } = await ask('/config_dump');
  expect(body).not.toMatch(/hunter2|MII|c2VjcmV0|Bearer/);
  expect(JSON.parse(body)).toEqual({
    configs: [
      {
        '@type': `${TYPE}BootstrapConfigDump`,
        bootstrap: {
          node: { id: 'n' },
          dynamic_resources: {
            initial_metadata: [
              { key: 'authorization', value: '[redacted]' },
              { key: 'x', value: 'y' },
            ],
          },
          secret: { private_key: { filename: '/key.pem' } },
        },
      },
      source.sections[1],
      {
        '@type': `${TYPE}SecretsConfigDump`,
        dynamic_active_secrets: [
          {
            name: 'default',
            secret: {
              tls_certificate: {
                certificate_chain: { inline_string: 'CERT' },
                private_key: { inline_string: '[redacted]' },
                privateKey: { inlineBytes: '[redacted]' },
                password: { inline_string: '[redacted]' },
              },
              other: '[redacted]',
            },
          },
        ],
      },
    ],
  });
});

test('[CL-07] /config_dump?resource= gives one list, typed; name_regex picks from it', async () => {
  source.sections = dump();
  expect(await reading('/config_dump?resource=dynamic_active_clusters&name_regex=.b$')).toEqual({
    configs: [
      {
        '@type': `${TYPE}ClustersConfigDump.DynamicCluster`,
        version_info: '7',
        cluster: { name: 'outbound|80||b' },
      },
    ],
  });
  expect(await reading('/config_dump?resource=bootstrap')).toMatchObject({
    configs: [
      { '@type': 'type.googleapis.com/envoy.config.bootstrap.v3.Bootstrap', node: { id: 'n' } },
    ],
  });
  expect(await reading('/config_dump?resource=dynamic_listeners')).toEqual({ configs: [] });
  expect(await reading('/config_dump?resource=dynamic_endpoint_configs')).toMatchObject({
    configs: [{ endpoint_config: { cluster_name: 'a' } }],
  });
  const all = await reading('/config_dump?include_eds');
  expect(all['configs']).toHaveLength(4);
  const secrets = await ask('/config_dump?resource=dynamic_active_secrets');
  expect(secrets.body).not.toMatch(/hunter2|MII/);
  expect((await ask('/config_dump?resource=nope')).status).toBe(404);
  expect((await ask('/config_dump?mask=a')).status).toBe(400);
  expect((await ask('/config_dump?name_regex=(')).status).toBe(400);
});

test('[CL-07] a dump of 5 000 clusters leaves the event loop its turns', async () => {
  source.sections = [
    {
      '@type': `${TYPE}ClustersConfigDump`,
      dynamic_active_clusters: Array.from({ length: 5_000 }, (_, at) => ({
        cluster: { name: `c${at}`, config: 'x'.repeat(500) },
      })),
    },
  ];
  let turns = 0;
  let done = false;
  const count = () => {
    turns += 1;
    if (!done) setImmediate(count);
  };
  setImmediate(count);
  const { body } = await ask('/config_dump');
  done = true;
  expect(turns).toBeGreaterThan(1_000);
  expect((JSON.parse(body) as { configs: unknown[] }).configs).toHaveLength(1);
});

test('[CL-07] /certs shows serial, names and days left', async () => {
  const keys = (await webcrypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, [
    'sign',
    'verify',
  ])) as webcrypto.CryptoKeyPair;
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: '0abc',
    name: 'CN=a',
    notBefore: new Date(Date.UTC(2025, 11, 31)),
    notAfter: new Date(Date.UTC(2026, 0, 11)),
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
    keys,
    extensions: [
      new SubjectAlternativeNameExtension([
        { type: 'url', value: 'spiffe://cluster.local/ns/default/sa/a' },
        { type: 'dns', value: 'a.default' },
      ]),
    ],
  });
  const pem = certificate.toString('pem');
  source.certificateStatuses = [
    { path: 'default', certificateChainPem: pem, trustedCaPem: `${pem}\n${pem}` },
    {
      path: 'broken',
      certificateChainPem: '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----',
      trustedCaPem: '',
    },
  ];
  const { certificates } = (await reading('/certs')) as { certificates: JsonObject[] };
  expect(certificates[0]).toMatchObject({
    cert_chain: [
      {
        path: 'default',
        serial_number: '0abc',
        subject_alt_names: [
          { uri: 'spiffe://cluster.local/ns/default/sa/a' },
          { dns: 'a.default' },
        ],
        days_until_expiration: '10',
        valid_from: '2025-12-31T00:00:00.000Z',
        expiration_time: '2026-01-11T00:00:00.000Z',
      },
    ],
  });
  expect(certificates[0]!['ca_cert']).toHaveLength(2);
  expect(certificates[1]).toMatchObject({
    ca_cert: [],
    cert_chain: [{ path: 'broken (this certificate cannot be read)' }],
  });
});

test('a page that fails answers 500 and the server goes on', async () => {
  source.readiness = () => {
    throw new Error('broken');
  };
  expect(await ask('/ready')).toMatchObject({ status: 500, body: 'this page failed: broken\n' });
  source.clusters = function* () {
    yield source.clusterStatuses[0]!;
  } as never;
  await expect(ask('/clusters')).rejects.toThrow();
  expect((await ask('/help')).status).toBe(200);
});

test('HEAD is GET without a body', async () => {
  const { status, headers, body } = await ask('/ready', 'HEAD');
  expect([status, headers['content-length'], body]).toEqual([200, '5', '']);
});

test('a port in use is a clear error', async () => {
  const second = new AdminServer({ source, registry, loggers, nowMs: () => 0 });
  const failure = second.listen({ host: '127.0.0.1', port });
  await expect(failure).rejects.toBeInstanceOf(EndpointListenError);
  await expect(failure).rejects.toThrow(
    `the admin port cannot be opened on 127.0.0.1:${port}: another process listens there; set admin.address of the bootstrap to another address`,
  );
  await second.close();
});

test.each([
  ['garbage', 'garbage\r\n\r\n', 400],
  ['a head over the limit', `GET / HTTP/1.1\r\nhost: a\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`, 431],
  ['no Host', 'GET /ready HTTP/1.1\r\n\r\n', 400],
])('[A7.1] %s is refused', async (_, bytes, status) => {
  const socket = connect(port, '127.0.0.1');
  const answer = await new Promise<string>((resolve, reject) => {
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
    });
    socket.on('close', () => resolve(text));
    socket.on('error', reject);
    socket.write(bytes);
  });
  expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
});
