import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import http2 from 'node:http2';
import type { AddressInfo, Server } from 'node:net';
import t, { type Test } from 'tap';
import { freePorts } from '../cli/run/free-port.ts';
import type { FloodOrder, FloodReport } from './harness/http2-flood-client.ts';
import { FLOODS } from './harness/http2-floods.ts';
import { HOSTILITIES, HostileServer } from './harness/http2-hostile-server.ts';
import { NodeProcess } from './harness/node-process.ts';
import { residentBytes } from './harness/resident-bytes.ts';
import {
  everything,
  httpListener,
  type StaticProxy,
  staticCluster,
  staticProxy,
} from './harness/static-proxy.ts';
import { until } from './harness/until.ts';

/**
 * [A2.8] One sidecar as a process of its own, in front of an app that speaks HTTP/1.1 and one that speaks HTTP/2: every
 * flood beside good traffic on other connections, of which nothing is lost.
 *
 * A group of floods lasts `$WEFT_FLOOD_SECONDS`, default 5; `WEFT_FLOOD_SECONDS=60` is the long mode, five minutes
 * altogether: `node test/http2-floods.tap.ts`. `WEFT_FLOOD_ONLY=ping,settings` plays these floods only, as one group.
 */

const SECONDS = Number(process.env['WEFT_FLOOD_SECONDS'] ?? 5);
t.setTimeout((5 * SECONDS + 120) * 1000);

/** Requests to `/slow` that the circuit breaker lets through at once, of each cluster. */
const SLOW_REQUESTS_MAX = 50;
const STREAMS_MAX = 100;
const GOOD_PER_SECOND = 200;
/** RssAnon while floods go on, by what it was with good traffic alone. */
const MEMORY_RATIO_MAX = 4;
/** The budgets of the process for slow readers (receiving and sending), and as much again of them in the allocator. */
const HELD_BYTES_MAX = 2 * (128 + 128) * 1024 * 1024;

const GROUPS: Readonly<Record<string, readonly string[]>> = {
  'streams opened, reset and refused': [
    'rapid-reset',
    'made-you-reset',
    'empty-headers',
    'stream-excess',
    'closed-streams',
    'trailers',
  ],
  'frames that cost nothing': [
    'settings',
    'ping',
    'goaway',
    'priority',
    'unknown-frames',
    'window-update',
  ],
  'field blocks': [
    'continuation',
    'header-block',
    'header-list',
    'hpack-bomb',
    'table-size-updates',
    'slow-headers',
  ],
  'bodies and windows': [
    'empty-data',
    'zero-window',
    'window-dribble',
    'open-streams',
    'unread-replies',
    'stuck-uploads',
  ],
};

/** An app that counts the requests to `/slow` that it is at. */
class App {
  readonly server: Server;
  slowNow = 0;
  slowMost = 0;
  slowTotal = 0;

  constructor(version: 1 | 2) {
    const answer = (request: unknown, response: unknown) =>
      this.#answer(request as IncomingMessage, response as ServerResponse);
    this.server =
      version === 1
        ? http.createServer(answer)
        : http2.createServer({ maxSessionMemory: 4000 }, answer);
    // Floods end thousands of exchanges early.
    this.server.on('clientError', (_error, socket) => socket.destroy());
    this.server.on('sessionError', () => {});
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    return (this.server.address() as AddressInfo).port;
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    request.on('error', () => {});
    response.on('error', () => {});
    switch (request.url) {
      case '/stuck':
        return;
      case '/slow': {
        this.slowTotal++;
        this.slowMost = Math.max(this.slowMost, ++this.slowNow);
        const timer = setTimeout(() => response.end('slow'), 100);
        response.once('close', () => {
          clearTimeout(timer);
          this.slowNow--;
        });
        return;
      }
      case '/large':
        response.end(LARGE);
        return;
      default: {
        let bytes = 0;
        request.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
        });
        request.on('end', () => response.end(`${bytes}`));
      }
    }
  }
}

const LARGE = Buffer.alloc(1024 * 1024, 'l');
const BODY = Buffer.alloc(2048, 'b');

/** Good requests at a fixed rate on two connections; every other one has a body. */
class GoodTraffic {
  readonly #sessions: http2.ClientHttp2Session[];
  readonly #timer: NodeJS.Timeout;
  readonly #startMs = performance.now();
  readonly failures: string[] = [];
  readonly latenciesMs: number[] = [];
  started = 0;
  #open = 0;

  constructor(port: number) {
    this.#sessions = [0, 1].map(() => http2.connect(`http://127.0.0.1:${port}`));
    for (const session of this.#sessions) {
      session.on('error', (error) => this.failures.push(`session: ${error.message}`));
      session.on('goaway', (code) => this.failures.push(`GOAWAY ${code}`));
    }
    this.#timer = setInterval(() => {
      const due = ((performance.now() - this.#startMs) * GOOD_PER_SECOND) / 1000;
      while (this.started < due) this.#request();
    }, 10);
  }

  async end(): Promise<void> {
    clearInterval(this.#timer);
    await until('good requests to be answered', () => this.#open === 0, 30_000);
    for (const session of this.#sessions) session.close();
  }

  #request(): void {
    const number = this.started++;
    const beganMs = performance.now();
    const upload = number % 2 === 0;
    const path = number % 4 < 2 ? '/h1/good' : '/h2/good';
    const session = this.#sessions[number % this.#sessions.length]!;
    const stream = session.request({ ':method': upload ? 'POST' : 'GET', ':path': path });
    this.#open++;
    let status = 0;
    let text = '';
    let failure = '';
    stream.on('response', (head) => {
      status = Number(head[':status']);
    });
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
    stream.on('error', (error) => {
      failure = error.message;
    });
    stream.on('close', () => {
      this.#open--;
      this.latenciesMs.push(performance.now() - beganMs);
      const expected = upload ? `${BODY.length}` : '0';
      if (failure === '' && status === 200 && text === expected) return;
      this.failures.push(
        `${path} after ${Math.round(performance.now() - beganMs)} ms: ${status} ${text} ${failure}`,
      );
    });
    stream.end(upload ? BODY : undefined);
  }
}

async function floodCounts(proxy: StaticProxy): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  for (const line of (await proxy.admin('/stats/prometheus')).split('\n')) {
    const found = /h2_flood\{.*kind="(\w+)".*\} (\d+)/.exec(line);
    if (found !== null) counts.set(found[1]!, (counts.get(found[1]!) ?? 0) + Number(found[2]));
  }
  return counts;
}

async function flood(
  port: number,
  floods: readonly string[],
): Promise<Record<string, FloodReport>> {
  const paths = ['/h1', '/h2'].map((app) => ({
    slow: `${app}/slow`,
    large: `${app}/large`,
    stuck: `${app}/stuck`,
  }));
  const order: FloodOrder = { port, seconds: SECONDS, floods, paths };
  const client = new NodeProcess(['test/harness/http2-flood-client.ts', JSON.stringify(order)]);
  const exitCode = await client.exited;
  if (exitCode !== 0) throw new Error(`the flood ended with ${exitCode}: ${client.stderr}`);
  return JSON.parse(client.stdout) as Record<string, FloodReport>;
}

const apps = [new App(1), new App(2)] as const;
const [h1Port, h2Port] = [await apps[0].listen(), await apps[1].listen()];
t.teardown(() => {
  for (const { server } of apps) {
    server.close();
    (server as http.Server).closeAllConnections?.();
  }
});

const speaksHttp2 = {
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
      explicit_http_config: { http2_protocol_options: {} },
    },
  },
};
const patient = { connect_timeout: '10s' };
const few = { circuit_breakers: { thresholds: [{ max_requests: SLOW_REQUESTS_MAX }] } };
const route = (path: string, cluster: string, timeout = '20s') => ({
  match: { prefix: path },
  route: { cluster, timeout, prefix_rewrite: path.replace(/^\/h[12]/, '') },
});
const [port] = await freePorts(1);
const proxy = await staticProxy({
  listeners: [
    httpListener(
      port!,
      [
        {
          ...everything('h1'),
          routes: [
            route('/h1/slow', 'h1-slow'),
            route('/h2/slow', 'h2-slow'),
            route('/h1/stuck', 'h1-stuck', '0s'),
            route('/h2/stuck', 'h2-stuck', '0s'),
            route('/h1/large', 'h1', '0s'),
            // On the connections of good traffic: what stands still there must not stop it.
            route('/h2/large', 'h2', '0s'),
            route('/h1/', 'h1'),
            route('/h2/', 'h2'),
          ],
        },
      ],
      {
        codec_type: 'AUTO',
        // Above what a machine that is busy with other things makes a good request wait.
        stream_idle_timeout: '10s',
        request_headers_timeout: '1s',
        http2_protocol_options: { max_concurrent_streams: STREAMS_MAX },
      },
    ),
  ],
  clusters: [
    staticCluster('h1', [h1Port], patient),
    staticCluster('h1-slow', [h1Port], few),
    staticCluster('h1-stuck', [h1Port]),
    staticCluster('h2', [h2Port], { ...speaksHttp2, ...patient }),
    staticCluster('h2-slow', [h2Port], { ...speaksHttp2, ...few }),
    staticCluster('h2-stuck', [h2Port], speaksHttp2),
  ],
});
t.teardown(() => proxy.stop());
const { pid } = proxy.process;

let calmBytes = 0;

t.test('good traffic alone', async (t) => {
  const good = new GoodTraffic(port!);
  await until('good requests', () => good.latenciesMs.length >= 2 * GOOD_PER_SECOND);
  await good.end();
  calmBytes = residentBytes(pid, 'RssAnon');
  t.same(good.failures, []);
});

async function withstands(t: Test, floods: readonly string[]): Promise<void> {
  const before = await floodCounts(proxy);
  for (const app of apps) app.slowMost = app.slowNow;
  const good = new GoodTraffic(port!);
  let mostBytes = 0;
  let [lookedMs, pauseMs] = [performance.now(), 0];
  const watch = setInterval(() => {
    // How long this process has stood still, which good requests have waited for as well.
    pauseMs = Math.max(pauseMs, performance.now() - lookedMs - 100);
    lookedMs = performance.now();
    mostBytes = Math.max(mostBytes, residentBytes(pid, 'RssAnon'));
  }, 100);
  const reports = await flood(port!, floods);
  await good.end();
  clearInterval(watch);
  const counts = await floodCounts(proxy);

  for (const name of floods) {
    const { kind, errorCode } = FLOODS.find((flood) => flood.name === name)!;
    const report = reports[name]!;
    t.comment(`${name}: ${JSON.stringify(report)}`);
    t.ok(report.frames > 0, `${name} was sent`);
    if (errorCode !== '')
      t.ok((report.ended[errorCode] ?? 0) > 0, `${name} ends with ${errorCode}`);
    if (kind !== '') {
      t.ok((counts.get(kind) ?? 0) > (before.get(kind) ?? 0), `${name} is counted as ${kind}`);
    }
  }
  const sorted = good.latenciesMs.sort((a, b) => a - b);
  const [p50, p99] = [0.5, 0.99].map((part) =>
    Math.round(sorted[Math.floor(sorted.length * part)]!),
  );
  const mib = (bytes: number) => Math.round(bytes / 1024 / 1024);
  t.comment(
    `good: ${good.started} requests, p50 ${p50} ms, p99 ${p99} ms, the client itself stood still for ${Math.round(pauseMs)} ms; RssAnon ${mib(mostBytes)} MiB, alone ${mib(calmBytes)} MiB; ` +
      `slow requests at once ${apps.map((app) => app.slowMost).join(' and ')} of ${apps.map((app) => app.slowTotal).join(' and ')}`,
  );
  t.same(good.failures, [], 'no good request is lost');
  t.ok(good.started > 0.9 * SECONDS * GOOD_PER_SECOND, `${good.started} good requests`);
  t.equal(proxy.process.exitCode, undefined, 'the sidecar lives');
  const holds = floods.includes('stuck-uploads') ? HELD_BYTES_MAX : 0;
  t.ok(mostBytes < MEMORY_RATIO_MAX * calmBytes + holds, `${mib(mostBytes)} MiB`);
  for (const app of apps) {
    t.ok(app.slowMost <= SLOW_REQUESTS_MAX, `${app.slowMost} slow requests at once`);
  }
}

/** Requests for each hostile upstream, one after the other; how they were answered. */
async function askHostile(t: Test, hostilePort: number): Promise<Record<string, number[]>> {
  const session = http2.connect(`http://127.0.0.1:${hostilePort}`);
  session.on('error', (error) => t.fail(`session: ${error.message}`));
  session.on('goaway', (code) => t.fail(`GOAWAY ${code}`));
  const endMs = performance.now() + SECONDS * 1000;
  const ask = (path: string) =>
    new Promise<number>((resolve) => {
      const stream = session.request({ ':method': 'POST', ':path': path });
      let status = 0;
      stream.on('response', (head) => {
        status = Number(head[':status']);
      });
      stream.on('error', () => {});
      stream.on('close', () => resolve(status));
      stream.resume();
      stream.end(BODY);
    });
  const statuses: Record<string, number[]> = {};
  const all = HOSTILITIES.map(async ({ name }) => {
    const mine: number[] = [];
    statuses[name] = mine;
    while (performance.now() < endMs) {
      mine.push(await ask(`/${name}`));
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  });
  await Promise.all(all);
  session.close();
  return statuses;
}

async function withstandsUpstreams(t: Test): Promise<void> {
  const servers = HOSTILITIES.map((hostility) => new HostileServer(hostility));
  t.teardown(() => {
    for (const server of servers) server.close();
  });
  const ports = await Promise.all(servers.map((server) => server.listen()));
  const [hostilePort, goodPort] = await freePorts(2);
  const proxy = await staticProxy({
    listeners: [
      httpListener(
        hostilePort!,
        [
          {
            ...everything('h1'),
            routes: HOSTILITIES.map(({ name }) => ({
              match: { path: `/${name}` },
              route: { cluster: name, timeout: '1s' },
            })),
          },
        ],
        { codec_type: 'HTTP2' },
      ),
      httpListener(goodPort!, [
        { ...everything('h1'), routes: [route('/h1/', 'h1'), route('/h2/', 'h2')] },
      ]),
    ],
    clusters: [
      ...HOSTILITIES.map(({ name }, at) => staticCluster(name, [ports[at]!], speaksHttp2)),
      staticCluster('h1', [h1Port], patient),
      staticCluster('h2', [h2Port], { ...speaksHttp2, ...patient }),
    ],
  });
  t.teardown(() => proxy.stop());
  const calm = new GoodTraffic(goodPort!);
  await until('good requests', () => calm.latenciesMs.length >= 2 * GOOD_PER_SECOND);
  await calm.end();
  const calmBytes = residentBytes(proxy.process.pid, 'RssAnon');

  const good = new GoodTraffic(goodPort!);
  let mostBytes = 0;
  const watch = setInterval(() => {
    mostBytes = Math.max(mostBytes, residentBytes(proxy.process.pid, 'RssAnon'));
  }, 100);
  const statuses = await askHostile(t, hostilePort!);
  await good.end();
  clearInterval(watch);
  const counts = await floodCounts(proxy);
  for (const [at, { name, kind }] of HOSTILITIES.entries()) {
    const answered = Object.entries(Object.groupBy(statuses[name]!, String));
    const summary = answered.map(([status, list]) => `${list!.length} × ${status}`).join(', ');
    t.comment(`${name}: ${servers[at]!.connections} connections, ${summary}`);
    t.ok(statuses[name]!.length >= Math.min(3, SECONDS / 2), `${name}: every request is ended`);
    if (kind !== '') t.ok((counts.get(kind) ?? 0) > 0, `${name} is counted as ${kind}`);
  }
  t.comment(
    `good: ${good.started} requests; RssAnon ${Math.round(mostBytes / 1024 / 1024)} MiB, alone ${Math.round(calmBytes / 1024 / 1024)} MiB`,
  );
  t.same(good.failures, [], 'no good request is lost');
  t.ok(good.started > 0.9 * SECONDS * GOOD_PER_SECOND, `${good.started} good requests`);
  t.equal(proxy.process.exitCode, undefined, 'the sidecar lives');
  t.ok(mostBytes < MEMORY_RATIO_MAX * calmBytes, `${mostBytes} bytes`);
}

const only = process.env['WEFT_FLOOD_ONLY'];
for (const [name, floods] of Object.entries(only ? { only: only.split(',') } : GROUPS)) {
  t.test(`[A2.8] ${name}`, (t) => withstands(t, floods));
}

t.test('[A3] upstreams that flood, break the protocol and say nothing', withstandsUpstreams);

t.test('every flood is in a group, and the sidecar forgets them all', async (t) => {
  t.same(Object.values(GROUPS).flat().sort(), FLOODS.map(({ name }) => name).sort());
  await until('no request to be left at the apps', () =>
    apps.every(({ slowNow }) => slowNow === 0),
  );
});
