import type { Clock } from '../clock.ts';
import { ApiTransport, type ApiTransportOptions, type RequestOptions } from './api-transport.ts';
import type { ClusterConfig } from './cluster-config.ts';
import { failed, type KubernetesResult } from './failure.ts';
import {
  asKubernetesObject,
  isRecord,
  type KubernetesObject,
  type ObjectList,
} from './kubernetes-object.ts';
import { collectionPath, objectPath, type ResourceType, typeName } from './resource-type.ts';
import { openWatch, type Watch, type WatchHandler, type WatchRequest } from './watch.ts';

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

const PATCH_TYPES = {
  merge: 'application/merge-patch+json',
  json: 'application/json-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  apply: 'application/apply-patch+yaml',
} as const;

/** Of one page of a list. */
const LIST_BYTES_MAX = 128 * 1024 * 1024;

/**
 * The API server's REST interface. Every outcome is a value; nothing is thrown for what a server or a network may do. One
 * object serves the whole process: connections are shared and kept alive.
 */
export class KubernetesClient {
  readonly config: ClusterConfig;
  readonly #clock: Clock;
  readonly #transport: ApiTransport;

  constructor(options: ApiTransportOptions) {
    this.config = options.config;
    this.#clock = options.clock;
    this.#transport = new ApiTransport(options);
  }

  /** `https://10.96.0.1`, for messages. */
  get address(): string {
    return this.#transport.address;
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
      ...(options.timeoutMs !== undefined && { timeoutMs: options.timeoutMs }),
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
        const sent = this.#transport.open(path, query);
        if ('problem' in sent) return sent;
        sent.on('response', onResponse);
        sent.on('error', onError);
        sent.end();
        return sent;
      },
      () => void this.#transport.refresh(),
    );
  }

  /** Any request, for what has no method of its own here. */
  request(options: RequestOptions): Promise<KubernetesResult<unknown>> {
    return this.#transport.request(options);
  }

  /** Ends connections that are not in use. */
  close(): void {
    this.#transport.close();
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
