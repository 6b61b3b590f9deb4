import { once } from 'node:events';
import http2 from 'node:http2';
import { connect, type Socket } from 'node:net';
import { WebSocket } from 'ws';

/** A way to the app: what makes a WebSocket of a path, opened soon. */
export type Dial = (path: string, options?: { readonly deflate?: boolean }) => Promise<WebSocket>;

const options = (deflate: boolean) => ({ perMessageDeflate: deflate ? { threshold: 0 } : false });

/** Over TLS to `port` of 127.0.0.1. */
export function dialSecurely(port: number, authorityPem: string): Dial {
  return async (path, { deflate = false } = {}) =>
    new WebSocket(`wss://127.0.0.1:${port}${path}`, 'chat', {
      ...options(deflate),
      ca: authorityPem,
    });
}

/** As a program does that knows of no proxy; `authority` where another than the port's is to be asked for. */
export function dialDirectly(port: number, authority = `127.0.0.1:${port}`): Dial {
  return async (path, { deflate = false } = {}) =>
    new WebSocket(`ws://${authority}${path}`, 'chat', {
      ...options(deflate),
      createConnection: () => connect(port, '127.0.0.1'),
    });
}

/** As a browser does that is told of a proxy: through a tunnel (RFC 6455 §4.1). */
export function dialByTunnel(proxyPort: number, authority: string): Dial {
  return async (path, { deflate = false } = {}) => {
    const socket = await tunnel(proxyPort, authority);
    return new WebSocket(`ws://${authority}${path}`, 'chat', {
      ...options(deflate),
      createConnection: () => socket,
    });
  };
}

async function tunnel(proxyPort: number, authority: string): Promise<Socket> {
  const socket = connect(proxyPort, '127.0.0.1');
  socket.write(`CONNECT ${authority} HTTP/1.1\r\nhost: ${authority}\r\n\r\n`);
  let head = '';
  while (!head.includes('\r\n\r\n')) {
    const [bytes] = (await once(socket, 'data')) as [Buffer];
    head += bytes.toString('latin1');
  }
  if (!/^HTTP\/1\.1 200 [^\r]*\r\n[\s\S]*\r\n\r\n$/.test(head)) throw new Error(head);
  return socket;
}

/** As a browser does over HTTP/2 (RFC 8441): each WebSocket a stream of one session, without permessage-deflate. */
export function dialByStream(session: http2.ClientHttp2Session, authority: string): Dial {
  return async (path) => {
    const stream = session.request({
      ':method': 'CONNECT',
      ':protocol': 'websocket',
      ':scheme': 'http',
      ':authority': authority,
      ':path': path,
      'sec-websocket-version': '13',
      'sec-websocket-protocol': 'chat',
    });
    const [response] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
    if (Number(response[':status']) !== 200) throw new Error(JSON.stringify(response));
    return webSocketOver(stream, String(response['sec-websocket-protocol'] ?? ''));
  };
}

/** What `ws` has for it is not in its documentation, and its own server does the same. */
function webSocketOver(stream: http2.ClientHttp2Stream, protocol: string): WebSocket {
  const webSocket = new WebSocket(null as never, undefined, {
    closeTimeout: 10_000,
  } as never) as WebSocket & {
    _isServer: boolean;
    _protocol: string;
    setSocket(socket: object, head: Buffer, options: object): void;
  };
  webSocket._isServer = false;
  webSocket._protocol = protocol;
  webSocket.setSocket(stream, Buffer.alloc(0), { maxPayload: 0, skipUTF8Validation: false });
  return webSocket;
}

/** A session whose server has said that it takes extended CONNECT. */
export async function extendedConnectSession(
  origin: string,
  authorityPem = '',
): Promise<http2.ClientHttp2Session> {
  const session = http2.connect(origin, authorityPem === '' ? {} : { ca: authorityPem });
  const [settings] = (await once(session, 'remoteSettings')) as [http2.Settings];
  if (settings.enableConnectProtocol !== true) {
    session.destroy();
    throw new Error('no SETTINGS_ENABLE_CONNECT_PROTOCOL');
  }
  return session;
}
