import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import http2 from 'node:http2';
import { join } from 'node:path';
import t from 'tap';
import { freePorts } from '../../cli/run/free-port.ts';
import { curlWithHttp2, noCurlWithHttp2 } from '../harness/curl.ts';
import { http2Exchange } from '../harness/http2-exchange.ts';
import { http2Proxy } from '../harness/http2-proxy.ts';
import { httpxFindings, noHttpx } from '../harness/httpx.ts';
import { nginx, noNginx } from '../harness/nginx.ts';
import { tlsFiles } from '../harness/tls-files.ts';
import { until } from '../harness/until.ts';
import { MIB, noiseSha256, versionedApp } from '../harness/versioned-app.ts';

/** The HTTP/2 of node:http2, of Python's h2 and of nginx through a sidecar process, to servers of both versions. */

t.setTimeout(120_000);

const body = randomBytes(MIB);
const bodySha256 = createHash('sha256').update(body).digest('hex');

const files = await tlsFiles();
const [http1, h2c] = [await versionedApp('http1'), await versionedApp('h2c')];
const [webPort, webTlsPort, frontPort] = await freePorts(3);
const rig = await http2Proxy(
  {
    http1: { port: http1.port, version: 'http1' },
    http2: { port: h2c.port, version: 'http2' },
    nginx: { port: webPort!, version: 'http2' },
    nginxs: { port: webTlsPort!, version: 'alpn', files },
  },
  files,
);
t.teardown(async () => {
  await rig.proxy.stop();
  await Promise.all([http1.close(), h2c.close()]);
  files.remove();
});

/** As many as Node lets be under way. */
const PINGS = 10;
const APPS = [
  ['http1', '1.1'],
  ['http2', '2.0'],
] as const;

function session(origin: string): http2.ClientHttp2Session {
  const session = http2.connect(origin, { ca: files.authorityPem });
  // Of a connection that a test is done with.
  session.on('error', () => {});
  return session;
}

t.test('node:http2', async (t) => {
  for (const origin of [rig.plain, rig.tls]) {
    const client = session(origin);
    t.teardown(() => client.destroy());
    for (const [app, spoken] of APPS) {
      await t.test(`${origin.split(':')[0]}, the app in ${app}`, async (t) => {
        const ask = (method: string, path: string, options = {}) =>
          http2Exchange(client, method, `/${app}${path}`, options);
        const got = await ask('GET', '/');
        t.match(got, { status: 200, headers: { 'x-spoken': spoken } });
        t.equal(String(got.body), 'hello\n');
        const head = await ask('HEAD', '/bytes/5');
        t.match([head.status, head.headers['content-length'], head.body.length], [200, '5', 0]);
        t.equal((await ask('GET', '/status/404')).status, 404);
        t.equal((await ask('GET', `/bytes/${16 * MIB}`)).bodySha256, noiseSha256(16 * MIB));
        const echoed = await ask('POST', '/', { body, trailers: { 'x-trailer': 'yes' } });
        t.equal(echoed.bodySha256, bodySha256);
        t.equal(echoed.trailers['x-was-trailer'], 'yes');
        const many = Array.from({ length: 100 }, (_, size) => ask('GET', `/bytes/${size * 100}`));
        t.same(
          (await Promise.all(many)).map((one) => one.body.length),
          many.map((_, size) => size * 100),
          '100 at once',
        );
      });
    }
    const pings = Array.from(
      { length: PINGS },
      () =>
        new Promise((resolve, reject) =>
          client.ping((error) => (error === null ? resolve(true) : reject(error))),
        ),
    );
    t.equal((await Promise.all(pings)).length, PINGS, 'PINGs are answered');
  }

  await t.test('a download that is cancelled leaves the connection to others', async (t) => {
    const client = session(rig.plain);
    t.teardown(() => client.destroy());
    for (const [app] of APPS) {
      for (let count = 0; count < 20; count++) {
        const stream = client.request({ ':path': `/${app}/bytes/${16 * MIB}` });
        await once(stream, 'data');
        stream.close(http2.constants.NGHTTP2_CANCEL);
        await once(stream, 'close');
      }
      t.equal((await http2Exchange(client, 'GET', `/${app}/`)).status, 200, app);
    }
    await until('nothing to be under way', async () => {
      const stats = await rig.proxy.admin('/stats');
      return APPS.every(([app]) => stats.includes(`cluster.${app}.upstream_rq_active: 0\n`));
    });
  });
});

t.test('httpx', { skip: noHttpx() }, async (t) => {
  for (const origin of [rig.plain, rig.tls]) {
    t.same(
      await httpxFindings(origin, files.authority),
      APPS.map(([app, spoken]) => ({
        app,
        version: 'HTTP/2',
        status: 200,
        spoken,
        text: 'hello\n',
        echoed: true,
        large: noiseSha256(4 * MIB),
        many: true,
      })),
      origin,
    );
  }
});

t.test('nginx', { skip: noNginx() || noCurlWithHttp2() }, async (t) => {
  const noise = randomBytes(16 * MIB);
  const noiseHash = createHash('sha256').update(noise).digest('hex');
  const certificate = `ssl_certificate ${files.certificate}; ssl_certificate_key ${files.privateKey};`;
  const server = await nginx(webPort!, (directory) => {
    writeFileSync(join(directory, 'noise'), noise);
    // `grpc_pass` is nginx's HTTP/2 to a server, whatever the content; kept connections forget which of the two they are.
    return `
      server {
        listen 127.0.0.1:${webPort} http2;
        listen 127.0.0.1:${webTlsPort} ssl http2;
        ${certificate}
        root ${directory};
        location = /hello { return 200 "$server_protocol"; }
      }
      upstream by2 { server 127.0.0.1:${rig.plainPort}; keepalive 8; }
      upstream by1 { server 127.0.0.1:${rig.plainPort}; keepalive 8; }
      server {
        listen 127.0.0.1:${frontPort} ssl http2;
        ${certificate}
        client_max_body_size 0;
        location / { grpc_pass grpc://by2; }
        location /by1/ {
          proxy_http_version 1.1;
          proxy_set_header connection "";
          proxy_pass http://by1/;
        }
      }`;
  });
  t.teardown(() => server.stop());
  const curl = (args: readonly string[], input?: Buffer) =>
    curlWithHttp2(t, ['--http2', '--cacert', files.authority, ...args], input);

  await t.test('behind the proxy, in clear text and by ALPN', async (t) => {
    for (const app of ['nginx', 'nginxs']) {
      const url = `${rig.tls}/${app}`;
      t.equal((await curl([`${url}/hello`])).stdout, 'HTTP/2.0');
      t.equal((await curl([`${url}/noise`])).stdoutSha256, noiseHash, '16 MiB');
      t.match((await curl(['-w', '%{http_code}', `${url}/no`])).stdout, /404$/);
      const range = await curl(['-H', 'range: bytes=10-19', `${url}/noise`]);
      t.equal(range.stdoutBytes, 10);
    }
  });

  await t.test('in front of the proxy, by HTTP/2 and by HTTP/1.1', async (t) => {
    const front = `https://127.0.0.1:${frontPort}`;
    for (const way of ['', '/by1']) {
      for (const [app, spoken] of APPS) {
        const url = `${front}${way}/${app}`;
        const written = '%{http_version} %{http_code} %header{x-spoken}';
        t.equal((await curl(['-w', written, `${url}/`])).stdout, `hello\n2 200 ${spoken}`);
        t.equal((await curl(['--data-binary', '@-', `${url}/`], body)).stdoutSha256, bodySha256);
        const large = await curl([`${url}/bytes/${4 * MIB}`]);
        t.equal(large.stdoutSha256, noiseSha256(4 * MIB));
      }
    }
  });
});

t.test('[OP-05] SIGTERM tells HTTP/2 clients, and what is under way ends well', async (t) => {
  const client = session(rig.plain);
  t.teardown(() => client.destroy());
  const stream = client.request({ ':path': `/http2/bytes/${16 * MIB}` });
  const goaway = once(client, 'goaway');
  await once(stream, 'response');
  rig.proxy.process.kill('SIGTERM');
  const [code] = await goaway;
  t.equal(code, http2.constants.NGHTTP2_NO_ERROR);
  let bytes = 0;
  stream.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
  });
  await once(stream, 'end');
  t.equal(bytes, 16 * MIB);
  t.equal(await rig.proxy.process.exited, 0);
});
