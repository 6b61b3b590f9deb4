import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import t, { type Test } from 'tap';
import type { WebSocket } from 'ws';
import { http2Proxy } from '../harness/http2-proxy.ts';
import { sidecarPair } from '../harness/sidecar-pair.ts';
import { tlsFiles } from '../harness/tls-files.ts';
import { until } from '../harness/until.ts';
import { MIB } from '../harness/versioned-app.ts';
import { type WebSocketApp, webSocketApp } from '../harness/websocket-app.ts';
import {
  type Dial,
  dialByStream,
  dialByTunnel,
  dialDirectly,
  dialSecurely,
  extendedConnectSession,
} from '../harness/websocket-client.ts';

/**
 * WebSocket by the client and the server of `ws`, through one sidecar and through a pair: over HTTP/1.1, through a
 * tunnel, and over a stream of HTTP/2 (RFC 8441).
 */

t.setTimeout(120_000);

async function opened(webSocket: WebSocket): Promise<WebSocket> {
  // An `error` in the meantime rejects.
  if (webSocket.readyState !== webSocket.OPEN) await once(webSocket, 'open');
  return webSocket;
}

async function echoed(webSocket: WebSocket, message: string | Buffer) {
  webSocket.send(message);
  const [data, isBinary] = (await once(webSocket, 'message')) as [Buffer, boolean];
  return { data, isBinary };
}

async function closing(webSocket: WebSocket): Promise<string> {
  const [code, reason] = (await once(webSocket, 'close')) as [number, Buffer];
  return `${code} ${reason}`.trim();
}

/** The stream below a WebSocket, where there are faults to be made. */
const below = (webSocket: WebSocket) => (webSocket as unknown as { _socket: Duplex })._socket;

async function converses(
  t: Test,
  app: WebSocketApp,
  dial: Dial,
  { deflates }: { readonly deflates: boolean },
): Promise<void> {
  const open = async (path: string, options?: { readonly deflate: boolean }) => {
    const webSocket = await opened(await dial(path, options));
    t.teardown(() => webSocket.terminate());
    return webSocket;
  };
  const serverSees = (close: string) =>
    until(`the server to see ${close}`, () => app.closes.at(-1) === close);

  await t.test('text, binary, 1 MiB, pings and a close', async (t) => {
    const webSocket = await open('/echo?a=b');
    t.same(app.requests.at(-1), { url: '/echo?a=b', httpVersion: '1.1' });
    t.equal(webSocket.protocol, 'chat');
    t.match(await echoed(webSocket, 'grüß dich'), {
      data: Buffer.from('grüß dich'),
      isBinary: false,
    });
    const noise = randomBytes(MIB);
    const large = await echoed(webSocket, noise);
    t.ok(large.isBinary && large.data.equals(noise), '1 MiB of noise');
    t.equal((await echoed(webSocket, '')).data.length, 0, 'nothing at all');
    webSocket.ping('are you there');
    t.equal(String((await once(webSocket, 'pong'))[0]), 'are you there');
    webSocket.close(4000, 'bye');
    t.equal(await closing(webSocket), '4000 bye');
    await serverSees('4000 bye');
  });

  await t.test('1,000 messages in order, of three sizes', async (t) => {
    const webSocket = await open('/echo');
    const sizes = [1, 126, 70_000];
    let received = 0;
    const all = new Promise<void>((resolve, reject) => {
      webSocket.on('message', (data: Buffer) => {
        const number = data.readUInt16BE(0);
        const size = 2 + sizes[number % 3]!;
        if (number !== received || data.length !== size)
          reject(new Error(`${number} came ${received}th`));
        received += 1;
        if (received === 1000) resolve();
      });
    });
    for (let number = 0; number < 1000; number++) {
      const message = Buffer.alloc(2 + sizes[number % 3]!);
      message.writeUInt16BE(number);
      webSocket.send(message);
    }
    await all;
    t.equal(received, 1000);
    webSocket.close(1000);
    await serverSees('1000');
  });

  await t.test('the server speaks first', async (t) => {
    const webSocket = await dial('/push');
    t.teardown(() => webSocket.terminate());
    const messages: string[] = [];
    webSocket.on('message', (data: Buffer) => void messages.push(String(data)));
    await until('all that is pushed', () => messages.length === 100);
    t.same([messages[0], messages[99]], ['pushed 0', 'pushed 99']);
  });

  await t.test('the server closes with a code', async (t) => {
    const webSocket = await open('/close');
    webSocket.send('please');
    t.equal(await closing(webSocket), '4001 so be it');
  });

  await t.test('who is cut off is seen to be gone by the other', async (t) => {
    const byServer = await open('/cut');
    byServer.on('error', () => {});
    byServer.send('please');
    t.equal(await closing(byServer), '1006');
    await serverSees('1006');
    for (const [name, cut] of [
      ['destroyed', (webSocket: WebSocket) => webSocket.terminate()],
      ['half-closed', (webSocket: WebSocket) => below(webSocket).end()],
    ] as const) {
      const before = app.closes.length;
      const webSocket = await open('/echo');
      webSocket.on('error', () => {});
      await echoed(webSocket, 'here');
      const closed = closing(webSocket);
      cut(webSocket);
      await until(`${name}: the server to see it`, () => app.closes.length > before);
      t.equal(app.closes.at(-1), '1006', name);
      t.equal(await closed, '1006', name);
    }
  });

  await t.test('permessage-deflate', { skip: deflates ? false : 'not by hand' }, async (t) => {
    const webSocket = await open('/echo', { deflate: true });
    t.match(webSocket.extensions, /permessage-deflate/);
    const text = 'again and '.repeat(100_000);
    for (let count = 0; count < 3; count++) {
      t.ok(String((await echoed(webSocket, text)).data) === text);
    }
  });
}

t.test('[PR-09] through one sidecar', async (t) => {
  const [app, files] = [await webSocketApp(), await tlsFiles()];
  const rig = await http2Proxy({ app: { port: app.port, version: 'http1' } }, files);
  const session = await extendedConnectSession(rig.plain);
  const secure = await extendedConnectSession(rig.tls, files.authorityPem);
  t.teardown(async () => {
    session.destroy();
    secure.destroy();
    await rig.proxy.stop();
    await app.close();
    files.remove();
  });
  await t.test('over HTTP/1.1', (t) =>
    converses(t, app, dialDirectly(rig.plainPort), { deflates: true }),
  );
  await t.test('over a stream of HTTP/2', (t) =>
    converses(t, app, dialByStream(session, 'app'), { deflates: false }),
  );
  await t.test('over HTTP/1.1 in TLS', (t) =>
    converses(t, app, dialSecurely(rig.tlsPort, files.authorityPem), { deflates: true }),
  );
  await t.test('over a stream of HTTP/2 in TLS', (t) =>
    converses(t, app, dialByStream(secure, 'app'), { deflates: false }),
  );
  await t.test('20 at once on one session beside requests', async (t) => {
    const dial = dialByStream(session, 'app');
    const all = await Promise.all(Array.from({ length: 20 }, () => dial('/echo')));
    const answers = await Promise.all(all.map((one, index) => echoed(one, `I am ${index}`)));
    t.same(
      answers.map(({ data }) => String(data)),
      all.map((_, index) => `I am ${index}`),
    );
    const request = session.request({ ':path': '/' });
    const [response] = await once(request, 'response');
    t.equal(response[':status'], 426, 'what is no WebSocket is a request like any other');
    for (const one of all) one.terminate();
  });
  t.equal(rig.proxy.process.exitCode, undefined, 'the proxy lives');
});

t.test('[PR-09] through a pair of sidecars', async (t) => {
  const app = await webSocketApp();
  const pair = await sidecarPair([{ service: 'ws', port: app.port, protocol: 'http' }]);
  const session = await extendedConnectSession(`http://127.0.0.1:${pair.client.outboundPort}`);
  t.teardown(async () => {
    session.destroy();
    await pair.stop();
    await app.close();
  });
  const { outboundPort } = pair.client;
  await t.test('over HTTP/1.1', (t) =>
    converses(t, app, dialDirectly(outboundPort, 'ws:9080'), { deflates: true }),
  );
  await t.test('through a tunnel', (t) =>
    converses(t, app, dialByTunnel(outboundPort, 'ws:9080'), { deflates: true }),
  );
  await t.test('over a stream of HTTP/2', (t) =>
    converses(t, app, dialByStream(session, 'ws:9080'), { deflates: false }),
  );
});
