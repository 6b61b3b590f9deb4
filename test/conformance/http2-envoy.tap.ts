import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import http2 from 'node:http2';
import t, { type Test } from 'tap';
import { freePorts } from '../../cli/run/free-port.ts';
import { noEnvoy } from '../harness/envoy.ts';
import { EnvoyProcess } from '../harness/envoy-process.ts';
import { everyKindOfCall } from '../harness/grpc-calls.ts';
import { grpcEchoApp } from '../harness/grpc-echo-app.ts';
import { GrpcEchoClient } from '../harness/grpc-echo-client.ts';
import { http2Exchange } from '../harness/http2-exchange.ts';
import { http2Proxy, http2Resources, type Upstream } from '../harness/http2-proxy.ts';
import { tlsFiles } from '../harness/tls-files.ts';
import { until } from '../harness/until.ts';
import { MIB, noiseSha256, versionedApp } from '../harness/versioned-app.ts';

/**
 * Envoy as the HTTP/2 peer of a sidecar, in front of it and behind it, in clear text and over TLS by ALPN; each of the
 * two has the same configuration.
 */

t.setTimeout(120_000);

const body = randomBytes(MIB);
const bodySha256 = createHash('sha256').update(body).digest('hex');

const files = await tlsFiles();
const grpc = await grpcEchoApp();
const [http1, h2c] = [await versionedApp('http1'), await versionedApp('h2c')];
t.teardown(async () => {
  grpc.close();
  await Promise.all([http1.close(), h2c.close()]);
  files.remove();
});

/** The first is where gRPC goes. */
const TO_APPS: Record<string, Upstream> = {
  grpc: { port: grpc.port, version: 'http2' },
  http1: { port: http1.port, version: 'http1' },
  http2: { port: h2c.port, version: 'http2' },
};
const toProxy = (plainPort: number, tlsPort: number): Record<string, Upstream> => ({
  plain: { port: plainPort, version: 'http2' },
  tls: { port: tlsPort, version: 'alpn', files },
});

async function envoy(t: Test, upstreams: Record<string, Upstream>) {
  const [plainPort, tlsPort] = await freePorts(2);
  const process = new EnvoyProcess(() => ({
    bootstrap: {
      node: { id: 'test', cluster: 'test' },
      static_resources: http2Resources(upstreams, files, plainPort!, tlsPort!),
    },
  }));
  t.teardown(() => process.stop());
  await process.untilLive();
  return { process, plainPort: plainPort!, tlsPort: tlsPort! };
}

async function statOf(process: EnvoyProcess, name: string): Promise<number> {
  const stats = await process.admin(`/stats?filter=${name}`);
  const values = [...stats.matchAll(/: (\d+)$/gm)].map(([, value]) => Number(value));
  return values.reduce((sum, value) => sum + value, 0);
}

/** Requests and calls to the proxy in front, over either hop between the two. */
async function allArrives(t: Test, frontPort: number): Promise<void> {
  const session = http2.connect(`http://127.0.0.1:${frontPort}`);
  t.teardown(() => session.destroy());
  for (const hop of ['plain', 'tls']) {
    for (const [app, spoken] of [
      ['http1', '1.1'],
      ['http2', '2.0'],
    ] as const) {
      await t.test(`requests over ${hop} to an app in ${app}`, async (t) => {
        const ask = (method: string, path: string, options = {}) =>
          http2Exchange(session, method, `/${hop}/${app}${path}`, options);
        const got = await ask('GET', '/');
        t.match(got, { status: 200, headers: { 'x-spoken': spoken } });
        t.equal(String(got.body), 'hello\n');
        const head = await ask('HEAD', '/bytes/5');
        t.match([head.status, head.headers['content-length'], head.body.length], [200, '5', 0]);
        t.equal((await ask('GET', '/status/404')).status, 404);
        const large = await ask('GET', `/bytes/${16 * MIB}`);
        t.equal(large.bodySha256, noiseSha256(16 * MIB));
        t.equal((await ask('POST', '/', { body })).bodySha256, bodySha256);
        const many = Array.from({ length: 100 }, (_, size) => ask('GET', `/bytes/${size * 100}`));
        t.same(
          (await Promise.all(many)).map((one) => one.body.length),
          many.map((_, size) => size * 100),
          '100 at once',
        );
      });
    }
    await t.test(`trailers over ${hop}`, async (t) => {
      // Envoy drops those of HTTP/1.1 unless it is told not to.
      const trailers = { 'x-trailer': 'yes' };
      const echoed = await http2Exchange(session, 'POST', `/${hop}/http2/`, { body, trailers });
      t.equal(echoed.bodySha256, bodySha256);
      t.equal(echoed.trailers['x-was-trailer'], 'yes');
    });
    await t.test(`[PR-07] gRPC over ${hop}`, async (t) => {
      const client = new GrpcEchoClient(`127.0.0.1:${frontPort}`, {
        'grpc.default_authority': `${hop}.test`,
      });
      t.teardown(() => client.close());
      await everyKindOfCall(t, client, grpc);
    });
  }
}

t.test('[PR-05] Envoy in front of the sidecar', { skip: noEnvoy() }, async (t) => {
  const weft = await http2Proxy(TO_APPS, files);
  t.teardown(() => weft.proxy.stop());
  const { process, plainPort } = await envoy(t, toProxy(weft.plainPort, weft.tlsPort));
  await allArrives(t, plainPort);
  for (const cluster of ['plain', 'tls']) {
    const connections = await statOf(process, `cluster.${cluster}.upstream_cx_http2_total`);
    t.ok(connections > 0, `${connections} connections of HTTP/2 by ${cluster}`);
  }
  const resets = await statOf(process, 'upstream_cx_protocol_error');
  t.equal(resets, 0, 'Envoy found no fault with us');

  await t.test('[OP-05] what Envoy has under way as the sidecar drains ends well', async (t) => {
    const session = http2.connect(`http://127.0.0.1:${plainPort}`);
    t.teardown(() => session.destroy());
    const stream = session.request({ ':path': `/plain/http2/bytes/${16 * MIB}` });
    await once(stream, 'response');
    weft.proxy.process.kill('SIGTERM');
    await until('Envoy to be told', () => statOf(process, 'upstream_cx_close_notify'));
    let bytes = 0;
    stream.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
    });
    await once(stream, 'end');
    t.equal(bytes, 16 * MIB);
    t.equal(await weft.proxy.process.exited, 0);
  });
});

t.test('[PR-05] Envoy behind the sidecar', { skip: noEnvoy() }, async (t) => {
  const { process, plainPort, tlsPort } = await envoy(t, TO_APPS);
  const weft = await http2Proxy(toProxy(plainPort, tlsPort), files);
  t.teardown(() => weft.proxy.stop());
  await allArrives(t, weft.plainPort);
  const connections = await statOf(process, 'http.http.downstream_cx_http2_total');
  t.ok(connections >= 2, `${connections} connections of HTTP/2`);
  t.equal(await statOf(process, 'http.http.downstream_cx_http1_total'), 0);
  t.equal(await statOf(process, 'downstream_cx_protocol_error'), 0, 'Envoy found no fault with us');

  await t.test('[OP-05] no request is lost when Envoy sends GOAWAY again and again', async (t) => {
    const session = http2.connect(`http://127.0.0.1:${weft.plainPort}`);
    t.teardown(() => session.destroy());
    const failed: unknown[] = [];
    let made = 0;
    let isDone = false;
    const load = Promise.all(
      Array.from({ length: 20 }, async (_, worker) => {
        const hop = worker % 2 === 0 ? 'plain' : 'tls';
        while (!isDone) {
          const { status } = await http2Exchange(session, 'GET', `/${hop}/http2/bytes/1000`).catch(
            (error: unknown) => ({ status: error }),
          );
          made += 1;
          if (status !== 200) failed.push(status);
        }
      }),
    );
    await until('the load to flow', () => made > 200);
    const before = await statOf(process, 'http.http.downstream_cx_total');
    // From now on Envoy ends each connection with the response after which it is idle.
    await process.admin('/healthcheck/fail', 'POST');
    await until(
      'connections to be ended',
      async () => (await statOf(process, 'http.http.downstream_cx_drain_close')) >= 10,
    );
    await process.admin('/healthcheck/ok', 'POST');
    const madeUntil = made;
    await until('the load to flow on', () => made > madeUntil + 200);
    isDone = true;
    await load;
    const opened = (await statOf(process, 'http.http.downstream_cx_total')) - before;
    t.same(failed, [], `of ${made} requests, on ${opened} new connections`);
    t.ok(opened >= 10, `${opened} new connections`);
  });
  t.equal(weft.proxy.process.exitCode, undefined, 'the proxy lives');
});
