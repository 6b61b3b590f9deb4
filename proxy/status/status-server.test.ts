import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { createServer as createHttps } from 'node:https';
import { type AddressInfo, createServer as createTcp, type Server, type Socket } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { makeAuthority } from '../../test/certificates.ts';
import { grpcHealthApp } from '../../test/harness/grpc-health-app.ts';
import { until } from '../../test/harness/until.ts';
import { StatsRegistry } from '../observe/stats.ts';
import type { AppAddress } from './app-address.ts';
import { parseAppProbers } from './app-prober.ts';
import { ownPorts } from './own-ports.ts';
import { StatusServer, type StatusServerOptions } from './status-server.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

function listening(server: Server): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
  });
  cleanups.push(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => server.close(resolve));
  });
  return new Promise((resolve) =>
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port)),
  );
}

const httpApp = (handler: Handler) => listening(createServer(handler));

interface Answer {
  readonly status: number;
  readonly body: string;
}

const LIVE = '/app-health/app/livez';
const LOCAL: AppAddress = { host: '127.0.0.1', from: '' };

/** A status port in front of one probe; `ask` is the kubelet. */
async function statusFor(probe: unknown, options: Partial<StatusServerOptions> = {}, path = LIVE) {
  const parsed = parseAppProbers(JSON.stringify({ [path]: probe }));
  if (!parsed.ok) throw new Error(parsed.problem);
  const logged: string[] = [];
  const log = (_fields: object, message: string) => void logged.push(message);
  const server = new StatusServer({
    readiness: () => ({ ready: true, reason: '' }),
    registry: new StatsRegistry(),
    app: LOCAL,
    probers: parsed.probers,
    targets: [],
    ownPorts: new Map(),
    drain: () => {},
    quit: () => {},
    log: { info: log, warn: log },
    ...options,
  });
  const { port } = await server.listen({ host: '127.0.0.1', port: 0 });
  cleanups.push(() => server.close());
  const ask = (to = path, headers: Record<string, string> = {}, method = 'GET'): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const outgoing = request(
        { host: '127.0.0.1', port, path: to, method, headers, agent: false },
        (response) => {
          let body = '';
          response.setEncoding('utf8');
          response.on('data', (text: string) => {
            body += text;
          });
          response.on('end', () => resolve({ status: response.statusCode!, body }));
        },
      );
      outgoing.on('error', reject);
      outgoing.end();
    });
  return { ask, port, logged };
}

const FREE_PORT = 1; // tcpmux: nobody listens there

test('[KI-05] the status of the app is what the kubelet gets, with its words', async () => {
  let status = 200;
  const port = await httpApp((incoming, response) => {
    response.statusCode = status;
    response.end(`${incoming.method} ${incoming.url}`);
  });
  const { ask } = await statusFor({ httpGet: { path: '/health?deep=1', port } });
  expect(await ask()).toEqual({ status: 200, body: 'GET /health?deep=1' });
  for (status of [204, 404, 503]) expect((await ask()).status).toBe(status);
});

test('[KI-05] an app that is down fails the probe, and it is told once', async () => {
  const { ask, logged } = await statusFor({ httpGet: { path: '/h', port: FREE_PORT } });
  for (let round = 0; round < 3; round++) {
    const { status, body } = await ask();
    expect(status).toBe(500);
    expect(body).toBe('GET http://127.0.0.1:1/h: nothing listens there (ECONNREFUSED)\n');
  }
  expect(logged).toEqual(['a probe of the app fails']);
});

test('[KI-05] headers of the kubelet go to the app, those of its connection do not', async () => {
  let seen: IncomingMessage['headers'] = {};
  const port = await httpApp(({ headers }, response) => {
    seen = headers;
    response.end();
  });
  const { ask, port: statusPort } = await statusFor({
    httpGet: {
      port,
      httpHeaders: [
        { name: 'X-Probe', value: 'yes' },
        { name: 'Transfer-Encoding', value: 'chunked' },
      ],
    },
  });
  await ask(LIVE, {
    host: `10.1.2.3:${statusPort}`,
    'user-agent': 'kube-probe/1.35',
    accept: '*/*',
    'proxy-authorization': 'secret',
    te: 'trailers',
  });
  expect(seen).toEqual({
    // The status port stands for the app's.
    host: `10.1.2.3:${port}`,
    'user-agent': 'kube-probe/1.35',
    accept: '*/*',
    'x-probe': 'yes',
    connection: 'close',
  });
  await ask(LIVE, { host: 'app.example' });
  expect(seen.host).toBe('app.example');
});

test("[KI-05] the probe's own Host header wins", async () => {
  let host: string | undefined;
  const port = await httpApp(({ headers }, response) => {
    host = headers.host;
    response.end();
  });
  const { ask } = await statusFor({
    httpGet: { port, httpHeaders: [{ name: 'Host', value: 'shop.example' }] },
  });
  await ask();
  expect(host).toBe('shop.example');
});

test('[KI-05] redirects are followed to the same host, and taken for well elsewhere', async () => {
  let location = '';
  let asked: string[] = [];
  const port = await httpApp(({ url = '' }, response) => {
    asked.push(url);
    if (url === '/start') response.writeHead(302, location === '' ? {} : { location });
    else response.statusCode = url === '/well' ? 200 : 500;
    response.end();
  });
  const { ask } = await statusFor({ httpGet: { path: '/start', port } });
  location = '/well';
  expect((await ask()).status).toBe(200);
  expect(asked).toEqual(['/start', '/well']);
  location = `http://127.0.0.1:${port}/ill`;
  expect((await ask()).status).toBe(500);
  asked = [];
  for (location of ['https://login.example/', 'ftp://127.0.0.1/', '//', '', 'http://[']) {
    expect(await ask()).toEqual({ status: 200, body: '' });
  }
  expect(asked).toEqual(Array(5).fill('/start'));
});

test('[KI-05] a loop of redirects ends', async () => {
  let hops = 0;
  const port = await httpApp((_, response) => {
    hops++;
    response.writeHead(301, { location: '/again' }).end();
  });
  const { ask } = await statusFor({ httpGet: { path: '/', port } });
  expect(await ask()).toEqual({ status: 500, body: 'stopped after 10 redirects\n' });
  expect(hops).toBe(11);
});

test('[A5.1] neither a probe nor a redirect of the app leads to a port of the sidecar', async () => {
  let reached = 0;
  const admin = await httpApp((_, response) => {
    reached++;
    response.end('keys');
  });
  const ports = ownPorts('explicit', [[admin, 'the admin port of the sidecar']]);
  const direct = await statusFor({ httpGet: { port: admin } }, { ownPorts: ports });
  const answer = {
    status: 500,
    body: `port ${admin} is not asked: it is the admin port of the sidecar\n`,
  };
  expect(await direct.ask()).toEqual(answer);
  const app = await httpApp((_, response) => {
    response.writeHead(302, { location: `http://127.0.0.1:${admin}/config_dump` }).end();
  });
  const redirected = await statusFor({ httpGet: { port: app } }, { ownPorts: ports });
  expect(await redirected.ask()).toEqual(answer);
  for (const kind of ['tcpSocket', 'grpc']) {
    const other = await statusFor({ [kind]: { port: admin } }, { ownPorts: ports });
    expect(await other.ask()).toEqual(answer);
  }
  expect(reached).toBe(0);
});

test('[KI-05] HTTPS is asked without a look at the certificate', async () => {
  const authority = await makeAuthority();
  const { certificatePem: cert, privateKeyPem: key } = await authority.issue({ dns: ['x'] });
  const port = await listening(
    createHttps({ cert, key }, (_, response) => {
      response.statusCode = 201;
      response.end();
    }),
  );
  const { ask } = await statusFor({ httpGet: { port, scheme: 'HTTPS' } });
  expect((await ask()).status).toBe(201);
});

test('[KI-05] connections come from the address that the redirection lets pass', async () => {
  let peer = '';
  const port = await httpApp(({ socket }, response) => {
    peer = socket.remoteAddress!;
    response.end();
  });
  const app = { host: '127.0.0.1', from: '127.0.0.6' };
  const { ask } = await statusFor({ httpGet: { port } }, { app });
  expect((await ask()).status).toBe(200);
  expect(peer).toBe('127.0.0.6');
});

test('[KI-05] a slow app fails the probe in its time, and lets go of it', async () => {
  let closed = false;
  const port = await httpApp(({ socket }) => {
    socket.on('close', () => {
      closed = true;
    });
  });
  const { ask } = await statusFor({ httpGet: { port }, timeoutSeconds: 0.1 });
  expect(await ask()).toEqual({
    status: 500,
    body: `GET http://127.0.0.1:${port}/: no answer within 0.1 s\n`,
  });
  await until('the connection to go', () => closed);
});

test('[KI-05] a kubelet that has gone lets go of the app', async () => {
  let state = 'none';
  const port = await httpApp(({ socket }) => {
    state = 'asked';
    socket.on('close', () => {
      state = 'closed';
    });
  });
  const { port: statusPort } = await statusFor({ httpGet: { port }, timeoutSeconds: 600 });
  const outgoing = request({ host: '127.0.0.1', port: statusPort, path: LIVE, agent: false });
  outgoing.on('error', () => {});
  outgoing.end();
  await until('the app to be asked', () => state === 'asked');
  outgoing.destroy();
  await until('the app to be let go', () => state === 'closed');
});

test('[A7.4] a huge answer is cut, an endless one ends', async () => {
  const port = await httpApp((_, response) => {
    const pump = () => {
      while (response.write('x'.repeat(16_384)));
      response.once('drain', pump);
    };
    response.on('error', () => {});
    pump();
  });
  const { ask } = await statusFor({ httpGet: { port } });
  const { status, body } = await ask();
  expect([status, body.length]).toEqual([200, 10_240]);
});

test('[A5.4] an app that answers no HTTP fails the probe', async () => {
  const port = await listening(
    createTcp((socket) => void socket.end('HTTP/1.1 200 OK\r\nbad header\r\n\r\n')),
  );
  const { ask } = await statusFor({ httpGet: { port } });
  expect((await ask()).status).toBe(500);
});

test('[KI-05] a TCP probe asks for a connection', async () => {
  const port = await listening(createTcp());
  const up = await statusFor({ tcpSocket: { port } });
  expect(await up.ask()).toEqual({ status: 200, body: '' });
  const down = await statusFor({ tcpSocket: { port: FREE_PORT } });
  expect(await down.ask()).toEqual({
    status: 500,
    body: 'TCP 127.0.0.1:1: nothing listens there (ECONNREFUSED)\n',
  });
});

test('[KI-05] a gRPC probe asks grpc.health.v1', async () => {
  const app = await grpcHealthApp();
  cleanups.push(() => app.close());
  const whole = await statusFor({ grpc: { port: app.port } });
  const ask = () => whole.ask(LIVE, { 'user-agent': 'kube-probe/1.35' });
  expect(await ask()).toEqual({ status: 200, body: '' });
  expect(app.userAgent()).toMatch(/^kube-probe\/1\.35/);
  const why = `gRPC health of 127.0.0.1:${app.port}: `;
  for (const [status, name] of [
    [2, 'NOT_SERVING'],
    [0, 'UNKNOWN'],
    [99, 'the answer is no HealthCheckResponse'],
  ] as const) {
    app.statuses.set('', status);
    expect(await ask()).toEqual({ status: 500, body: `${why}${name}\n` });
  }
  const service = 'shop.v1.Cart';
  const one = await statusFor({ grpc: { port: app.port, service } });
  expect((await one.ask()).body).toBe(`${why}gRPC status 5 (unknown service)\n`);
  app.statuses.set(service, 1);
  expect((await one.ask()).status).toBe(200);
});

test('[KI-05] a gRPC probe says what is in its way', async () => {
  const other = await grpcHealthApp({ implementing: false });
  cleanups.push(() => other.close());
  const unimplemented = await statusFor({ grpc: { port: other.port } });
  expect((await unimplemented.ask()).body).toContain(
    'the server does not implement grpc.health.v1.Health',
  );
  const down = await statusFor({ grpc: { port: FREE_PORT } });
  expect((await down.ask()).body).toContain('nothing listens there');
  const silent = await listening(createTcp());
  const slow = await statusFor({ grpc: { port: silent }, timeoutSeconds: 0.2 });
  expect((await slow.ask()).body).toContain('no answer within 0.2 s');
  const http1 = await httpApp((_, response) => response.end());
  const wrong = await statusFor({ grpc: { port: http1 } });
  expect((await wrong.ask()).status).toBe(500);
});

test('[KI-05] a lifecycle hook is asked like a probe, however late it answers', async () => {
  let held: ServerResponse | undefined;
  const port = await httpApp((_, response) => {
    held = response;
  });
  const path = '/app-lifecycle/app/prestopz';
  const { ask } = await statusFor({ httpGet: { path: 'bye', port } }, {}, path);
  const answer = ask();
  (await until('the hook to be with the app', () => held)).end('bye');
  expect(await answer).toEqual({ status: 200, body: 'bye' });
});

test('[KI-05] an unknown container or kind is 404, another method 405', async () => {
  const { ask } = await statusFor({ tcpSocket: { port: FREE_PORT } });
  for (const path of ['/app-health/other/livez', '/app-health/app/readyz', '/app-health', '/x']) {
    expect((await ask(path)).status).toBe(404);
  }
  expect((await ask(LIVE, {}, 'POST')).status).toBe(405);
});

test('[KI-05] a broken probe answers why', async () => {
  const { ask } = await statusFor({ httpGet: { port: 'web' } });
  const { status, body } = await ask();
  expect([status, body]).toEqual([500, expect.stringContaining('port "web" is a name')]);
});

test('[A7.4] a flood of probes is refused beyond 64, and the sidecar answers on', async () => {
  let waiting = 0;
  const responses: ServerResponse[] = [];
  const port = await httpApp((_, response) => {
    waiting++;
    responses.push(response);
  });
  const { ask } = await statusFor({ httpGet: { port }, timeoutSeconds: 60 });
  const answers = Array.from({ length: 200 }, () => ask());
  await until('the first 64 to be with the app', () => waiting === 64);
  expect((await ask()).status).toBe(503);
  expect((await ask('/healthz/ready')).status).toBe(200);
  for (const response of responses) response.end();
  const statuses = (await Promise.all(answers)).map(({ status }) => status);
  expect(statuses.filter((status) => status === 200)).toHaveLength(64);
  expect(statuses.filter((status) => status === 503)).toHaveLength(136);
});

test('[KI-06] readiness says why not', async () => {
  const { ask } = await statusFor(
    { tcpSocket: { port: FREE_PORT } },
    { readiness: () => ({ ready: false, reason: 'no listeners yet' }) },
  );
  expect(await ask('/healthz/ready')).toEqual({
    status: 503,
    body: 'not ready: no listeners yet\n',
  });
});

test('[KI-03] [A5.2] drain and quit take POST, and no page of a browser', async () => {
  const done: string[] = [];
  const { ask } = await statusFor(
    { tcpSocket: { port: FREE_PORT } },
    { drain: () => done.push('drain'), quit: () => done.push('quit') },
  );
  for (const path of ['/drain', '/quitquitquit']) {
    expect((await ask(path)).status).toBe(405);
    expect((await ask(path, { origin: 'http://evil.example' }, 'POST')).status).toBe(403);
    expect((await ask(path, { 'sec-fetch-site': 'cross-site' }, 'POST')).status).toBe(403);
  }
  expect(done).toEqual([]);
  expect(await ask('/drain', {}, 'POST')).toEqual({ status: 200, body: 'OK\n' });
  expect((await ask('/quitquitquit', {}, 'POST')).status).toBe(200);
  await until('both', () => done.length === 2);
  expect(done).toEqual(['drain', 'quit']);
});

test('[A5.2] a stranger whom the inbound listener passed on is none of this pod', async () => {
  const done: string[] = [];
  const options = { drain: () => done.push('drain'), quit: () => done.push('quit') };
  const { port } = await statusFor({ tcpSocket: { port: FREE_PORT } }, options);
  for (const path of ['/drain', '/quitquitquit']) {
    const status = await new Promise((resolve, reject) => {
      // Where the sidecar itself calls the app from, for whoever called the pod.
      const from = { host: '127.0.0.1', port, localAddress: '127.0.0.6', agent: false };
      const outgoing = request({ ...from, path, method: 'POST' }, (response) => {
        response.resume();
        resolve(response.statusCode);
      });
      outgoing.on('error', reject);
      outgoing.end();
    });
    expect(status).toBe(403);
  }
  expect(done).toEqual([]);
});
