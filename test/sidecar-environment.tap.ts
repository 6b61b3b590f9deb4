import { copyFileSync, writeFileSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { freePorts } from '../cli/run/free-port.ts';
import { makeAuthority } from './certificates.ts';
import { ControlPlane } from './harness/control-plane.ts';
import { echoApp } from './harness/echo-app.ts';
import { EnvironmentSidecar } from './harness/environment-sidecar.ts';
import { viaProxy } from './harness/mesh-request.ts';
import { until } from './harness/until.ts';
import { joinToken } from './harness/workload.ts';

/** Sidecars configured by their environment, as containers are, beside a real control plane. */

const controlPlane = await ControlPlane.start();
const app = await echoApp('reviews');
t.teardown(async () => {
  await controlPlane.stop();
  await app.close();
});

t.test('[KI-08] two containers find each other with nothing but an environment', async (t) => {
  const [listen] = await freePorts(1);
  const server = await EnvironmentSidecar.ready(controlPlane, {
    POD_NAME: 'reviews-v1-5f7d8c9b4-x2k9q',
    WEFT_SERVICE: 'reviews',
    WEFT_LABELS: 'app=reviews,version=v1',
    WEFT_PORTS: JSON.stringify([
      {
        number: 9080,
        protocol: 'http',
        listen: `127.0.0.1:${listen}`,
        app: `127.0.0.1:${app.port}`,
      },
    ]),
  });
  t.teardown(() => server.stop());
  // An environment shared with the app: grpc-js would follow these.
  const proxy = 'http://127.0.0.1:1';
  const client = await EnvironmentSidecar.ready(controlPlane, {
    HTTP_PROXY: proxy,
    http_proxy: proxy,
    https_proxy: proxy,
  });
  t.teardown(() => client.stop());
  const outbound = Number(client.env['WEFT_OUTBOUND']!.split(':')[1]);
  const answer = await until('an answer through both', async () => {
    const response = await viaProxy(outbound, 'http://reviews:9080/');
    return response.status === 200 && response;
  });
  const headers = (JSON.parse(answer.body) as { headers: Record<string, string> }).headers;
  t.match(
    headers['x-forwarded-client-cert'],
    /URI=spiffe:\/\/cluster\.local\/ns\/default\/sa\/default/,
    'over mutual TLS',
  );
  const status = await controlPlane.weft('proxy-status');
  t.match(status.out, /reviews-v1\S*\.default .*SYNCED/);
});

t.test('[A5.6] NODE_OPTIONS in the container is warned of, a clean start is not', async (t) => {
  const warned = await EnvironmentSidecar.ready(controlPlane, { NODE_OPTIONS: '--no-warnings' });
  t.teardown(() => warned.stop());
  t.match(warned.process.output, /"what":"NODE_OPTIONS"/);
  const clean = await EnvironmentSidecar.ready(controlPlane, { NODE_OPTIONS: '' });
  t.teardown(() => clean.stop());
  t.notMatch(clean.process.output, /"what":/);
});

t.test('[SC-06] the mounted root and token are read again when they are replaced', async (t) => {
  const sidecar = await EnvironmentSidecar.spawn(controlPlane, {
    WEFT_ROOT_CERT: join(controlPlane.directory, 'mounted-root.pem'),
  });
  t.teardown(() => sidecar.stop());
  t.equal(await sidecar.process.exited, 1, 'nothing is mounted yet');
  t.match(sidecar.process.stderr, /WEFT_ROOT_CERT: \S+mounted-root.pem cannot be read/);
  // An authority that is not the control plane's: it starts, and is not ready.
  const mounted = sidecar.env['WEFT_ROOT_CERT']!;
  writeFileSync(mounted, (await makeAuthority()).certificatePem);
  writeFileSync(sidecar.env['WEFT_TOKEN_FILE']!, 'expired');
  sidecar.start();
  await until('an attempt that fails', () =>
    sidecar.process.output.includes('no certificate could be got yet'),
  );
  copyFileSync(controlPlane.rootCertFile, mounted);
  writeFileSync(
    sidecar.env['WEFT_TOKEN_FILE']!,
    await joinToken(controlPlane, 'default', 'default'),
  );
  await sidecar.untilReady();
  t.pass('ready once both are right, in the same process');
});

t.test(
  '[KI-03] EXIT_ON_ZERO_ACTIVE_CONNECTIONS: a stop waits as long as there is one',
  async (t) => {
    let held: ServerResponse | undefined;
    const slow = createServer((_, response) => {
      held = response;
    });
    await new Promise<void>((resolve) => slow.listen(0, '127.0.0.1', resolve));
    t.teardown(() => {
      slow.closeAllConnections();
      slow.close();
    });
    const sidecar = await EnvironmentSidecar.ready(controlPlane, {
      WEFT_DRAIN_TIME_S: '0',
      EXIT_ON_ZERO_ACTIVE_CONNECTIONS: 'true',
      MINIMUM_DRAIN_DURATION: '1ms',
    });
    t.teardown(() => sidecar.stop());
    const outbound = Number(sidecar.env['WEFT_OUTBOUND']!.split(':')[1]);
    const { port } = slow.address() as AddressInfo;
    const answer = viaProxy(outbound, `http://127.0.0.1:${port}/slow`);
    await until('the request to be with the app', () => held);
    sidecar.process.kill('SIGTERM');
    await until('the stop to be under way', async () => {
      const ready = await sidecar.status('/healthz/ready');
      return ready.status === 503;
    });
    held!.end('done');
    t.match(await answer, { status: 200, body: 'done' });
    t.equal(await sidecar.process.exited, 0);
  },
);

t.test('a wrong environment is told whole, and the exit code is 1', async (t) => {
  const sidecar = await EnvironmentSidecar.spawn(controlPlane, {
    WEFT_CONTROL_PLANE: 'nowhere',
    WEFT_MODE: 'sideways',
    WEFT_STATSU: '0.0.0.0:1',
    WEFT_DRAIN_TIME_S: '-1',
  });
  t.teardown(() => sidecar.stop());
  t.equal(await sidecar.process.exited, 1);
  const lines = sidecar.process.stderr.trim().split('\n');
  t.equal(lines.length, 5, 'a head and a line for each');
  t.match(sidecar.process.stderr, 'WEFT_STATSU: no such variable; did you mean WEFT_STATUS?');
});
