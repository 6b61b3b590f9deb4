import { afterEach, expect, test } from 'vitest';
import { packAny } from '../../proto/any.ts';
import type { Resource } from '../../proto/gen/envoy/service/discovery/v3/discovery.ts';
import { readJson } from '../../proto/json.ts';
import { TYPE_CLUSTER, TYPE_ENDPOINT, TYPE_ROUTE } from '../../proto/type-urls.ts';
import { RouteTables } from '../router/route-tables.ts';
import { clusterManager } from '../upstream/cluster.testing.ts';
import { checkOnlyContext } from './compile/compile-context.ts';
import { configDump } from './config-dump.ts';
import { DynamicResources } from './dynamic-resources.ts';

/** A mesh of thousands taken by real tables: how long the event loop is held, and how the work grows. */

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

function tables() {
  const { manager } = clusterManager();
  cleanups.push(() => manager.close());
  const routes = new RouteTables();
  const resources = new DynamicResources({
    target: {
      setCluster: (config) => manager.setCluster(config),
      removeCluster: (name) => manager.removeCluster(name),
      setAssignment: (name, assignment) => manager.setAssignment(name, assignment),
      warmCluster: (name) => manager.warm(name),
      probeListener: async () => '',
      setListener: async () => '',
      removeListener: () => {},
      setRoutes: (config) => routes.set(config),
      removeRoutes: (name) => routes.remove(name),
      setSecret: () => '',
      setNameTable: () => {},
    },
    context: checkOnlyContext([], () => undefined),
    now: () => 1000,
    onNames: () => {},
    onChange: () => {},
    onLateProblem: () => {},
    localSecrets: new Set(),
  });
  return { manager, routes, resources };
}

type Type = typeof TYPE_CLUSTER | typeof TYPE_ENDPOINT | typeof TYPE_ROUTE;
const MESSAGES = {
  [TYPE_CLUSTER]: 'envoy.config.cluster.v3.Cluster',
  [TYPE_ENDPOINT]: 'envoy.config.endpoint.v3.ClusterLoadAssignment',
  [TYPE_ROUTE]: 'envoy.config.route.v3.RouteConfiguration',
} as const;

function resource(type: Type, name: string, json: object): Resource {
  const { message } = readJson(MESSAGES[type], json);
  return { name, version: '1', resource: packAny(type as never, message as never) } as Resource;
}

/** CDS, EDS and RDS of `count` services. */
function mesh(count: number): readonly (readonly [Type, Resource[]])[] {
  const names = Array.from({ length: count }, (_, at) => `service-${at}`);
  const host = (name: string) => ({
    name,
    domains: [name, `${name}:*`],
    routes: [{ match: { prefix: '/' }, route: { cluster: name } }],
  });
  const ads = { eds_config: { ads: {} } };
  const address = { socket_address: { address: '127.0.0.1', port_value: 1 } };
  const lb_endpoints = [{ endpoint: { address } }];
  return [
    [
      TYPE_CLUSTER,
      names.map((name) =>
        resource(TYPE_CLUSTER, name, { name, type: 'EDS', eds_cluster_config: ads }),
      ),
    ],
    [
      TYPE_ENDPOINT,
      names.map((name) =>
        resource(TYPE_ENDPOINT, name, { cluster_name: name, endpoints: [{ lb_endpoints }] }),
      ),
    ],
    [TYPE_ROUTE, [resource(TYPE_ROUTE, 'r', { name: 'r', virtual_hosts: names.map(host) })]],
  ];
}

/** RDS of one virtual host with `count` routes, EDS of one cluster with `count` endpoints. */
function lopsidedMesh(count: number): readonly (readonly [Type, Resource[]])[] {
  const numbers = Array.from({ length: count }, (_, at) => at);
  const routes = numbers.map((at) => ({
    match: { prefix: `/service-${at}/` },
    route: { cluster: 'a' },
  }));
  const virtual_hosts = [{ name: 'all', domains: ['*'], routes }];
  const lb_endpoints = numbers.map((at) => {
    const address = { address: `10.0.${at >> 8}.${at & 255}`, port_value: 80 };
    return { endpoint: { address: { socket_address: address } } };
  });
  const cluster = { name: 'a', type: 'EDS', eds_cluster_config: { eds_config: { ads: {} } } };
  const assignment = { cluster_name: 'a', endpoints: [{ lb_endpoints }] };
  return [
    [TYPE_CLUSTER, [resource(TYPE_CLUSTER, 'a', cluster)]],
    [TYPE_ENDPOINT, [resource(TYPE_ENDPOINT, 'a', assignment)]],
    [TYPE_ROUTE, [resource(TYPE_ROUTE, 'r', { name: 'r', virtual_hosts })]],
  ];
}

/** CPU time of the whole, and of the longest turn of the event loop in it, in milliseconds: others' load counts not. */
async function take(count: number, into = tables(), sent = mesh(count)) {
  const answers: ReadonlyMap<string, string>[] = [];
  let longestMs = 0;
  let beganMs = cpuMs();
  let over = false;
  const turn = (): void => {
    longestMs = Math.max(longestMs, cpuMs() - beganMs);
    beganMs = cpuMs();
    if (!over) setImmediate(turn);
  };
  setImmediate(turn);
  const startMs = cpuMs();
  for (const [type, resources] of sent)
    answers.push(await into.resources.apply(type, resources, []));
  over = true;
  for (const problems of answers) expect([...problems]).toEqual([]);
  return { ...into, longestMs, totalMs: cpuMs() - startMs };
}

/** Of this thread. */
function cpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

test('ten thousand services are taken in turns of which the longest is a small part of the whole', async () => {
  const { longestMs, totalMs, manager, routes } = await take(10_000);
  expect(longestMs).toBeLessThan(Math.max(50, totalMs / 5));
  expect(manager.get('service-9999')!.endpoints).toHaveLength(1);
  const host = routes.get('r')!.findVirtualHost('service-9999:80');
  expect(host?.config.routes).toHaveLength(1);
});

test('ten thousand routes of one virtual host and endpoints of one cluster are taken in such turns too', async () => {
  const first = await take(10, tables(), lopsidedMesh(10));
  const { longestMs, totalMs } = await take(10_000, first, lopsidedMesh(10_000));
  expect(longestMs).toBeLessThan(Math.max(50, totalMs / 5));
  expect(first.manager.get('a')!.endpoints).toHaveLength(10_000);
  const host = first.routes.get('r')!.findVirtualHost('any');
  expect(host?.config.routes).toHaveLength(10_000);
});

test('four times the services take about four times the CPU time, not sixteen times', async () => {
  await take(1000); // compiles what follows
  const { totalMs: few } = await take(2500);
  const { totalMs: many } = await take(10_000);
  expect(many / few).toBeLessThan(9);
});

test('/config_dump shows each resource as it was sent', async () => {
  const { resources } = await take(20);
  const source = {
    bootstrap: { message: undefined, clusters: [], listeners: [] } as never,
    startedMs: 0,
    resources,
    secrets: [],
  };
  const dump = JSON.stringify(dumpOf(source));
  for (const [type, sent] of mesh(20)) {
    expect(resources.entries(type).size).toBe(sent.length);
    for (const { name, resource: any } of sent) {
      expect(resources.entries(type).get(name)!.resource!.value).toEqual(any!.value);
    }
  }
  expect(dump.match(/"service-7"/g)!.length).toBeGreaterThan(3);
});

function dumpOf(source: Parameters<typeof configDump>[0]): unknown[] {
  const sections: unknown[] = [];
  for (const section of configDump(source, true)) sections.push(section);
  return sections;
}
