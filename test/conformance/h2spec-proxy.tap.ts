import t from 'tap';
import { conformsToH2spec, noH2spec } from '../harness/h2spec.ts';
import { http2Proxy, type Upstream } from '../harness/http2-proxy.ts';
import { tlsFiles } from '../harness/tls-files.ts';
import { versionedApp } from '../harness/versioned-app.ts';

/**
 * The conformance suite h2spec, all cases and strict, against a sidecar process: in clear text and over TLS, with an
 * app of either version behind it.
 */

t.setTimeout(200_000);

const APPS = ['http1', 'http2'] as const;
/** A connection that begins otherwise is HTTP/1.1 to a listener that takes both, and is told of its fault in that. */
const NOT_HTTP2_AT_ALL = 'Sends invalid connection preface';

t.test('[PR-05] h2spec, strict, against the proxy', { skip: noH2spec() }, async (t) => {
  const files = await tlsFiles();
  const [http1, h2c] = [await versionedApp('http1'), await versionedApp('h2c')];
  const upstreams: Record<(typeof APPS)[number], Upstream> = {
    http1: { port: http1.port, version: 'http1' },
    http2: { port: h2c.port, version: 'http2' },
  };
  const either = await http2Proxy(upstreams, files);
  const alone = await http2Proxy(upstreams, files, { codec_type: 'HTTP2' });
  t.teardown(async () => {
    await Promise.all([either.proxy.stop(), alone.proxy.stop(), http1.close(), h2c.close()]);
    files.remove();
  });
  const tls = ['--tls', '--insecure'];
  for (const [listener, { proxy }, port, args, failing] of [
    ['codec_type HTTP2', alone, alone.plainPort, [], []],
    ['codec_type AUTO', either, either.plainPort, [], [NOT_HTTP2_AT_ALL]],
    ['TLS with ALPN h2', either, either.tlsPort, tls, []],
  ] as const) {
    for (const app of APPS) {
      await t.test(`${listener}, the app in ${app}`, async (t) => {
        await conformsToH2spec(t, port, ['--path', `/${app}/`, ...args], failing);
        t.equal(proxy.process.exitCode, undefined, `the proxy lives on:\n${proxy.process.stderr}`);
      });
    }
  }
  t.same(Object.keys(http1.versions()), ['1.1']);
  t.same(Object.keys(h2c.versions()), ['2.0']);
});
