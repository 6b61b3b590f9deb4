import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Logger } from 'pino';
import type { Kind } from '../kinds/kind.ts';
import { printable } from '../kinds/problem.ts';
import type { ConfigStore } from '../store/config-store.ts';
import {
  type ApiReply,
  type ApiRequest,
  ApiRoutes,
  plainText,
  type StreamReply,
} from './api-routes.ts';
import { discovery } from './discovery.ts';
import { openApi } from './openapi.ts';
import { readBody } from './request-body.ts';
import { RequestGuard } from './request-guard.ts';
import { ResourceHandler } from './resource-handler.ts';
import { parseResourcePath } from './resource-path.ts';
import { failure } from './status.ts';

export interface ApiServerOptions {
  readonly store: ConfigStore;
  readonly kinds: readonly Kind[];
  /** `host`: an IP address or `localhost`; port 0 = any. */
  readonly listen: { readonly host: string; readonly port: number };
  /** Bearer token; needed where `host` is not loopback. */
  readonly token?: string | undefined;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly logger: Pick<Logger, 'info' | 'warn' | 'error'>;
  /** Routes of other parts of the control plane, under `/weft/v1/`. */
  readonly routes?: ApiRoutes;
  /** Of this program, for `/version`. */
  readonly version?: string;
  /** `/readyz`: undefined = ready, else what is missing. */
  readonly notReady?: () => string | undefined;
  readonly bookmarkIntervalMs?: number;
}

export interface ApiServer {
  readonly address: { readonly host: string; readonly port: number };
  /** Ends watches, finishes what is in flight, stops. */
  close(): Promise<void>;
}

/** Watches and other streams at once. */
const STREAMS_MAX = 512;
/** Bytes that a stream may owe to a reader that does not read; then it is disconnected. */
const STREAM_BACKLOG_BYTES_MAX = 8 * 1024 * 1024;
const CONNECTIONS_MAX = 2048;
/** UTF-16 units of a request's target. */
const TARGET_CHARS_MAX = 8192;

/**
 * The configuration API: Kubernetes' REST shape for the policy kinds, discovery, health, and the routes that others
 * add. Rejects where it cannot listen (EADDRINUSE and the like).
 */
export async function createApiServer(options: ApiServerOptions): Promise<ApiServer> {
  const api = new Api(options);
  const server = createServer(
    {
      headersTimeout: 10_000,
      requestTimeout: 60_000,
      keepAliveTimeout: 60_000,
      connectionsCheckingInterval: 5000,
      maxHeaderSize: 16 * 1024,
    },
    (request, response) => void api.serve(request, response),
  );
  server.maxConnections = CONNECTIONS_MAX;
  const { host, port } = options.listen;
  server.listen({ host, port });
  await once(server, 'listening'); // rejects with the server's error
  const bound = server.address() as AddressInfo;
  return {
    address: { host: bound.address, port: bound.port },
    close: () => closeServer(server, api),
  };
}

async function closeServer(server: Server, api: Api): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  api.close();
  server.closeIdleConnections();
  await closed;
}

class Api {
  readonly #options: ApiServerOptions;
  readonly #guard: RequestGuard;
  readonly #resources: ResourceHandler;
  readonly #routes: ApiRoutes;
  readonly #streams = new Set<() => void>();
  #closing = false;

  constructor(options: ApiServerOptions) {
    this.#options = options;
    this.#guard = new RequestGuard({ host: options.listen.host, token: options.token });
    this.#resources = new ResourceHandler({
      store: options.store,
      now: options.now,
      bookmarkIntervalMs: options.bookmarkIntervalMs,
    });
    this.#routes = options.routes ?? new ApiRoutes();
  }

  close(): void {
    this.#closing = true;
    for (const end of [...this.#streams]) end();
  }

  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const startMs = this.#options.now();
    let reply: ApiReply | undefined;
    try {
      reply = await this.#answer(request);
    } catch (error) {
      this.#options.logger.error({ err: error, method: request.method }, 'API request failed');
      reply = failure('InternalError', 'the control plane failed; its log says how');
    }
    if (reply === undefined || response.destroyed) return;
    if (this.#closing) response.setHeader('connection', 'close');
    this.#send(request, response, reply);
    this.#log(request, reply, startMs);
  }

  /** Undefined where the caller left. */
  async #answer(request: IncomingMessage): Promise<ApiReply | undefined> {
    const target = parseTarget(request.url ?? '');
    if (target === undefined) return failure('BadRequest', 'the request target is not a path');
    const denied = this.#guard.check(target.path, request.headers);
    if (denied !== undefined) return denied;
    const method = request.method ?? '';
    const { path, query, segments } = target;
    if (method === 'GET' || method === 'HEAD') {
      const fixed = this.#health(path) ?? this.#discovery(segments);
      if (fixed !== undefined) return fixed;
    }
    const resource = parseResourcePath(this.#options.kinds, segments);
    const route = resource === undefined ? this.#routes.match(method, segments) : undefined;
    if (route?.kind === 'notFound') {
      return failure('NotFound', `nothing is served at ${printable(path, 200)}`);
    }
    if (route?.kind === 'methodNotAllowed') {
      const allow = route.allowed.join(', ');
      const message = `${method} is not allowed here; allowed: ${allow}`;
      return { ...failure('MethodNotAllowed', message), headers: { allow } };
    }
    const body = await readBody(request);
    if (body.kind === 'aborted') return undefined;
    if (body.kind === 'refused') return body.reply;
    const params = route?.kind === 'found' ? route.params : new Map<string, string>();
    const { headers } = request;
    const read: ApiRequest = { method, path, params, query, headers, body: body.text };
    if (route?.kind === 'found') return route.handler(read);
    return this.#resources.handle(resource!, read);
  }

  #health(path: string): ApiReply | undefined {
    if (path === '/healthz' || path === '/livez') return plainText(200, 'ok');
    if (path !== '/readyz') return undefined;
    const missing = this.#closing ? 'stopping' : this.#options.notReady?.();
    return missing === undefined ? plainText(200, 'ok') : plainText(503, missing);
  }

  #discovery(segments: readonly string[]): ApiReply | undefined {
    const { kinds, version = '0.0.0' } = this.#options;
    return discovery(kinds, version, segments) ?? openApi(kinds, version, segments);
  }

  #send(request: IncomingMessage, response: ServerResponse, reply: ApiReply): void {
    response.setHeader('cache-control', 'no-store');
    response.setHeader('x-content-type-options', 'nosniff');
    response.setHeader('content-security-policy', "default-src 'none'");
    if (reply.kind === 'stream') {
      this.#stream(response, reply);
      return;
    }
    const body = reply.kind === 'json' ? JSON.stringify(reply.body) : reply.body;
    const type = reply.kind === 'json' ? 'application/json' : reply.contentType;
    if (reply.kind === 'json') {
      for (const [name, value] of Object.entries(reply.headers ?? {}))
        response.setHeader(name, value);
    }
    // A body that was refused half-read cannot be followed by another request.
    if (!request.complete) response.setHeader('connection', 'close');
    response.writeHead(reply.status, {
      'content-type': type,
      'content-length': Buffer.byteLength(body),
    });
    response.end(body);
  }

  #stream(response: ServerResponse, reply: StreamReply): void {
    if (this.#streams.size >= STREAMS_MAX || this.#closing) {
      const busy = failure('TooManyRequests', 'too many watches are open; try again later', {
        retryAfterSeconds: 1,
      });
      response.writeHead(busy.status, { 'content-type': 'application/json', 'retry-after': '1' });
      response.end(JSON.stringify(busy.body));
      return;
    }
    response.writeHead(200, { 'content-type': reply.contentType });
    response.flushHeaders();
    let stop: (() => void) | undefined;
    let ended = false;
    const end = () => {
      if (ended) return;
      ended = true;
      this.#streams.delete(end);
      stop?.();
      response.end();
    };
    this.#streams.add(end);
    response.on('close', end);
    response.on('error', end);
    stop = reply.start({
      write: (text) => {
        if (ended) return;
        response.write(text);
        if (response.writableLength <= STREAM_BACKLOG_BYTES_MAX) return;
        this.#options.logger.warn(
          { backlogBytes: response.writableLength },
          'slow watcher dropped',
        );
        response.destroy();
      },
      end,
    });
    if (ended) stop();
  }

  /** Changes are news, reads are not. */
  #log({ method, url }: IncomingMessage, reply: ApiReply, startMs: number): void {
    const status = reply.kind === 'stream' ? 200 : reply.status;
    if (method === 'GET' && status < 500) return;
    const fields = {
      method,
      path: printable(url ?? '', 300),
      status,
      ms: this.#options.now() - startMs,
    };
    if (status >= 500) this.#options.logger.error(fields, 'API request failed');
    else this.#options.logger.info(fields, 'API request');
  }
}

interface Target {
  readonly path: string;
  readonly segments: readonly string[];
  readonly query: URLSearchParams;
}

/** Origin form only; percent-escapes are decoded per segment, so that `%2F` never makes two of one. */
function parseTarget(target: string): Target | undefined {
  if (!target.startsWith('/') || target.length > TARGET_CHARS_MAX) return undefined;
  const mark = target.indexOf('?');
  const path = mark < 0 ? target : target.slice(0, mark);
  const query = new URLSearchParams(mark < 0 ? '' : target.slice(mark + 1));
  try {
    const trimmed = path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path;
    const segments = trimmed.slice(1).split('/').map(decodeURIComponent);
    return { path: trimmed, segments, query };
  } catch {
    return undefined;
  }
}
