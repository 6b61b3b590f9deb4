import type {
  IncomingHttpHeaders,
  IncomingMessage,
  OutgoingHttpHeaders,
  Server,
  ServerResponse,
} from 'node:http';
import { type AddressInfo, isIP, type Socket } from 'node:net';

/** Not by `import`: that asks node:http for all it has, WebSocket and so undici among it, 5 MiB and 30 ms of a start. */
const { createServer } = process.getBuiltinModule('node:http');

/**
 * A small HTTP server for people, probes and scrapers: a fixed table of paths, everything bounded.
 * Not in the request path of the mesh, so it stands on node:http.
 */

export interface EndpointRequest {
  /** GET (also for HEAD) or POST. */
  readonly method: 'GET' | 'POST';
  readonly query: URLSearchParams;
  readonly accept: string | undefined;
  readonly headers: IncomingHttpHeaders;
  /** IP address of the other side; '' once it is gone. */
  readonly peer: string;
  /** Ends with the connection: nobody waits for the answer any more. */
  readonly signal: AbortSignal;
}

export interface EndpointReply {
  readonly status: number;
  readonly contentType: string;
  /** Pieces are written one a turn of the event loop; an empty piece only gives way. */
  readonly body: string | Iterable<string>;
  readonly headers?: Readonly<Record<string, string>>;
  /** Called once the answer has been handed to the socket. */
  readonly after?: () => void;
}

export interface EndpointRoute {
  /** What `/help` says. */
  readonly help: string;
  /** Routes that change something take POST only. */
  readonly method: 'GET' | 'POST';
  /** A reply that takes time must bound it itself: the connection's own limits rest meanwhile. */
  handle(request: EndpointRequest): EndpointReply | Promise<EndpointReply>;
}

export interface HttpEndpointOptions {
  /** For error messages: `admin`, `metrics`, `readiness`. */
  readonly name: string;
  /** What to change where the port cannot be had. */
  readonly portSetting: string;
  readonly routes: ReadonlyMap<string, EndpointRoute>;
  /**
   * Answer browsers only from our own pages, and only where the Host header is an address or a name
   * of this machine (A7.1: cross-site requests, DNS rebinding).
   */
  readonly guardBrowsers: boolean;
  /** Default 64; one more ends the one that has been silent longest. */
  readonly connectionsMax?: number;
  /** More host names for the guard, lower case without port. */
  readonly allowedHosts?: readonly string[];
}

export interface BoundAddress {
  readonly host: string;
  readonly port: number;
}

/** The port could not be bound. `message` says which, why, and which setting changes it. */
export class EndpointListenError extends Error {
  readonly code = 'WEFT_ENDPOINT_LISTEN';
}

const CONNECTIONS_MAX = 64;
const HEADERS_BYTES_MAX = 16 * 1024;
/** Bodies mean nothing here; a longer one is cut off. */
const BODY_BYTES_MAX = 64 * 1024;
const HEADERS_TIMEOUT_MS = 5_000;
const REQUEST_TIMEOUT_MS = 10_000;
/** Idle connections make room soon; a scraper that comes again after 15 s connects anew. */
const KEEP_ALIVE_TIMEOUT_MS = 5_000;
/** How often head and request timeouts are looked at; Node's own 30 s would stretch them to that. */
const TIMEOUT_CHECK_MS = 1_000;
/** A reader that takes nothing for so long is cut off. */
const SOCKET_IDLE_TIMEOUT_MS = 60_000;

export class HttpEndpoint {
  readonly #options: HttpEndpointOptions;
  readonly #server: Server;
  /** The one that has asked for nothing for longest first. */
  readonly #sockets = new Set<Socket>();

  constructor(options: HttpEndpointOptions) {
    this.#options = options;
    this.#server = createServer(
      {
        maxHeaderSize: HEADERS_BYTES_MAX,
        headersTimeout: HEADERS_TIMEOUT_MS,
        requestTimeout: REQUEST_TIMEOUT_MS,
        keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
        connectionsCheckingInterval: TIMEOUT_CHECK_MS,
      },
      (request, response) => this.#onRequest(request, response),
    );
    this.#server.on('connection', (socket) => this.#onConnection(socket));
    this.#server.setTimeout(SOCKET_IDLE_TIMEOUT_MS);
  }

  /** Port 0 takes any free one; `::` on a machine without IPv6 is 0.0.0.0. Rejects with `EndpointListenError`. */
  listen(address: BoundAddress): Promise<BoundAddress> {
    const { host, port } = address;
    return new Promise((resolve, reject) => {
      const onError = (error: NodeJS.ErrnoException) => {
        if (host === '::' && error.code === 'EAFNOSUPPORT') {
          resolve(this.listen({ host: '0.0.0.0', port }));
          return;
        }
        reject(new EndpointListenError(this.#listenMessage(address, error), { cause: error }));
      };
      this.#server.once('error', onError);
      this.#server.listen({ host, port }, () => {
        this.#server.off('error', onError);
        // Trouble with one accept (EMFILE) is no reason to end the process.
        this.#server.on('error', () => {});
        const bound = this.#server.address() as AddressInfo;
        resolve({ host: bound.address, port: bound.port });
      });
    });
  }

  /** Stops listening and closes what is open. Safe to call where nothing listens. */
  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }

  #listenMessage({ host, port }: BoundAddress, error: NodeJS.ErrnoException): string {
    const { name, portSetting } = this.#options;
    const reasons = new Map([
      ['EADDRINUSE', 'another process listens there'],
      ['EACCES', 'this user may not bind that port'],
      ['EADDRNOTAVAIL', 'this machine has no such address'],
    ]);
    const why = reasons.get(error.code ?? '') ?? error.message;
    return `the ${name} port cannot be opened on ${hostPort(host, port)}: ${why}; set ${portSetting} to another address`;
  }

  /** One too many takes the place of the one that has been silent longest: idle strangers keep no kubelet out (A1.5). */
  #onConnection(socket: Socket): void {
    const [oldest] = this.#sockets;
    const connectionsMax = this.#options.connectionsMax ?? CONNECTIONS_MAX;
    if (oldest !== undefined && this.#sockets.size >= connectionsMax) {
      this.#sockets.delete(oldest);
      oldest.destroy();
    }
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
  }

  #onRequest(request: IncomingMessage, response: ServerResponse): void {
    if (this.#sockets.delete(request.socket)) this.#sockets.add(request.socket);
    drainBody(request);
    let reply: EndpointReply | Promise<EndpointReply>;
    try {
      reply = this.#reply(request, response);
    } catch (error) {
      reply = failedPage(error);
    }
    if (!(reply instanceof Promise)) {
      void send(request, response, reply);
      return;
    }
    request.socket.setTimeout(0);
    void reply.catch(failedPage).then((settled) => {
      request.socket.setTimeout(SOCKET_IDLE_TIMEOUT_MS);
      return response.destroyed ? undefined : send(request, response, settled);
    });
  }

  #reply(
    request: IncomingMessage,
    response: ServerResponse,
  ): EndpointReply | Promise<EndpointReply> {
    if (this.#options.guardBrowsers) {
      const refusal = this.#browserRefusal(request);
      if (refusal !== '') return plain(403, `${refusal}\n`);
    }
    const { url = '/', method: verb = '' } = request;
    const question = url.indexOf('?');
    const path = question < 0 ? url : url.slice(0, question);
    const route = this.#options.routes.get(path);
    if (route === undefined) return plain(404, `no such page; see ${this.#pages()}\n`);
    const method = verb === 'HEAD' ? 'GET' : verb;
    if (method !== route.method) {
      const hint =
        route.method === 'POST'
          ? `${path} changes something and takes POST: curl -X POST 'http://<host>${path}'`
          : `${path} takes GET`;
      const headers = { allow: route.method === 'GET' ? 'GET, HEAD' : 'POST' };
      return { ...plain(405, `${hint}\n`), headers };
    }
    const query = new URLSearchParams(question < 0 ? '' : url.slice(question + 1));
    const { headers, socket } = request;
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    return route.handle({
      method: route.method,
      query,
      accept: headers.accept,
      headers,
      peer: socket.remoteAddress ?? '',
      signal: gone.signal,
    });
  }

  /** '' where the request may come in. */
  #browserRefusal({ headers }: IncomingMessage): string {
    const host = hostName(headers.host ?? '');
    const known =
      isIP(host) !== 0 || host === 'localhost' || (this.#options.allowedHosts ?? []).includes(host);
    // An address cannot be rebound by DNS; a foreign name can.
    if (!known) return 'the Host header must be an IP address or localhost';
    const { origin } = headers;
    if (origin !== undefined && origin !== `http://${headers.host}`) {
      return 'requests from pages of another origin are refused';
    }
    const site = headers['sec-fetch-site'];
    if (site !== undefined && site !== 'none' && site !== 'same-origin') {
      return 'requests from pages of another site are refused';
    }
    return '';
  }

  #pages(): string {
    const { routes } = this.#options;
    return routes.has('/help') ? '/help' : [...routes.keys()].join(', ');
  }
}

/** A bug in one page must not end the proxy that shows it. */
function failedPage(error: unknown): EndpointReply {
  const message = error instanceof Error ? error.message : String(error);
  return plain(500, `this page failed: ${message}\n`);
}

export function plain(status: number, body: string | Iterable<string>): EndpointReply {
  return { status, contentType: 'text/plain; charset=utf-8', body };
}

export function json(body: string | Iterable<string>): EndpointReply {
  return { status: 200, contentType: 'application/json', body };
}

/** `[::1]:80`, `10.0.0.1:80`. */
export function hostPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Names and values are data: browsers must neither guess a type nor run anything (A7.2). */
const SAFETY_HEADERS = {
  'x-content-type-options': 'nosniff',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'no-cache, max-age=0',
};

async function send(
  request: IncomingMessage,
  response: ServerResponse,
  { status, contentType, body, headers, after }: EndpointReply,
): Promise<void> {
  if (after !== undefined) response.once('close', after);
  const all: OutgoingHttpHeaders = { 'content-type': contentType, ...SAFETY_HEADERS, ...headers };
  if (typeof body === 'string') all['content-length'] = Buffer.byteLength(body);
  response.writeHead(status, all);
  if (request.method === 'HEAD') {
    response.end();
    return;
  }
  if (typeof body === 'string') {
    response.end(body);
    return;
  }
  try {
    for (const piece of body) {
      if (response.destroyed) return;
      if (piece !== '' && !response.write(piece)) await drained(response);
      else await turn();
    }
    response.end();
  } catch {
    // The head has left: only a cut-off body tells that something went wrong.
    response.destroy();
  }
}

function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      response.off('drain', done);
      response.off('close', done);
      resolve();
    };
    response.on('drain', done);
    response.on('close', done);
  });
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function drainBody(request: IncomingMessage): void {
  let bodyBytes = 0;
  request.on('data', (chunk: Buffer) => {
    bodyBytes += chunk.length;
    if (bodyBytes > BODY_BYTES_MAX) request.destroy();
  });
}

/** Host header without its port, lower case, brackets taken off. */
function hostName(host: string): string {
  const match = /^(?:\[([^\]]*)\]|([^:]*))(?::\d+)?$/.exec(host);
  return (match?.[1] ?? match?.[2] ?? '').toLowerCase();
}
