import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { freePorts } from '../../cli/run/free-port.ts';
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
      metadata: { WEFT_READINESS: 'none', WEFT_PROMETHEUS: 'none' },
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

  const directory = mkdtempSync(join(tmpdir(), 'weft-foreign-'));
  const file = join(directory, 'bootstrap.json');
  writeFileSync(file, JSON.stringify(bootstrap(server.port, adminPort)));
  const sidecar = new NodeProcess([join(ROOT, 'proxy/main.ts'), '-c', file, '--drain-time-s', '1']);
  t.teardown(async () => {
    await sidecar.stop();
    rmSync(directory, { recursive: true, force: true });
  });
  /** Name of the app that answered, else the status; 0 = nobody took the connection. */
  const ask = (path: string, port = firstPort): Promise<string | number> =>
    new Promise((resolve) => {
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
        /no connection to the control plane/.test(sidecar.output),
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
