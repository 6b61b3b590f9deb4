import { execFile, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { freePorts } from '../cli/run/free-port.ts';
import { type Echoed, echoApp } from './harness/echo-app.ts';
import { NodeProcess, ROOT } from './harness/node-process.ts';
import { rawExchange } from './harness/raw-exchange.ts';
import { residentBytes } from './harness/resident-bytes.ts';
import {
  everything,
  httpListener,
  socketAddress,
  staticCluster,
  staticProxy,
} from './harness/static-proxy.ts';
import { until } from './harness/until.ts';

/** A sidecar with a static bootstrap as a process of its own, spoken to by curl, raw sockets and node:http. */

t.setTimeout(180_000);

const execute = promisify(execFile);
const curl = async (...args: string[]) => (await execute('curl', ['-sS', ...args])).stdout;
const hasCurl = spawnSync('curl', ['--version']).status === 0;

t.test('HTTP through one sidecar', async (t) => {
  const app = await echoApp();
  const [port, deadPort] = await freePorts(2);
  const proxy = await staticProxy(
    {
      listeners: [
        httpListener(port!, [
          {
            name: 'dead',
            domains: ['dead.example'],
            routes: [{ match: { prefix: '/' }, route: { cluster: 'dead' } }],
          },
          {
            name: 'echo',
            domains: ['*'],
            routes: [
              {
                match: { path: '/teapot' },
                direct_response: { status: 418, body: { inline_string: 'short and stout' } },
              },
              { match: { prefix: '/old' }, redirect: { path_redirect: '/new' } },
              { match: { prefix: '/slow' }, route: { cluster: 'silent', timeout: '0.3s' } },
              { match: { prefix: '/nocluster' }, route: { cluster: 'missing' } },
              { match: { prefix: '/empty' }, route: { cluster: 'empty' } },
              {
                match: { prefix: '/', headers: [{ name: 'x-never', present_match: true }] },
                route: { cluster: 'dead' },
              },
              { match: { prefix: '/api/' }, route: { cluster: 'echo', prefix_rewrite: '/' } },
              { match: { prefix: '/status' }, route: { cluster: 'echo' } },
              // Envoy's default of 15 s is about the whole answer.
              { match: { prefix: '/bytes' }, route: { cluster: 'echo', timeout: '0s' } },
              { match: { prefix: '/echo' }, route: { cluster: 'echo' } },
            ],
          },
        ]),
      ],
      clusters: [
        staticCluster('echo', [app.port]),
        staticCluster('dead', [deadPort!]),
        staticCluster('empty', []),
        staticCluster('silent', [await silentServer(t)]),
      ],
    },
    {},
  );
  t.teardown(async () => {
    await proxy.stop();
    await app.close();
  });
  const url = `http://127.0.0.1:${port}`;

  t.test('curl gets the app’s answer', { skip: hasCurl ? false : 'no curl' }, async (t) => {
    const echoed = JSON.parse(await curl(`${url}/echo?a=b`)) as Echoed;
    t.equal(echoed.url, '/echo?a=b');
    t.match(
      echoed.headers['x-request-id'],
      /^[0-9a-f]{8}-[0-9a-f]{4}-[49ab][0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/,
    );
    t.equal(
      await curl('-o', '/dev/null', '-w', '%{http_code}', '-I', `${url}/echo`),
      '200',
      'HEAD',
    );
    t.equal(await curl('-o', '/dev/null', '-w', '%{http_code}', `${url}/status/204`), '204');
  });

  t.test('[TM-12] a prefix is rewritten and the query kept', async (t) => {
    const echoed = (await (await fetch(`${url}/api/items?x=1`)).json()) as Echoed;
    t.equal(echoed.url, '/items?x=1');
    t.equal(echoed.headers['x-envoy-original-path'], '/api/items?x=1');
  });

  t.test('[TM-11] a direct response reaches no app', async (t) => {
    const before = app.served();
    const response = await fetch(`${url}/teapot`);
    t.equal(response.status, 418);
    t.equal(await response.text(), 'short and stout');
    t.equal(app.served(), before);
  });

  t.test('[TM-10] a redirect keeps the query', async (t) => {
    const response = await fetch(`${url}/old?x=1`, { redirect: 'manual' });
    t.equal(response.status, 301);
    t.match(response.headers.get('location'), /\/new\?x=1$/);
  });

  t.test('[OB-08] each local failure has its status, body and details', async (t) => {
    const get = async (path: string, host = 'any') =>
      (
        await rawExchange(
          port!,
          `GET ${path} HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\n`,
        )
      ).text;
    t.match(await get('/none'), /^HTTP\/1\.1 404 Not Found\r\n[\s\S]*content-length: 0\r\n/i, 'NR');
    t.match(await get('/nocluster'), /^HTTP\/1\.1 503 /, 'NC');
    t.match(await get('/empty'), /^HTTP\/1\.1 503 [\s\S]*no healthy upstream$/, 'UH');
    t.match(
      await get('/', 'dead.example'),
      /^HTTP\/1\.1 503 [\s\S]*upstream connect error or disconnect\/reset before headers/,
      'UF',
    );
    t.match(await get('/slow'), /^HTTP\/1\.1 504 [\s\S]*upstream request timeout$/, 'UT [TM-17]');
  });

  t.test(
    '[PR-15] what two parsers could read differently is 400 and a closed connection',
    async (t) => {
      const bad = [
        'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
        'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd',
        'GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n',
        'GET / HTTP/1.1\r\n\r\n',
        'GET / HTTP/1.1\nhost: a\n\n',
        'GET / HTTP/1.1\r\nhost : a\r\n\r\n',
        'GET / HTTP/1.1\r\nhost: a\r\n folded\r\n\r\n',
        'GET / HTTP/1.1\r\nhost: a\r\nx: a\0b\r\n\r\n',
        'POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n',
        'POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: xchunked\r\n\r\n',
      ];
      for (const bytes of bad) {
        const before = app.served();
        const { text, closed } = await rawExchange(port!, bytes);
        t.match(text, /^HTTP\/1\.1 400 Bad Request\r\n/, JSON.stringify(bytes.slice(0, 60)));
        t.ok(closed);
        t.equal(app.served(), before);
      }
    },
  );

  t.test('[PR-14] a header block over 60 KiB is 431, HTTP/1.0 is 426 [PR-04]', async (t) => {
    const large = `GET / HTTP/1.1\r\nhost: a\r\nx: ${'y'.repeat(70_000)}\r\n\r\n`;
    t.match((await rawExchange(port!, large)).text, /^HTTP\/1\.1 431 /);
    t.match((await rawExchange(port!, 'GET / HTTP/1.0\r\n\r\n')).text, /^HTTP\/1\.1 426 /);
  });

  t.test('pipelined requests are answered in order on one connection', async (t) => {
    const request = (name: string, last = false) =>
      `GET /echo/${name} HTTP/1.1\r\nhost: a\r\n${last ? 'connection: close\r\n' : ''}\r\n`;
    const { text } = await rawExchange(
      port!,
      request('one') + request('two') + request('three', true),
    );
    t.same(
      [...text.matchAll(/"url":"\/echo\/(\w+)"/g)].map((match) => match[1]),
      ['one', 'two', 'three'],
    );
  });

  t.test('bodies of every framing arrive whole, 100-continue included', async (t) => {
    const body = randomBytes(300_000);
    const sha = createHash('sha256').update(body).digest('hex');
    for (const headers of [
      { 'content-length': String(body.length) },
      { 'transfer-encoding': 'chunked' },
      { 'content-length': String(body.length), expect: '100-continue' },
    ]) {
      const echoed = await post(port!, headers, body);
      t.equal(echoed.bodySha256, sha, JSON.stringify(headers));
    }
  });

  t.test('[I8] memory stays flat while a slow reader takes a large body', async (t) => {
    const bytes = 1024 * 1024 * 1024;
    const before = residentBytes(proxy.process.pid, 'RssAnon');
    let peak = before;
    let received = 0;
    await new Promise<void>((resolve, reject) => {
      const outgoing = request({ port, path: `/bytes/${bytes}`, agent: false }, (response) => {
        response.on('data', (chunk: Buffer) => {
          received += chunk.length;
          if (received % (8 * 1024 * 1024) < chunk.length) {
            response.pause();
            setImmediate(() => {
              peak = Math.max(peak, residentBytes(proxy.process.pid, 'RssAnon'));
              response.resume();
            });
          }
        });
        response.on('end', resolve);
        response.on('error', reject);
      });
      outgoing.on('error', reject);
      outgoing.end();
    });
    t.equal(received, bytes);
    t.ok(
      peak - before < 128 * 1024 * 1024,
      `peak grew by ${((peak - before) / 1048576).toFixed(1)} MiB`,
    );
  });

  t.test('admin, statistics and Prometheus answer; state changes by POST only', async (t) => {
    t.match(await proxy.admin('/server_info'), /LIVE/);
    t.match(await proxy.admin('/clusters'), /echo::127\.0\.0\.1:\d+::/);
    t.match(await proxy.admin('/stats'), /cluster\.echo\.upstream_rq_total: \d+/);
    t.match(await proxy.admin('/stats/prometheus'), /envoy_cluster_upstream_rq_total\{.*echo/);
    const dump = JSON.parse(await proxy.admin('/config_dump')) as { configs: object[] };
    t.ok(dump.configs.length >= 3);
    const response = await fetch(`http://127.0.0.1:${proxy.adminPort}/quitquitquit`);
    t.equal(response.status, 405);
  });

  t.test('[A7.1] the admin port refuses a foreign Host and Origin', async (t) => {
    const evil = `GET /config_dump HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n`;
    t.match((await rawExchange(proxy.adminPort, evil)).text, /^HTTP\/1\.1 40[03] /);
  });
});

t.test('[OP-05] SIGTERM under load loses nothing', async (t) => {
  const app = await echoApp();
  const [port] = await freePorts(1);
  const proxy = await staticProxy(
    {
      listeners: [httpListener(port!, [everything('echo')])],
      clusters: [staticCluster('echo', [app.port])],
    },
    { args: ['--drain-time-s', '2'] },
  );
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  let sent = 0;
  let ok = 0;
  let refusedAfterTerm = 0;
  let resetAfterTerm = 0;
  let terminated = false;
  const failures: string[] = [];
  const one = () =>
    new Promise<void>((resolve) => {
      sent += 1;
      const outgoing = request({ port, path: '/', agent }, (response) => {
        response.resume();
        response.on('end', () => {
          if (response.statusCode === 200) ok += 1;
          else failures.push(String(response.statusCode));
          resolve();
        });
        response.on('error', (error) => {
          failures.push(error.message);
          resolve();
        });
      });
      outgoing.on('error', (error: NodeJS.ErrnoException) => {
        // A connection opened when the port has closed is refused, or reset where the kernel had taken it
        // already: no request was accepted, which `app.served()` confirms.
        if (terminated && error.code === 'ECONNREFUSED') refusedAfterTerm += 1;
        else if (terminated && error.code === 'ECONNRESET' && !outgoing.reusedSocket) {
          resetAfterTerm += 1;
        } else failures.push(error.code ?? error.message);
        resolve();
      });
      outgoing.end();
    });
  const workers = Array.from({ length: 8 }, async () => {
    while (refusedAfterTerm === 0 && failures.length === 0 && sent < 200_000) await one();
  });
  await until('load to flow', () => ok > 200);
  terminated = true;
  proxy.process.kill('SIGTERM');
  await Promise.all(workers);
  t.same(failures, []);
  t.equal(app.served(), ok, 'every request that reached the app was answered');
  t.ok(resetAfterTerm <= 8, `${resetAfterTerm} connections reset as the port closed`);
  t.equal(await proxy.process.exited, 0, 'exit code');
  await proxy.stop();
  agent.destroy();
  await app.close();
});

t.test('[OB-07] the access log has one line a request, in text and JSON', async (t) => {
  const app = await echoApp();
  const [port, jsonPort] = await freePorts(2);
  const directory = mkdtempSync(join(tmpdir(), 'weft-log-'));
  const file = (name: string) => join(directory, name);
  const log = (name: string, format: object) => ({
    access_log: [
      {
        name: 'envoy.access_loggers.file',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog',
          path: file(name),
          ...format,
        },
      },
    ],
  });
  const proxy = await staticProxy({
    listeners: [
      httpListener(port!, [everything('echo')], log('text', {})),
      httpListener(
        jsonPort!,
        [everything('echo')],
        log('json', {
          log_format: {
            json_format: {
              method: '%REQ(:METHOD)%',
              code: '%RESPONSE_CODE%',
              agent: '%REQ(USER-AGENT)%',
              flags: '%RESPONSE_FLAGS%',
            },
          },
        }),
      ),
    ],
    clusters: [staticCluster('echo', [app.port])],
  });
  for (const each of [port, jsonPort]) {
    await rawExchange(
      each!,
      'GET /a HTTP/1.1\r\nhost: x\r\nuser-agent: "quo\\ted\xe9\r\nconnection: close\r\n\r\n',
    );
    await (await fetch(`http://127.0.0.1:${each}/b`)).text();
  }
  const { readFileSync } = await import('node:fs');
  const lines = (name: string) =>
    until(`two lines in ${name}`, () => {
      try {
        const all = readFileSync(file(name), 'utf8').trimEnd().split('\n');
        return all.length >= 2 ? all : undefined;
      } catch {
        return undefined;
      }
    });
  const text = await lines('text');
  const wellFormed = text.filter((line) =>
    /^\[\d{4}-\d\d-\d\dT[\d:.]+Z\] "GET \/[ab] HTTP\/1\.1" 200 - /.test(line),
  );
  t.equal(wellFormed.length, text.length, text.join('\n'));
  const json = (await lines('json')).map(
    (line) => JSON.parse(line) as { method: string; code: number; flags: string },
  );
  t.ok(json.some(({ method, code, flags }) => method === 'GET' && code === 200 && flags === '-'));
  t.notMatch(text.join(''), /[^\x20-\x7e]/, '[A7.3] only printable characters reach the log');
  await proxy.stop();
  rmSync(directory, { recursive: true, force: true });
  await app.close();
});

t.test('bytes pass a TCP proxy both ways, half-close included [PR-11]', async (t) => {
  const upstream = createServer({ allowHalfOpen: true }, (socket) => {
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('end', () => socket.end(Buffer.concat(chunks).toString('latin1').toUpperCase()));
  });
  await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
  const { port: upstreamPort } = upstream.address() as { port: number };
  const [port] = await freePorts(1);
  const proxy = await staticProxy({
    listeners: [
      {
        name: 'tcp',
        address: socketAddress(port!),
        filter_chains: [
          {
            filters: [
              {
                name: 'envoy.filters.network.tcp_proxy',
                typed_config: {
                  '@type':
                    'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
                  stat_prefix: 'tcp',
                  cluster: 'upper',
                },
              },
            ],
          },
        ],
      },
    ],
    clusters: [staticCluster('upper', [upstreamPort])],
  });
  const { text } = await rawExchange(port!, 'hello over tcp', { end: true });
  t.equal(text, 'HELLO OVER TCP');
  await proxy.stop();
  upstream.close();
});

t.test('a bootstrap that is wrong ends the start with every problem and its place', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'weft-bad-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const start = async (text: string) => {
    const file = join(directory, 'b.yaml');
    writeFileSync(file, text);
    const process = new NodeProcess([join(ROOT, 'proxy/main.ts'), '-c', file]);
    const code = await process.exited;
    return { code, output: process.output };
  };
  const unknown = await start('static_resources:\n  listeners:\n    - name: a\n      adress: {}\n');
  t.not(unknown.code, 0);
  t.match(unknown.output, /b\.yaml:4:\d+: .*adress.*(did you mean|address)/);
  const untyped = await start(
    'static_resources:\n  clusters:\n    - name: a\n      transport_socket:\n        name: x\n        typed_config: {}\n',
  );
  t.not(untyped.code, 0);
  t.match(untyped.output, /@type/);
  t.match(untyped.output, /b\.yaml:\d+:\d+/);
  const malformed = await start('static_resources: [\n');
  t.not(malformed.code, 0);
  t.match(malformed.output, /b\.yaml:\d+:\d+/);
  const missing = new NodeProcess([
    join(ROOT, 'proxy/main.ts'),
    '-c',
    join(directory, 'none.yaml'),
  ]);
  t.not(await missing.exited, 0);
  t.match(missing.output, /none\.yaml/);
});

t.test('a port in use ends the start and names listener and address', async (t) => {
  const holder = createServer();
  await new Promise<void>((resolve) => holder.listen(0, '127.0.0.1', resolve));
  const { port } = holder.address() as { port: number };
  const directory = mkdtempSync(join(tmpdir(), 'weft-used-'));
  const file = join(directory, 'b.json');
  writeFileSync(
    file,
    JSON.stringify({
      static_resources: {
        listeners: [httpListener(port, [everything('a')])],
        clusters: [staticCluster('a', [1])],
      },
    }),
  );
  const process = new NodeProcess([join(ROOT, 'proxy/main.ts'), '-c', file]);
  t.not(await process.exited, 0);
  t.match(process.output, new RegExp(`127\\.0\\.0\\.1:${port}`));
  t.match(process.output, new RegExp(`http_${port}`));
  holder.close();
  rmSync(directory, { recursive: true, force: true });
});

async function silentServer(t: { teardown: (end: () => void) => void }): Promise<number> {
  const server = createServer((socket) => socket.on('error', () => {}));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  return (server.address() as { port: number }).port;
}

function post(port: number, headers: Record<string, string>, body: Buffer): Promise<Echoed> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      { port, path: '/echo', method: 'POST', headers, agent: false },
      (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          text += chunk;
        });
        response.on('end', () => resolve(JSON.parse(text) as Echoed));
      },
    );
    outgoing.on('error', reject);
    if (headers['expect'] === undefined) outgoing.end(body);
    else outgoing.on('continue', () => outgoing.end(body));
  });
}
