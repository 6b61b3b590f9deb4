import type { IncomingMessage, ServerResponse } from 'node:http';
import type { KubernetesObject } from '../../../control-plane/kubernetes/kubernetes-object.ts';
import type { Access, User } from './access.ts';
import { ApiError, badRequest, notFound } from './api-error.ts';
import { askedPage, continueToken, keyOf, revisionOf, tooLarge } from './asked-page.ts';
import type { Faults } from './faults.ts';
import { at, type Fields, isFields, object, texts } from './fields.ts';
import { apiVersionOf, parseBody, send, withVersion } from './http-exchange.ts';
import type { ObjectStore } from './object-store.ts';
import type { ObjectWrites, WriteRequest } from './object-writes.ts';
import type { RequestInfo } from './request-info.ts';
import { answerReview } from './reviews.ts';
import { selectorOf } from './selectors.ts';
import { table, wantsTable } from './table.ts';
import type { Tokens } from './tokens.ts';
import { WatchStream } from './watch-stream.ts';

export interface ObjectRequestParts {
  readonly store: ObjectStore;
  readonly faults: Faults;
  readonly tokens: Tokens;
  readonly access: Access;
  readonly writes: ObjectWrites;
  /** Those that are open now. */
  readonly watches: Set<WatchStream>;
  readonly bookmarkIntervalMs: number;
}

/** A request for objects whose caller is known and may make it. */
export interface Exchange {
  readonly info: RequestInfo;
  readonly user: User;
  readonly url: URL;
  readonly method: string;
  readonly body: string;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly warnings: string[];
}

/** Milliseconds that a watch lasts whose client does not say. */
const WATCH_MS = 1_800_000;

/** Answers requests for objects: lists, watches, reads, writes, reviews. Throws `ApiError` for whoever sends it. */
export class ObjectRequests {
  readonly #parts: ObjectRequestParts;

  constructor(parts: ObjectRequestParts) {
    this.#parts = parts;
  }

  async answer(exchange: Exchange): Promise<void> {
    const { verb } = exchange.info;
    if (verb === 'list') this.#list(exchange);
    else if (verb === 'watch') this.#watch(exchange);
    else await this.#object(exchange);
  }

  #list({ info, url, request, response }: Exchange): void {
    const { kind } = info;
    const query = url.searchParams;
    const test = selectorOf(kind, query);
    const page = askedPage(query, this.#parts.store, this.#parts.faults);
    const selected = this.#parts.store
      .list(kind, info.namespace, page.revision)
      .filter(test)
      .map((each) => withVersion(each, info));
    const rest = page.after === '' ? selected : selected.filter((each) => keyOf(each) > page.after);
    const items = page.limit > 0 ? rest.slice(0, page.limit) : rest;
    const last = items.at(-1);
    const metadata = {
      resourceVersion: String(page.revision),
      ...(items.length < rest.length &&
        last !== undefined && {
          continue: continueToken(page.revision, last),
          remainingItemCount: rest.length - items.length,
        }),
    };
    if (wantsTable(request.headers.accept)) {
      send(response, 200, table(kind, items, metadata, query.get('includeObject')));
      return;
    }
    send(response, 200, {
      kind: `${kind.kind}List`,
      apiVersion: apiVersionOf(info),
      metadata,
      items,
    });
  }

  #watch({ info, url, request, response }: Exchange): void {
    const { kind } = info;
    const query = url.searchParams;
    const version = query.get('resourceVersion') ?? '';
    const marksInitialEnd = query.get('sendInitialEvents') === 'true';
    const fromRevision =
      version === '' || version === '0' || marksInitialEnd ? undefined : revisionOf(version);
    if (fromRevision !== undefined && fromRevision > this.#parts.store.revision)
      throw tooLarge(fromRevision, this.#parts.store.revision);
    const named =
      info.name === '' ? () => true : (each: KubernetesObject) => each.metadata.name === info.name;
    const test = selectorOf(kind, query);
    const asTable = wantsTable(request.headers.accept);
    const include = query.get('includeObject');
    const seconds = Number(query.get('timeoutSeconds') ?? 0);
    const watch = new WatchStream(
      {
        store: this.#parts.store,
        faults: this.#parts.faults,
        kind,
        apiVersion: apiVersionOf(info),
        namespace: info.namespace,
        test: (each) => named(each) && test(each),
        fromRevision,
        marksInitialEnd,
        bookmarks: query.get('allowWatchBookmarks') === 'true',
        bookmarkIntervalMs: this.#parts.bookmarkIntervalMs,
        timeoutMs: seconds > 0 ? seconds * 1000 : WATCH_MS,
        show: (each) => {
          const shown = withVersion(each, info);
          const { resourceVersion } = each.metadata;
          return asTable ? table(kind, [shown], { resourceVersion }, include) : shown;
        },
      },
      response,
    );
    if (watch.isOver) return;
    this.#parts.watches.add(watch);
    response.on('close', () => this.#parts.watches.delete(watch));
  }

  async #object(exchange: Exchange): Promise<void> {
    const { info, url, user, method, body, request, response, warnings } = exchange;
    const { kind, name, subresource } = info;
    const query = url.searchParams;
    const write: WriteRequest = {
      info,
      user,
      dryRun: query.get('dryRun') === 'All',
      fieldManager: query.get('fieldManager') ?? '',
      warnings,
    };
    const reply = (code: number, result: KubernetesObject): void => {
      const shown = withVersion(result, info);
      const isTable = method === 'GET' && wantsTable(request.headers.accept);
      const { resourceVersion } = result.metadata;
      send(
        response,
        code,
        isTable ? table(kind, [shown], { resourceVersion }, query.get('includeObject')) : shown,
        warnings,
      );
    };
    if (subresource === 'scale') return this.#scale(exchange, write);
    switch (method) {
      case 'GET': {
        const found = this.#parts.store.get(kind, kind.namespaced ? info.namespace : '', name);
        if (found === undefined) throw notFound(kind.group, kind.plural, name);
        return reply(200, found);
      }
      case 'POST': {
        const parsed = parseBody(request, body);
        if (kind.isVirtual || subresource === 'token')
          return send(response, 201, this.#review(info, user, parsed), warnings);
        return reply(201, await this.#parts.writes.create(write, parsed));
      }
      case 'PUT':
        return reply(200, await this.#parts.writes.update(write, parseBody(request, body)));
      case 'PATCH': {
        const type = (request.headers['content-type'] ?? '').split(';')[0]!.trim();
        const existed =
          this.#parts.store.get(kind, kind.namespaced ? info.namespace : '', name) !== undefined;
        const force = query.get('force') === 'true';
        return reply(existed ? 200 : 201, await this.#parts.writes.patch(write, type, body, force));
      }
      case 'DELETE':
        return this.#delete(exchange, write, reply);
      default:
        throw new ApiError(405, 'MethodNotAllowed', `${method} is not supported`);
    }
  }

  async #delete(
    { info, url, body, request, response, warnings }: Exchange,
    write: WriteRequest,
    reply: (code: number, result: KubernetesObject) => void,
  ): Promise<void> {
    const { kind, name } = info;
    const options = body === '' ? {} : parseBody(request, body);
    if (!isFields(options)) throw badRequest('the body is no DeleteOptions');
    const dryRun = write.dryRun || texts(options, 'dryRun').includes('All');
    if (name !== '') {
      const left = await this.#parts.writes.delete({ ...write, dryRun }, options);
      if (left !== undefined) return reply(200, left);
      const details = { name, kind: kind.plural, ...(kind.group !== '' && { group: kind.group }) };
      return send(
        response,
        200,
        { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', details },
        warnings,
      );
    }
    const test = selectorOf(kind, url.searchParams);
    const items = this.#parts.store.list(kind, info.namespace).filter(test);
    for (const { metadata } of items) {
      const one = { ...info, name: metadata.name, namespace: metadata.namespace ?? '' };
      await this.#parts.writes.delete({ ...write, dryRun, info: one }, {});
    }
    const metadata = { resourceVersion: String(this.#parts.store.revision) };
    send(
      response,
      200,
      { kind: `${kind.kind}List`, apiVersion: apiVersionOf(info), metadata, items },
      warnings,
    );
  }

  #review(info: RequestInfo, user: User, body: unknown): object {
    const { namespace, name } = info;
    const { store, tokens, access } = this.#parts;
    const isToken = info.subresource === 'token';
    if (isToken && store.get(info.kind, namespace, name) === undefined) {
      throw notFound('', 'serviceaccounts', name);
    }
    return answerReview(info, user, body, tokens, access);
  }

  /** `autoscaling/v1 Scale` of a workload. */
  async #scale(
    { info, method, body, request, response }: Exchange,
    write: WriteRequest,
  ): Promise<void> {
    const { kind, name, namespace } = info;
    const live = this.#parts.store.get(kind, namespace, name);
    if (live === undefined) throw notFound(kind.group, kind.plural, name);
    const scaleOf = (each: KubernetesObject): object => ({
      kind: 'Scale',
      apiVersion: 'autoscaling/v1',
      metadata: {
        name,
        namespace,
        uid: each.metadata.uid,
        resourceVersion: each.metadata.resourceVersion,
      },
      spec: { replicas: at(each, ['spec', 'replicas']) ?? 0 },
      status: { replicas: at(each, ['status', 'replicas']) ?? 0 },
    });
    if (method === 'GET') return send(response, 200, scaleOf(live));
    const parsed: unknown = method === 'PATCH' ? JSON.parse(body) : parseBody(request, body);
    const replicas = at(parsed, ['spec', 'replicas']);
    if (typeof replicas !== 'number') throw badRequest('spec.replicas is missing');
    const next = { ...live, spec: { ...object(live as unknown as Fields, 'spec'), replicas } };
    const { resourceVersion = '' } = object(parsed as Fields, 'metadata') as {
      resourceVersion?: string;
    };
    const metadata = { ...live.metadata, ...(resourceVersion !== '' && { resourceVersion }) };
    const stored = await this.#parts.writes.update(
      { ...write, info: { ...info, subresource: '' } },
      { ...next, metadata },
    );
    send(response, 200, scaleOf(stored));
  }
}
