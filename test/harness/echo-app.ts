import { createHash } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What the echo app saw of a request; its answer's JSON body. */
export interface Echoed {
  readonly app: string;
  readonly method: string;
  readonly url: string;
  /** As received: name, value, name, value. */
  readonly rawHeaders: readonly string[];
  readonly headers: Readonly<Record<string, string>>;
  readonly bodyBytes: number;
  readonly bodySha256: string;
}

export interface EchoApp {
  readonly port: number;
  /** Requests served so far. */
  readonly served: () => number;
  close(): Promise<void>;
}

/**
 * An app on a free loopback port that answers with what it saw. `GET /status/418` answers with that status;
 * `/bytes/N` sends N bytes.
 */
export async function echoApp(name = 'echo'): Promise<EchoApp> {
  let served = 0;
  const server: Server = createServer((request, response) => {
    const hash = createHash('sha256');
    let bodyBytes = 0;
    request.on('data', (chunk: Buffer) => {
      hash.update(chunk);
      bodyBytes += chunk.length;
    });
    request.on('end', () => {
      served += 1;
      const url = request.url ?? '';
      const bytes = /^\/bytes\/(\d+)/.exec(url);
      if (bytes !== null) {
        sendBytes(Number(bytes[1]), response);
        return;
      }
      const status = Number(/^\/status\/(\d{3})/.exec(url)?.[1] ?? 200);
      const echoed: Echoed = {
        app: name,
        method: request.method ?? '',
        url,
        rawHeaders: request.rawHeaders,
        headers: request.headers as Record<string, string>,
        bodyBytes,
        bodySha256: hash.digest('hex'),
      };
      const body = JSON.stringify(echoed);
      response.writeHead(status, { 'content-type': 'application/json', 'x-app': name });
      response.end(status === 204 || status === 304 ? undefined : body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    served: () => served,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

const CHUNK = Buffer.alloc(64 * 1024, 'x');

function sendBytes(total: number, response: import('node:http').ServerResponse): void {
  response.writeHead(200, { 'content-length': total });
  let left = total;
  const pump = () => {
    while (left > 0) {
      const chunk = left >= CHUNK.length ? CHUNK : CHUNK.subarray(0, left);
      left -= chunk.length;
      if (!response.write(chunk)) {
        response.once('drain', pump);
        return;
      }
    }
    response.end();
  };
  pump();
}
