import { createHash, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { curlWithHttp2, noCurlWithHttp2 } from '../harness/curl.ts';
import { type Http2Proxy, http2Proxy, type Upstream } from '../harness/http2-proxy.ts';
import { noH2load, noNghttp } from '../harness/nghttp.ts';
import { nghttpd, noNghttpd } from '../harness/nghttpd.ts';
import { runProgram, succeeds } from '../harness/run-program.ts';
import { tlsFiles } from '../harness/tls-files.ts';
import { MIB, noiseSha256, versionedApp } from '../harness/versioned-app.ts';

/**
 * Foreign clients through a sidecar process to foreign servers, in every pair of versions: curl, nghttp and h2load in
 * front, in clear text and over TLS, node:http, node:http2 and nghttpd behind.
 */

t.setTimeout(120_000);

const body = randomBytes(MIB);
const bodySha256 = createHash('sha256').update(body).digest('hex');

const files = await tlsFiles();
const [http1, h2c, tls] = await Promise.all([
  versionedApp('http1'),
  versionedApp('h2c'),
  versionedApp('tls', files),
]);
const servers = noNghttpd() === false ? await Promise.all([nghttpd(), nghttpd(files)]) : [];
/** What a request of a client gets to in which version; `alpn` and `nghttpds` by ALPN over TLS. */
const upstreams: Record<string, Upstream> = {
  http1: { port: http1.port, version: 'http1' },
  http2: { port: h2c.port, version: 'http2' },
  alpn: { port: tls.port, version: 'alpn', files },
  ...(servers.length > 0 && {
    nghttpd: { port: servers[0]!.port, version: 'http2' },
    nghttpds: { port: servers[1]!.port, version: 'alpn', files },
  }),
};
const rig: Http2Proxy = await http2Proxy(upstreams, files);
t.teardown(async () => {
  await rig.proxy.stop();
  await Promise.all([
    http1.close(),
    h2c.close(),
    tls.close(),
    ...servers.map((server) => server.stop()),
  ]);
  files.remove();
});

const NODE_APPS = [
  ['http1', '1.1'],
  ['http2', '2.0'],
  ['alpn', '2.0'],
] as const;

t.test('curl', { skip: noCurlWithHttp2() }, async (t) => {
  for (const [name, origin, version, long, options] of [
    ['prior knowledge', rig.plain, '2', true, ['--http2-prior-knowledge']],
    ['ALPN', rig.tls, '2', true, ['--http2', '--cacert', files.authority]],
    ['ALPN of HTTP/1.1 alone', rig.tls, '1.1', false, ['--http1.1', '--cacert', files.authority]],
    ['HTTP/1.1', rig.plain, '1.1', false, ['--http1.1']],
    // RFC 9113 §3.1: the upgrade is a thing of the past; who asks for it is answered in what it asked in.
    ['[PR-05] Upgrade: h2c is not taken', rig.plain, '1.1', false, ['--http2']],
  ] as const) {
    await t.test(name, async (t) => {
      const curl = (args: readonly string[], input?: string | Buffer) =>
        curlWithHttp2(t, [...options, ...args], input);
      const written = '\n%{http_version} %{http_code} %header{x-spoken}';
      for (const [app, spoken] of NODE_APPS) {
        const url = `${origin}/${app}`;
        const got = await curl(['-w', written, `${url}/`]);
        t.equal(got.stdout, `hello\n\n${version} 200 ${spoken}`, `${app}: GET`);
        t.equal(
          (await curl(['-I', '-w', written, `${url}/`])).stdout.split('\n').at(-1),
          `${version} 200 ${spoken}`,
          `${app}: HEAD`,
        );
        t.equal(
          (await curl(['-w', written, `${url}/status/404`])).stdout,
          `\n${version} 404 ${spoken}`,
          app,
        );
        const post = ['--data-binary', '@-', '-H', 'expect:'];
        t.equal((await curl([...post, `${url}/`], body)).stdoutSha256, bodySha256, `${app}: POST`);
        if (!long) continue;
        const large = await curl([`${url}/bytes/${16 * MIB}`]);
        t.equal(large.stdoutSha256, noiseSha256(16 * MIB), `${app}: 16 MiB`);
      }
      for (const [index, { noiseSha256 }] of servers.entries()) {
        const url = `${origin}/${index === 0 ? 'nghttpd' : 'nghttpds'}`;
        t.equal((await curl(['-w', written, `${url}/hello`])).stdout, `hello\n\n${version} 200 `);
        t.match((await curl(['-w', written, `${url}/no`])).stdout, new RegExp(`${version} 404 $`));
        if (!long) continue;
        t.equal((await curl([`${url}/noise`])).stdoutSha256, noiseSha256, `${url}: 16 MiB`);
        const post = ['--data-binary', '@-'];
        t.equal((await curl([...post, `${url}/hello`], body)).stdoutSha256, bodySha256, url);
      }
    });
  }

  t.test('an upload that waits for 100 Continue longer than for all gets it', async (t) => {
    for (const [app] of NODE_APPS) {
      const args = ['--http1.1', '-H', 'expect: 100-continue', '--expect100-timeout', '60'];
      const url = `${rig.plain}/${app}/`;
      const run = await curlWithHttp2(t, [...args, '--data-binary', '@-', url], body);
      t.equal(run.stdoutSha256, bodySha256, app);
    }
  });
});

t.test('nghttp', { skip: noNghttp() }, async (t) => {
  const nghttp = (args: readonly string[], input?: string | Buffer) =>
    succeeds(t, 'nghttp', ['-t', '20', '--no-verify-peer', ...args], input);

  t.test('gets several resources with padding, small windows and weights', async (t) => {
    for (const origin of [rig.plain, rig.tls]) {
      for (const [app] of NODE_APPS) {
        const paths = [70_000, 1, 200_000, 0].map((size) => `${origin}/${app}/bytes/${size}`);
        const odd = ['-b', '255', '-w', '10', '-W', '12', '-p', '256', '-p', '1'];
        t.equal((await nghttp([...odd, ...paths])).stdoutBytes, 270_001, `${origin} ${app}`);
        const tables = ['-c', '0', '-c', '4096', '--encoder-header-table-size', '128'];
        t.equal((await nghttp([...tables, '--no-dep', ...paths])).stdoutBytes, 270_001);
      }
    }
  });

  t.test('[PR-14] a request’s trailers get to the app, and its to the client', async (t) => {
    for (const [app, spoken] of NODE_APPS) {
      const args = ['-v', '-d', '-', '--no-content-length', '--trailer', 'x-trailer: yes'];
      const { stdout } = await nghttp([...args, `${rig.plain}/${app}/`], 'abc');
      t.match(
        stdout,
        new RegExp(
          `:status: 200[\\s\\S]*x-spoken: ${spoken}[\\s\\S]*abc[\\s\\S]*x-was-trailer: yes`,
        ),
        app,
      );
    }
  });

  t.test('uploads 1 MiB, after 100 Continue and without', async (t) => {
    for (const [app] of NODE_APPS) {
      const url = `${rig.plain}/${app}/`;
      t.equal((await nghttp(['-d', '-', url], body)).stdoutSha256, bodySha256, app);
      const waits = await nghttp(['-d', '-', '--expect-continue', url], body);
      t.equal(waits.stdoutSha256, bodySha256, `${app} expects`);
    }
  });

  t.test('a head of many kilobytes comes in CONTINUATION frames', async (t) => {
    const { stdout } = await nghttp(['-v', '--continuation', `${rig.plain}/http2/`]);
    t.match(stdout, /CONTINUATION|:status: 200/);
    t.match(stdout, /:status: 200/);
  });

  t.test('nghttpd’s trailers arrive', { skip: noNghttpd() }, async (t) => {
    for (const app of ['nghttpd', 'nghttpds']) {
      const { stdout } = await nghttp(['-v', `${rig.plain}/${app}/hello`]);
      t.match(stdout, /:status: 200[\s\S]*hello\n[\s\S]*x-nghttpd: end/, app);
    }
  });

  t.test('[PR-05] an upgrade to h2c is not taken', async (t) => {
    const { code, stdout, stderr } = await runProgram('nghttp', [
      '-v',
      '-u',
      '-t',
      '5',
      `${rig.plain}/http1/`,
    ]);
    t.match(stdout + stderr, /HTTP Upgrade failed/i);
    t.not(code, 127);
  });
});

t.test('h2load', { skip: noH2load() }, async (t) => {
  const load = async (t: Test, requests: number, args: readonly string[]) => {
    const { stdout } = await succeeds(t, 'h2load', ['-n', `${requests}`, ...args]);
    t.match(stdout, new RegExp(`${requests} succeeded, 0 failed, 0 errored, 0 timeout`));
    t.match(stdout, new RegExp(`status codes: ${requests} 2xx`));
    return stdout;
  };

  t.test('100 streams at once on four connections', async (t) => {
    for (const origin of [rig.plain, rig.tls]) {
      for (const app of Object.keys(upstreams)) {
        const path = app.startsWith('nghttpd') ? 'hello' : 'bytes/1024';
        const stdout = await load(t, 2000, ['-c', '4', '-m', '100', `${origin}/${app}/${path}`]);
        t.match(stdout, origin === rig.tls ? /Application protocol: h2$/m : /h2c$/m);
      }
    }
  });

  t.test('bodies of 64 KiB, sent back', async (t) => {
    const file = `${rig.proxy.directory}/body`;
    writeFileSync(file, body.subarray(0, 65_536));
    for (const app of Object.keys(upstreams)) {
      const stdout = await load(t, 200, [
        '-c',
        '2',
        '-m',
        '20',
        '-d',
        file,
        `${rig.plain}/${app}/`,
      ]);
      t.match(stdout, /traffic: .*\(13107200\) data/, app);
    }
  });

  t.test('at a rate, in HTTP/2 and in HTTP/1.1', async (t) => {
    await load(t, 200, ['-c', '2', '--rps', '100', `${rig.plain}/http2/`]);
    const stdout = await load(t, 500, ['--h1', '-c', '8', `${rig.plain}/http2/`]);
    t.match(stdout, /http\/1\.1$/m);
  });
});

const none = [noCurlWithHttp2(), noNghttp(), noH2load()];
const NOBODY = none.includes(false) ? false : 'no client is installed';

t.test('no request of all these was lost or given another version', { skip: NOBODY }, async (t) => {
  t.same(Object.keys(http1.versions()), ['1.1']);
  t.same(Object.keys(h2c.versions()), ['2.0']);
  t.same(Object.keys(tls.versions()), ['2.0']);
  t.equal(rig.proxy.process.exitCode, undefined, 'the proxy lives');
  t.notMatch(rig.proxy.process.output, /"level":"(error|fatal)"/);
});
