import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { Agent } from 'node:http';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { freePorts } from '../../cli/run/free-port.ts';
import { echoApp } from '../harness/echo-app.ts';
import { rawExchange } from '../harness/raw-exchange.ts';
import { residentBytes } from '../harness/resident-bytes.ts';
import {
  connectionsAllowed,
  everything,
  httpListener,
  staticCluster,
  staticProxy,
} from '../harness/static-proxy.ts';
import { until } from '../harness/until.ts';
import { type ChaosRequest, ChaoticApp, send } from './chaotic-app.ts';

/** One sidecar as a process between hostile clients and hostile upstreams; the invariants of the project hold. */

t.setTimeout(200_000);

const BREAKERS = {
  circuit_breakers: {
    thresholds: [{ max_connections: 5000, max_pending_requests: 5000, max_requests: 5000 }],
  },
};

t.test('[A3, D2] what a hostile upstream sends is refused or visibly cut', async (t) => {
  const answers: Readonly<Record<string, readonly [send: string, seen: RegExp]>> = {
    'CR in a field': ['200 OK\r\nx: a\rb\r\ncontent-length: 2\r\n\r\nok', /^HTTP\/1\.1 502 /],
    'length and chunks': [
      '200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
      /^HTTP\/1\.1 502 /,
    ],
    'two lengths': [
      '200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nabc',
      /^HTTP\/1\.1 502 /,
    ],
    'NUL in a field': ['200 OK\r\nx: a\0b\r\ncontent-length: 2\r\n\r\nok', /^HTTP\/1\.1 502 /],
    '101 unasked': [
      '101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nraw',
      /^HTTP\/1\.1 502 /,
    ],
    'status of two digits': ['99 x\r\ncontent-length: 0\r\n\r\n', /^HTTP\/1\.1 502 /],
    'endless 1xx': [`${'103 Early\r\n\r\nHTTP/1.1 '.repeat(200)}`, /HTTP\/1\.1 502 /],
    'endless head': [
      `200 OK\r\n${'x: yyyyyyyyyyyyyyyyyyyyyyyy\r\n'.repeat(4000)}`,
      /^HTTP\/1\.1 502 /,
    ],
    'bad chunk': [
      '200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n-1\r\n',
      /^(?![\s\S]*\r\n0\r\n\r\n)/,
    ],
    'length cut short': ['200 OK\r\ncontent-length: 1000\r\n\r\nabc', /abc$/],
    'chunks cut short': [
      '200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n',
      /^(?![\s\S]*\r\n0\r\n\r\n)/,
    ],
    'a second response': [
      '200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison',
      /^(?![\s\S]*poison)[\s\S]*ok$/,
    ],
  };
  const names = Object.keys(answers);
  const upstreams: Server[] = [];
  for (const name of names) {
    upstreams.push(
      await server((socket) =>
        socket.on('data', () => socket.end(`HTTP/1.1 ${answers[name]![0]}`)),
      ),
    );
  }
  const [port] = await freePorts(1);
  const proxy = await staticProxy({
    listeners: [
      httpListener(port!, [
        {
          name: 'all',
          domains: ['*'],
          routes: names.map((_, at) => ({
            match: { path: `/${at}` },
            route: { cluster: `c${at}`, timeout: '5s' },
          })),
        },
      ]),
    ],
    clusters: upstreams.map((upstream, at) => staticCluster(`c${at}`, [portOf(upstream)])),
  });
  t.teardown(async () => {
    await proxy.stop();
    for (const upstream of upstreams) upstream.close();
  });
  for (const [at, name] of names.entries()) {
    for (let count = 0; count < 3; count += 1) {
      const { text } = await rawExchange(
        port!,
        `GET /${at} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n`,
      );
      t.match(text, answers[name]![1], name);
    }
  }
  t.equal(await bugs(proxy.admin), 0);
});

t.test('[I1, I2, I3, I4] nothing is crossed, doubled, lost or cut in silence', async (t) => {
  const app = await ChaoticApp.start();
  const [port] = await freePorts(1);
  const directory = mkdtempSync(join(tmpdir(), 'weft-chaos-'));
  const logFile = join(directory, 'log');
  const proxy = await staticProxy({
    listeners: [
      httpListener(
        port!,
        [
          everything('app', {
            retry_policy: { retry_on: 'connect-failure,refused-stream', num_retries: 2 },
          }),
        ],
        { access_log: [fileLog(logFile, '%REQ(X-ID)%\n')] },
      ),
    ],
    clusters: [staticCluster('app', [app.port])],
  });
  const agent = new Agent({ keepAlive: true, maxSockets: 32 });
  t.teardown(async () => {
    agent.destroy();
    await proxy.stop();
    await app.close();
    rmSync(directory, { recursive: true, force: true });
  });
  const counts = new Map<string, number>();
  const posts = new Set<string>();
  let next = 0;
  const worker = async () => {
    while (next < 3000) {
      const id = String(next++);
      const sent: ChaosRequest = {
        id,
        post: next % 3 === 0,
        bodyBytes: next % 30 === 0 ? 150_000 : 900,
      };
      if (sent.post) posts.add(id);
      const answer = await send(port!, agent, sent);
      counts.set(answer, (counts.get(answer) ?? 0) + 1);
    }
  };
  await Promise.all(Array.from({ length: 24 }, worker));
  const allowed = new Set(['whole', 'cut', '503']);
  t.same(
    [...counts.keys()].filter((kind) => !allowed.has(kind)),
    [],
    JSON.stringify([...counts]),
  );
  t.ok((counts.get('whole') ?? 0) > 2000);
  t.ok((counts.get('cut') ?? 0) > 0, 'the app did cut');
  t.same(
    [...app.seen].filter(([id, times]) => posts.has(id) && times > 1),
    [],
    '[I2] no POST twice',
  );
  t.ok(Math.max(...app.seen.values()) <= 2, 'a GET at most once more (D4)');
  const lines = await until('a line for each request', () => {
    const ids = readFileSync(logFile, 'utf8').trimEnd().split('\n');
    return ids.length >= 3000 && ids;
  });
  t.equal(lines.length, 3000, '[I1] one line a request');
  t.equal(new Set(lines).size, 3000);
  t.equal(await bugs(proxy.admin), 0);
});

t.test('[D14] readers that stall hold their share of memory and no more', async (t) => {
  const piece = Buffer.alloc(4 * 1024 * 1024, 'x');
  const upstream = await server((socket) =>
    socket.once('data', () => {
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 104857600\r\n\r\n');
      socket.write(piece);
    }),
  );
  const app = await echoApp();
  const [port] = await freePorts(1);
  const proxy = await staticProxy({
    listeners: [
      httpListener(port!, [
        {
          name: 'all',
          domains: ['*'],
          routes: [
            { match: { prefix: '/big' }, route: { cluster: 'big', timeout: '0s' } },
            { match: { prefix: '/' }, route: { cluster: 'echo' } },
          ],
        },
      ]),
    ],
    clusters: [
      staticCluster('big', [portOf(upstream)], { ...BREAKERS, connect_timeout: '20s' }),
      staticCluster('echo', [app.port]),
    ],
  });
  t.teardown(async () => {
    await proxy.stop();
    upstream.close();
    await app.close();
  });
  const before = residentBytes(proxy.process.pid, 'RssAnon');
  const readers = await clients(port!, 400);
  for (const reader of readers) reader.write('GET /big HTTP/1.1\r\nhost: a\r\n\r\n');
  await until(
    'all to have begun',
    async () => (await stat(proxy.admin, 'http.http.downstream_rq_active')) === 400,
  );
  let last = -1;
  await until('the memory to stand still', async () => {
    const now = residentBytes(proxy.process.pid, 'RssAnon');
    const still = now === last;
    last = now;
    await new Promise((resolve) => setTimeout(resolve, 300));
    return still;
  });
  const grownMib = (last - before) / 1048576;
  t.ok(
    grownMib < 260,
    `grew by ${grownMib.toFixed(0)} MiB; 400 watermarks of their own would be over 400`,
  );
  const { text } = await rawExchange(
    port!,
    'GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n',
  );
  t.match(text, /^HTTP\/1\.1 200 /, 'others are served');
  for (const reader of readers) reader.destroy();
  await until(
    'nothing to be left',
    async () => (await stat(proxy.admin, 'cluster.big.upstream_cx_active')) === 0,
  );
  t.equal(await stat(proxy.admin, 'http.http.downstream_rq_active'), 0);
});

t.test('[A1.9, D6] slow heads end with 408 and cost the others nothing', async (t) => {
  const app = await echoApp();
  const [port] = await freePorts(1);
  const proxy = await staticProxy({
    listeners: [httpListener(port!, [everything('echo')], { request_headers_timeout: '2s' })],
    clusters: [staticCluster('echo', [app.port])],
  });
  const attackers = await clients(port!, 200);
  t.teardown(async () => {
    for (const attacker of attackers) attacker.destroy();
    await proxy.stop();
    await app.close();
  });
  const statuses: string[] = [];
  let ended = 0;
  for (const attacker of attackers) {
    let text = '';
    attacker.on('data', (bytes: Buffer) => {
      text += bytes.toString('latin1');
    });
    attacker.on('close', () => {
      ended += 1;
      statuses.push(text.slice(9, 12));
    });
    attacker.resume();
    attacker.write('GET / HTTP/1.1\r\nhost: a\r\nx: ');
  }
  const trickle = setInterval(() => {
    for (const attacker of attackers) if (attacker.writable) attacker.write('y');
  }, 200);
  t.teardown(() => clearInterval(trickle));
  while (ended < attackers.length) {
    const { text } = await rawExchange(
      port!,
      'GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n',
    );
    if (!text.startsWith('HTTP/1.1 200 ')) t.fail(text);
  }
  t.same(new Set(statuses), new Set(['408']));
});

t.test(
  '[D23] a client whose upload is refused early may use its next connection at once',
  async (t) => {
    const upstream = await server((socket) => socket.once('data', () => socket.resetAndDestroy()));
    const [port] = await freePorts(1);
    const proxy = await staticProxy({
      listeners: [httpListener(port!, [everything('reset')])],
      clusters: [staticCluster('reset', [portOf(upstream)])],
    });
    const agent = new Agent({ keepAlive: true, maxSockets: 4 });
    t.teardown(async () => {
      agent.destroy();
      await proxy.stop();
      upstream.close();
    });
    const seen = new Map<string, number>();
    for (let round = 0; round < 150; round += 1) {
      const sent = { id: String(round), post: true, bodyBytes: 300_000 };
      const kind = await send(port!, agent, sent);
      seen.set(kind, (seen.get(kind) ?? 0) + 1);
    }
    t.same([...seen.keys()], ['503'], 'each is told, and none runs into a closing connection');
  },
);

t.test(
  '[D13] with all connections taken the admin port still answers',
  { skip: noPrlimit() },
  async (t) => {
    const app = await echoApp();
    const [port] = await freePorts(1);
    const proxy = await staticProxy(
      {
        listeners: [httpListener(port!, [everything('echo')])],
        clusters: [staticCluster('echo', [app.port])],
      },
      { wrapper: ['prlimit', '--nofile=256:256'] },
    );
    t.teardown(async () => {
      await proxy.stop();
      await app.close();
    });
    const held = await clients(port!, 300);
    await until('the limit to be met', async () =>
      (await proxy.admin('/stats')).match(/downstream_cx_overflow: [1-9]/),
    );
    // A paused socket does not notice that it was reset: ask all, the ones that were let in answer.
    let answered = 0;
    for (const socket of held) {
      socket.on('data', () => {
        answered += 1;
      });
      socket.resume();
      socket.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
    }
    await until('those that were let in to be served', () => answered > 50);
    for (const socket of held) socket.destroy();
    await until('new ones to be served again', async () => {
      const { text } = await rawExchange(
        port!,
        'GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n',
      );
      return text.startsWith('HTTP/1.1 200 ');
    });
  },
);

t.test('[A1.5] no more connections than the bootstrap allows', async (t) => {
  const app = await echoApp();
  const [port, freePort] = await freePorts(2);
  const routes = [everything('echo')];
  const proxy = await staticProxy(
    {
      listeners: [
        httpListener(port!, routes),
        { ...httpListener(freePort!, routes), ignore_global_conn_limit: true },
      ],
      clusters: [staticCluster('echo', [app.port])],
    },
    { bootstrap: { overload_manager: connectionsAllowed(3) } },
  );
  t.teardown(async () => {
    await proxy.stop();
    await app.close();
  });
  const get = 'GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n';
  const held = await clients(port!, 3);
  await until('three to be there', async () =>
    /downstream_cx_active: 3/.test(await proxy.admin('/stats')),
  );
  t.equal((await rawExchange(port!, get)).text, '', 'the fourth is refused');
  t.match(await proxy.admin('/stats'), /downstream_cx_overflow: 1/);
  t.match((await rawExchange(freePort!, get)).text, /^HTTP\/1.1 200 /, 'where it is not counted');
  for (const socket of held) socket.destroy();
  await until('room again', async () =>
    /^HTTP\/1.1 200 /.test((await rawExchange(port!, get)).text),
  );
});

t.test('[D20] a second SIGTERM ends a drain at once with 143', async (t) => {
  const app = await echoApp();
  const [port] = await freePorts(1);
  const proxy = await staticProxy(
    {
      listeners: [httpListener(port!, [everything('echo')])],
      clusters: [staticCluster('echo', [app.port])],
    },
    { args: ['--drain-time-s', '600'] },
  );
  const [idle] = await clients(port!, 1);
  await until(
    'the connection',
    async () => (await stat(proxy.admin, 'http.http.downstream_cx_active')) === 1,
  );
  proxy.process.kill('SIGTERM');
  await proxy.process.seen(/"draining"/);
  proxy.process.kill('SIGTERM');
  t.equal(await proxy.process.exited, 143);
  idle!.destroy();
  await proxy.stop();
  await app.close();
});

// --- the pieces ---------------------------------------------------------------------------------

async function server(onSocket: (socket: Socket) => void): Promise<Server> {
  const made = createServer((socket) => {
    socket.on('error', () => {});
    onSocket(socket);
  });
  await new Promise<void>((resolve) => made.listen(0, '127.0.0.1', 1024, resolve));
  return made;
}

function portOf(of: Server): number {
  return (of.address() as { port: number }).port;
}

/** Connections that read nothing until they are told. */
function clients(port: number, count: number): Promise<Socket[]> {
  const open = () =>
    new Promise<Socket>((resolve) => {
      const socket = connect({ port, host: '127.0.0.1' }, () => resolve(socket));
      // Refused before the test saw it connected: a client all the same.
      socket.on('error', () => resolve(socket));
      socket.on('end', () => socket.destroy());
      socket.pause();
    });
  return Promise.all(Array.from({ length: count }, open));
}

type Admin = (path: string) => Promise<string>;

async function stat(admin: Admin, name: string): Promise<number> {
  const line = (await admin('/stats')).split('\n').find((each) => each.startsWith(`${name}: `));
  return Number(line?.slice(name.length + 2) ?? Number.NaN);
}

async function bugs(admin: Admin): Promise<number> {
  const lines = (await admin('/stats'))
    .split('\n')
    .filter((line) => line.startsWith('weft_unexpected_errors_total'));
  return lines.reduce((sum, line) => sum + Number(line.split(': ')[1] ?? 0), 0);
}

function fileLog(path: string, text: string): object {
  return {
    name: 'envoy.access_loggers.file',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog',
      path,
      log_format: { text_format_source: { inline_string: text } },
    },
  };
}

function noPrlimit(): string | false {
  const { status } = spawnSync('prlimit', ['--version']);
  return status === 0 ? false : 'no prlimit here';
}
