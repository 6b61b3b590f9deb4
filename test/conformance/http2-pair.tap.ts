import { createHash, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { curlWithHttp2, noCurlWithHttp2 } from '../harness/curl.ts';
import { noH2load, noNghttp } from '../harness/nghttp.ts';
import { nghttpd, noNghttpd } from '../harness/nghttpd.ts';
import { succeeds } from '../harness/run-program.ts';
import { sidecarPair } from '../harness/sidecar-pair.ts';
import { MIB, noiseSha256, versionedApp } from '../harness/versioned-app.ts';

/**
 * curl, nghttp and h2load as the app beside one sidecar, Node's servers and nghttpd as the app beside another: each
 * app speaks and is spoken to in the version that is its own, whatever the other end has.
 */

t.setTimeout(120_000);

const body = randomBytes(MIB);
const bodySha256 = createHash('sha256').update(body).digest('hex');

const [plain, second] = [await versionedApp('http1'), await versionedApp('h2c')];
const foreign = noNghttpd() === false ? await nghttpd() : null;
const pair = await sidecarPair([
  { service: 'plain', port: plain.port, protocol: 'http' },
  { service: 'second', port: second.port, protocol: 'http2' },
  ...(foreign === null ? [] : [{ service: 'foreign', port: foreign.port, protocol: 'http2' }]),
]);
t.teardown(async () => {
  await pair.stop();
  await Promise.all([plain.close(), second.close(), foreign?.stop()]);
});
const { outboundPort } = pair.client;

/** What the app of a service is spoken to in. */
const APPS = [
  ['plain', '1.1'],
  ['second', '2.0'],
] as const;

t.test('[PR-05] curl', { skip: noCurlWithHttp2() }, async (t) => {
  const proxy = `http://127.0.0.1:${outboundPort}`;
  const redirected = ['--connect-to', `::127.0.0.1:${outboundPort}`];
  for (const [name, version, options] of [
    ['HTTP/1.1 by HTTP_PROXY', '1.1', ['-x', proxy]],
    ['HTTP/1.1 in a tunnel', '1.1', ['-x', proxy, '--proxytunnel']],
    ['HTTP/1.1 that knows of no proxy', '1.1', redirected],
    ['HTTP/2 in a tunnel', '2', ['-x', proxy, '--proxytunnel', '--http2-prior-knowledge']],
    ['HTTP/2 that knows of no proxy', '2', [...redirected, '--http2-prior-knowledge']],
  ] as const) {
    await t.test(name, async (t) => {
      const curl = (args: readonly string[], input?: string | Buffer) =>
        curlWithHttp2(t, [...options, ...args], input);
      const written = '\n%{http_version} %{http_code} %header{x-spoken}';
      for (const [service, spoken] of APPS) {
        const url = `http://${service}:9080`;
        t.equal(
          (await curl(['-w', written, `${url}/`])).stdout,
          `hello\n\n${version} 200 ${spoken}`,
          `${service}: GET`,
        );
        t.match((await curl(['-I', `${url}/`])).stdout, /^HTTP\/\S+ 200/, `${service}: HEAD`);
        t.equal(
          (await curl(['-w', written, `${url}/status/404`])).stdout,
          `\n${version} 404 ${spoken}`,
          service,
        );
        const post = await curl(['--data-binary', '@-', `${url}/`], body);
        t.equal(post.stdoutSha256, bodySha256, `${service}: POST`);
        const large = await curl([`${url}/bytes/${4 * MIB}`]);
        t.equal(large.stdoutSha256, noiseSha256(4 * MIB), `${service}: 4 MiB`);
      }
      if (foreign === null) return;
      const url = 'http://foreign:9080';
      t.equal((await curl([`${url}/hello`])).stdout, 'hello\n');
      t.equal((await curl([`${url}/noise`])).stdoutSha256, foreign.noiseSha256, '16 MiB');
      t.equal((await curl(['--data-binary', '@-', `${url}/`], body)).stdoutSha256, bodySha256);
    });
  }
});

t.test('nghttp', { skip: noNghttp() }, async (t) => {
  const nghttp = (service: string, path: string, args: readonly string[], input?: string) => {
    const authority = ['-H', `:authority: ${service}:9080`];
    const url = `http://127.0.0.1:${outboundPort}${path}`;
    return succeeds(t, 'nghttp', ['-t', '20', ...authority, ...args, url], input);
  };
  for (const [service, spoken] of APPS) {
    const many = await nghttp(service, '/bytes/70000', ['-m', '20', '-b', '255', '-w', '12']);
    t.equal(many.stdoutBytes, 1_400_000, service);
    const trailer = ['-v', '-d', '-', '--no-content-length', '--trailer', 'x-trailer: yes'];
    const { stdout } = await nghttp(service, '/', trailer, 'abc');
    t.match(
      stdout,
      new RegExp(`:status: 200[\\s\\S]*x-spoken: ${spoken}[\\s\\S]*abc[\\s\\S]*x-was-trailer: yes`),
      `${service}: trailers both ways`,
    );
  }
  if (foreign === null) return;
  const { stdout } = await nghttp('foreign', '/hello', ['-v']);
  t.match(stdout, /:status: 200[\s\S]*hello\n[\s\S]*x-nghttpd: end/, 'trailers of nghttpd');
});

t.test('h2load', { skip: noH2load() }, async (t) => {
  const file = join(pair.client.directory, 'body');
  writeFileSync(file, body.subarray(0, 65_536));
  const load = async (count: number, service: string, path: string, args: readonly string[]) => {
    const authority = ['-H', `:authority: ${service}:9080`];
    const url = `http://127.0.0.1:${outboundPort}${path}`;
    const { stdout } = await succeeds(t, 'h2load', ['-n', `${count}`, ...authority, ...args, url]);
    t.match(stdout, new RegExp(`${count} succeeded, 0 failed, 0 errored, 0 timeout`), service);
    t.match(stdout, new RegExp(`status codes: ${count} 2xx`), service);
  };
  const services: readonly (readonly [string, string])[] = [
    ['plain', '/bytes/1024'],
    ['second', '/bytes/1024'],
    ...(foreign === null ? [] : ([['foreign', '/hello']] as const)),
  ];
  for (const [service, path] of services) {
    await load(2000, service, path, ['-c', '4', '-m', '100']);
    await load(500, service, path, ['-c', '8', '--h1']);
    await load(200, service, path, ['-c', '2', '-m', '20', '-d', file]);
  }
});

const none = [noCurlWithHttp2(), noNghttp(), noH2load()];
const NOBODY = none.includes(false) ? false : 'no client is installed';

t.test(
  '[PR-06] each app was spoken to in its own version, over few connections',
  { skip: NOBODY },
  async (t) => {
    t.same(Object.keys(plain.versions()), ['1.1']);
    t.same(Object.keys(second.versions()), ['2.0']);
    const stats = await pair.client.admin('/stats');
    for (const [service] of APPS) {
      const opened = new RegExp(`outbound\\|9080\\|\\|${service}\\..*upstream_cx_total: (\\d+)`);
      const connections = Number(opened.exec(stats)?.[1]);
      t.ok(connections >= 1 && connections <= 40, `${connections} connections to ${service}`);
    }
    for (const { process } of [pair.client, ...pair.servers.values()]) {
      t.equal(process.exitCode, undefined, 'the sidecar lives');
    }
  },
);
