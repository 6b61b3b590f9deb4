import type { Kind } from '../control-plane/kinds/kind.ts';
import type { Resource } from '../control-plane/kinds/resource.ts';
import { ApiError } from './api-error.ts';
import { CommandError } from './exit-code.ts';

export interface ApiClientOptions {
  /** `http://127.0.0.1:15080`. */
  readonly server: string;
  /** Bearer token, or ''. */
  readonly token: string;
  /** Milliseconds for a whole answer, watches excepted. Default 30 000. */
  readonly timeoutMs?: number;
  /** Ends whatever is under way. */
  readonly signal?: AbortSignal;
}

export interface WatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  readonly object: Resource;
}

/** The configuration API of the control plane, in the shape of the Kubernetes REST API. */
export class ApiClient {
  readonly #options: ApiClientOptions;

  constructor(options: ApiClientOptions) {
    this.#options = options;
  }

  async list(
    kind: Kind,
    namespace: string | undefined,
    query: Readonly<Record<string, string>> = {},
  ): Promise<{ items: Resource[]; metadata: { resourceVersion: string } }> {
    return this.request('GET', `${collection(kind, namespace)}${search(query)}`);
  }

  async get(kind: Kind, namespace: string, name: string): Promise<Resource> {
    return this.request('GET', `${collection(kind, namespace)}/${encodeURIComponent(name)}`);
  }

  async create(kind: Kind, namespace: string, object: unknown, dryRun = false): Promise<Resource> {
    const query = search(dryRun ? { dryRun: 'All' } : {});
    return this.request('POST', `${collection(kind, namespace)}${query}`, object);
  }

  async replace(
    kind: Kind,
    namespace: string,
    name: string,
    object: unknown,
    dryRun = false,
  ): Promise<Resource> {
    const query = search(dryRun ? { dryRun: 'All' } : {});
    const path = `${collection(kind, namespace)}/${encodeURIComponent(name)}${query}`;
    return this.request('PUT', path, object);
  }

  async delete(kind: Kind, namespace: string, name: string): Promise<void> {
    await this.request('DELETE', `${collection(kind, namespace)}/${encodeURIComponent(name)}`);
  }

  /** Events after `resourceVersion` until `signal` aborts or the server ends the watch. */
  async *watch(
    kind: Kind,
    namespace: string | undefined,
    resourceVersion: string,
    query: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): AsyncGenerator<WatchEvent> {
    const path = `${collection(kind, namespace)}${search({ ...query, watch: 'true', resourceVersion })}`;
    const response = await this.#fetch('GET', path, undefined, signal);
    if (!response.ok) throw new ApiError(response.status, await this.#readJson(response));
    let rest = '';
    const decoder = new TextDecoder();
    try {
      for await (const chunk of response.body ?? []) {
        rest += decoder.decode(chunk as Uint8Array, { stream: true });
        for (let end = rest.indexOf('\n'); end >= 0; end = rest.indexOf('\n')) {
          const line = rest.slice(0, end).trim();
          rest = rest.slice(end + 1);
          if (line !== '') yield JSON.parse(line) as WatchEvent;
        }
      }
    } catch (error) {
      throw signal.aborted ? error : this.#unreachable(error);
    }
  }

  /** Whether `/readyz` says so; false too where nothing answers. */
  async isReady(): Promise<boolean> {
    try {
      const response = await this.#fetch('GET', '/readyz', undefined, this.#deadline());
      await response.body?.cancel();
      return response.ok;
    } catch {
      return false;
    }
  }

  /** Any other route of the API server; throws ApiError for an error status. */
  async request<T>(method: string, path: string, body?: unknown): Promise<T> {
    const response = await this.#fetch(method, path, body, this.#deadline());
    const answer = await this.#readJson(response);
    if (!response.ok) throw new ApiError(response.status, answer);
    return answer as T;
  }

  #deadline(): AbortSignal {
    const timeout = AbortSignal.timeout(this.#options.timeoutMs ?? 30_000);
    const { signal } = this.#options;
    return signal === undefined ? timeout : AbortSignal.any([timeout, signal]);
  }

  async #fetch(
    method: string,
    path: string,
    body: unknown,
    signal: AbortSignal,
  ): Promise<Response> {
    const { server, token } = this.#options;
    const headers = new Headers({ accept: 'application/json' });
    if (token !== '') headers.set('authorization', `Bearer ${token}`);
    if (body !== undefined) headers.set('content-type', 'application/json');
    const init: RequestInit = { method, headers, signal };
    if (body !== undefined) init.body = JSON.stringify(body);
    try {
      return await fetch(new URL(path, server), init);
    } catch (error) {
      throw signal.aborted && (error as Error).name === 'AbortError'
        ? error
        : this.#unreachable(error);
    }
  }

  /** The body of an error may be anything; that of a success is JSON, or the server is another program. */
  async #readJson(response: Response): Promise<unknown> {
    let text: string;
    try {
      text = await response.text();
    } catch (error) {
      throw this.#unreachable(error);
    }
    try {
      return JSON.parse(text);
    } catch {
      if (!response.ok) return { message: text.slice(0, 500) };
      throw new CommandError(
        `what answers at ${this.#options.server} is not the control plane's configuration API`,
        'name its address with --server URL or WEFT_SERVER',
      );
    }
  }

  #unreachable(error: unknown): CommandError {
    const cause = (error as { cause?: { code?: string; message?: string } }).cause;
    const why = cause?.code ?? cause?.message ?? (error as Error).message;
    return new CommandError(
      `the control plane does not answer at ${this.#options.server}: ${why}`,
      "start one with 'weft control-plane', or name another with --server URL or WEFT_SERVER",
    );
  }
}

/** `/apis/<group>/<version>[/namespaces/<namespace>]/<plural>`. */
function collection(kind: Kind, namespace: string | undefined): string {
  const base = `/apis/${kind.group}/${kind.versions[0]}`;
  const scope = namespace === undefined ? '' : `/namespaces/${encodeURIComponent(namespace)}`;
  return `${base}${scope}/${kind.plural}`;
}

function search(query: Readonly<Record<string, string>>): string {
  const text = new URLSearchParams(query).toString();
  return text === '' ? '' : `?${text}`;
}
