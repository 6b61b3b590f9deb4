import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { KeyPair } from '../ca/server-certificate.ts';
import { printable } from '../kinds/problem.ts';
import type { ListenAddress } from '../listen-address.ts';
import {
  type AdmissionAnswer,
  type AdmissionRequest,
  admissionResponse,
  describeKind,
  readAdmissionReview,
} from './admission-review.ts';
import { BodyBudget, type BodyShare } from './body-budget.ts';
import { type InjectionPath, parseInjectionPath } from './injection-webhook.ts';
import { LargeReviewTurn } from './large-review-turn.ts';

export interface AdmissionServerOptions {
  readonly listen: ListenAddress;
  /** Calls back with the key pair to show, before it returns, and with each one that follows it. */
  readonly followKeyPair: (listener: (keyPair: KeyPair) => void) => () => void;
  readonly inject: (request: AdmissionRequest, path: InjectionPath) => Promise<AdmissionAnswer>;
  readonly validate: (request: AdmissionRequest) => AdmissionAnswer;
  /** Undefined = ready, else what is missing: until then `/readyz` and reviews get 503. */
  readonly notReady: () => string | undefined;
  readonly counts: {
    /** `kind`: as the request names it, foreign text. */
    validation(outcome: 'passed' | 'failed', kind: AdmissionRequest['kind']): void;
    webhookHttpError(status: number): void;
  };
  readonly log: {
    info(fields: object, message: string): void;
    error(fields: object, message: string): void;
  };
  /** Milliseconds, monotonic. */
  readonly nowMs: () => number;
}

export interface AdmissionServer {
  readonly address: ListenAddress;
  /** Takes no new connection, answers what it has read, ends. */
  close(): Promise<void>;
}

/** Bytes of one review: Kubernetes' own limit for a request (A6.8). */
export const REVIEW_BYTES_MAX = 3 * 1024 * 1024;
/** UTF-16 units from which on a review may take more than some 20 ms to read. */
const LARGE_CHARS = 256 * 1024;
/** Connections at once. The API server keeps a few; the rest are strangers. */
const CONNECTIONS_MAX = 1024;
/** The API server waits 10 s by default; what takes longer to come has no reader for its answer. */
const REQUEST_MS_MAX = 10_000;
const HEADERS_MS_MAX = 5000;
const HANDSHAKE_MS_MAX = 5000;

/**
 * The admission webhooks (15017, HTTPS): `POST /inject…`, `POST /validate`, `GET /readyz`. Whoever can reach the port
 * may ask: an answer tells no more than the settings, and nothing is changed by asking (A6.8). Slow and large callers are
 * bounded in time, connections and bytes. Rejects where it cannot listen.
 */
export async function createAdmissionServer(
  options: AdmissionServerOptions,
): Promise<AdmissionServer> {
  const handler = new AdmissionHandler(options);
  const server: Server = createServer(
    {
      minVersion: 'TLSv1.2',
      handshakeTimeout: HANDSHAKE_MS_MAX,
      headersTimeout: HEADERS_MS_MAX,
      requestTimeout: REQUEST_MS_MAX,
      // Longer than the API server's idle timeout of 90 s: it closes first, and never meets a closing connection.
      keepAliveTimeout: 100_000,
      connectionsCheckingInterval: 1000,
      maxHeaderSize: 16 * 1024,
    },
    (request, response) => void handler.serve(request, response),
  );
  server.on('tlsClientError', (_error, socket) => socket.destroy());
  /**
   * Those that have not said hello yet too, of which HTTP knows nothing; by address and port of the other side, the one
   * that has asked for nothing for longest first. One too many takes its place: strangers who hold connections and say
   * nothing keep the API server out only by opening all of them anew within one request (A6.8).
   */
  const sockets = new Map<string, Socket>();
  server.on('connection', (socket: Socket) => {
    const [oldest] = sockets;
    if (oldest !== undefined && sockets.size >= CONNECTIONS_MAX) {
      sockets.delete(oldest[0]);
      oldest[1].destroy();
    }
    const key = peerOf(socket);
    sockets.set(key, socket);
    socket.on('close', () => {
      if (sockets.get(key) === socket) sockets.delete(key);
    });
  });
  server.on('request', ({ socket }) => {
    const key = peerOf(socket);
    const asking = sockets.get(key);
    if (asking === undefined) return;
    sockets.delete(key);
    sockets.set(key, asking);
  });
  // New handshakes take the new pair; connections go on with theirs.
  const unfollow = options.followKeyPair(({ certificatePem, privateKeyPem }) =>
    server.setSecureContext({ cert: certificatePem, key: privateKeyPem, minVersion: 'TLSv1.2' }),
  );
  const { host, port } = options.listen;
  server.listen({ host, port });
  try {
    await once(server, 'listening');
  } catch (error) {
    unfollow();
    throw error;
  }
  const bound = server.address() as AddressInfo;
  const close = async (): Promise<void> => {
    unfollow();
    handler.isClosing = true;
    const closed = once(server, 'close');
    server.close();
    server.closeIdleConnections();
    const timer = setTimeout(() => {
      for (const socket of sockets.values()) socket.destroy();
    }, CLOSE_MS_MAX);
    await closed;
    clearTimeout(timer);
  };
  let closing: Promise<void> | undefined;
  return {
    address: { host: bound.address, port: bound.port },
    close: () => {
      closing ??= close();
      return closing;
    },
  };
}

function peerOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}

/** Milliseconds that a stop waits for a caller that is in the middle of its request. */
const CLOSE_MS_MAX = 2000;

type Decide = (request: AdmissionRequest) => Promise<AdmissionAnswer>;

interface Reply {
  readonly status: number;
  readonly type: 'application/json' | 'text/plain; charset=utf-8';
  readonly body: string;
  readonly allow?: string;
}

class AdmissionHandler {
  isClosing = false;
  readonly #options: AdmissionServerOptions;
  readonly #budget = new BodyBudget();
  readonly #large: LargeReviewTurn;

  constructor(options: AdmissionServerOptions) {
    this.#options = options;
    this.#large = new LargeReviewTurn(options.nowMs);
  }

  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on('error', () => undefined); // the caller left; there is nobody to tell
    let reply: Reply | undefined;
    try {
      reply = await this.#answer(request);
    } catch (error) {
      this.#options.log.error({ err: error, path: where(request) }, 'an admission review failed');
      reply = text(500, 'the control plane failed on this review; its log says how');
    }
    if (reply === undefined || response.destroyed) return;
    if (reply.status >= 400) this.#options.counts.webhookHttpError(reply.status);
    // A body that was refused half-read cannot be followed by another request.
    if (!request.complete || this.isClosing) response.setHeader('connection', 'close');
    if (reply.allow !== undefined) response.setHeader('allow', reply.allow);
    if (reply.status === 503) response.setHeader('retry-after', '1');
    response.writeHead(reply.status, {
      'content-type': reply.type,
      'content-length': Buffer.byteLength(reply.body),
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
    });
    response.end(reply.body);
  }

  /** Undefined where the caller left. */
  async #answer(request: IncomingMessage): Promise<Reply | undefined> {
    const review = this.#route(request.url ?? '');
    if (review === undefined) return text(404, 'here are /inject, /validate and /readyz');
    if (review === 'ready') {
      if (request.method !== 'GET' && request.method !== 'HEAD') return notAllowed('GET, HEAD');
      const missing = this.#missing();
      return missing === undefined ? text(200, 'ok') : text(503, missing);
    }
    if (request.method !== 'POST') return notAllowed('POST');
    const type = (request.headers['content-type'] ?? '').split(';')[0]!.trim().toLowerCase();
    if (type !== 'application/json') return text(415, 'content-type must be application/json');
    if (Number(request.headers['content-length'] ?? 0) > REVIEW_BYTES_MAX) return tooLarge();
    const missing = this.#missing();
    if (missing !== undefined) return text(503, missing);
    const share = this.#budget.open(request.socket.remoteAddress ?? '');
    try {
      const body = await readBody(request, share);
      if (typeof body !== 'string') return body;
      const answer = async (): Promise<Reply | undefined> => {
        if (request.socket.destroyed) return undefined;
        const read = readAdmissionReview(body);
        return read.kind === 'bad' ? text(400, read.problem) : this.#review(read.request, review);
      };
      return await (body.length < LARGE_CHARS ? answer() : this.#large.run(answer));
    } finally {
      share.release();
    }
  }

  #route(target: string): 'ready' | Decide | undefined {
    const segments = segmentsOf(target);
    if (segments === undefined) return undefined;
    if (segments.length === 1 && segments[0] === 'readyz') return 'ready';
    if (segments.length === 1 && segments[0] === 'validate') {
      return async (request) => {
        const answer = this.#options.validate(request);
        const outcome = answer.kind === 'refused' ? 'failed' : 'passed';
        this.#options.counts.validation(outcome, request.kind);
        return answer;
      };
    }
    const path = parseInjectionPath(segments);
    return path === undefined ? undefined : (request) => this.#options.inject(request, path);
  }

  #missing(): string | undefined {
    return this.isClosing ? 'stopping' : this.#options.notReady();
  }

  async #review(request: AdmissionRequest, decide: Decide): Promise<Reply> {
    const startMs = this.#options.nowMs();
    const answer = await decide(request);
    const body = JSON.stringify(admissionResponse(request.uid, answer));
    const fields = {
      uid: printable(request.uid),
      operation: request.operation,
      object: describeKind(request.kind),
      namespace: printable(request.namespace),
      name: printable(request.name),
      dryRun: request.dryRun,
      ms: Math.round(this.#options.nowMs() - startMs),
    };
    if (answer.kind === 'refused') {
      const { message } = answer.status as { message?: string };
      this.#options.log.info(
        { ...fields, problem: printable(message ?? '', 500) },
        'review refused',
      );
    } else {
      this.#options.log.info({ ...fields, ...answer.audit }, 'review allowed');
    }
    return { status: 200, type: 'application/json', body };
  }
}

/** The body as text, the reply that refuses it, or undefined where the caller left. */
async function readBody(
  request: IncomingMessage,
  share: BodyShare,
): Promise<string | Reply | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > REVIEW_BYTES_MAX) return tooLarge();
      if (!share.take(chunk.length)) return text(503, 'too many reviews are being read at once');
      chunks.push(chunk);
    }
    const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
    return decoder.decode(Buffer.concat(chunks));
  } catch (error) {
    return error instanceof TypeError ? text(400, 'the body is not UTF-8') : undefined;
  }
}

/** UTF-16 units of a request's target. */
const TARGET_CHARS_MAX = 1024;

/** The path cut at `/` and decoded; the query (`?timeout=10s` comes from the API server) says nothing to us. */
function segmentsOf(target: string): string[] | undefined {
  if (!target.startsWith('/') || target.length > TARGET_CHARS_MAX) return undefined;
  try {
    return target.split('?', 1)[0]!.slice(1).replace(/\/$/, '').split('/').map(decodeURIComponent);
  } catch {
    return undefined;
  }
}

function where(request: IncomingMessage): string {
  return printable(request.url ?? '', 200);
}

function text(status: number, body: string): Reply {
  return { status, type: 'text/plain; charset=utf-8', body: `${body}\n` };
}

function notAllowed(allow: string): Reply {
  return { ...text(405, `allowed here: ${allow}`), allow };
}

function tooLarge(): Reply {
  return text(413, `the review is larger than ${REVIEW_BYTES_MAX} bytes`);
}
