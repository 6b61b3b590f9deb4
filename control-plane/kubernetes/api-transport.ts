import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Clock } from '../clock.ts';
import type { ClusterConfig } from './cluster-config.ts';
import { Credentials, type RequestCredentials } from './credentials.ts';
import { failed, type KubernetesResult, printable, statusFailure } from './failure.ts';
import { CONTROL_PLANE } from './own-objects.ts';

export interface ApiTransportOptions {
  readonly config: ClusterConfig;
  /** Monotonic milliseconds, and timers. */
  readonly clock: Clock;
  /** `user-agent`, by which the API server's log and flow control know us. */
  readonly userAgent?: string;
}

export interface RequestOptions {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Below the server's address: `/api/v1/pods`. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | undefined>>;
  readonly body?: unknown;
  readonly contentType?: string;
  /** Milliseconds for the whole exchange, repetitions after 429 included. Default 30 s. */
  readonly timeoutMs?: number;
  /** Bytes of the answer. Default 16 MiB. */
  readonly responseBytesMax?: number;
}

const TIMEOUT_MS = 30_000;
const RESPONSE_BYTES_MAX = 16 * 1024 * 1024;
/** Requests that the server turned away unread (429) are made again so often. */
const BUSY_RETRIES_MAX = 3;

/**
 * JSON over HTTP to one API server, by whatever credentials its configuration names, which may be replaced meanwhile. Every
 * outcome is a value. Connections are shared and kept alive.
 */
export class ApiTransport {
  readonly config: ClusterConfig;
  readonly #clock: Clock;
  readonly #credentials: Credentials;
  readonly #userAgent: string;

  constructor({ config, clock, userAgent = CONTROL_PLANE }: ApiTransportOptions) {
    this.config = config;
    this.#clock = clock;
    this.#credentials = new Credentials(config, () => clock.nowMs());
    this.#userAgent = userAgent;
  }

  /** `https://10.96.0.1`, for messages. */
  get address(): string {
    return this.config.server.origin;
  }

  /** One exchange; again after 401 with credentials that were replaced, and after 429 when the server says. */
  async request(options: RequestOptions): Promise<KubernetesResult<unknown>> {
    const deadlineMs = this.#clock.nowMs() + (options.timeoutMs ?? TIMEOUT_MS);
    let isRenewed = false;
    for (let busy = 0; ; ) {
      const result = await this.#once(options, deadlineMs);
      if (result.ok) return result;
      const { failure } = result;
      if (failure.code === 401 && !isRenewed) {
        // The token may just have been replaced.
        isRenewed = true;
        if (this.refresh()) continue;
      }
      const waitMs = failure.code === 429 ? failure.retryAfterMs : 0;
      const isInTime = this.#clock.nowMs() + waitMs < deadlineMs;
      if (waitMs === 0 || busy === BUSY_RETRIES_MAX || !isInTime) return result;
      busy++;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#clock.schedule(waitMs, resolve);
      await promise;
    }
  }

  /** A GET whose answer goes on: the caller takes it as it comes and destroys it. A problem where it cannot be sent. */
  open(
    path: string,
    query: Readonly<Record<string, string | undefined>>,
  ): ClientRequest | { readonly problem: string } {
    const credentials = this.#current();
    if ('problem' in credentials) return credentials;
    try {
      return this.#send('GET', withQuery(path, query), {}, credentials);
    } catch (error) {
      return { problem: (error as Error).message };
    }
  }

  /** Reads the credentials again; whether they are others now. */
  refresh(): boolean {
    try {
      return this.#credentials.refresh();
    } catch {
      return false;
    }
  }

  /** Ends connections that are not in use. */
  close(): void {
    this.#credentials.close();
  }

  #current(): RequestCredentials | { readonly problem: string } {
    try {
      return this.#credentials.current();
    } catch (error) {
      return { problem: `${this.config.origin}: ${(error as Error).message}` };
    }
  }

  async #once(options: RequestOptions, deadlineMs: number): Promise<KubernetesResult<unknown>> {
    const what = `${options.method} ${this.address}${options.path}`;
    const credentials = this.#current();
    if ('problem' in credentials) return failed('configuration', `${what}: ${credentials.problem}`);
    const { promise, resolve } = Promise.withResolvers<KubernetesResult<unknown>>();
    const body = options.body === undefined ? undefined : Buffer.from(JSON.stringify(options.body));
    const headers: Record<string, string | number> = {};
    if (body !== undefined) {
      headers['content-type'] = options.contentType ?? 'application/json';
      headers['content-length'] = body.length;
    }
    const target = withQuery(options.path, options.query ?? {});
    let sent: ClientRequest;
    try {
      sent = this.#send(options.method, target, headers, credentials);
    } catch (error) {
      return failed('configuration', `${what}: ${(error as Error).message}`);
    }
    const cancel = this.#clock.schedule(Math.max(1, deadlineMs - this.#clock.nowMs()), () => {
      resolve(failed('timeout', `${what}: no answer in time`));
      sent.destroy();
    });
    sent.on('error', (error) => resolve(failed('unreachable', `${what}: ${describe(error)}`)));
    sent.on('response', (response) => {
      collect(what, response, options.responseBytesMax ?? RESPONSE_BYTES_MAX).then(resolve);
    });
    sent.end(body);
    const result = await promise;
    cancel();
    if (!result.ok && result.failure.kind !== 'status') sent.destroy();
    return result;
  }

  #send(
    method: string,
    target: string,
    headers: Readonly<Record<string, string | number>>,
    { agent, token }: RequestCredentials,
  ): ClientRequest {
    const { server } = this.config;
    const send = server.protocol === 'http:' ? httpRequest : httpsRequest;
    const base = server.pathname === '/' ? '' : server.pathname.replace(/\/$/, '');
    return send({
      agent,
      method,
      host: server.hostname.replace(/^\[|\]$/g, ''),
      port: server.port === '' ? (server.protocol === 'http:' ? 80 : 443) : Number(server.port),
      path: base + target,
      headers: {
        accept: 'application/json',
        'user-agent': this.#userAgent,
        ...(token !== '' && { authorization: `Bearer ${token}` }),
        ...headers,
      },
    });
  }
}

function collect(
  what: string,
  response: IncomingMessage,
  bytesMax: number,
): Promise<KubernetesResult<unknown>> {
  const { promise, resolve } = Promise.withResolvers<KubernetesResult<unknown>>();
  const chunks: Buffer[] = [];
  let bytes = 0;
  response.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes <= bytesMax) chunks.push(chunk);
    else resolve(failed('tooLarge', `${what}: the answer is larger than ${bytesMax} bytes`));
  });
  response.on('error', (error) => resolve(failed('unreachable', `${what}: ${describe(error)}`)));
  response.on('close', () => resolve(failed('unreachable', `${what}: the answer was cut off`)));
  response.on('end', () => {
    if (!response.complete) return;
    const code = response.statusCode ?? 0;
    let body: unknown;
    try {
      body = JSON.parse(Buffer.concat(chunks).toString('utf8'));
    } catch (error) {
      if (code >= 200 && code < 300) {
        const reason = printable((error as Error).message);
        resolve(failed('malformed', `${what}: the answer is no JSON: ${reason}`));
        return;
      }
    }
    if (code >= 200 && code < 300) resolve({ ok: true, value: body });
    else {
      const failure = statusFailure(what, code, body, response.headers['retry-after']);
      resolve({ ok: false, failure });
    }
  });
  return promise;
}

function withQuery(path: string, query: Readonly<Record<string, string | undefined>>): string {
  const set = Object.entries(query).filter(
    (pair): pair is [string, string] => pair[1] !== undefined && pair[1] !== '',
  );
  return set.length === 0 ? path : `${path}?${new URLSearchParams(set)}`;
}

function describe(error: Error): string {
  const { code } = error as NodeJS.ErrnoException;
  const message = error.message !== '' ? error.message : (code ?? 'the connection failed');
  return printable(message);
}
