import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http2 from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { freePorts } from '../../cli/run/free-port.ts';
import type { Http2ClientOptions } from '../../proxy/http2/connection-options.ts';
import { type Echoed, echoApp } from '../harness/echo-app.ts';
import { type Answered, Http2Client } from '../harness/http2-client.ts';
import { NodeProcess } from '../harness/node-process.ts';
import { hasProgram } from '../harness/program.ts';
import { until } from '../harness/until.ts';

/** Foreign HTTP/2 servers and the client role of the codec: nghttpd, nginx, node:http2. */

t.setTimeout(120_000);

const noNghttpd = hasProgram('nghttpd')
  ? false
  : 'nghttpd is not installed (Debian: nghttp2-server)';
const noNginx = hasProgram('nginx', ['-v']) ? false : 'nginx is not installed';

const pattern = (bytes: number) =>
  Buffer.from(Uint8Array.from({ length: bytes }, (_, at) => at % 251));

function directory(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'weft-http2-servers-'));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

async function connect(
  t: Test,
  port: number,
  options: Partial<Http2ClientOptions> = {},
): Promise<Http2Client> {
  const client = await until('the server to listen', () =>
    Http2Client.connect(port, options).catch(() => undefined),
  );
  t.teardown(() => client.close());
  return client;
}

/** The server's SETTINGS have come: capacity is what it allows and not what is assumed. */
const known = (client: Http2Client, streams: number) =>
  until('SETTINGS', () => client.connection.capacity === streams);

t.test('nghttpd', { skip: noNghttpd }, async (t) => {
  const htdocs = directory(t);
  writeFileSync(join(htdocs, 'small.txt'), 'small\n');
  writeFileSync(join(htdocs, 'large.bin'), pattern(3_000_000));
  const nghttpd = async (t: Test, ...args: string[]): Promise<number> => {
    const [port] = await freePorts(1);
    const server = new NodeProcess(
      [...args, '-a', '127.0.0.1', '-d', htdocs, '--no-tls', `${port}`],
      { command: 'nghttpd' },
    );
    t.teardown(() => server.stop());
    return port!;
  };

  t.test('files, uploads that come back, trailers', async (t) => {
    const port = await nghttpd(t, '--echo-upload', '--trailer', 'x-sum: 1', '-m', '64');
    const client = await connect(t, port);
    await known(client, 64);
    const small = await client.request('GET', '/small.txt');
    t.match(small, { status: 200, reset: '', trailers: ['x-sum', '1'] });
    t.equal(`${small.body}`, 'small\n');
    t.ok((await client.request('GET', '/large.bin')).body.equals(pattern(3_000_000)));
    t.match(await client.request('HEAD', '/large.bin'), { status: 200, reset: '' });
    t.equal((await client.request('GET', '/none')).status, 404);
    for (const bytes of [0, 1, 16_384, 65_536, 1_000_000]) {
      const back = await client.request('POST', '/', { body: pattern(bytes) });
      t.ok(back.body.equals(pattern(bytes)), `${bytes} bytes`);
    }
    const many = await Promise.all(
      Array.from({ length: 64 }, (_, at) =>
        client.request('POST', '/', { body: pattern(at * 700) }),
      ),
    );
    t.ok(many.every(({ body }, at) => body.equals(pattern(at * 700))));
    const trailed = await client.request('POST', '/', { body: pattern(9), trailers: ['x-t', '1'] });
    t.match(trailed, { status: 200, reset: '' });
    t.same([client.connection.activeStreams, client.connection.capacity], [0, 64]);
  });

  t.test('windows of 1 KiB and 64 KiB, padding, a header table of 0', async (t) => {
    const port = await nghttpd(
      t,
      ...['--echo-upload', '-w', '10', '-W', '16', '-b', '200', '-c', '0', '-m', '8'],
    );
    const client = await connect(t, port);
    await known(client, 8);
    const answers = await Promise.all(
      Array.from({ length: 8 }, () =>
        client.request('POST', '/', { body: pattern(150_000), headers: ['x-a', 'b'.repeat(300)] }),
      ),
    );
    t.ok(answers.every(({ body }) => body.equals(pattern(150_000))));
    // Encoded without a table, time and again.
    for (let count = 0; count < 5; count++) {
      const answer = await client.request('GET', '/small.txt', { headers: ['x-a', 'the same'] });
      t.equal(answer.status, 200);
    }
    t.equal(client.connection.capacity, 8);
  });

  t.test('push is off: what nghttpd would push is not pushed', async (t) => {
    const port = await nghttpd(t, '-p/small.txt=/large.bin');
    const client = await connect(t, port);
    const answer = await client.request('GET', '/small.txt');
    t.match(answer, { status: 200, reset: '' });
    t.equal(client.connection.reusable, true);
  });

  t.test('a server that is killed and started again', async (t) => {
    const [port] = await freePorts(1);
    const args = ['-a', '127.0.0.1', '-d', htdocs, '--no-tls', `${port}`];
    const first = new NodeProcess(args, { command: 'nghttpd' });
    t.teardown(() => first.stop());
    const client = await connect(t, port!);
    t.equal((await client.request('GET', '/small.txt')).status, 200);
    first.kill('SIGSTOP'); // so that it has not answered when it dies
    const cut = client.request('GET', '/small.txt');
    first.kill('SIGKILL');
    t.match(await cut, { status: 0, reset: 'connectionTermination' });
    t.equal(client.connection.reusable, false);
    const second = new NodeProcess(args, { command: 'nghttpd' });
    t.teardown(() => second.stop());
    const again = await connect(t, port!);
    t.equal((await again.request('GET', '/small.txt')).status, 200);
  });
});

t.test('nginx', { skip: noNginx }, async (t) => {
  const app = await echoApp();
  t.teardown(() => app.close());
  const prefix = directory(t);
  mkdirSync(join(prefix, 'logs'));
  const [port, fewPort] = await freePorts(2);
  writeFileSync(
    join(prefix, 'nginx.conf'),
    `daemon off; master_process off; pid nginx.pid; error_log stderr warn;
events { worker_connections 256; }
http {
  access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi; client_max_body_size 20m;
  server { listen 127.0.0.1:${port} http2; location / { proxy_pass http://127.0.0.1:${app.port}; } }
  server {
    listen 127.0.0.1:${fewPort} http2; keepalive_requests 10; http2_max_concurrent_streams 64;
    location / { proxy_pass http://127.0.0.1:${app.port}; }
  }
}`,
  );
  const nginx = new NodeProcess(['-p', prefix, '-c', 'nginx.conf'], { command: 'nginx' });
  t.teardown(() => nginx.stop());

  t.test('bodies both ways, many streams, a head that is too large for it', async (t) => {
    const client = await connect(t, port!);
    await known(client, 128);
    const echoed = await client.request('PUT', '/up?load=1', {
      body: pattern(2_000_000),
      headers: ['x-a', '1', 'x-a', '2', 'cookie', 'a=1; b=2'],
    });
    const echo = JSON.parse(`${echoed.body}`) as Echoed;
    t.match(echo, { method: 'PUT', url: '/up?load=1', bodyBytes: 2_000_000 });
    t.same(
      echo.rawHeaders.filter((_, at) => echo.rawHeaders[at - 1] === 'x-a'),
      ['1', '2'],
    );
    t.equal((await client.request('GET', '/bytes/5000000')).body.length, 5_000_000);
    const many = await Promise.all(
      Array.from({ length: 100 }, (_, at) => client.request('GET', `/${at}`)),
    );
    t.same(
      many.map(({ body }) => (JSON.parse(`${body}`) as Echoed).url),
      many.map((_, at) => `/${at}`),
    );
    const huge = await client.request('GET', '/', { headers: ['x-huge', 'h'.repeat(40_000)] });
    t.match(
      huge.status === 0 ? huge.reset : `${huge.status}`,
      /^(400|431|remoteReset|remoteRefused|connectionTermination)$/,
    );
  });

  t.test(
    'GOAWAY after ten requests: the others are refused, and done once on new connections',
    async (t) => {
      const before = app.served();
      const answers: Answered[] = [];
      let waiting = Array.from({ length: 30 }, (_, at) => `/once/${at}`);
      let connections = 0;
      while (waiting.length > 0) {
        if (++connections > 20) throw new Error(`still waiting: ${waiting}`);
        const client = await connect(t, fewPort!);
        await until('SETTINGS', () => client.connection.capacity === 64);
        const round = await Promise.all(
          waiting.map(async (path) => ({ path, answer: await client.request('GET', path) })),
        );
        for (const { answer } of round) {
          if (answer.status !== 0) answers.push(answer);
          else t.equal(answer.reset, 'remoteRefused', 'may be tried again');
        }
        waiting = round.filter(({ answer }) => answer.status === 0).map(({ path }) => path);
        t.equal(client.connection.reusable, false);
        t.match(client.goaways[0], /^NO_ERROR \d+$/);
      }
      t.ok(connections > 1);
      t.ok(answers.every(({ status }) => status === 200));
      const urls = answers.map(({ body }) => (JSON.parse(`${body}`) as Echoed).url);
      t.equal(new Set(urls).size, 30);
      t.equal(app.served() - before, 30, 'each was processed once');
    },
  );
});

t.test('node:http2', async (t) => {
  const server = async (t: Test, onStream: (stream: http2.ServerHttp2Stream) => void) => {
    const server = http2.createServer();
    const sessions: http2.ServerHttp2Session[] = [];
    const sockets: Socket[] = [];
    server.on('connection', (socket) => sockets.push(socket));
    server.on('session', (session) => {
      session.on('error', () => {});
      sessions.push(session);
    });
    server.on('stream', (stream) => {
      stream.on('error', () => {});
      onStream(stream as http2.ServerHttp2Stream);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.teardown(() => {
      for (const session of sessions) session.destroy();
      server.close();
    });
    return { port: (server.address() as AddressInfo).port, sessions, sockets };
  };
  const echo = (stream: http2.ServerHttp2Stream) => {
    stream.respond({ ':status': 200 });
    stream.pipe(stream);
  };

  t.test(
    'SETTINGS that change on the way: fewer streams, smaller windows, no header table',
    async (t) => {
      const { port, sessions } = await server(t, echo);
      const client = await connect(t, port, { streamsMax: 50 });
      const post = () =>
        client.request('POST', '/', { body: pattern(200_000), headers: ['x-a', 'repeated'] });
      const before = Array.from({ length: 20 }, post);
      await until('a session', () => sessions.length === 1);
      sessions[0]!.settings({
        maxConcurrentStreams: 30,
        initialWindowSize: 1_000,
        headerTableSize: 0,
      });
      const whole = (await Promise.all(before)).every(({ body }) => body.equals(pattern(200_000)));
      t.ok(whole, 'what was under way comes whole');
      t.equal(client.connection.capacity, 30);
      for (let count = 0; count < 3; count++) {
        t.ok((await post()).body.equals(pattern(200_000)), 'and so does what begins now');
      }
      sessions[0]!.settings({ maxConcurrentStreams: 0 });
      await until('no more streams', () => client.connection.capacity === 0);
      t.match(await client.request('GET', '/'), {
        reset: 'localReset',
        detail: 'http2.no_capacity',
      });
      t.equal(client.connection.reusable, true);
      let told = 0;
      client.onChange = () => void told++;
      sessions[0]!.settings({
        maxConcurrentStreams: 5,
        initialWindowSize: 100_000,
        headerTableSize: 4096,
      });
      await until('streams again', () => client.connection.capacity === 5);
      t.ok(told > 0, 'the pool is told');
      t.ok((await post()).body.equals(pattern(200_000)));
    },
  );

  t.test(
    'GOAWAY with a last stream: those beyond it may be tried again, the others end',
    async (t) => {
      const streams: http2.ServerHttp2Stream[] = [];
      const { port, sessions } = await server(t, (stream) => streams.push(stream));
      const client = await connect(t, port);
      const answers = Array.from({ length: 4 }, () => client.request('GET', '/'));
      await until('the requests', () => streams.length === 4);
      sessions[0]!.goaway(0, 3);
      const refused = await Promise.all(answers.slice(2));
      t.same(
        refused.map(({ reset }) => reset),
        ['remoteRefused', 'remoteRefused'],
      );
      t.same([client.connection.reusable, client.connection.activeStreams], [false, 2]);
      for (const stream of streams.slice(0, 2)) {
        stream.respond({ ':status': 204 }, { endStream: true });
      }
      t.same(
        (await Promise.all(answers.slice(0, 2))).map(({ status }) => status),
        [204, 204],
      );
      await until('the end of the connection', () => client.socket.destroyed);
    },
  );

  t.test(
    'a server that dies: what has begun may not be tried again as if it had not',
    async (t) => {
      const streams: http2.ServerHttp2Stream[] = [];
      const { port, sockets } = await server(t, (stream) => streams.push(stream));
      const client = await connect(t, port);
      const answers = [
        client.request('GET', '/'),
        client.request('POST', '/', { body: pattern(9) }),
      ];
      await until('the requests', () => streams.length === 2);
      sockets[0]!.destroy();
      t.same(
        (await Promise.all(answers)).map(({ reset }) => reset),
        Array(2).fill('connectionTermination'),
      );
      t.equal(client.connection.reusable, false);
    },
  );

  t.test('REFUSED_STREAM, other resets, 1xx, trailers, heads that are too large', async (t) => {
    const byPath = http2.createServer();
    byPath.on('stream', (given, head) => {
      const stream = given as http2.ServerHttp2Stream;
      stream.on('error', () => {});
      switch (head[':path']) {
        case '/refused':
          return stream.close(http2.constants.NGHTTP2_REFUSED_STREAM);
        case '/reset':
          return stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
        case '/half':
          stream.respond({ ':status': 200 });
          return stream.write('half', () => stream.destroy(new Error('half')));
        case '/early':
          stream.additionalHeaders({ ':status': 103, link: '</a>' });
          stream.additionalHeaders({ ':status': 103, link: '</b>' });
          stream.respond({ ':status': 200 }, { waitForTrailers: true });
          stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
          return stream.end('body');
        case '/endless-1xx':
          for (let count = 0; count < 30; count++) stream.additionalHeaders({ ':status': 103 });
          return undefined;
        case '/huge':
          return stream.respond(
            { ':status': 200, 'x-huge': 'h'.repeat(62_000) },
            { endStream: true },
          );
        case '/many':
          stream.respond(
            Object.fromEntries(Array.from({ length: 150 }, (_, at) => [`x-${at}`, '1'])),
            { endStream: true },
          );
          return undefined;
        case '/at-once':
          stream.respond({ ':status': 413 });
          return stream.end('no');
        default:
          stream.respond({ ':status': 200 });
          return stream.end('ok');
      }
    });
    await new Promise<void>((resolve) => byPath.listen(0, '127.0.0.1', resolve));
    t.teardown(() => byPath.close());
    const client = await connect(t, (byPath.address() as AddressInfo).port);
    const get = (path: string) => client.request('GET', path);
    t.match(await get('/refused'), { reset: 'remoteRefused', status: 0 });
    t.match(await get('/reset'), { reset: 'remoteReset', status: 0 });
    const half = await get('/half');
    t.match(half, { reset: 'remoteReset', status: 200 });
    const early = await get('/early');
    t.match(early, { status: 200, informational: [103, 103], trailers: ['grpc-status', '0'] });
    t.equal(`${early.body}`, 'body');
    t.match(await get('/endless-1xx'), {
      reset: 'protocolError',
      detail: 'http2.too_many_informational_responses',
    });
    t.match(await get('/huge'), { reset: 'protocolError', detail: 'http2.headers_too_large' });
    t.match(await get('/many'), { reset: 'protocolError', detail: 'http2.too_many_headers' });
    const refused = await client.request('POST', '/at-once', { body: pattern(5_000_000) });
    t.match(refused, { status: 413, reset: '' }, 'an answer before the end of the request');
    t.equal(`${refused.body}`, 'no');
    t.equal(`${(await get('/ok')).body}`, 'ok', 'and the connection has lived through all of it');
    t.equal(client.connection.reusable, true);
    client.connection.shutdown();
    await until('the end of the connection', () => client.socket.destroyed);
  });
});
