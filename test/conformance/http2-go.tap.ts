import t from 'tap';
import { FrameType } from '../../proxy/http2/frame/frame-head.ts';
import { frameRelay } from '../harness/frame-relay.ts';
import { goHttp2, noGo } from '../harness/go-http2.ts';
import { http2Proxy } from '../harness/http2-proxy.ts';
import { tlsFiles } from '../harness/tls-files.ts';
import { versionedApp } from '../harness/versioned-app.ts';

/**
 * HTTP/2 of Go's standard library, which most programs of a cluster speak, in front of a sidecar and behind: PINGs
 * behind cancelled requests, hundreds of requests at once, trailers both ways.
 */

t.setTimeout(120_000);

t.test('[PR-05] Go in front of the proxy and behind', { skip: noGo() }, async (t) => {
  const go = await goHttp2();
  const files = await tlsFiles();
  const [http1, h2c] = [await versionedApp('http1'), await versionedApp('h2c')];
  const server = await go.serve();
  const rig = await http2Proxy(
    {
      http1: { port: http1.port, version: 'http1' },
      http2: { port: h2c.port, version: 'http2' },
      go: { port: server.port, version: 'http2' },
      goHttp1: { port: server.port, version: 'http1' },
    },
    files,
  );
  t.teardown(async () => {
    await rig.proxy.stop();
    await Promise.all([server.stop(), http1.close(), h2c.close()]);
    files.remove();
    go.remove();
  });
  const relay = await frameRelay(rig.plainPort);
  t.teardown(() => relay.close());
  for (const origin of [`http://127.0.0.1:${relay.port}`, rig.tls]) {
    const found = await go.ask(origin, files.authority, ['http1', 'http2', 'go', 'goHttp1']);
    t.same(
      found,
      [
        ['http1', '1.1'],
        ['http2', '2.0'],
        ['go', '2.0'],
        ['goHttp1', '1.1'],
      ].map(([app, spoken]) => ({
        app,
        version: 'HTTP/2.0',
        status: 200,
        spoken,
        text: 'hello\n',
        echoed: true,
        trailer: 'yes',
        atOnce: 500,
        cancelled: 100,
        after: 200,
      })),
      origin,
    );
  }
  const pings = relay.frames.get(FrameType.Ping) ?? 0;
  t.ok(pings > 0, `${pings} PING frames were sent`);
  t.equal(rig.proxy.process.exitCode, undefined, 'the proxy lives');
});
