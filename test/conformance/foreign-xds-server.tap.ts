import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import t from 'tap';
import { freePorts } from '../../cli/run/free-port.ts';
import { type IssuedCertificate, makeAuthority } from '../certificates.ts';
import { type Echoed, echoApp } from '../harness/echo-app.ts';
import { NodeProcess, ROOT } from '../harness/node-process.ts';
import { until } from '../harness/until.ts';
import { OfficialDeltaServer } from './official-delta-server.ts';

/**
 * Our sidecar driven by an xDS server that is not ours and knows the official files only: start, updates, refusals,
 * removals, and a server that dies and comes back (xds.md 5.2).
 */

t.setTimeout(200_000);

const FILTERS = 'type.googleapis.com/envoy.extensions.filters';
const ADS = { ads: {}, resource_api_version: 'V3' };

const address = (port: number) => ({
  socket_address: { address: '127.0.0.1', port_value: port },
});
const cluster = (name: string, extra: object = {}) => ({
  name,
  type: 'EDS',
  eds_cluster_config: { eds_config: ADS },
  connect_timeout: { seconds: 1 },
  ...extra,
});
const endpoints = (name: string, ports: readonly number[]) => ({
  cluster_name: name,
  endpoints: [
    {
      locality: { region: 'here' },
      load_balancing_weight: { value: 1 },
      lb_endpoints: ports.map((port) => ({ endpoint: { address: address(port) } })),
    },
  ],
});
const listener = (name: string, port: number, routes: string) => ({
  name,
  address: address(port),
  filter_chains: [
    {
      filters: [
        {
          name: 'envoy.filters.network.http_connection_manager',
          typed_config: {
            '@type': `${FILTERS}.network.http_connection_manager.v3.HttpConnectionManager`,
            stat_prefix: 'http',
            rds: { route_config_name: routes, config_source: ADS },
            http_filters: [
              {
                name: 'envoy.filters.http.router',
                typed_config: { '@type': `${FILTERS}.http.router.v3.Router` },
              },
            ],
          },
        },
      ],
    },
  ],
});
const routes = (name: string, list: readonly object[]) => ({
  name,
  virtual_hosts: [{ name: 'all', domains: ['*'], routes: list }],
});
const to = (name: string, match: object = { prefix: '/' }) => ({ match, route: { cluster: name } });

function bootstrap(xdsPort: number, adminPort: number): object {
  return {
    node: {
      id: 'foreign',
      cluster: 'test',
      metadata: { WEFT_READINESS: 'none', WEFT_PROMETHEUS: 'none', WEFT_STATUS: 'none' },
    },
    admin: { address: address(adminPort) },
    dynamic_resources: {
      ads_config: {
        api_type: 'DELTA_GRPC',
        transport_api_version: 'V3',
        grpc_services: [{ envoy_grpc: { cluster_name: 'foreign-xds' } }],
      },
      cds_config: ADS,
      lds_config: ADS,
    },
    static_resources: {
      clusters: [
        {
          name: 'foreign-xds',
          type: 'STATIC',
          load_assignment: {
            cluster_name: 'foreign-xds',
            endpoints: [{ lb_endpoints: [{ endpoint: { address: address(xdsPort) } }] }],
          },
        },
      ],
    },
  };
}

/** Started, not waited for. */
function sidecarOf(server: OfficialDeltaServer, adminPort: number) {
  const directory = mkdtempSync(join(tmpdir(), 'weft-foreign-'));
  const file = join(directory, 'bootstrap.json');
  writeFileSync(file, JSON.stringify(bootstrap(server.port, adminPort)));
  const process = new NodeProcess([join(ROOT, 'proxy/main.ts'), '-c', file, '--drain-time-s', '1']);
  return {
    log: () => process.output,
    stop: async () => {
      await process.stop();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** Name of the app that answered, else the status; 0 = nobody took the connection, or it was cut. */
function askApp(port: number, path: string): Promise<string | number> {
  return new Promise((resolve) => {
    get({ host: '127.0.0.1', port, path, agent: false }, (response) => {
      let body = '';
      response.on('data', (bytes: Buffer) => {
        body += bytes.toString();
      });
      response.on('end', () => {
        const { statusCode = 0 } = response;
        resolve(statusCode === 200 ? (JSON.parse(body) as Echoed).app : statusCode);
      });
      response.on('error', () => resolve(0));
    }).on('error', () => resolve(0));
  });
}

t.test('a foreign xDS server drives the sidecar', async (t) => {
  const server = await OfficialDeltaServer.start();
  t.teardown(() => server.stop());
  const [one, two] = [await echoApp('one'), await echoApp('two')];
  t.teardown(() => Promise.all([one.close(), two.close()]));
  const [adminPort, firstPort, secondPort] = (await freePorts(3)) as [number, number, number];
  server.set('cluster', { a: cluster('a'), b: cluster('b') });
  server.set('endpoints', { a: endpoints('a', [one.port]), b: endpoints('b', [two.port]) });
  server.set('listener', { first: listener('first', firstPort, 'r') });
  server.set('routes', { r: routes('r', [to('b', { prefix: '/b' }), to('a')]) });

  const sidecar = sidecarOf(server, adminPort);
  t.teardown(() => sidecar.stop());
  const ask = (path: string, port = firstPort) => askApp(port, path);
  const answers = (path: string, wanted: string | number, port = firstPort) =>
    until(`${path} to be answered by ${wanted}`, async () => (await ask(path, port)) === wanted);
  const dump = async () =>
    (await fetch(`http://127.0.0.1:${adminPort}/config_dump?include_eds`)).text();

  t.test('it starts: clusters, endpoints, a listener and its routes', async (t) => {
    await answers('/', 'one');
    t.equal(await ask('/b'), 'two');
    const ready = await fetch(`http://127.0.0.1:${adminPort}/ready`);
    t.equal(ready.status, 200);
    const { requests } = server.streams[0]!;
    t.match(requests[0]!.node, { id: 'foreign', user_agent_name: 'weft' });
    t.ok(
      requests.slice(1).every(({ node }) => node === null),
      'rule 15: the node goes once',
    );
    t.same(requests[0]!.type_url, 'type.googleapis.com/envoy.config.cluster.v3.Cluster');
    t.same([...server.requests('endpoints')[0]!.resource_names_subscribe].sort(), ['a', 'b']);
    t.same(server.requests('routes')[0]!.resource_names_subscribe, ['r']);
    for (const type of ['cluster', 'endpoints', 'listener', 'routes'] as const) {
      t.same(server.refusals(type), [], type);
      t.same(server.requests(type)[0]!.initial_resource_versions, {}, `${type}: nothing held`);
    }
  });

  t.test('routes and endpoints change live, one resource a time', async (t) => {
    server.set('routes', { r: routes('r', [to('a', { prefix: '/b' }), to('b')]) });
    await answers('/', 'two');
    await answers('/b', 'one');
    server.set('endpoints', { a: endpoints('a', [two.port]) });
    await answers('/b', 'two');
    server.set('endpoints', { a: endpoints('a', [one.port]) });
    server.set('routes', { r: routes('r', [to('b', { prefix: '/b' }), to('a')]) });
    await answers('/', 'one');
    t.equal(server.requests('cluster').length, 2, 'of clusters nothing but the first answer');
    server.set('listener', { second: listener('second', secondPort, 's') });
    server.set('routes', { s: routes('s', [to('b')]) });
    await answers('/', 'two', secondPort);
    // Rule 11: this server sees no reason to send the endpoints again.
    server.set('cluster', { a: cluster('a', { connect_timeout: { seconds: 2 } }) });
    await until('the cluster to be acknowledged', () => server.isAnswered('cluster'));
    t.equal(await ask('/'), 'one', 'a cluster that is swapped keeps its endpoints');
    for (const type of ['cluster', 'endpoints', 'listener', 'routes'] as const) {
      t.same(server.refusals(type), [], type);
    }
  });

  t.test(
    '[OP-06] a bad resource is refused by its field, the rest of the response is used',
    async (t) => {
      const good = server.version('routes', 'r')!;
      server.set('routes', {
        r: routes('r', [to('b', { safe_regex: { regex: '(unclosed' } })]),
        s: routes('s', [to('a')]),
      });
      await answers('/', 'one', secondPort);
      const [text] = await until('the refusal', () => {
        const refusals = server.refusals('routes');
        return refusals.length > 0 ? refusals : undefined;
      });
      t.match(text!, /^r: virtual_hosts\[0\]\.routes\[0\]\.match\.safe_regex\.regex: /);
      t.equal(await ask('/'), 'one', 'the last good routes serve');
      t.equal(await ask('/b'), 'two');
      t.match(await dump(), good);
      server.set('routes', { r: routes('r', [to('b', { prefix: '/b' }), to('a')]) });
      t.equal(server.version('routes', 'r'), good);

      // A cluster that asks for what Weft does not have, beside one that is good.
      server.set('cluster', {
        a: cluster('a', { lb_policy: 'CLUSTER_PROVIDED' }),
        c: cluster('c'),
      });
      server.set('endpoints', { c: endpoints('c', [two.port]) });
      const [refused] = await until('the refusal of a cluster', () => {
        const refusals = server.refusals('cluster');
        return refusals.length > 0 ? refusals : undefined;
      });
      t.match(refused!, /^a: lb_policy/);
      t.equal(await ask('/'), 'one', 'the last good cluster serves');
      server.set('routes', { s: routes('s', [to('c')]) });
      await answers('/', 'two', secondPort);
      t.equal(server.refusals('cluster').length, 1, 'rule 4: refused once');
    },
  );

  t.test('a listener on a port in use is refused, and taken when it moves', async (t) => {
    server.set('listener', { third: listener('third', one.port, 'r') });
    const [text] = await until('the refusal', () => {
      const refusals = server.refusals('listener');
      return refusals.length > 0 ? refusals : undefined;
    });
    t.match(text!, new RegExp(`^third: .*127\\.0\\.0\\.1:${one.port}.*EADDRINUSE`));
    t.equal(await ask('/'), 'one', 'the others serve on');
    const [port] = await freePorts(1);
    server.set('listener', { third: listener('third', port!, 'r') });
    await answers('/', 'one', port!);
    server.remove('listener', 'third');
    await answers('/', 0, port!);
  });

  t.test('[rules 6, 17] a response that cannot be right is refused whole', async (t) => {
    const twice = { name: 'a', version: 'x', resource: undefined as never };
    const body = {
      '@type': 'type.googleapis.com/envoy.config.cluster.v3.Cluster',
      ...cluster('a'),
    };
    const wrong = { '@type': 'type.googleapis.com/envoy.config.listener.v3.Listener', name: 'd' };
    for (const [what, resources, message] of [
      ['a name twice', [twice, twice].map((each) => ({ ...each, resource: body })), /"a" .*twice/],
      ['another type', [{ name: 'd', version: 'x', resource: wrong }], /"d" .*Listener/],
      ['another name inside', [{ name: 'd', version: 'x', resource: body }], /^d: .*"a"/],
    ] as const) {
      const nonce = server.sendRaw('cluster', { resources });
      const answer = await until(what, () =>
        server.requests('cluster').find(({ response_nonce }) => response_nonce === nonce),
      );
      t.match(answer.error_detail?.message, message, what);
    }
    t.equal(await ask('/'), 'one');
    t.match(await dump(), /"name": *"a",\s*"type"/);
    t.notMatch(await dump(), /"name": *"d",\s*"type"/, 'none of them is in use');
  });

  t.test('what is removed goes: a listener closes, a cluster ends its requests', async (t) => {
    server.remove('listener', 'second');
    await answers('/', 0, secondPort);
    await until('the routes to be let go', () =>
      server
        .requests('routes')
        .some(({ resource_names_unsubscribe: names }) => names.includes('s')),
    );
    server.remove('cluster', 'b');
    await answers('/b', 503);
    await until('its endpoints to be let go', () =>
      server
        .requests('endpoints')
        .some(({ resource_names_unsubscribe: names }) => names.includes('b')),
    );
    t.equal(await ask('/'), 'one');
    server.set('cluster', { b: cluster('b') });
    await answers('/b', 'two');
    server.remove('routes', 'r');
    await until('the removal to be answered', () => server.isAnswered('routes'));
    t.same(server.refusals('routes').length, 1, 'nothing but the bad pattern was refused');
    t.equal(await ask('/'), 'one', 'rule 9: routes that are in use stay');
    server.set('routes', { r: routes('r', [to('b', { prefix: '/b' }), to('a')]) });
    await answers('/b', 'two');
  });

  t.test(
    '[OP-01] [rule 12] it serves on without the server, and says what it holds after',
    async (t) => {
      const held = Object.fromEntries(
        (['a', 'b', 'c'] as const).map((name) => [name, server.version('endpoints', name)!]),
      );
      const firstVersion = server.version('listener', 'first')!;
      const badVersion = server.version('cluster', 'a');
      server.stop();
      await until('the sidecar to notice', () =>
        /no connection to the control plane/.test(sidecar.log()),
      );
      for (let count = 0; count < 20; count += 1) t.equal(await ask('/'), 'one');

      // While away: one cluster gone, endpoints moved, a listener new, the bad cluster still bad.
      server.remove('cluster', 'c');
      server.set('endpoints', { b: endpoints('b', [one.port]) });
      server.set('listener', { second: listener('second', secondPort, 'r') });
      await server.restart();
      await answers('/b', 'one');
      await answers('/', 'one', secondPort);
      const stream = server.streams[0]!;
      t.match(stream.requests[0]!.node, { id: 'foreign' }, 'the node goes first on a new stream');
      const initial = (type: 'cluster' | 'endpoints' | 'listener' | 'routes') =>
        server.requests(type)[0]!.initial_resource_versions;
      t.same(initial('endpoints'), held);
      t.same(initial('listener'), { first: firstVersion });
      t.same(Object.keys(initial('routes')), ['r']);
      t.same(Object.keys(initial('cluster')).sort(), ['a', 'b', 'c']);
      t.not(initial('cluster')['a'], badVersion, 'the version in use, not the refused one');
      t.same(
        server.requests('cluster')[0]!.response_nonce,
        '',
        'rule 2: no nonce of a former stream',
      );
      await until('the removed cluster to be gone', async () => {
        const clusters = await fetch(`http://127.0.0.1:${adminPort}/clusters`);
        return !/^c::/m.test(await clusters.text());
      });
      t.match(
        server.refusals('cluster'),
        [/^a: lb_policy/],
        'the bad one was sent and refused again',
      );
      server.set('cluster', { a: cluster('a') });
      await until('the good one to be held', () => server.requests('cluster').length > 1);
      t.equal(await ask('/'), 'one');
    },
  );
});

t.test('a server that is behind, or answers in its own time', async (t) => {
  const server = await OfficialDeltaServer.start();
  t.teardown(() => server.stop());
  const app = await echoApp('one');
  t.teardown(() => app.close());
  const [adminPort, port, tlsPort, spoiltPort] = (await freePorts(4)) as [
    number,
    number,
    number,
    number,
  ];
  server.set('cluster', { late: cluster('late') });
  server.set('listener', {
    first: listener('first', port, 'late-routes'),
    spoilt: listener('spoilt', spoiltPort, 'spoilt-routes'),
  });
  server.set('routes', {
    'spoilt-routes': routes('spoilt-routes', [to('late', { safe_regex: { regex: '(' } })]),
  });
  const sidecar = sidecarOf(server, adminPort);
  t.teardown(() => sidecar.stop());
  const answers = (wanted: string | number) =>
    until(`an answer by ${wanted}`, async () => (await askApp(port, '/')) === wanted);

  t.test('[rule 8] what the server says it does not have holds up nothing', async (t) => {
    await answers(404);
    server.set('routes', { 'late-routes': routes('late-routes', [to('late')]) });
    await answers(503);
    server.set('endpoints', { late: endpoints('late', [app.port]) });
    await answers('one');
    server.set('endpoints', { late: endpoints('late', []) });
    await answers(503);
    server.set('endpoints', { late: endpoints('late', [app.port]) });
    await answers('one');
    for (const type of ['cluster', 'endpoints', 'listener'] as const) {
      t.same(server.refusals(type), [], type);
    }
  });

  t.test('[OP-06] routes that are bad from the start keep nothing from being ready', async (t) => {
    t.match(server.refusals('routes'), [/^spoilt-routes: .*regex/]);
    t.equal((await fetch(`http://127.0.0.1:${adminPort}/ready`)).status, 200);
    t.equal(await askApp(spoiltPort, '/'), 404);
    server.set('routes', { 'spoilt-routes': routes('spoilt-routes', [to('late')]) });
    await until('good ones', async () => (await askApp(spoiltPort, '/')) === 'one');
    server.remove('listener', 'spoilt');
    await until('its end', async () => (await askApp(spoiltPort, '/')) === 0);
  });

  t.test('[rule 20] a heartbeat renews a resource and changes nothing', async (t) => {
    server.sendRaw('cluster', {
      resources: [
        { name: 'late', version: server.version('cluster', 'late')!, ttl: { seconds: 60 } },
      ],
    });
    await until('the heartbeat to be answered', () => server.isAnswered('cluster'));
    t.same(server.refusals('cluster'), []);
    t.equal(await askApp(port, '/'), 'one');
  });

  t.test('[SC-05] a listener waits for its certificate, and uses a new one', async (t) => {
    const authority = await makeAuthority();
    const [first, second] = [
      await authority.issue({ dns: ['a.example'] }),
      await authority.issue({ dns: ['a.example'] }),
    ];
    const certificate = (issued: IssuedCertificate) => ({
      name: 'server-cert',
      tls_certificate: {
        certificate_chain: { inline_string: issued.certificateChainPem },
        private_key: { inline_string: issued.privateKeyPem },
      },
    });
    const plain = listener('tls', tlsPort, 'late-routes');
    server.set('listener', { tls: plain });
    const plainly = () => askApp(tlsPort, '/');
    await until('plain text on the port', async () => (await plainly()) === 'one');
    server.tellsOfAbsent = false;
    server.set('listener', {
      tls: {
        ...plain,
        filter_chains: plain.filter_chains.map((chain) => ({
          ...chain,
          transport_socket: {
            name: 'envoy.transport_sockets.tls',
            typed_config: {
              '@type':
                'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
              common_tls_context: {
                tls_certificate_sds_secret_configs: [{ name: 'server-cert', sds_config: ADS }],
              },
            },
          },
        })),
      },
    });
    await until('the secret to be asked for', () =>
      server
        .requests('secret')
        .some(({ resource_names_subscribe: names }) => names.includes('server-cert')),
    );
    await until('the listener to be acknowledged', () => server.isAnswered('listener'));
    t.equal(
      await plainly(),
      'one',
      'rule 11: until the certificate comes the port serves as before',
    );
    server.set('secret', { 'server-cert': certificate(first) });
    await until('the first certificate', async () => (await shownBy(tlsPort)) === serialOf(first));
    server.set('secret', { 'server-cert': certificate(second) });
    await until('the second one', async () => (await shownBy(tlsPort)) === serialOf(second));
    server.set('secret', {
      'server-cert': {
        name: 'server-cert',
        tls_certificate: {
          certificate_chain: { inline_string: first.certificateChainPem },
          private_key: { inline_string: second.privateKeyPem },
        },
      },
    });
    const [text] = await until('the refusal of a key that does not fit', () => {
      const refusals = server.refusals('secret');
      return refusals.length > 0 ? refusals : undefined;
    });
    t.match(text!, /^server-cert: .*key/);
    t.notMatch(text!, /PRIVATE KEY/);
    t.equal(await shownBy(tlsPort), serialOf(second), 'the last good one is shown');
    server.set('secret', { 'server-cert': certificate(second) });
  });

  t.test('a stream that ends well is opened again', async (t) => {
    server.endStream();
    await until('the next stream', () => server.streams.length === 2);
    await until('its first requests', () => server.requests('listener').length > 0);
    t.same(Object.keys(server.requests('listener')[0]!.initial_resource_versions).sort(), [
      'first',
      'tls',
    ]);
    t.equal(await askApp(port, '/'), 'one');
    server.set('routes', { 'late-routes': routes('late-routes', []) });
    await answers(404);
  });
});

/** Serial number of the certificate that a TLS port shows, or ''. */
function shownBy(port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false }, () => {
      resolve(socket.getPeerX509Certificate()?.serialNumber ?? '');
      socket.destroy();
    });
    socket.on('error', () => resolve(''));
  });
}

function serialOf({ certificatePem }: IssuedCertificate): string {
  return new X509Certificate(certificatePem).serialNumber;
}
