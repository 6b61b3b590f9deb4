import { createHash } from 'node:crypto';
import { type Agent, createServer, type IncomingMessage, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What a client sends; by `id` the app decides how badly to behave. */
export interface ChaosRequest {
  readonly id: string;
  readonly post: boolean;
  readonly bodyBytes: number;
}

/**
 * How a request ended. `CROSSED`, `TRUNCATED AS COMPLETE`, `REQUEST BODY CHANGED` and whatever else is none of `whole`,
 * `cut` and `503` breaks an invariant.
 */
export type Answer = string;

const sha256 = (bytes: Buffer | string) => createHash('sha256').update(bytes).digest('hex');

/**
 * An app that resets, closes early, cuts its bodies, and closes idle connections after 20 ms, so that requests meet
 * closing connections (D1–D4). Its answers carry the request's id, and hashes of both bodies.
 */
export class ChaoticApp {
  readonly #server: Server;
  /** Times that each id arrived. */
  readonly seen = new Map<string, number>();

  private constructor() {
    this.#server = createServer((incoming, response) => this.#onRequest(incoming, response));
    this.#server.keepAliveTimeout = 20;
  }

  static async start(): Promise<ChaoticApp> {
    const app = new ChaoticApp();
    await new Promise<void>((resolve) => app.#server.listen(0, '127.0.0.1', resolve));
    return app;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }

  #onRequest(incoming: IncomingMessage, response: import('node:http').ServerResponse): void {
    const id = String(incoming.headers['x-id']);
    this.seen.set(id, (this.seen.get(id) ?? 0) + 1);
    incoming.on('error', () => {});
    const mood = Number(id) % 41;
    if (mood === 1) return void incoming.socket.resetAndDestroy();
    if (mood === 2) return void incoming.socket.end();
    const hash = createHash('sha256');
    incoming.on('data', (chunk: Buffer) => hash.update(chunk));
    incoming.on('end', () => {
      const body = Buffer.alloc(mood === 3 ? 200_000 : (Number(id) * 7) % 3000, `${id};`);
      const headers: Record<string, string | number> = {
        'x-id': id,
        'x-sha256': sha256(body),
        'x-request-sha256': hash.digest('hex'),
      };
      if (mood % 2 === 0) headers['content-length'] = body.length;
      if (mood === 4) headers['connection'] = 'close';
      response.writeHead(200, headers);
      if ((mood === 5 || mood === 6) && body.length > 1) {
        const cut = () =>
          mood === 5 ? incoming.socket.destroy() : incoming.socket.resetAndDestroy();
        response.write(body.subarray(0, body.length >> 1), cut);
        return;
      }
      response.end(body);
      if (mood === 7) incoming.socket.end();
    });
  }
}

/** Sends one request and says how it ended, having compared ids and hashes (I3, I4). Never rejects. */
export function send(port: number, agent: Agent, sent: ChaosRequest): Promise<Answer> {
  const body = sent.post ? Buffer.alloc(sent.bodyBytes, `${sent.id},`) : null;
  const headers: Record<string, string | number> = { 'x-id': sent.id };
  if (body !== null && Number(sent.id) % 2 === 0) headers['content-length'] = body.length;
  const method = sent.post ? 'POST' : 'GET';
  return new Promise((resolve) => {
    const outgoing = request({ port, agent, method, headers, path: '/' }, (response) => {
      const hash = createHash('sha256');
      response.on('data', (chunk: Buffer) => hash.update(chunk));
      response.on('error', () => {});
      response.on('close', () => {
        if (!response.complete) return resolve('cut');
        if (response.statusCode !== 200) return resolve(String(response.statusCode));
        if (response.headers['x-id'] !== sent.id) return resolve('CROSSED');
        if (response.headers['x-sha256'] !== hash.digest('hex')) {
          return resolve('TRUNCATED AS COMPLETE');
        }
        const intact = body === null || response.headers['x-request-sha256'] === sha256(body);
        resolve(intact ? 'whole' : 'REQUEST BODY CHANGED');
      });
    });
    outgoing.on('error', (error: NodeJS.ErrnoException) =>
      resolve(`${method} ${error.code ?? ''} ${error.message}`),
    );
    outgoing.end(body ?? undefined);
  });
}
