import { expect, test } from 'vitest';
import { packAny } from '../../proto/any.ts';
import type { Resource } from '../../proto/gen/envoy/service/discovery/v3/discovery.ts';
import { readJson } from '../../proto/json.ts';
import {
  TYPE_CLUSTER,
  TYPE_ENDPOINT,
  TYPE_LISTENER,
  TYPE_NAME_TABLE,
  TYPE_ROUTE,
  TYPE_SECRET,
} from '../../proto/type-urls.ts';
import { makeAuthority } from '../../test/certificates.ts';
import { checkOnlyContext } from './compile/compile-context.ts';
import { type ConfigTarget, DynamicResources } from './dynamic-resources.ts';
import type { EventLoop } from './time-slices.ts';

const HCM =
  'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager';
const ROUTER = 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router';

/** Resources and what they did to the live tables, as lines. */
class Mesh {
  readonly done: string[] = [];
  readonly names = new Map<string, string[]>();
  readonly late: string[] = [];
  changes = 0;
  /** Address problems by listener name. */
  readonly taken = new Map<string, string>();
  readonly #warm = new Map<string, () => void>();
  readonly resources: DynamicResources;
  isReady = false;

  constructor(loop?: EventLoop) {
    const target: ConfigTarget = {
      setCluster: ({ name }) => void this.done.push(`cluster ${name}`),
      removeCluster: (name) => void this.done.push(`no cluster ${name}`),
      setAssignment: (name, { endpoints }) => {
        this.done.push(`endpoints ${name} ${endpoints.length}`);
        this.#warm.get(name)?.();
      },
      warmCluster: (name) => new Promise((resolve) => this.#warm.set(name, resolve)),
      probeListener: async ({ name }) => this.taken.get(name) ?? '',
      setListener: async ({ name, version }) => {
        const problem = this.taken.get(name) ?? '';
        if (problem === '') this.done.push(`listener ${name} ${version}`);
        return problem;
      },
      removeListener: (name) => void this.done.push(`no listener ${name}`),
      setRoutes: ({ name, version }) => void this.done.push(`routes ${name} ${version}`),
      removeRoutes: (name) => void this.done.push(`no routes ${name}`),
      setSecret: ({ name }) => {
        this.done.push(`secret ${name}`);
        return '';
      },
      setNameTable: ({ version, hosts }) =>
        void this.done.push(`names ${version} ${[...hosts.keys()]}`),
    };
    this.resources = new DynamicResources({
      target,
      context: checkOnlyContext([], () => undefined),
      now: () => 1000,
      onNames: (typeUrl, names) => void this.names.set(typeUrl, [...names]),
      onChange: () => {
        this.changes++;
      },
      onLateProblem: (name, problem) => void this.late.push(`${name}: ${problem}`),
      localSecrets: new Set(['default']),
      ...(loop === undefined ? {} : { loop }),
    });
    void this.resources.ready.then(() => {
      this.isReady = true;
    });
  }

  /** Lines since the last call. */
  async take(): Promise<string[]> {
    await new Promise((resolve) => setImmediate(resolve));
    return this.done.splice(0);
  }
}

function cluster(name: string, extra: object = {}): Resource {
  const value = {
    name,
    type: 'EDS',
    eds_cluster_config: { eds_config: { ads: {} } },
    ...extra,
  };
  return resource(TYPE_CLUSTER, name, value);
}
function endpoints(name: string): Resource {
  return resource(TYPE_ENDPOINT, name, { cluster_name: name });
}
function routes(name: string, version = '1'): Resource {
  return resource(TYPE_ROUTE, name, { name, virtual_hosts: [] }, version);
}
function listener(name: string, rds: string, version = '1', chain: object = {}): Resource {
  const manager = {
    '@type': HCM,
    stat_prefix: 'x',
    rds: { route_config_name: rds, config_source: { ads: {} } },
    http_filters: [{ name: 'router', typed_config: { '@type': ROUTER } }],
  };
  const value = {
    name,
    address: { socket_address: { address: '127.0.0.1', port_value: 1 } },
    filter_chains: [{ filters: [{ name: 'hcm', typed_config: manager }], ...chain }],
  };
  return resource(TYPE_LISTENER, name, value, version);
}

function resource(typeUrl: string, name: string, json: object, version = '1'): Resource {
  const type = typeUrl.slice(typeUrl.lastIndexOf('/') + 1) as 'envoy.config.cluster.v3.Cluster';
  const { message, problems } = readJson(type, json);
  expect(problems).toEqual([]);
  return {
    name,
    version,
    resource: packAny(typeUrl as typeof TYPE_CLUSTER, message),
    resourceName: undefined,
    aliases: [],
    ttl: undefined,
    cacheControl: undefined,
    metadata: undefined,
  };
}

test('rule 11: a listener opens when its routes and the endpoints of all clusters are there', async () => {
  const mesh = new Mesh();
  await mesh.resources.apply(TYPE_CLUSTER, [cluster('a'), cluster('b')], []);
  expect(mesh.names.get(TYPE_ENDPOINT)).toEqual(['a', 'b']);
  await mesh.resources.apply(TYPE_LISTENER, [listener('l', 'r')], []);
  expect(mesh.names.get(TYPE_ROUTE)).toEqual(['r']);
  await mesh.resources.apply(TYPE_ROUTE, [routes('r')], []);
  await mesh.resources.apply(TYPE_ENDPOINT, [endpoints('a')], []);
  expect(await mesh.take()).toEqual(['cluster a', 'cluster b', 'routes r 1', 'endpoints a 0']);
  expect(mesh.isReady).toBe(false);
  await mesh.resources.apply(TYPE_ENDPOINT, [endpoints('b')], []);
  expect(await mesh.take()).toEqual(['endpoints b 0', 'listener l 1']);
  expect(mesh.isReady).toBe(true);
});

/** A mesh with cluster a and listener l on routes r, all in use. */
async function serving(): Promise<Mesh> {
  const mesh = new Mesh();
  await mesh.resources.apply(TYPE_CLUSTER, [cluster('a')], []);
  await mesh.resources.apply(TYPE_ENDPOINT, [endpoints('a')], []);
  await mesh.resources.apply(TYPE_LISTENER, [listener('l', 'r')], []);
  await mesh.resources.apply(TYPE_ROUTE, [routes('r')], []);
  await mesh.take();
  expect(mesh.isReady).toBe(true);
  return mesh;
}

test('a changed listener that needs new routes waits for them; the old one serves meanwhile', async () => {
  const mesh = await serving();
  await mesh.resources.apply(TYPE_LISTENER, [listener('l', 'r2', '2')], []);
  expect(await mesh.take()).toEqual([]);
  await mesh.resources.apply(TYPE_ROUTE, [routes('r2')], []);
  expect(await mesh.take()).toEqual(['routes r2 1', 'listener l 2']);
});

test('rule 8: a listener whose routes do not exist opens without them', async () => {
  const mesh = await serving();
  await mesh.resources.apply(TYPE_LISTENER, [listener('m', 'absent')], []);
  expect(await mesh.take()).toEqual([]);
  mesh.resources.missing(TYPE_ROUTE, ['absent']);
  expect(await mesh.take()).toEqual(['listener m 1']);
});

const TLS = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3';

/** A listener whose only chain is TLS with this certificate. */
function tlsListener(name: string, certificate: string, version = '1'): Resource {
  const common = { tls_certificate_sds_secret_configs: [{ name: certificate }] };
  return listener(name, 'r', version, {
    transport_socket: {
      name: 'tls',
      typed_config: { '@type': `${TLS}.DownstreamTlsContext`, common_tls_context: common },
    },
  });
}
async function secret(name: string): Promise<Resource> {
  const { certificateChainPem, privateKeyPem } = await (await makeAuthority()).issue();
  const certificate = {
    certificate_chain: { inline_string: certificateChainPem },
    private_key: { inline_string: privateKeyPem },
  };
  return resource(TYPE_SECRET, name, { name, tls_certificate: certificate });
}

test('rule 11: a changed listener waits for its secret; the old one serves meanwhile', async () => {
  const mesh = await serving();
  await mesh.resources.apply(TYPE_LISTENER, [tlsListener('l', 'mine', '2')], []);
  expect(await mesh.take()).toEqual([]);
  expect(mesh.names.get(TYPE_SECRET)).toEqual(['mine']);
  await mesh.resources.apply(TYPE_SECRET, [await secret('mine')], []);
  expect(await mesh.take()).toEqual(['secret mine', 'listener l 2']);
  await mesh.resources.apply(TYPE_LISTENER, [tlsListener('m', 'default')], []);
  expect(await mesh.take()).toEqual(['listener m 1']);
});

test('rule 8: a listener whose secret does not exist opens without it, also while nobody answers', async () => {
  const mesh = await serving();
  await mesh.resources.apply(TYPE_LISTENER, [tlsListener('m', 'absent')], []);
  expect(await mesh.take()).toEqual([]);
  mesh.resources.missing(TYPE_SECRET, ['absent']);
  expect(await mesh.take()).toEqual(['listener m 1']);
  await mesh.resources.apply(TYPE_LISTENER, [tlsListener('n', 'other')], []);
  mesh.resources.stopWaitingForSecrets();
  expect(await mesh.take()).toEqual(['listener n 1']);
});

test('[OP-06] routes that are refused hold up no new listener, and change none that serves', async () => {
  const mesh = await serving();
  const bad = (name: string) =>
    resource(TYPE_ROUTE, name, {
      name,
      virtual_hosts: [{ name: 'v', domains: ['*'], routes: [{ match: { prefix: '/' } }] }],
    });
  await mesh.resources.apply(
    TYPE_LISTENER,
    [listener('m', 'bad'), listener('l', 'worse', '2')],
    [],
  );
  const problems = await mesh.resources.apply(TYPE_ROUTE, [bad('bad'), bad('worse')], []);
  expect([...problems.keys()]).toEqual(['bad', 'worse']);
  expect(await mesh.take()).toEqual(['listener m 1']);
  await mesh.resources.apply(TYPE_ROUTE, [routes('worse')], []);
  expect(await mesh.take()).toEqual(['routes worse 1', 'listener l 2']);
});

test('[I7] endpoints that the server has no more stay; a cluster that never had any gets an empty set', async () => {
  const mesh = await serving();
  mesh.resources.missing(TYPE_ENDPOINT, ['a', 'new']);
  expect(await mesh.take()).toEqual(['endpoints new 0']);
  await mesh.resources.apply(TYPE_ENDPOINT, [], ['a']);
  expect(await mesh.take()).toEqual([]);
});

test('[OP-06] a bad resource leaves the last good one in use and is kept as its error', async () => {
  const mesh = await serving();
  const bad = cluster('a', { lb_policy: 'MAGLEV' });
  const problems = await mesh.resources.apply(TYPE_CLUSTER, [bad, cluster('b')], []);
  expect([...problems]).toEqual([
    ['a', 'lb_policy: 5 is not supported; use one of ROUND_ROBIN, LEAST_REQUEST, RANDOM'],
  ]);
  expect(await mesh.take()).toEqual(['cluster b']);
  const entry = mesh.resources.entries(TYPE_CLUSTER).get('a')!;
  expect(entry.version).toBe('1');
  expect(entry.resource).toBeDefined();
  expect(entry.error!.details).toContain('lb_policy');
  await mesh.resources.apply(TYPE_CLUSTER, [cluster('a')], []);
  expect(mesh.resources.entries(TYPE_CLUSTER).get('a')!.error).toBeNull();
});

test('an address in use refuses the listener with that reason', async () => {
  const mesh = await serving();
  mesh.taken.set('m', 'EADDRINUSE');
  expect([...(await mesh.resources.apply(TYPE_LISTENER, [listener('m', 'r')], []))]).toEqual([
    ['m', 'EADDRINUSE'],
  ]);
  expect([...(await mesh.resources.apply(TYPE_LISTENER, [listener('m', 'r9')], []))]).toEqual([
    ['m', 'EADDRINUSE'],
  ]);
});

test('a listener that waited and then cannot be opened is reported, and shows its error', async () => {
  const mesh = await serving();
  await mesh.resources.apply(TYPE_LISTENER, [listener('m', 'r9')], []);
  mesh.taken.set('m', 'EADDRINUSE');
  await mesh.resources.apply(TYPE_ROUTE, [routes('r9')], []);
  await mesh.take();
  expect(mesh.late).toEqual(['m: EADDRINUSE']);
  expect(mesh.resources.entries(TYPE_LISTENER).get('m')!.error!.details).toBe('EADDRINUSE');
});

test('what is removed goes, and routes go with their last listener', async () => {
  const mesh = await serving();
  await mesh.resources.apply(TYPE_LISTENER, [], ['l']);
  expect(await mesh.take()).toEqual(['no listener l', 'no routes r']);
  expect(mesh.names.get(TYPE_ROUTE)).toEqual([]);
  await mesh.resources.apply(TYPE_CLUSTER, [], ['a']);
  expect(await mesh.take()).toEqual(['no cluster a']);
  expect(mesh.names.get(TYPE_ENDPOINT)).toEqual([]);
  expect(mesh.resources.entries(TYPE_ENDPOINT).size).toBe(0);
});

test('a resource whose inner name differs is refused', async () => {
  const mesh = await serving();
  const wrong = { ...cluster('x'), name: 'y' };
  expect([...(await mesh.resources.apply(TYPE_CLUSTER, [wrong], []))]).toEqual([
    ['y', 'the resource is called "x" inside'],
  ]);
});

test('malformed bytes and an unknown type are refused, never thrown', async () => {
  const mesh = await serving();
  const broken = cluster('x');
  broken.resource = { typeUrl: TYPE_CLUSTER, value: Buffer.from([0x0a, 0xff]) };
  const found = await mesh.resources.apply(TYPE_CLUSTER, [broken], []);
  expect(found.get('x')).toContain('malformed envoy.config.cluster.v3.Cluster');
});

test('secrets are asked for by name, but not those that the sidecar holds itself', async () => {
  const mesh = await serving();
  const tls = (name: string) => ({
    transport_socket: {
      name: 'tls',
      typed_config: {
        '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
        common_tls_context: { tls_certificate_sds_secret_configs: [{ name }] },
      },
    },
  });
  await mesh.resources.apply(
    TYPE_CLUSTER,
    [cluster('a', tls('default')), cluster('b', tls('mine'))],
    [],
  );
  expect(mesh.names.get(TYPE_SECRET)).toEqual(['mine']);
});

test('nothing but a change in use asks for a new copy on disk', async () => {
  const mesh = await serving();
  const before = mesh.changes;
  await mesh.resources.apply(TYPE_CLUSTER, [cluster('a', { lb_policy: 'MAGLEV' })], []);
  expect(mesh.changes).toBe(before);
  await mesh.resources.apply(TYPE_CLUSTER, [cluster('a')], []);
  expect(mesh.changes).toBe(before + 1);
});

test('[DS-05] a table of names is in use at once; a bad one, and its removal, leave the last good one', async () => {
  const mesh = new Mesh();
  const names = (ip: string, version: string): Resource =>
    resource(TYPE_NAME_TABLE, '', { table: { 'a.example': { ips: [ip] } } }, version);
  expect(await mesh.resources.apply(TYPE_NAME_TABLE, [names('10.0.0.1', '1')], [])).toEqual(
    new Map(),
  );
  expect(await mesh.take()).toEqual(['names 1 a.example']);
  const problems = await mesh.resources.apply(TYPE_NAME_TABLE, [names('ten', '2')], []);
  expect(problems.get('')).toMatch(/"ten" is no IP address/);
  await mesh.resources.apply(TYPE_NAME_TABLE, [], ['']);
  expect(await mesh.take()).toEqual([]);
  expect(mesh.resources.entries(TYPE_NAME_TABLE).get('')).toMatchObject({
    version: '1',
    error: { version: '2' },
  });
});

/** A millisecond goes by whenever it is asked for the time; each turn is the test's to give. */
class SlowLoop implements EventLoop {
  turns = 0;
  #nowMs = 0;
  #waiting: (() => void)[] = [];

  now(): number {
    this.#nowMs++;
    return this.#nowMs;
  }

  nextTurn(): Promise<void> {
    this.turns++;
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  turn(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

const many = (count: number) => Array.from({ length: count }, (_, index) => `c${index}`);

test('a large response is taken over many turns of the event loop, and is answered once', async () => {
  const loop = new SlowLoop();
  const mesh = new Mesh(loop);
  const clusters = [
    ...many(20).map((name) => cluster(name)),
    cluster('bad', { type: 'LOGICAL_DNS' }),
  ];
  const answers: ReadonlyMap<string, string>[] = [];
  void mesh.resources.apply(TYPE_CLUSTER, clusters, []).then((one) => answers.push(one));
  let mostOfOneTurn = 0;
  for (let taken = 0; answers.length === 0; loop.turn()) {
    const lines = await mesh.take();
    mostOfOneTurn = Math.max(mostOfOneTurn, lines.length);
    taken += lines.length;
    expect(taken).toBeLessThanOrEqual(20);
  }
  expect(mostOfOneTurn).toBeLessThan(6);
  expect(loop.turns).toBeGreaterThan(4);
  expect([...answers[0]!.keys()]).toEqual(['bad']);
});

test('the virtual hosts of one route configuration are compiled over many turns and used at once', async () => {
  const loop = new SlowLoop();
  const mesh = new Mesh(loop);
  const hosts = many(40).map((name) => ({
    name,
    domains: [name],
    routes: [{ match: { prefix: '/' }, route: { cluster: name } }],
  }));
  const value = { name: 'r', virtual_hosts: hosts };
  const done = mesh.resources.apply(TYPE_ROUTE, [resource(TYPE_ROUTE, 'r', value)], []);
  for (let turn = 0; turn < 10; turn++) {
    expect(await mesh.take()).toEqual([]);
    loop.turn();
  }
  let isDone = false;
  void done.then(() => {
    isDone = true;
  });
  const lines: string[] = [];
  for (; !isDone; loop.turn()) lines.push(...(await mesh.take()));
  expect(lines).toEqual(['routes r 1']);
  expect(loop.turns).toBeGreaterThan(15);
});

const ADDRESS = { socket_address: { address: '127.0.0.1', port_value: 1 } };

test.each([
  {
    what: 'the routes of one virtual host',
    type: TYPE_ROUTE,
    value: {
      name: 'a',
      virtual_hosts: [
        {
          name: 'all',
          domains: ['*'],
          routes: many(40).map((name) => ({
            match: { prefix: `/${name}` },
            route: { cluster: name },
          })),
        },
      ],
    },
    used: 'routes a 1',
  },
  {
    what: 'the endpoints of one EDS cluster',
    type: TYPE_ENDPOINT,
    value: {
      cluster_name: 'a',
      endpoints: [{ lb_endpoints: many(40).map(() => ({ endpoint: { address: ADDRESS } })) }],
    },
    used: 'endpoints a 40',
  },
  {
    what: 'the endpoints that stand in a cluster',
    type: TYPE_CLUSTER,
    value: {
      name: 'a',
      type: 'STATIC',
      load_assignment: {
        cluster_name: 'a',
        endpoints: many(40).map(() => ({ lb_endpoints: [{ endpoint: { address: ADDRESS } }] })),
      },
    },
    used: 'cluster a',
  },
] as const)(
  '$what are compiled over many turns and used at once',
  async ({ type, value, used }) => {
    const loop = new SlowLoop();
    const mesh = new Mesh(loop);
    let isDone = false;
    void mesh.resources.apply(type, [resource(type, 'a', value)], []).then(() => {
      isDone = true;
    });
    const lines: string[] = [];
    for (; !isDone; loop.turn()) lines.push(...(await mesh.take()));
    expect(lines).toEqual([used]);
    expect(loop.turns).toBeGreaterThan(15);
  },
);

test('a response that comes while another is taken waits until that one is in use', async () => {
  const loop = new SlowLoop();
  const mesh = new Mesh(loop);
  const first = mesh.resources.apply(
    TYPE_CLUSTER,
    many(10).map((name) => cluster(name)),
    [],
  );
  const second = mesh.resources.apply(TYPE_CLUSTER, [cluster('last')], ['c0']);
  let isDone = false;
  void Promise.all([first, second]).then(() => {
    isDone = true;
  });
  const lines: string[] = [];
  for (; !isDone; loop.turn()) lines.push(...(await mesh.take()));
  expect(lines).toEqual([
    ...many(10).map((name) => `cluster ${name}`),
    'cluster last',
    'no cluster c0',
  ]);
});

test('after close nothing more of a response is used', async () => {
  const loop = new SlowLoop();
  const mesh = new Mesh(loop);
  const done = mesh.resources.apply(
    TYPE_CLUSTER,
    many(10).map((name) => cluster(name)),
    [],
  );
  const before = (await mesh.take()).length;
  expect(before).toBeLessThan(6);
  mesh.resources.close();
  // The cluster in hand may be read to its end.
  let isDone = false;
  void done.then(() => {
    isDone = true;
  });
  for (; !isDone; loop.turn()) expect(await mesh.take()).toEqual([]);
  expect(mesh.names.size).toBe(0);
});
