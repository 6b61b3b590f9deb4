import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttp2Server } from 'node:http2';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** What the app saw of a request; its answer's JSON body. */
export interface Seen {
  readonly app: string;
  /** `1.1` or `2.0`. */
  readonly version: string;
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly bodyBytes: number;
}

export interface EitherVersionApp {
  readonly port: number;
  close(): Promise<void>;
}

interface Asked {
  readonly httpVersion: string;
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  readonly headers: object;
  on(event: 'data', listener: (chunk: Buffer) => void): unknown;
  on(event: 'end', listener: () => void): unknown;
  on(event: 'error' | 'aborted', listener: () => void): unknown;
}

interface Answer {
  writeHead(status: number, headers: Record<string, string>): unknown;
  write(chunk: string): unknown;
  end(chunk?: string | Buffer): unknown;
}

/**
 * An app on a free loopback port that takes HTTP/1.1 and HTTP/2 without TLS, told apart by their first bytes, and
 * WebSocket by echoing what comes. It answers with what it saw; `/ticks/N` sends a line every 50 ms, N in all, and
 * `/bytes/N` N bytes, at most 32 million.
 */
export async function eitherVersionApp(name = 'either'): Promise<EitherVersionApp> {
  const answer = (asked: Asked, response: Answer) => {
    let bodyBytes = 0;
    asked.on('error', () => {});
    asked.on('data', (chunk) => {
      bodyBytes += chunk.length;
    });
    asked.on('end', () => {
      const { httpVersion: version, method = '', url = '' } = asked;
      const ticks = /^\/ticks\/(\d{1,4})$/.exec(url);
      if (ticks !== null) {
        sendTicks(Number(ticks[1]), response);
        return;
      }
      const bytes = /^\/bytes\/(\d{1,8})$/.exec(url);
      if (bytes !== null) {
        response.writeHead(200, { 'content-type': 'application/octet-stream' });
        response.end(BYTES.subarray(0, Number(bytes[1])));
        return;
      }
      const headers = asked.headers as Record<string, string>;
      const seen: Seen = { app: name, version, method, url, headers, bodyBytes };
      response.writeHead(200, { 'content-type': 'application/json', 'x-app': name });
      response.end(JSON.stringify(seen));
    });
  };
  const http1 = createHttpServer(answer);
  // A pooled connection that the sidecar keeps is not closed under its hands.
  http1.keepAliveTimeout = 0;
  http1.on('upgrade', (_request, socket: Socket, head: Buffer) => {
    socket.on('error', () => {});
    socket.write(
      'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n',
    );
    if (head.length > 0) socket.write(head);
    socket.on('data', (bytes: Buffer) => socket.write(bytes));
    socket.on('end', () => socket.end());
  });
  const http2 = createHttp2Server((asked, response) => answer(asked, response as Answer));
  const sockets = new Set<Socket>();
  const keep = (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
  };
  const behind = { http1: await listen(http1), http2: await listen(http2) };
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    keep(socket);
    socket.once('data', (first: Buffer) => {
      socket.pause();
      const version = first.toString('latin1', 0, 4) === 'PRI ' ? 'http2' : 'http1';
      const inner = connect({ port: behind[version], host: '127.0.0.1', allowHalfOpen: true });
      keep(inner);
      inner.setNoDelay(true);
      inner.write(first);
      socket.on('close', () => inner.destroy());
      inner.on('close', () => socket.destroy());
      socket.pipe(inner);
      inner.pipe(socket);
    });
  });
  const port = await listen(server);
  return {
    port,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await Promise.all(
        [server, http1, http2].map((one) => new Promise<void>((done) => one.close(() => done()))),
      );
    },
  };
}

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

/** One for all responses: those that nobody reads cost no memory of their own. */
const BYTES = Buffer.alloc(32_000_000, 'x');

function sendTicks(count: number, response: Answer): void {
  response.writeHead(200, { 'content-type': 'text/plain' });
  let sent = 0;
  const timer = setInterval(() => {
    response.write(`${++sent}\n`);
    if (sent < count) return;
    clearInterval(timer);
    response.end();
  }, 50);
}
