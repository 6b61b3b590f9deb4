import { getHeapStatistics } from 'node:v8';
import type { Loggers } from '../observe/logger.ts';
import type { StatsRegistry } from '../observe/stats.ts';
import type { AdminSource, JsonObject } from './admin-source.ts';
import { certsPage } from './certs-page.ts';
import { clustersPage } from './clusters-page.ts';
import { configDumpPage } from './config-dump-page.ts';
import {
  type BoundAddress,
  type EndpointReply,
  type EndpointRequest,
  type EndpointRoute,
  HttpEndpoint,
  hostPort,
  json,
  plain,
} from './http-endpoint.ts';
import { renderSections } from './json-text.ts';
import { loggingPage } from './logging-page.ts';
import { prometheusPage, statsPage } from './stats-page.ts';

/**
 * The admin port (15000, CL-07): Envoy's paths, so that its users and tools find their way. What
 * shows is GET, what changes is POST only; browsers are let in only from this machine (A7.1).
 */
export interface AdminServerOptions {
  readonly source: AdminSource;
  readonly registry: StatsRegistry;
  readonly loggers: Loggers;
  /** Wall clock, milliseconds. */
  readonly nowMs: () => number;
  /** Names other than localhost and addresses that a browser may call the port by. */
  readonly allowedHosts?: readonly string[];
}

export class AdminServer {
  readonly #endpoint: HttpEndpoint;

  constructor(options: AdminServerOptions) {
    this.#endpoint = new HttpEndpoint({
      name: 'admin',
      portSetting: 'admin.address of the bootstrap',
      routes: adminRoutes(options),
      guardBrowsers: true,
      allowedHosts: options.allowedHosts ?? [],
    });
  }

  listen(address: BoundAddress): Promise<BoundAddress> {
    return this.#endpoint.listen(address);
  }

  close(): Promise<void> {
    return this.#endpoint.close();
  }
}

function adminRoutes(options: AdminServerOptions): ReadonlyMap<string, EndpointRoute> {
  const { source, registry, loggers, nowMs } = options;
  const routes = new Map<string, EndpointRoute>();
  const show = (path: string, help: string, handle: EndpointRoute['handle']) =>
    routes.set(path, { method: 'GET', help, handle });
  const change = (path: string, help: string, act: (request: EndpointRequest) => void) =>
    routes.set(path, {
      method: 'POST',
      help,
      handle: (request) => {
        act(request);
        return plain(200, 'OK\n');
      },
    });

  show('/', 'this list', () => helpPage(routes));
  show('/help', 'this list', () => helpPage(routes));
  show('/certs', 'certificates in use, with their ends', () => certsPage(source, nowMs()));
  show('/clusters', 'clusters and their endpoints (?format=json)', (r) => clustersPage(source, r));
  show(
    '/config_dump',
    'configuration in force (?resource=, ?name_regex=, ?include_eds)',
    (request) => configDumpPage(source, request),
  );
  show('/listeners', 'listeners and their addresses (?format=json)', (request) =>
    listenersPage(source, request),
  );
  show('/memory', 'memory of the process', memoryPage);
  show('/ready', '200 when the proxy serves, else 503', () => readyPage(source));
  show('/server_info', 'version, state, node', () => serverInfoPage(source));
  show('/stats', 'statistics (?filter=RE2, ?usedonly, ?format=json|prometheus)', (request) =>
    statsPage(registry, request),
  );
  show('/stats/prometheus', 'statistics for Prometheus', (request) =>
    prometheusPage(registry, request),
  );

  routes.set('/logging', {
    method: 'POST',
    help: 'list or set log levels (?level=debug, ?<logger>=debug)',
    handle: (request) => loggingPage(loggers, request),
  });
  change('/drain_listeners', 'stop taking connections (?graceful, ?inboundonly)', ({ query }) =>
    source.drainListeners({
      graceful: query.has('graceful'),
      inboundOnly: query.has('inboundonly'),
    }),
  );
  change('/drain', 'as /drain_listeners?graceful', () =>
    source.drainListeners({ graceful: true, inboundOnly: false }),
  );
  change('/healthcheck/fail', 'report not ready', () => source.setHealthCheck(false));
  change('/healthcheck/ok', 'report ready again', () => source.setHealthCheck(true));
  change('/reopen_logs', 'open access-log files again, after rotation', () => source.reopenLogs());
  change('/reset_counters', 'counters and histograms to 0', () => registry.resetCounters());
  routes.set('/quitquitquit', {
    method: 'POST',
    help: 'end the process',
    handle: () => ({ ...plain(200, 'OK\n'), after: () => source.quit() }),
  });
  return routes;
}

function helpPage(routes: ReadonlyMap<string, EndpointRoute>): EndpointReply {
  const lines = [...routes].map(([path, { method, help }]) => {
    const verb = method === 'POST' ? ' (POST)' : '';
    return `  ${path}${verb}: ${help}\n`;
  });
  return plain(200, `admin commands are:\n${lines.sort().join('')}`);
}

function readyPage(source: AdminSource): EndpointReply {
  const { ready, reason } = source.readiness();
  return ready ? plain(200, `${source.state()}\n`) : plain(503, `${source.state()}: ${reason}\n`);
}

function listenersPage(source: AdminSource, { query }: EndpointRequest): EndpointReply {
  if (query.get('format') === 'json') {
    return json(renderSections('listener_statuses', listenerMessages(source)));
  }
  let text = '';
  for (const { name, address, port } of source.listeners()) {
    text += `${name.replace(/[\u0000-\u001f\u007f-\u009f]/g, '?')}::${hostPort(address, port)}\n`;
  }
  return plain(200, text);
}

function* listenerMessages(source: AdminSource): Generator<JsonObject> {
  for (const { name, address, port } of source.listeners()) {
    yield { name, local_address: { socket_address: { address, port_value: port } } };
  }
}

/** `envoy.admin.v3.ServerInfo`. */
function serverInfoPage(source: AdminSource): EndpointReply {
  const { version, uptimeMs, node, configPath } = source.serverInfo();
  const uptime = `${Math.floor(uptimeMs / 1000)}s`;
  const message: JsonObject = {
    version: `weft/${version}`,
    state: source.state(),
    uptime_current_epoch: uptime,
    uptime_all_epochs: uptime,
    hot_restart_version: 'disabled',
    command_line_options: { config_path: configPath, concurrency: 1 },
    node,
  };
  return json(`${JSON.stringify(message, null, 1)}\n`);
}

/** `envoy.admin.v3.Memory`, as far as its fields mean something for V8. Bytes, as strings of 64 bits. */
function memoryPage(): EndpointReply {
  const heap = getHeapStatistics();
  const message = {
    allocated: String(heap.used_heap_size + heap.external_memory),
    heap_size: String(heap.total_heap_size),
    pageheap_unmapped: String(heap.heap_size_limit - heap.total_heap_size),
    pageheap_free: String(heap.total_heap_size - heap.used_heap_size),
    total_thread_cache: '0',
    total_physical_bytes: String(process.memoryUsage.rss()),
  };
  return json(`${JSON.stringify(message, null, 1)}\n`);
}
