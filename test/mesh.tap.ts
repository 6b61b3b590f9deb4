import { spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { freePorts } from '../cli/run/free-port.ts';
import { STRICT_MTLS } from './harness/apply-policy.ts';
import { ControlPlane } from './harness/control-plane.ts';
import { type Echoed, echoApp } from './harness/echo-app.ts';
import { viaProxy } from './harness/mesh-request.ts';
import { NodeProcess, ROOT } from './harness/node-process.ts';
import { rawExchange } from './harness/raw-exchange.ts';
import { until } from './harness/until.ts';
import { joinToken, Workload } from './harness/workload.ts';

/** A control plane, sidecars and apps as processes: discovery, mutual TLS, routes, faults of the control plane. */

t.setTimeout(200_000);

const noOpenssl = spawnSync('openssl', ['version']).status === 0 ? false : 'no openssl here';

async function applyText(controlPlane: ControlPlane, text: string): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'weft-apply-'));
  try {
    const file = join(directory, 'policy.yaml');
    writeFileSync(file, text);
    const { code, err } = await controlPlane.weft('apply', '-f', file);
    if (code !== 0) throw new Error(`weft apply: ${err}`);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

t.test('a mesh of two services and a client', async (t) => {
  const controlPlane = await ControlPlane.start('--workload-cert-ttl', '1h');
  const [one, two] = [await echoApp('one'), await echoApp('two')];
  const [echoV1, echoV2, client] = await Promise.all([
    Workload.ready(controlPlane, { service: 'echo', version: 'v1', appPort: one.port }),
    Workload.ready(controlPlane, { service: 'echo', version: 'v2', appPort: two.port }),
    Workload.ready(controlPlane),
  ]);
  t.teardown(async () => {
    await Promise.all([echoV1.stop(), echoV2.stop(), client.stop()]);
    await controlPlane.stop();
    await one.close();
    await two.close();
  });
  const get = (url: string, headers = {}) => viaProxy(client.outboundPort, url, headers);
  const apps = async (count: number, url = 'http://echo:9080/') =>
    Promise.all(
      Array.from({ length: count }, async () => JSON.parse((await get(url)).body).app as string),
    );

  t.test('[TM-07] short and long names lead to both instances', async (t) => {
    await until('both instances', async () => {
      const answer = await get('http://echo:9080/');
      return answer.status === 200 && new Set(await apps(20)).size === 2;
    });
    for (const name of [
      'echo',
      'echo.default',
      'echo.default.svc',
      'echo.default.svc.cluster.local',
    ]) {
      t.equal((await get(`http://${name}:9080/x`)).status, 200, name);
    }
  });

  t.test(
    '[OB-10] the app sees a request id and trace context; forged identity is gone [A2.1]',
    async (t) => {
      const { body } = await get('http://echo:9080/', {
        'x-forwarded-client-cert':
          'By=spiffe://evil;URI=spiffe://cluster.local/ns/default/sa/admin',
        traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      });
      const { headers } = JSON.parse(body) as Echoed;
      t.match(headers['x-request-id'], /^[0-9a-f-]{36}$/);
      t.match(headers['traceparent'], /^00-0af7651916cd43dd8448eb211c80319c-[0-9a-f]{16}-01$/);
      t.notMatch(headers['x-forwarded-client-cert'] ?? '', /admin|evil/);
      t.match(
        headers['x-forwarded-client-cert'] ?? '',
        /URI=spiffe:\/\/cluster\.local\/ns\/default\/sa\/client/,
      );
      t.notOk(headers['x-envoy-peer-metadata'], 'peer metadata stays between the sidecars');
    },
  );

  t.test('[OB-02] both sides count the request with principals and workloads', async (t) => {
    const metrics = async (workload: Workload) =>
      (await fetch(`http://${workload.settings.prometheus}/stats/prometheus`)).text();
    const seen = (text: string, ...labels: string[]) =>
      text
        .split('\n')
        .some(
          (line) =>
            line.startsWith('istio_requests_total{') &&
            labels.every((label) => line.includes(label)),
        );
    await until('the destination side', async () =>
      seen(
        await metrics(echoV1),
        'reporter="destination"',
        'source_workload="client"',
        'source_principal="spiffe://cluster.local/ns/default/sa/client"',
        'destination_service="echo.default.svc.cluster.local"',
        'connection_security_policy="mutual_tls"',
        'response_code="200"',
      ),
    );
    await until('the source side', async () =>
      seen(
        await metrics(client),
        'reporter="source"',
        'destination_workload="echo-v1"',
        'destination_principal="spiffe://cluster.local/ns/default/sa/echo"',
        'connection_security_policy="unknown"',
      ),
    );
    const text = await metrics(client);
    t.match(text, /^istio_request_duration_milliseconds_bucket\{.*le="0\.5"/m);
    t.match(text, /^istio_build\{component="proxy"/m);
  });

  t.test(
    '[SC-03] openssl sees the SPIFFE id, and a handshake without a certificate fails [A1.3]',
    { skip: noOpenssl },
    (t) => {
      const { stdout, stderr } = spawnSync(
        'openssl',
        [
          's_client',
          '-connect',
          `127.0.0.1:${echoV1.inboundPort}`,
          '-CAfile',
          controlPlane.rootCertFile,
          '-alpn',
          'istio-http/1.1',
          '-showcerts',
          '-ign_eof',
        ],
        { input: 'GET / HTTP/1.1\r\nhost: x\r\n\r\n', encoding: 'utf8', timeout: 20_000 },
      );
      const pem = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/.exec(stdout)?.[0];
      t.match(
        new X509Certificate(pem!).subjectAltName,
        'URI:spiffe://cluster.local/ns/default/sa/echo',
      );
      t.notMatch(stdout, /HTTP\/1\.1 200/);
      t.match(stdout + stderr, /alert|certificate required|handshake failure/i);
      t.end();
    },
  );

  t.test(
    '[SC-02] PERMISSIVE takes plain text; STRICT closes it without a byte, at once and for all sidecars',
    async (t) => {
      const plain = () =>
        rawExchange(
          echoV1.inboundPort,
          'GET / HTTP/1.1\r\nhost: echo\r\nconnection: close\r\n\r\n',
        );
      t.match((await plain()).text, /^HTTP\/1\.1 200 OK/);
      await applyText(controlPlane, STRICT_MTLS);
      await until('plain text to be refused', async () => (await plain()).text === '');
      const served = one.served() + two.served();
      t.same(await plain(), { text: '', closed: true });
      t.equal(one.served() + two.served(), served, '[A1.1] no byte reached the app');
      t.equal((await get('http://echo:9080/')).status, 200);
      await controlPlane.weft('delete', 'pa', 'default');
      await until('plain text to be served again', async () =>
        (await plain()).text.startsWith('HTTP/1.1 200'),
      );
    },
  );

  t.test('weft proxy-status and proxy-config show what the sidecars hold', async (t) => {
    const status = await until('all to be synced', async () => {
      const { out } = await controlPlane.weft('proxy-status');
      return (out.match(/SYNCED/g)?.length ?? 0) >= 3 * 3 ? out : undefined;
    });
    t.match(status, /^NAME +CLUSTER +CDS +LDS +EDS +RDS +CONTROL PLANE +VERSION$/m);
    t.match(status, /^echo-v1\.default +/m);
    const clusters = await controlPlane.weft(
      'proxy-config',
      'clusters',
      'client',
      '--fqdn',
      'echo',
    );
    t.match(clusters.out, /^echo\.default\.svc\.cluster\.local +9080 +- +outbound +EDS/m);
    const endpoints = await controlPlane.weft(
      'pc',
      'endpoints',
      'client.default',
      '--port',
      '9080',
    );
    t.match(endpoints.out, new RegExp(`^127\\.0\\.0\\.1:${echoV1.inboundPort} +HEALTHY`, 'm'));
    t.match(
      (await controlPlane.weft('pc', 'listeners', 'echo-v1')).out,
      new RegExp(`127\\.0\\.0\\.1 +${echoV1.inboundPort} `),
    );
    t.match((await controlPlane.weft('pc', 'routes', 'client')).out, /^http_proxy +/m);
    t.match(
      (await controlPlane.weft('pc', 'certs', 'client')).out,
      /spiffe:\/\/cluster\.local\/ns\/default\/sa\/client +Cert Chain +ACTIVE +true/,
    );
    t.notMatch(await client.admin('/config_dump'), /PRIVATE KEY/);
    t.equal((await controlPlane.weft('pc', 'clusters', 'nobody')).code, 1);
  });

  t.test(
    '[DS-04] an instance that goes away is taken out, one that comes back serves again',
    async (t) => {
      await echoV2.killHard();
      await until(
        'the endpoint to go',
        async () => {
          const { out } = await controlPlane.weft('pc', 'endpoints', 'client', '--port', '9080');
          return !out.includes(`:${echoV2.inboundPort} `);
        },
        30_000,
      );
      t.same(new Set(await apps(10)), new Set(['one']));
      echoV2.start();
      await echoV2.untilReady();
      await until('the second instance', async () => new Set(await apps(10)).size === 2);
    },
  );

  t.test('an app that does not answer is not an endpoint until it does', async (t) => {
    const [appPort] = await freePorts(1);
    const late = await Workload.ready(controlPlane, { service: 'late', appPort: appPort! });
    await until('late to be known and unhealthy', async () => {
      const { status, body } = await get('http://late:9080/');
      return status === 503 && body.includes('no healthy upstream');
    });
    const app = createServer((socket: Socket) => {
      socket.on('error', () => {});
      socket.on('data', () =>
        socket.end('HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nlate'),
      );
    });
    await new Promise<void>((resolve) => app.listen(appPort, '127.0.0.1', resolve));
    await until(
      'late to serve',
      async () => (await get('http://late:9080/')).body === 'late',
      30_000,
    );
    await late.stop();
    app.close();
    t.pass('served once the app listened');
  });
});

t.test('[I7] a sidecar serves on, and starts, while the control plane is away', async (t) => {
  const controlPlane = await ControlPlane.start();
  const app = await echoApp();
  const echo = await Workload.ready(controlPlane, {
    service: 'echo',
    appPort: app.port,
    keepState: true,
  });
  const client = await Workload.ready(controlPlane, { keepState: true });
  t.teardown(async () => {
    await Promise.all([echo.stop(), client.stop()]);
    await controlPlane.stop();
    await app.close();
  });
  const get = () => viaProxy(client.outboundPort, 'http://echo:9080/').catch(() => ({ status: 0 }));
  await until('the first answer', async () => (await get()).status === 200);
  for (const { settings } of [echo, client]) {
    const kept = join(settings.stateDirectory, 'last-known-good.json');
    await until(`${settings.workload}'s configuration on disk`, () => existsSync(kept));
  }
  await controlPlane.killHard();
  for (let count = 0; count < 20; count += 1) t.equal((await get()).status, 200);
  await client.killHard();
  client.start();
  await client.untilReady();
  t.equal((await get()).status, 200, 'from the last good configuration on disk');
  await echo.killHard();
  echo.start();
  await echo.untilReady();
  await until('echo to serve again', async () => (await get()).status === 200);
  await controlPlane.restart();
  await until(
    'both to be back',
    async () => ((await controlPlane.weft('proxy-status')).out.match(/SYNCED/g)?.length ?? 0) >= 6,
  );
  t.equal((await get()).status, 200);
});

t.test('[A4.6] a control plane with another root gets neither token nor trust', async (t) => {
  const [controlPlane, other] = await Promise.all([ControlPlane.start(), ControlPlane.start()]);
  const workload = await Workload.spawn(controlPlane, { rootCertFile: other.rootCertFile });
  t.teardown(async () => {
    await workload.stop();
    await Promise.all([controlPlane.stop(), other.stop()]);
  });
  await workload.process.seen(/certificate|verify|self.signed|issuer/i);
  const ready = await fetch(`http://${workload.settings.readiness}/healthz/ready`).catch(
    () => undefined,
  );
  t.not(ready?.status, 200);
  t.notMatch((await controlPlane.weft('proxy-status')).out, /client/);
});

t.test('[A2.11] a node that claims another identity than its token gets nothing', async (t) => {
  const controlPlane = await ControlPlane.start();
  const token = await joinToken(controlPlane, 'default', 'somebody');
  const workload = await Workload.spawn(controlPlane, {
    service: 'bank',
    serviceAccount: 'bank',
    appPort: 1,
    token,
  });
  t.teardown(async () => {
    await workload.stop();
    await controlPlane.stop();
  });
  await until(
    'the refusal in the log',
    () => /somebody/.test(controlPlane.log) && /bank/.test(controlPlane.log),
  );
  t.notMatch((await controlPlane.weft('proxy-status')).out, /bank/);
});

t.test('weft run puts a sidecar beside an app that knows nothing of it', async (t) => {
  const controlPlane = await ControlPlane.start();
  const app = await echoApp('target');
  const echo = await Workload.ready(controlPlane, { service: 'echo', appPort: app.port });
  t.teardown(async () => {
    await echo.stop();
    await controlPlane.stop();
    await app.close();
  });
  const script = `
    const answer = await fetch('http://echo:9080/from-app');
    console.log('APP', answer.status, (await answer.json()).url);
    process.exitCode = 7;`;
  const run = new NodeProcess(
    [
      join(ROOT, 'cli/main.ts'),
      'run',
      '--data',
      controlPlane.data,
      '--name',
      'caller',
      '--',
      process.execPath,
      '--input-type=module',
      '-e',
      script,
    ],
    { env: { WEFT_SERVER: controlPlane.api } },
  );
  t.equal(await run.exited, 7, 'the app’s exit code is weft’s');
  t.match(run.stdout, /^APP 200 \/from-app$/m);

  const service = new NodeProcess(
    [
      join(ROOT, 'cli/main.ts'),
      'run',
      '--data',
      controlPlane.data,
      '--service',
      'details',
      '--port',
      '9080',
      '--app-port',
      'auto',
      '--',
      process.execPath,
      join(ROOT, 'examples/bookinfo/details.ts'),
    ],
    { env: { WEFT_SERVER: controlPlane.api } },
  );
  await until(
    'details to be reachable',
    async () => {
      const answer = await viaProxy(echo.outboundPort, 'http://details:9080/details/0').catch(
        () => undefined,
      );
      return answer?.status === 200;
    },
    30_000,
  );
  t.equal(await service.stop(), 0, 'SIGTERM ends app and sidecar');
  const none = new NodeProcess([
    join(ROOT, 'cli/main.ts'),
    'run',
    '--data',
    join(controlPlane.directory, 'none'),
    '--',
    'true',
  ]);
  t.equal(await none.exited, 65);
  t.match(none.stderr, /weft control-plane/);
});

t.test('CONNECT and WebSocket pass the mesh [PR-09, PR-10]', async (t) => {
  const controlPlane = await ControlPlane.start();
  const upgrade = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', (head: Buffer) => {
      if (!head.toString().includes('\r\n\r\n')) return socket.destroy();
      socket.write(
        'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n',
      );
      socket.on('data', (bytes: Buffer) => socket.write(bytes.toString('latin1').toUpperCase()));
      return undefined;
    });
  });
  await new Promise<void>((resolve) => upgrade.listen(0, '127.0.0.1', resolve));
  const tcp = createServer((socket) => {
    socket.on('error', () => {});
    socket.write('banner\n');
    socket.on('data', (bytes: Buffer) => socket.write(bytes.toString('latin1').toUpperCase()));
  });
  await new Promise<void>((resolve) => tcp.listen(0, '127.0.0.1', resolve));
  const port = (server: typeof tcp) => (server.address() as { port: number }).port;
  const [ws, database, client] = await Promise.all([
    Workload.ready(controlPlane, { service: 'ws', appPort: port(upgrade) }),
    Workload.ready(controlPlane, {
      service: 'database',
      appPort: port(tcp),
      protocol: 'tcp',
      servicePort: 5432,
    }),
    Workload.ready(controlPlane),
  ]);
  t.teardown(async () => {
    await Promise.all([ws.stop(), database.stop(), client.stop()]);
    await controlPlane.stop();
    upgrade.close();
    tcp.close();
  });
  await until('ws to be known', async () =>
    (await controlPlane.weft('pc', 'endpoints', 'client')).out.includes(
      `:${database.inboundPort} `,
    ),
  );

  const { text } = await rawExchange(
    client.outboundPort,
    'GET http://ws:9080/chat HTTP/1.1\r\nhost: ws:9080\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    { enough: (so) => so.includes('\r\n\r\n') },
  );
  t.match(text, /^HTTP\/1\.1 101 /);
  const chat = await converse(client.outboundPort, [
    [
      'GET http://ws:9080/chat HTTP/1.1\r\nhost: ws:9080\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n',
      /\r\n\r\n/,
    ],
    ['hello', /HELLO/],
  ]);
  t.match(chat, /HELLO$/);

  const tunnel = await converse(client.outboundPort, [
    ['CONNECT database:5432 HTTP/1.1\r\nhost: database:5432\r\n\r\n', /\r\n\r\nbanner\n/],
    ['select', /SELECT/],
  ]);
  t.match(tunnel, /^HTTP\/1\.1 200 [\s\S]*banner\nSELECT$/);

  const inner = await converse(client.outboundPort, [
    ['CONNECT ws:9080 HTTP/1.1\r\nhost: ws:9080\r\n\r\n', /\r\n\r\n/],
    [
      'GET /chat HTTP/1.1\r\nhost: ws:9080\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n',
      /101 [\s\S]*\r\n\r\n/,
    ],
  ]);
  t.match(inner, /101 Switching Protocols/, 'HTTP inside a CONNECT tunnel is routed like any HTTP');
});

/** Says each line once the answer so far matches the pattern of the one before. */
function converse(port: number, turns: readonly (readonly [string, RegExp])[]): Promise<string> {
  return new Promise((resolve, reject) => {
    let all = '';
    let turn = 0;
    const socket = connect(port, '127.0.0.1', () => socket.write(turns[0]![0]));
    const timer = setTimeout(() => {
      socket.destroy();
      reject(new Error(`no ${turns[turn]?.[1]} in ${JSON.stringify(all)}`));
    }, 15_000);
    const finish = (error?: Error) => {
      clearTimeout(timer);
      socket.destroy();
      if (error === undefined) resolve(all);
      else reject(error);
    };
    socket.on('data', (bytes: Buffer) => {
      all += bytes.toString('latin1');
      if (!turns[turn]![1].test(all)) return;
      turn += 1;
      if (turn === turns.length) finish();
      else socket.write(turns[turn]![0]);
    });
    socket.on('close', () => finish(new Error(`closed after ${JSON.stringify(all)}`)));
    socket.on('error', (error) => finish(error));
  });
}
