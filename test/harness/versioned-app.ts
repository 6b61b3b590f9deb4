import { createHash, randomBytes } from 'node:crypto';
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import http2, { type Http2ServerRequest, type Http2ServerResponse } from 'node:http2';
import type { AddressInfo, Server, Socket } from 'node:net';
import type { TlsFiles } from './tls-files.ts';

/** How the app is spoken to: HTTP/1.1 or HTTP/2 in clear text, or over TLS what ALPN agrees on. */
export type AppTransport = 'http1' | 'h2c' | 'tls';

export interface VersionedApp {
  readonly port: number;
  /** Requests by the version that they came in, `1.1` or `2.0`. */
  readonly versions: () => Readonly<Record<string, number>>;
  /** Connections accepted so far. */
  readonly connections: () => number;
  close(): Promise<void>;
}

/** What `/bytes/N` is cut from, N ≤ 16 MiB: no two pieces of it are equal. */
const NOISE = randomBytes(16 * 1024 * 1024);
export const MIB = 1024 * 1024;

/** Node counts what was to be written to streams that were reset since, and by default resets all further ones at 10. */
const SESSION_MIB_MAX = 10_000;

export const noiseSha256 = (bytes: number): string =>
  createHash('sha256').update(NOISE.subarray(0, bytes)).digest('hex');

/**
 * An app of Node's own HTTP on a free loopback port. Each response has `x-spoken`, the version that the request came
 * in. A body is sent back with its trailers after it; `/bytes/N` gives N bytes of noise, `/status/N` an empty answer
 * with that status, everything else `hello`.
 */
export async function versionedApp(
  transport: AppTransport,
  files?: TlsFiles,
): Promise<VersionedApp> {
  const versions: Record<string, number> = {};
  let connections = 0;
  const sockets = new Set<Socket>();
  const serve = (
    request: IncomingMessage | Http2ServerRequest,
    response: ServerResponse | Http2ServerResponse,
  ) => {
    versions[request.httpVersion] = (versions[request.httpVersion] ?? 0) + 1;
    answer(request, response as ServerResponse);
  };
  const server: Server = makeServer(transport, files, serve);
  server.on('connection', (socket: Socket) => {
    connections += 1;
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    versions: () => versions,
    connections: () => connections,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

function makeServer(
  transport: AppTransport,
  files: TlsFiles | undefined,
  serve: (request: IncomingMessage | Http2ServerRequest, response: never) => void,
): Server {
  switch (transport) {
    case 'http1':
      return http.createServer(serve as http.RequestListener);
    case 'h2c':
      return http2.createServer({ maxSessionMemory: SESSION_MIB_MAX }, serve as never);
    case 'tls': {
      if (files === undefined) throw new Error('TLS needs its files');
      const { certificatePem: cert, privateKeyPem: key } = files;
      const options = { cert, key, allowHTTP1: true, maxSessionMemory: SESSION_MIB_MAX };
      return http2.createSecureServer(options, serve as never);
    }
  }
}

/** The two kinds of responses have all that is used here in common; TypeScript wants one of them. */
function answer(request: IncomingMessage | Http2ServerRequest, response: ServerResponse): void {
  const path = request.url ?? '';
  response.setHeader('x-spoken', request.httpVersion);
  // A request that is cut is nobody's error here.
  request.on('error', () => {});
  response.on('error', () => {});
  const sized = /^\/bytes\/(\d{1,8})$/.exec(path);
  const status = /^\/status\/([2-5]\d\d)$/.exec(path);
  if (request.method === 'POST' || request.method === 'PUT') {
    response.setHeader('trailer', 'x-was-trailer');
    request.on('data', (chunk: Buffer) => {
      if (response.write(chunk)) return;
      request.pause();
      response.once('drain', () => request.resume());
    });
    request.on('end', () => {
      const trailer = request.trailers['x-trailer'];
      if (trailer !== undefined) response.addTrailers({ 'x-was-trailer': String(trailer) });
      response.end();
    });
    return;
  }
  // Not before the request has ended: what comes early makes a proxy reset the stream, whatever the test is about.
  request.resume();
  request.on('end', () => {
    if (status !== null) {
      response.writeHead(Number(status[1])).end();
      return;
    }
    const body = sized === null ? 'hello\n' : NOISE.subarray(0, Number(sized[1]));
    response.setHeader('content-length', body.length);
    if (request.method === 'HEAD') response.end();
    else response.end(body);
  });
}
