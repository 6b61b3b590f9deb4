import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts } from '../../cli/run/free-port.ts';
import { NodeProcess, ROOT } from './node-process.ts';
import { until } from './until.ts';

/** A sidecar process with a static bootstrap. */
export interface StaticProxy {
  readonly process: NodeProcess;
  readonly adminPort: number;
  readonly directory: string;
  admin(path: string, method?: 'GET' | 'POST'): Promise<string>;
  stop(): Promise<number>;
}

/** `resources`: `static_resources` of the bootstrap. Resolves when the admin port says LIVE. */
export async function staticProxy(
  resources: object,
  extra: {
    readonly args?: readonly string[];
    readonly node?: object;
    /** Further fields of the bootstrap. */
    readonly bootstrap?: object;
    /** Program and its arguments to start the sidecar by, such as `prlimit --nofile=256`. */
    readonly wrapper?: readonly [string, ...string[]];
  } = {},
): Promise<StaticProxy> {
  const directory = mkdtempSync(join(tmpdir(), 'weft-static-'));
  const [adminPort] = await freePorts(1);
  const bootstrap = {
    node: extra.node ?? { id: 'test', cluster: 'test' },
    admin: { address: socketAddress(adminPort!) },
    static_resources: resources,
    ...extra.bootstrap,
  };
  const file = join(directory, 'bootstrap.json');
  writeFileSync(file, JSON.stringify(bootstrap, null, 2));
  const main = join(ROOT, 'proxy/main.ts');
  const process = startWrapped([main, '-c', file, ...(extra.args ?? [])], extra.wrapper);
  const admin = async (path: string, method: 'GET' | 'POST' = 'GET') =>
    (await fetch(`http://127.0.0.1:${adminPort}${path}`, { method })).text();
  try {
    await until('the sidecar to be live', async () => {
      if (process.exitCode !== undefined) throw new Error(`the sidecar ended: ${process.output}`);
      const response = await fetch(`http://127.0.0.1:${adminPort}/ready`).catch(() => undefined);
      return response?.status === 200;
    });
  } catch (error) {
    await process.stop();
    rmSync(directory, { recursive: true, force: true });
    throw error;
  }
  return {
    process,
    adminPort: adminPort!,
    directory,
    admin,
    stop: async () => {
      const code = await process.stop();
      rmSync(directory, { recursive: true, force: true });
      return code;
    },
  };
}

function startWrapped(args: readonly string[], wrapper: readonly string[] = []): NodeProcess {
  const [command, ...rest] = [...wrapper, process.execPath];
  return new NodeProcess([...rest, ...args], { command: command! });
}

export function socketAddress(port: number, address = '127.0.0.1'): object {
  return { socket_address: { address, port_value: port } };
}

export const ROUTER_FILTER = {
  name: 'envoy.filters.http.router',
  typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
};

/** `overload_manager` of a bootstrap that allows so many connections of clients. */
export function connectionsAllowed(connections: number): object {
  const type = 'envoy.extensions.resource_monitors.downstream_connections.v3';
  const monitor = {
    name: 'envoy.resource_monitors.global_downstream_max_connections',
    typed_config: {
      '@type': `type.googleapis.com/${type}.DownstreamConnectionsConfig`,
      max_active_downstream_connections: connections,
    },
  };
  return { resource_monitors: [monitor] };
}

/** An HTTP listener with inline routes. `hcm` adds to or replaces fields of the connection manager. */
export function httpListener(
  port: number,
  virtualHosts: readonly object[],
  hcm: object = {},
  chain: object = {},
): object {
  return {
    name: `http_${port}`,
    address: socketAddress(port),
    filter_chains: [
      {
        filters: [
          {
            name: 'envoy.filters.network.http_connection_manager',
            typed_config: {
              '@type':
                'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
              stat_prefix: 'http',
              // Envoy refuses unknown clusters of inline routes unless told otherwise.
              route_config: {
                name: 'local',
                virtual_hosts: virtualHosts,
                validate_clusters: false,
              },
              http_filters: [ROUTER_FILTER],
              ...hcm,
            },
          },
        ],
        ...chain,
      },
    ],
  };
}

/** A virtual host for every name with one route to `cluster`. */
export function everything(cluster: string, route: object = {}): object {
  return {
    name: 'all',
    domains: ['*'],
    routes: [{ match: { prefix: '/' }, route: { cluster, ...route } }],
  };
}

export function staticCluster(name: string, ports: readonly number[], extra: object = {}): object {
  return {
    name,
    type: 'STATIC',
    connect_timeout: '1s',
    load_assignment: {
      cluster_name: name,
      endpoints: [
        { lb_endpoints: ports.map((port) => ({ endpoint: { address: socketAddress(port) } })) },
      ],
    },
    ...extra,
  };
}
