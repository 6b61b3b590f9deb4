import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Clock } from '../clock.ts';
import type { ClusterConfig } from './cluster-config.ts';
import { Credentials, type RequestCredentials } from './credentials.ts';
import { failed, type KubernetesResult, printable, statusFailure } from './failure.ts';
import {
  asKubernetesObject,
  isRecord,
  type KubernetesObject,
  type ObjectList,
} from './kubernetes-object.ts';
import { CONTROL_PLANE } from './own-objects.ts';
import { collectionPath, objectPath, type ResourceType, typeName } from './resource-type.ts';
import { openWatch, type Watch, type WatchHandler, type WatchRequest } from './watch.ts';

export interface KubernetesClientOptions {
  readonly config: ClusterConfig;
  /** Monotonic milliseconds, and timers. */
  readonly clock: Clock;
  /** `user-agent`, by which the API server's log and flow control know us. */
  readonly userAgent?: string;
}

export interface ListOptions {
  /** '' = all namespaces. */
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Objects of a page; 0 = all. */
  readonly limit?: number;
  readonly continue?: string;
  /** Absent = the most recent; `0` = whatever the server has at hand. */
  readonly resourceVersion?: string;
  readonly timeoutMs?: number;
}

export interface WriteOptions {
  readonly dryRun?: boolean;
  readonly fieldManager?: string;
  /** `status`, `scale`. */
  readonly subresource?: string;
}

export interface DeleteOptions {
  readonly dryRun?: boolean;
  /** The object must still be this one: 409 otherwise. */
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly propagationPolicy?: 'Background' | 'Foreground' | 'Orphan';
}

export type PatchKind = keyof typeof PATCH_TYPES;

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

const PATCH_TYPES = {
  merge: 'application/merge-patch+json',
  json: 'application/json-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  apply: 'application/apply-patch+yaml',
} as const;

const TIMEOUT_MS = 30_000;
const RESPONSE_BYTES_MAX = 16 * 1024 * 1024;
/** Of one page of a list. */
const LIST_BYTES_MAX = 128 * 1024 * 1024;
/** Requests that the server turned away unread (429) are made again so often. */
const BUSY_RETRIES_MAX = 3;

/**
 * The API server's REST interface. Every outcome is a value; nothing is thrown for what a server or a network may do. One
 * object serves the whole process: connections are shared and kept alive.
 */
export class KubernetesClient {
  readonly config: ClusterConfig;
  readonly #clock: Clock;
  readonly #credentials: Credentials;
  readonly #userAgent: string;

  constructor({ config, clock, userAgent = CONTROL_PLANE }: KubernetesClientOptions) {
    this.config = config;
    this.#clock = clock;
    this.#credentials = new Credentials(config, () => clock.nowMs());
    this.#userAgent = userAgent;
  }

  /** `https://10.96.0.1`, for messages. */
  get address(): string {
    return this.config.server.origin;
  }

  get(
    type: ResourceType,
    namespace: string,
    name: string,
  ): Promise<KubernetesResult<KubernetesObject>> {
    return this.#object({ method: 'GET', path: objectPath(type, namespace, name) });
  }

  /** One page. */
  async list(type: ResourceType, options: ListOptions = {}): Promise<KubernetesResult<ObjectList>> {
    const path = collectionPath(type, options.namespace ?? '');
    const result = await this.request({
      method: 'GET',
      path,
      query: {
        ...selection(options),
        limit: options.limit === undefined || options.limit === 0 ? undefined : `${options.limit}`,
        continue: options.continue,
        resourceVersion: options.resourceVersion,
      },
      timeoutMs: options.timeoutMs ?? TIMEOUT_MS,
      responseBytesMax: LIST_BYTES_MAX,
    });
    if (!result.ok) return result;
    const list = asList(result.value);
    if (list !== null) return { ok: true, value: list };
    return failed('malformed', `GET ${this.address}${path}: the answer is no list of ${type.kind}`);
  }

  create(
    type: ResourceType,
    object: KubernetesObject,
    options: WriteOptions = {},
  ): Promise<KubernetesResult<KubernetesObject>> {
    const { namespace = '', name } = object.metadata;
    const path =
      options.subresource === undefined
        ? collectionPath(type, namespace)
        : objectPath(type, namespace, name, options.subresource);
    return this.#object({ method: 'POST', path, query: writeQuery(options), body: object });
  }

  /** With `metadata.resourceVersion` in the object it is a compare-and-set: failure `Conflict` (409) where another was faster. */
  replace(
    type: ResourceType,
    object: KubernetesObject,
    options: WriteOptions = {},
  ): Promise<KubernetesResult<KubernetesObject>> {
    const { namespace = '', name } = object.metadata;
    const path = objectPath(type, namespace, name, options.subresource);
    return this.#object({ method: 'PUT', path, query: writeQuery(options), body: object });
  }

  /** `apply` is server-side apply and needs `fieldManager`; `force` takes fields over from other managers. */
  patch(
    type: ResourceType,
    namespace: string,
    name: string,
    kind: PatchKind,
    patch: unknown,
    options: WriteOptions & { readonly force?: boolean } = {},
  ): Promise<KubernetesResult<KubernetesObject>> {
    return this.#object({
      method: 'PATCH',
      path: objectPath(type, namespace, name, options.subresource),
      query: { ...writeQuery(options), force: options.force === true ? 'true' : undefined },
      body: patch,
      contentType: PATCH_TYPES[kind],
    });
  }

  /** The value is the object where it still has to be finalized, else a `Status`. */
  delete(
    type: ResourceType,
    namespace: string,
    name: string,
    options: DeleteOptions = {},
  ): Promise<KubernetesResult<unknown>> {
    const { uid, resourceVersion, propagationPolicy, dryRun } = options;
    const preconditions = {
      ...(uid !== undefined && { uid }),
      ...(resourceVersion !== undefined && { resourceVersion }),
    };
    return this.request({
      method: 'DELETE',
      path: objectPath(type, namespace, name),
      body: {
        apiVersion: 'v1',
        kind: 'DeleteOptions',
        ...(Object.keys(preconditions).length > 0 && { preconditions }),
        ...(propagationPolicy !== undefined && { propagationPolicy }),
        ...(dryRun === true && { dryRun: ['All'] }),
      },
    });
  }

  /** Follows a collection; `handler.onEnd` is called exactly once unless it is closed first. See `Informer` for the whole. */
  watch(type: ResourceType, request: WatchRequest, handler: WatchHandler): Watch {
    const path = collectionPath(type, request.namespace ?? '');
    const query = {
      ...selection(request),
      watch: 'true',
      allowWatchBookmarks: 'true',
      resourceVersion: request.resourceVersion,
      timeoutSeconds: String(request.timeoutSeconds),
    };
    const what = `watch of ${typeName(type)} at ${this.address}`;
    return openWatch(
      what,
      request,
      handler,
      this.#clock,
      (onResponse, onError) => {
        const credentials = this.#current();
        if ('problem' in credentials) return credentials;
        let sent: ClientRequest;
        try {
          sent = this.#send('GET', withQuery(path, query), {}, credentials);
        } catch (error) {
          return { problem: (error as Error).message };
        }
        sent.on('response', onResponse);
        sent.on('error', onError);
        sent.end();
        return sent;
      },
      () => void this.#refreshed(),
    );
  }

  /** Any request, for what has no method of its own here. */
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
        if (this.#refreshed()) continue;
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

  /** Ends connections that are not in use. */
  close(): void {
    this.#credentials.close();
  }

  async #object(options: RequestOptions): Promise<KubernetesResult<KubernetesObject>> {
    const result = await this.request(options);
    if (!result.ok) return result;
    const object = asKubernetesObject(result.value);
    if (object !== null) return { ok: true, value: object };
    return failed(
      'malformed',
      `${options.method} ${this.address}${options.path}: the answer is no object with a name`,
    );
  }

  #current(): RequestCredentials | { readonly problem: string } {
    try {
      return this.#credentials.current();
    } catch (error) {
      return { problem: `${this.config.origin}: ${(error as Error).message}` };
    }
  }

  #refreshed(): boolean {
    try {
      return this.#credentials.refresh();
    } catch {
      return false;
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

function asList(value: unknown): ObjectList | null {
  if (!isRecord(value) || !isRecord(value['metadata'])) return null;
  // An empty list of a Go program may be null.
  const items = value['items'] ?? [];
  if (!Array.isArray(items)) return null;
  const { resourceVersion, continue: next } = value['metadata'];
  if (typeof resourceVersion !== 'string') return null;
  return {
    items: items as KubernetesObject[],
    resourceVersion,
    continue: typeof next === 'string' ? next : '',
  };
}

function selection(
  options: Pick<ListOptions, 'labelSelector' | 'fieldSelector'>,
): Record<string, string | undefined> {
  return { labelSelector: options.labelSelector, fieldSelector: options.fieldSelector };
}

function writeQuery({ dryRun, fieldManager }: WriteOptions): Record<string, string | undefined> {
  return { dryRun: dryRun === true ? 'All' : undefined, fieldManager };
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
