import { readDocuments } from '../kinds/documents.ts';
import { DNS_LABEL } from '../kinds/name-format.ts';
import { formatProblem, printable } from '../kinds/problem.ts';
import type { Manifest, ResourceKey } from '../kinds/resource.ts';
import { readSource } from '../kinds/source-text.ts';
import type { ConfigStore, ResourceList } from '../store/config-store.ts';
import { type ApiReply, type ApiRequest, json } from './api-routes.ts';
import { mergePatch } from './json-value.ts';
import { type ObjectWrite, ObjectWriter } from './object-writer.ts';
import type { ResourcePath } from './resource-path.ts';
import { objectView, type ResourceView, tableView, wantsTable } from './resource-view.ts';
import { parseSelectors } from './selector.ts';
import { failure, notFound, refused, success } from './status.ts';
import { watchReply } from './watch-handler.ts';

/** Seconds that a watch lasts unless the client asks for less. */
const WATCH_SECONDS_MAX = 3600;

type ObjectPath = Extract<ResourcePath, { type: 'object' }>;
type CollectionPath = Extract<ResourcePath, { type: 'collection' }>;

export interface ResourceHandlerOptions {
  readonly store: ConfigStore;
  readonly now: () => number;
  readonly bookmarkIntervalMs?: number | undefined;
}

/** The verbs on policy objects, answered as a Kubernetes API server does. */
export class ResourceHandler {
  readonly #options: ResourceHandlerOptions;
  readonly #store: ConfigStore;
  readonly #writer: ObjectWriter;

  constructor(options: ResourceHandlerOptions) {
    this.#options = options;
    this.#store = options.store;
    this.#writer = new ObjectWriter(options.store, options.now);
  }

  handle(path: ResourcePath, request: ApiRequest): Promise<ApiReply> | ApiReply {
    const verb = `${request.method} ${path.type}`;
    switch (verb) {
      case 'GET collection':
        return this.#list(path as CollectionPath, request);
      case 'POST collection':
        return this.#create(path as CollectionPath, request);
      case 'GET object':
        return this.#get(path as ObjectPath, request);
      case 'PUT object':
        return this.#replace(path as ObjectPath, request);
      case 'PATCH object':
        return this.#patch(path as ObjectPath, request);
      case 'DELETE object':
        return this.#delete(path as ObjectPath, request);
      default: {
        const allowed = path.type === 'object' ? 'GET, PUT, PATCH, DELETE' : 'GET, POST';
        const message = `${request.method} is not allowed here; allowed: ${allowed}`;
        return { ...failure('MethodNotAllowed', message), headers: { allow: allowed } };
      }
    }
  }

  async #list(path: CollectionPath, request: ApiRequest): Promise<ApiReply> {
    const { query } = request;
    const parsed = parseSelectors(query);
    if (parsed.kind === 'invalid') return failure('BadRequest', parsed.message);
    const { group, kind } = path.kind;
    const { namespace } = path;
    const selection = namespace === undefined ? { group, kind } : { group, kind, namespace };
    const view = this.#view(path, request);
    if (isTrue(query.get('watch'))) {
      const fromRevision = revisionOf(query.get('resourceVersion'));
      if (fromRevision === 'invalid')
        return failure('BadRequest', 'resourceVersion is not a number');
      const seconds = Number(query.get('timeoutSeconds') ?? WATCH_SECONDS_MAX);
      const watch = {
        selection,
        selector: parsed.selector,
        fromRevision,
        bookmarks: isTrue(query.get('allowWatchBookmarks')),
        timeoutMs: (seconds > 0 ? Math.min(seconds, WATCH_SECONDS_MAX) : WATCH_SECONDS_MAX) * 1000,
        view,
        kind,
        apiVersion: path.apiVersion,
      };
      return watchReply(this.#store, watch, this.#options.bookmarkIntervalMs);
    }
    const { items, revision }: ResourceList = await this.#store.list(selection);
    const selected = parsed.selector === undefined ? items : items.filter(parsed.selector);
    return json(200, view.list(selected, revision));
  }

  async #get(path: ObjectPath, request: ApiRequest): Promise<ApiReply> {
    const resource = await this.#store.get(keyOf(path));
    if (resource === undefined) return notFound(path.kind, path.name);
    return json(200, this.#view(path, request).item(resource));
  }

  async #create(path: CollectionPath, request: ApiRequest): Promise<ApiReply> {
    const { namespace } = path;
    if (namespace === undefined) {
      return failure(
        'BadRequest',
        `create in a namespace: ${path.apiVersion}/namespaces/<namespace>/…`,
      );
    }
    const wrong = DNS_LABEL.check(namespace);
    if (wrong !== undefined)
      return failure('BadRequest', `namespace "${printable(namespace)}" ${wrong}`);
    const dryRun = dryRunOf(request);
    if (dryRun === 'invalid') return failure('BadRequest', 'dryRun: only All is supported');
    const read = readManifest(
      { ...path, namespace, name: undefined },
      request.body,
      yamlCharsMaxOf(request),
    );
    if (read.kind === 'reply') return read.reply;
    const { name, resourceVersion } = read.manifest.metadata;
    if (resourceVersion !== undefined) {
      return failure('BadRequest', 'resourceVersion must not be set on an object to be created');
    }
    const key = keyOf({ ...path, type: 'object', namespace, name });
    const result = await this.#writer.create(read.manifest, key, dryRun);
    return this.#written(result, { ...path, type: 'object', namespace, name }, request, 201);
  }

  async #replace(path: ObjectPath, request: ApiRequest): Promise<ApiReply> {
    const dryRun = dryRunOf(request);
    if (dryRun === 'invalid') return failure('BadRequest', 'dryRun: only All is supported');
    const read = readManifest(path, request.body, yamlCharsMaxOf(request));
    if (read.kind === 'reply') return read.reply;
    const result = await this.#writer.replace(read.manifest, keyOf(path), dryRun);
    return this.#written(result, path, request, 200);
  }

  /** `application/merge-patch+json`: what kubectl sends for kinds whose Go types it does not know. */
  async #patch(path: ObjectPath, request: ApiRequest): Promise<ApiReply> {
    const dryRun = dryRunOf(request);
    if (dryRun === 'invalid') return failure('BadRequest', 'dryRun: only All is supported');
    const source = readSource(request.body, 0);
    const patch = source.documents[0];
    const problem = [...source.problems, ...(patch?.problems ?? [])][0];
    if (patch === undefined || problem !== undefined || source.documents.length > 1) {
      return failure(
        'BadRequest',
        `the patch cannot be read: ${problem?.message ?? 'not one object'}`,
      );
    }
    // A patch that names no version is meant for whatever is there: read again where another writer was quicker.
    for (let attempt = 1; ; attempt++) {
      const current = await this.#store.get(keyOf(path));
      if (current === undefined) return notFound(path.kind, path.name);
      const merged = mergePatch({ ...current, apiVersion: path.apiVersion }, patch.value);
      const read = readManifest(path, JSON.stringify(merged), 0);
      if (read.kind === 'reply') return read.reply;
      const result = await this.#writer.replace(read.manifest, keyOf(path), dryRun);
      const own = read.manifest.metadata.resourceVersion === current.metadata.resourceVersion;
      if (result.kind === 'conflict' && own && attempt < 5) continue;
      return this.#written(result, path, request, 200);
    }
  }

  async #delete(path: ObjectPath, request: ApiRequest): Promise<ApiReply> {
    const dryRun = dryRunOf(request);
    if (dryRun === 'invalid') return failure('BadRequest', 'dryRun: only All is supported');
    const expected = preconditions(request.body);
    if (expected === undefined)
      return failure('BadRequest', 'the body is not DeleteOptions as JSON');
    const result = await this.#writer.delete(keyOf(path), expected, dryRun);
    if (result.kind === 'ok') return success(path.kind, path.name, result.resource.metadata.uid);
    return this.#written(result, path, request, 200);
  }

  #written(result: ObjectWrite, path: ObjectPath, request: ApiRequest, status: number): ApiReply {
    const { kind, name } = path;
    const details = { name, group: kind.group, kind: kind.plural };
    const subject = `${kind.plural}.${kind.group} "${name}"`;
    switch (result.kind) {
      case 'ok':
        return json(status, this.#view(path, request).item(result.resource));
      case 'unchanged':
        return json(200, this.#view(path, request).item(result.resource));
      case 'notFound':
        return notFound(kind, name);
      case 'alreadyExists':
        return failure('AlreadyExists', `${subject} already exists`, details);
      case 'conflict': {
        const now = result.current.metadata.resourceVersion;
        const message = `${subject} has been modified (it is at resourceVersion ${now}); read it again and apply your change to it`;
        return failure('Conflict', message, details);
      }
      case 'otherUid': {
        const message = `${subject} is another object now (uid ${result.current.metadata.uid})`;
        return failure('Conflict', message, details);
      }
      case 'unavailable':
        return failure(
          result.reason === 'full' ? 'InsufficientStorage' : 'ServiceUnavailable',
          result.message,
          details,
        );
    }
  }

  #view(path: ResourcePath, { headers, query }: ApiRequest): ResourceView {
    return wantsTable(headers.accept)
      ? tableView(path.kind, path.apiVersion, query.get('includeObject'), this.#options.now)
      : objectView(path.kind, path.apiVersion);
  }
}

type ReadManifest =
  | { readonly kind: 'manifest'; readonly manifest: Manifest }
  | { readonly kind: 'reply'; readonly reply: ApiReply };

/** The one object of the body, which must be the one that the URL names. */
function readManifest(
  path: Omit<ObjectPath, 'type' | 'name'> & { readonly name: string | undefined },
  body: string,
  yamlCharsMax: number,
): ReadManifest {
  const { objects, problems } = readDocuments(body, 'body', yamlCharsMax);
  const reply = (failed: ApiReply): ReadManifest => ({ kind: 'reply', reply: failed });
  if (problems.length > 0) {
    const [first] = problems;
    if (problems.length === 1 && first!.code === 'syntax') {
      return reply(failure('BadRequest', formatProblem(first!)));
    }
    return reply(refused(path.kind, path.name ?? nameIn(body, yamlCharsMax), problems));
  }
  const [object] = objects;
  if (object === undefined || objects.length > 1) {
    return reply(failure('BadRequest', `the body holds ${objects.length} objects; send one`));
  }
  const { manifest } = object;
  if (object.kind.kind !== path.kind.kind || object.kind.group !== path.kind.group) {
    const message = `the body is a ${manifest.kind}; this URL takes a ${path.kind.kind}`;
    return reply(failure('BadRequest', message));
  }
  const { name, namespace } = manifest.metadata;
  if (namespace !== undefined && namespace !== path.namespace) {
    const message = `the namespace of the object (${namespace}) is not that of the URL (${path.namespace})`;
    return reply(failure('BadRequest', message));
  }
  if (path.name !== undefined && name !== path.name) {
    const message = `the name of the object (${name}) is not that of the URL (${printable(path.name)})`;
    return reply(failure('BadRequest', message));
  }
  return { kind: 'manifest', manifest };
}

/** For the message about an object that cannot be accepted. */
function nameIn(body: string, yamlCharsMax: number): string {
  const value = readSource(body, yamlCharsMax).documents[0]?.value as
    | { metadata?: { name?: unknown } }
    | undefined;
  const name = value?.metadata?.name;
  return typeof name === 'string' ? printable(name) : '';
}

/** UTF-16 units of YAML in a body: half a second of parsing at worst. JSON may fill the whole body. */
const YAML_CHARS_MAX = 128 * 1024;

function yamlCharsMaxOf({ headers }: ApiRequest): number {
  const type = headers['content-type']?.toLowerCase() ?? '';
  return type.startsWith('application/yaml') ? YAML_CHARS_MAX : 0;
}

function keyOf({ kind, namespace, name }: ObjectPath): ResourceKey {
  return { group: kind.group, kind: kind.kind, namespace, name };
}

function dryRunOf({ query }: ApiRequest): boolean | 'invalid' {
  const values = query.getAll('dryRun');
  if (values.some((value) => value !== 'All')) return 'invalid';
  return values.length > 0;
}

/** Undefined for `0` and absence: Kubernetes' "start from any state, say what there is". */
function revisionOf(text: string | null): number | undefined | 'invalid' {
  if (text === null || text === '' || text === '0') return undefined;
  return /^\d{1,15}$/.test(text) ? Number(text) : 'invalid';
}

function preconditions(body: string): { uid?: string; resourceVersion?: string } | undefined {
  if (body.trim() === '') return {};
  try {
    const options = JSON.parse(body) as { preconditions?: Record<string, unknown> } | null;
    const { uid, resourceVersion } = options?.preconditions ?? {};
    return {
      ...(typeof uid === 'string' ? { uid } : {}),
      ...(typeof resourceVersion === 'string' ? { resourceVersion } : {}),
    };
  } catch {
    return undefined;
  }
}

function isTrue(text: string | null): boolean {
  return text === 'true' || text === '1';
}
