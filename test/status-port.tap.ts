import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { networkInterfaces } from 'node:os';
import t from 'tap';
import { freePorts } from '../cli/run/free-port.ts';
import { applyPolicy, STRICT_MTLS } from './harness/apply-policy.ts';
import { ControlPlane } from './harness/control-plane.ts';
import { echoApp } from './harness/echo-app.ts';
import { EnvironmentSidecar } from './harness/environment-sidecar.ts';
import { parseExposition } from './harness/exposition-parser.ts';
import { grpcHealthApp } from './harness/grpc-health-app.ts';
import { viaProxy } from './harness/mesh-request.ts';
import { until } from './harness/until.ts';

/** The status port of real sidecars, configured as the injector configures them, in front of real apps. */

t.setTimeout(200_000);

/** An app with a health page that can be made ill, and a page of metrics. */
async function healthyApp() {
  let status = 200;
  const server = createServer(({ url }, response) => {
    if (url === '/metrics') response.end('# TYPE orders counter\norders 3\n');
    else response.writeHead(status).end(url);
  });
  const listen = (port: number) =>
    new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  await listen(0);
  const { port } = server.address() as AddressInfo;
  return {
    port,
    answer: (code: number) => {
      status = code;
    },
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
    listenAgain: () => listen(port),
  };
}

const controlPlane = await ControlPlane.start();
const app = await healthyApp();
const rpc = await grpcHealthApp();
const echo = await echoApp('echo');
t.teardown(async () => {
  await controlPlane.stop();
  await app.close();
  rpc.close();
  await echo.close();
});

const probers = (httpPort: number, grpcPort: number) =>
  JSON.stringify({
    '/app-health/app/livez': { httpGet: { path: '/live', port: httpPort }, timeoutSeconds: 1 },
    '/app-health/app/readyz': { tcpSocket: { port: httpPort } },
    '/app-health/rpc/livez': { grpc: { port: grpcPort, service: null }, timeoutSeconds: 2 },
    '/app-lifecycle/app/prestopz': { httpGet: { path: '/bye', port: httpPort } },
  });

/** A sidecar that serves `reviews` for the app, with probes and metrics of it. */
async function reviews(env: Readonly<Record<string, string>> = {}) {
  const [listen] = await freePorts(1);
  const port = {
    number: 9080,
    protocol: 'http',
    listen: `127.0.0.1:${listen}`,
    app: `127.0.0.1:${app.port}`,
  };
  const sidecar = await EnvironmentSidecar.spawn(controlPlane, {
    POD_NAME: 'reviews-v1-5f7d8c9b4-x2k9q',
    WEFT_SERVICE: 'reviews',
    WEFT_LABELS: 'app=reviews',
    WEFT_PORTS: JSON.stringify([port]),
    ISTIO_KUBE_APP_PROBERS: probers(app.port, rpc.port),
    ISTIO_PROMETHEUS_ANNOTATIONS: JSON.stringify({
      scrape: 'true',
      path: '/metrics',
      port: String(app.port),
    }),
    ...env,
  });
  return { sidecar, inboundPort: listen! };
}

t.test('a sidecar with an app', async (t) => {
  const { sidecar, inboundPort } = await reviews();
  t.teardown(() => sidecar.stop());
  const probe = async (path: string) => (await sidecar.status(path)).status;

  t.test('[KI-04] wait holds until the sidecar is ready', async (t) => {
    t.equal(await sidecar.run('wait', '--timeout', '20s').exited, 0);
    t.equal(await probe('/healthz/ready'), 200);
    t.equal(await sidecar.run('healthcheck').exited, 0);
  });

  t.test('[KI-05] all three kinds of probes, and a hook', async (t) => {
    for (const path of [
      '/app-health/app/livez',
      '/app-health/app/readyz',
      '/app-health/rpc/livez',
      '/app-lifecycle/app/prestopz',
    ]) {
      t.equal(await probe(path), 200, path);
    }
    t.equal(await probe('/app-health/app/startupz'), 404, 'which was not rewritten');
  });

  t.test("[KI-05] what is wrong with the app is the kubelet's to see", async (t) => {
    app.answer(503);
    t.equal(await probe('/app-health/app/livez'), 503);
    t.equal(await probe('/app-health/app/readyz'), 200, 'it still listens');
    rpc.statuses.set('', 2);
    t.equal(await probe('/app-health/rpc/livez'), 500);
    await app.close();
    t.equal(await probe('/app-health/app/livez'), 500);
    t.equal(await probe('/app-health/app/readyz'), 500);
    t.equal(await probe('/healthz/ready'), 200, 'the sidecar itself is well');
    await app.listenAgain();
    app.answer(200);
    rpc.statuses.set('', 1);
    t.equal(await probe('/app-health/app/livez'), 200);
    t.equal(await probe('/app-health/rpc/livez'), 200);
  });

  t.test('[KI-05] the kubelet reaches the app under STRICT, strangers do not', async (t) => {
    t.notOk(await plainTextIsClosed(inboundPort), 'before that everybody does');
    await applyPolicy(controlPlane, STRICT_MTLS);
    await until('plain text to be refused', () => plainTextIsClosed(inboundPort));
    for (const path of ['/app-health/app/livez', '/app-health/app/readyz']) {
      t.equal(await probe(path), 200, path);
    }
    t.equal(await probe('/app-health/rpc/livez'), 200);
  });

  t.test('[OB-05] one page for sidecar and app, whole without the app', async (t) => {
    const page = async () => (await sidecar.status('/stats/prometheus')).text();
    const both = parseExposition(await page(), 'prometheus');
    t.equal(both.get('orders'), 3);
    t.ok(both.has('weft_xds_connected'));
    t.ok(both.has('istio_agent_process_cpu_seconds_total'));
    await app.close();
    const alone = parseExposition(await page(), 'prometheus');
    t.notOk(alone.has('orders'));
    t.equal(alone.get('weft_xds_connected'), 1);
    t.equal(alone.get('istio_agent_scrape_failures_total{type="application"}'), 1);
    await app.listenAgain();
    t.equal(parseExposition(await page(), 'prometheus').get('orders'), 3);
  });
});

/** The inbound listener closes a connection that speaks plain HTTP. */
function plainTextIsClosed(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () =>
      socket.write('GET /live HTTP/1.1\r\nhost: reviews\r\nconnection: close\r\n\r\n'),
    );
    let bytes = 0;
    socket.on('data', (chunk) => {
      bytes += chunk.length;
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(bytes === 0));
  });
}

t.test('[KI-03] a Job ends its sidecar by POST /quitquitquit', async (t) => {
  const { sidecar } = await reviews();
  t.teardown(() => sidecar.stop());
  await sidecar.untilReady();
  t.equal((await sidecar.status('/quitquitquit')).status, 405, 'GET changes nothing');
  t.equal((await sidecar.status('/quitquitquit', { method: 'POST' })).status, 200);
  t.equal(await sidecar.process.exited, 0);
  t.match(sidecar.process.output, /"reason":"POST \/quitquitquit"/);
});

t.test('[KI-06] drain of a preStop hook: no new work, the app may finish its own', async (t) => {
  const { sidecar } = await reviews();
  t.teardown(() => sidecar.stop());
  await sidecar.untilReady();
  const drain = sidecar.run('drain');
  t.equal(await drain.exited, 0, drain.stderr);
  const ready = await sidecar.status('/healthz/ready');
  t.same([ready.status, await ready.text()], [503, 'not ready: draining\n']);
  const check = sidecar.run('healthcheck');
  t.equal(await check.exited, 1);
  t.equal(check.stderr, 'weft proxy healthcheck: not ready: draining\n');
  const outbound = Number(sidecar.env['WEFT_OUTBOUND']!.split(':')[1]);
  const answer = await viaProxy(outbound, `http://127.0.0.1:${echo.port}/out`);
  t.equal(answer.status, 200, 'the app still calls others');
  t.equal(await sidecar.stop(), 0);
});

t.test('[KI-04] wait and drain without a sidecar say where they looked', async (t) => {
  const sidecar = await EnvironmentSidecar.spawn(controlPlane, { WEFT_MODE: 'wrong' });
  t.teardown(() => sidecar.stop());
  t.equal(await sidecar.process.exited, 1);
  const wait = sidecar.run('wait', '--timeout', '300ms');
  t.equal(await wait.exited, 1);
  t.match(wait.stderr, /is not ready after 0\.3 s: nothing listens there yet/);
  const drain = sidecar.run('drain');
  t.equal(await drain.exited, 1);
  t.match(drain.stderr, /does not drain: nothing listens there yet/);
  const wrong = sidecar.run('wait', '--timeout', 'long');
  t.equal(await wrong.exited, 64);
});

const ownAddress = Object.values(networkInterfaces())
  .flatMap((each) => each ?? [])
  .find(({ internal, family }) => !internal && family === 'IPv4')?.address;

t.test(
  '[A5.2] only programs of this pod may drain and quit',
  { skip: ownAddress === undefined ? 'this host has no address but loopback' : false },
  async (t) => {
    const [port] = await freePorts(1);
    const { sidecar } = await reviews({ WEFT_STATUS: `0.0.0.0:${port}` });
    t.teardown(() => sidecar.stop());
    await sidecar.untilReady();
    for (const path of ['/drain', '/quitquitquit']) {
      const response = await fetch(`http://${ownAddress}:${port}${path}`, { method: 'POST' });
      t.equal(response.status, 403, path);
    }
    const ready = await fetch(`http://${ownAddress}:${port}/healthz/ready`);
    t.equal(ready.status, 200, 'the kubelet comes from outside, and is served');
  },
);

t.test('what the injector got wrong is told before the start', async (t) => {
  const [port] = await freePorts(1);
  const table: readonly [Record<string, string>, RegExp][] = [
    [{ ISTIO_KUBE_APP_PROBERS: '{' }, /ISTIO_KUBE_APP_PROBERS: is no JSON/],
    [{ WEFT_APP_PROBERS: '{"/x": {}}' }, /WEFT_APP_PROBERS: "\/x" must read \/app-health/],
    [
      { ISTIO_PROMETHEUS_ANNOTATIONS: '{"port":"web"}' },
      /ISTIO_PROMETHEUS_ANNOTATIONS: port "web"/,
    ],
    [
      {
        WEFT_PROMETHEUS_ANNOTATIONS: JSON.stringify({ port }),
        WEFT_STATUS: `127.0.0.1:${port}`,
      },
      /WEFT_PROMETHEUS_ANNOTATIONS: port \d+ cannot be scraped for the app: it is the status port/,
    ],
  ];
  for (const [env, message] of table) {
    const { sidecar } = await reviews(env);
    t.teardown(() => sidecar.stop());
    t.equal(await sidecar.process.exited, 1);
    t.match(sidecar.process.stderr, message);
  }
});
