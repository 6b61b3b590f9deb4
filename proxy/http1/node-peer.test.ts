import http from 'node:http';
import net from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { RequestHead, ResponseHead } from '../http/message.ts';
import type { BodySink, ResponseSink } from '../http/stream.ts';
import type { CollectingTransport, WriteSource } from '../http/transport.ts';
import { Http1ClientConnection, http1ClientOptions } from './client-connection.ts';
import { Http1ServerConnection, http1ServerOptions } from './server-connection.ts';

/** node:http as a foreign peer of both roles, over loopback. */

const open: { close(): unknown }[] = [];
afterEach(() => {
  for (const resource of open.splice(0)) resource.close();
});

class SocketTransport implements CollectingTransport {
  readonly #socket: net.Socket;
  #source: WriteSource | null = null;
  constructor(socket: net.Socket) {
    this.#socket = socket;
  }
  write(bytes: Buffer | string): boolean {
    return typeof bytes === 'string'
      ? this.#socket.write(bytes, 'latin1')
      : this.#socket.write(bytes);
  }
  flushLater(source: WriteSource): void {
    this.#source = source;
    setImmediate(() => this.#collect());
  }
  #collect(): void {
    const source = this.#source;
    this.#source = null;
    source?.flush();
  }
  end(): void {
    this.#collect();
    this.#socket.end();
  }
  closeAfterFlush(): void {
    this.end();
  }
  abort(): void {
    this.#socket.resetAndDestroy();
  }
  destroy(): void {
    this.#socket.destroy();
  }
  pauseReading(): void {
    this.#socket.pause();
  }
  resumeReading(): void {
    this.#socket.resume();
  }
  get bufferedBytes(): number {
    return this.#socket.writableLength;
  }
}

function attach(
  socket: net.Socket,
  connection: {
    receive(bytes: Buffer): void;
    receiveEnd(): void;
    close(detail: string): void;
    onTransportDrain(): void;
  },
): void {
  socket.on('data', (bytes: Buffer) => connection.receive(bytes));
  socket.on('end', () => connection.receiveEnd());
  socket.on('drain', () => connection.onTransportDrain());
  socket.on('error', () => {});
  socket.on('close', () => connection.close('closed'));
}

async function listen(server: net.Server): Promise<number> {
  open.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as net.AddressInfo).port;
}

/** A server that echoes method, path and body, with trailers where the request has them. */
async function echoServer(): Promise<number> {
  return listen(
    net.createServer({ allowHalfOpen: true }, (socket) => {
      const connection = new Http1ServerConnection(
        new SocketTransport(socket),
        {
          onRequest(stream, head, endStream): BodySink {
            stream.writeHead(
              new ResponseHead(200, ['x-saw', `${head.method} ${head.path}`]),
              endStream,
            );
            return {
              onData: (chunk, end) => {
                if (!stream.writeData(chunk, end)) stream.pause();
              },
              onTrailers: (trailers) => stream.writeTrailers(trailers),
              onReset() {},
              onDrain: () => stream.resume(),
            };
          },
          onProtocolError() {},
        },
        http1ServerOptions(),
      );
      attach(socket, connection);
    }),
  );
}

interface NodeAnswer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly trailers: NodeJS.Dict<string>;
  readonly body: Buffer;
}

function nodeRequest(
  options: http.RequestOptions,
  write: (request: http.ClientRequest) => void,
): Promise<NodeAnswer> {
  return new Promise((resolve, reject) => {
    const request = http.request(options, (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.on('error', reject);
      response.on('end', () => {
        const { statusCode = 0, headers, trailers } = response;
        resolve({ status: statusCode, headers, trailers, body: Buffer.concat(parts) });
      });
    });
    request.on('error', reject);
    write(request);
  });
}

describe('server role with a node:http client', () => {
  test('requests of every framing over one kept connection', async () => {
    const port = await echoServer();
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    open.push({ close: () => agent.destroy() });
    const big = Buffer.alloc(3_000_000, 'weft');

    const plain = await nodeRequest({ port, agent, path: '/a?b' }, (request) => request.end());
    expect(plain.headers['x-saw']).toBe('GET /a?b');
    const sized = await nodeRequest(
      { port, agent, method: 'PUT', headers: { 'content-length': big.length } },
      (request) => request.end(big),
    );
    expect(sized.body.equals(big)).toBe(true);
    const chunked = await nodeRequest({ port, agent, method: 'POST' }, (request) => {
      request.addTrailers({});
      request.write('one');
      request.write(big);
      request.end('two');
    });
    expect(chunked.body.length).toBe(big.length + 6);
    const trailed = await nodeRequest(
      { port, agent, method: 'POST', headers: { trailer: 'x-sum' } },
      (request) => {
        request.write('body');
        request.addTrailers({ 'x-sum': '7' });
        request.end();
      },
    );
    expect(trailed.trailers).toEqual({ 'x-sum': '7' });
    const empty = await nodeRequest({ port, agent, method: 'HEAD' }, (request) => request.end());
    expect([empty.status, empty.body.length]).toEqual([200, 0]);
  });
});

/** Sends one request on a fresh client connection and collects the answer. */
function weftRequest(port: number, head: RequestHead, body: Buffer | null): Promise<NodeAnswer> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    open.push({ close: () => socket.destroy() });
    const connection = new Http1ClientConnection(
      new SocketTransport(socket),
      { onStreamEnd() {} },
      http1ClientOptions(),
    );
    attach(socket, connection);
    const parts: Buffer[] = [];
    let answer: ResponseHead | null = null;
    const done = (trailers: string[]) =>
      resolve({
        status: answer?.status ?? 0,
        headers: Object.fromEntries(pairs(answer?.headers ?? [])),
        trailers: Object.fromEntries(pairs(trailers)),
        body: Buffer.concat(parts),
      });
    const sink: ResponseSink = {
      onInformational() {},
      onResponse(response, endStream) {
        answer = response;
        if (endStream) done([]);
      },
      onData(chunk, endStream) {
        parts.push(chunk);
        if (endStream) done([]);
      },
      onTrailers: done,
      onReset: (reason, detail) => reject(new Error(`${reason} ${detail}`)),
      onDrain() {},
    };
    const stream = connection.request(head, body === null, sink);
    if (body !== null) stream.writeData(body, true);
  });
}

function pairs(block: readonly string[]): [string, string][] {
  const out: [string, string][] = [];
  for (let at = 0; at < block.length; at += 2) out.push([block[at]!, block[at + 1]!]);
  return out;
}

describe('client role with a node:http server', () => {
  test('responses of every framing', async () => {
    const port = await listen(
      http.createServer((request, response) => {
        const parts: Buffer[] = [];
        request.on('data', (part: Buffer) => parts.push(part));
        request.on('end', () => {
          const body = Buffer.concat(parts);
          switch (request.url) {
            case '/sized':
              response.setHeader('content-length', body.length);
              response.end(body);
              return;
            case '/trailers':
              response.setHeader('trailer', 'x-sum');
              response.write(body);
              response.addTrailers({ 'x-sum': '7' });
              response.end();
              return;
            case '/close':
              response.useChunkedEncodingByDefault = false;
              response.setHeader('connection', 'close');
              response.removeHeader('transfer-encoding');
              response.end(body);
              return;
            case '/none':
              response.writeHead(204).end();
              return;
            default:
              response.write(body);
              response.end('!');
          }
        });
      }),
    );
    const body = Buffer.alloc(500_000, 'weft');
    const send = (path: string, headers: string[] = []) =>
      weftRequest(port, new RequestHead('POST', 'http', 'peer', path, headers, 'HTTP/1.1'), body);
    expect((await send('/sized', ['content-length', `${body.length}`])).body.equals(body)).toBe(
      true,
    );
    expect((await send('/chunked')).body.length).toBe(body.length + 1);
    const trailed = await send('/trailers');
    expect(trailed.body.equals(body)).toBe(true);
    expect(trailed.trailers).toEqual({ 'x-sum': '7' });
    expect((await send('/close')).body.equals(body)).toBe(true);
    expect((await send('/none')).status).toBe(204);
  });
});

/** Both roles joined: the thinnest proxy, with back-pressure both ways. */
async function proxyTo(upstreamPort: number): Promise<number> {
  return listen(
    net.createServer({ allowHalfOpen: true }, (socket) => {
      const connection = new Http1ServerConnection(
        new SocketTransport(socket),
        {
          onRequest(downstream, head, endStream): BodySink {
            const upstreamSocket = net.connect({
              port: upstreamPort,
              host: '127.0.0.1',
              allowHalfOpen: true,
            });
            open.push({ close: () => upstreamSocket.destroy() });
            const client = new Http1ClientConnection(
              new SocketTransport(upstreamSocket),
              { onStreamEnd() {} },
              http1ClientOptions(),
            );
            attach(upstreamSocket, client);
            const upstream = client.request(head, endStream, {
              onInformational: (response) => downstream.writeInformational(response),
              onResponse: (response, end) => downstream.writeHead(response, end),
              onData: (chunk, end) => {
                if (!downstream.writeData(chunk, end)) upstream.pause();
              },
              onTrailers: (trailers) => downstream.writeTrailers(trailers),
              onReset: (reason) => downstream.reset(reason),
              onDrain: () => downstream.resume(),
            });
            return {
              onData: (chunk, end) => {
                if (!upstream.writeData(chunk, end)) downstream.pause();
              },
              onTrailers: (trailers) => upstream.writeTrailers(trailers),
              onReset: (reason) => upstream.reset(reason),
              onDrain: () => upstream.resume(),
            };
          },
          onProtocolError() {},
        },
        http1ServerOptions(),
      );
      attach(socket, connection);
    }),
  );
}

describe('both roles as a proxy between node:http and node:http', () => {
  test('[D14] a big body goes both ways, chunked and sized', async () => {
    const app = await listen(http.createServer((request, response) => request.pipe(response)));
    const port = await proxyTo(app);
    const big = Buffer.alloc(8_000_000, 'weft');
    const chunked = await nodeRequest({ port, method: 'POST' }, (request) => {
      request.write(big);
      request.end();
    });
    expect(chunked.body.equals(big)).toBe(true);
    const sized = await nodeRequest(
      { port, method: 'POST', headers: { 'content-length': big.length } },
      (request) => request.end(big),
    );
    expect(sized.body.equals(big)).toBe(true);
  });

  test('[PR-09] WebSocket upgrade and what follows it', async () => {
    const server = http.createServer();
    server.on('upgrade', (request, socket) => {
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${request.headers.upgrade}\r\n\r\nhello `,
      );
      socket.pipe(socket);
    });
    const port = await proxyTo(await listen(server));
    const received = await new Promise<string>((resolve, reject) => {
      const request = http.request({
        port,
        headers: { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-key': 'x' },
      });
      request.on('error', reject);
      request.on('upgrade', (response, socket, head) => {
        let text = head.toString();
        expect(response.headers.upgrade).toBe('websocket');
        socket.on('data', (bytes: Buffer) => {
          text += bytes.toString();
        });
        socket.on('end', () => resolve(text));
        socket.end('frames');
      });
      request.end();
    });
    expect(received).toBe('hello frames');
  });

  test('100 Continue passes, and the body follows it', async () => {
    const app = await listen(
      http
        .createServer((request, response) => request.pipe(response))
        .on('checkContinue', (request: http.IncomingMessage, response: http.ServerResponse) => {
          response.writeContinue();
          request.pipe(response);
        }),
    );
    const port = await proxyTo(app);
    let continued = false;
    const answer = await nodeRequest(
      { port, method: 'PUT', headers: { expect: '100-continue', 'content-length': 4 } },
      (request) => {
        request.on('continue', () => {
          continued = true;
          request.end('body');
        });
        request.flushHeaders();
      },
    );
    expect([continued, answer.body.toString()]).toEqual([true, 'body']);
  });

  test('[I4] an upstream that dies in its body is seen as an error by the client', async () => {
    const app = await listen(
      http.createServer((_request, response) => {
        response.write('part', () => response.socket?.destroy());
      }),
    );
    const port = await proxyTo(app);
    await expect(nodeRequest({ port }, (request) => request.end())).rejects.toThrow(
      /aborted|hang up|ECONNRESET/,
    );
  });
});
