import { once } from 'node:events';
import {
  createServer as createHttpServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { KubernetesObject } from '../../control-plane/kubernetes/kubernetes-object.ts';
import { makeAuthority, type TestAuthority } from '../certificates.ts';
import { Access, ADMIN, type PolicyRule, type User } from './kubernetes-api/access.ts';
import { Admission, type ResolveService } from './kubernetes-api/admission.ts';
import { ApiError, expired } from './kubernetes-api/api-error.ts';
import { customKind } from './kubernetes-api/custom-kind.ts';
import { discoveryDocument } from './kubernetes-api/discovery.ts';
import { type Faults, noFaults } from './kubernetes-api/faults.ts';
import type { Fields } from './kubernetes-api/fields.ts';
import { readBody, send } from './kubernetes-api/http-exchange.ts';
import { ObjectRequests } from './kubernetes-api/object-requests.ts';
import { ObjectStore } from './kubernetes-api/object-store.ts';
import { ObjectWrites } from './kubernetes-api/object-writes.ts';
import { OPENAPI_V2_TYPE, openApiV2 } from './kubernetes-api/openapi-v2.ts';
import { type RequestInfo, requestInfo } from './kubernetes-api/request-info.ts';
import { BUILT_IN_KINDS, type ServedKind } from './kubernetes-api/served-kind.ts';
import { Tokens } from './kubernetes-api/tokens.ts';
import type { WatchStream } from './kubernetes-api/watch-stream.ts';

export interface KubernetesApiOptions {
  /** HTTPS with an authority of its own, and everybody has to say who they are. Default: plain HTTP, everybody is admin. */
  readonly tls?: boolean;
  /** Where the services of webhooks are. */
  readonly resolveService?: ResolveService;
  /** Events that are remembered. Default 10 000. */
  readonly historyMax?: number;
  /** Default one minute. */
  readonly bookmarkIntervalMs?: number;
}

const NAMESPACES_AT_START = ['default', 'kube-system', 'kube-public'];

/**
 * A Kubernetes API server for tests: the REST and watch protocol over real sockets, driven by our client and by kubectl. Kinds
 * built in and by CustomResourceDefinition; versions, selectors, pages, patches, server-side apply, tables, RBAC, token and access
 * reviews, admission webhooks; and faults, switched while it runs.
 */
export class KubernetesApi {
  readonly faults: Faults = noFaults();
  readonly store: ObjectStore;
  readonly tokens: Tokens;
  /** Requests for objects, `verb plural`, counted. */
  readonly requests = new Map<string, number>();
  readonly #access: Access;
  readonly #writes: ObjectWrites;
  readonly #objects: ObjectRequests;
  readonly #rules = new Map<string, readonly PolicyRule[]>();
  readonly #watches = new Set<WatchStream>();
  readonly #sockets = new Set<Socket>();
  readonly #authority: TestAuthority | null;
  readonly #certificate: { readonly key: string; readonly cert: string } | null;
  #server: Server | null = null;
  #port = 0;
  #cutTimer: NodeJS.Timeout | undefined;

  private constructor(
    options: KubernetesApiOptions,
    authority: TestAuthority | null,
    certificate: { key: string; cert: string } | null,
  ) {
    this.#authority = authority;
    this.#certificate = certificate;
    this.store = new ObjectStore(options.historyMax ?? 10_000);
    this.tokens = new Tokens(
      ({ namespace, name, uid }) => this.get('pods', namespace, name)?.metadata.uid === uid,
    );
    this.#access = new Access(this.store, ({ username }) => this.#rules.get(username));
    const admission = new Admission(this.store, options.resolveService ?? (() => null));
    this.#writes = new ObjectWrites(this.store, admission, () => this.#kinds());
    this.#objects = new ObjectRequests({
      store: this.store,
      faults: this.faults,
      tokens: this.tokens,
      access: this.#access,
      writes: this.#writes,
      watches: this.#watches,
      bookmarkIntervalMs: options.bookmarkIntervalMs ?? 60_000,
    });
  }

  static async start(options: KubernetesApiOptions = {}): Promise<KubernetesApi> {
    const authority = options.tls === true ? await makeAuthority('kubernetes') : null;
    const issued = await authority?.issue({
      dns: ['localhost', 'kubernetes.default.svc'],
      ip: ['127.0.0.1', '::1'],
      commonName: 'kube-apiserver',
    });
    const certificate =
      issued === undefined ? null : { key: issued.privateKeyPem, cert: issued.certificateChainPem };
    const api = new KubernetesApi(options, authority, certificate);
    for (const name of NAMESPACES_AT_START)
      api.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
    await api.comeBack();
    return api;
  }

  get url(): string {
    return `${this.#authority === null ? 'http' : 'https'}://127.0.0.1:${this.#port}`;
  }

  /** PEM, '' without TLS. */
  get caPem(): string {
    return this.#authority?.certificatePem ?? '';
  }

  // ── who may do what ────────────────────────────────────────────────────────────────────────────────────────────────

  /** A user who shows `token`; a member of `system:masters` may do everything. */
  addUser(token: string, user: User): void {
    this.tokens.add(token, user);
  }

  /** What a user may do beside what RoleBindings and ClusterRoleBindings say. */
  grant(username: string, rules: readonly PolicyRule[]): void {
    this.#rules.set(username, rules);
  }

  /** A kubeconfig, as YAML; without a token it is the administrator's. */
  kubeconfig(token?: string): string {
    if (token === undefined && this.#authority !== null) {
      token = 'administrator-token';
      this.addUser(token, ADMIN);
    }
    const ca = Buffer.from(this.caPem).toString('base64');
    return JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'test',
      contexts: [
        { name: 'test', context: { cluster: 'test', user: 'test', namespace: 'default' } },
      ],
      clusters: [
        {
          name: 'test',
          cluster: { server: this.url, ...(ca !== '' && { 'certificate-authority-data': ca }) },
        },
      ],
      users: [{ name: 'test', user: token === undefined ? {} : { token } }],
    });
  }

  // ── what the cluster does by itself ────────────────────────────────────────────────────────────────────────────────

  /** Creates or replaces, as a controller of the cluster would: no admission, status included. */
  put(given: KubernetesObject): KubernetesObject {
    return this.#writes.put(this.#kindOf(given.apiVersion ?? '', given.kind ?? ''), given);
  }

  get(plural: string, namespace: string, name: string): KubernetesObject | undefined {
    return this.store.get(this.kind(plural), namespace, name);
  }

  /** Of all namespaces where none is named. */
  list(plural: string, namespace = ''): KubernetesObject[] {
    return this.store.list(this.kind(plural), namespace);
  }

  remove(plural: string, namespace: string, name: string): void {
    this.#writes.remove(this.kind(plural), namespace, name);
  }

  /** By plural; throws where nobody serves it. */
  kind(plural: string): ServedKind {
    const kind = this.#kinds().find((each) => each.plural === plural);
    if (kind === undefined) throw new Error(`no kind has the plural ${plural}`);
    return kind;
  }

  // ── faults beside `faults` ─────────────────────────────────────────────────────────────────────────────────────────

  /** Nobody listens, and every connection is reset. */
  async goAway(): Promise<void> {
    const server = this.#server;
    if (server === null) return;
    this.#server = null;
    const closed = once(server, 'close');
    server.close();
    for (const socket of this.#sockets) socket.resetAndDestroy();
    await closed;
  }

  /** Listens again, on the same port. */
  async comeBack(): Promise<void> {
    if (this.#server !== null) return;
    const serve = (request: IncomingMessage, response: ServerResponse): void =>
      void this.#serve(request, response);
    const server: Server =
      this.#certificate === null
        ? createHttpServer(serve)
        : createHttpsServer(
            { ...this.#certificate, ca: this.caPem, requestCert: true, rejectUnauthorized: false },
            serve,
          );
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
      socket.on('error', () => undefined);
    });
    server.listen(this.#port, '127.0.0.1');
    await once(server, 'listening');
    this.#server = server;
    this.#port = (server.address() as AddressInfo).port;
  }

  /** Watches of a kind (default all) lose their connection, perhaps in the middle of an event. */
  cutWatches(options: { readonly plural?: string; readonly isMidEvent?: boolean } = {}): void {
    for (const watch of this.#watchesOf(options.plural)) watch.cut(options.isMidEvent ?? false);
  }

  /** From now on every so many milliseconds; 0 = no more. */
  cutWatchesEvery(intervalMs: number): void {
    clearInterval(this.#cutTimer);
    if (intervalMs > 0) this.#cutTimer = setInterval(() => this.cutWatches(), intervalMs).unref();
  }

  /** Ends watches in order, as after `timeoutSeconds`. */
  endWatches(plural?: string): void {
    for (const watch of this.#watchesOf(plural)) watch.end();
  }

  /** A line into every watch of a kind, as it stands: what is no event. */
  sendLine(line: string, plural?: string): void {
    for (const watch of this.#watchesOf(plural)) watch.sendRaw(line);
  }

  sendBookmarks(plural?: string): void {
    for (const watch of this.#watchesOf(plural)) watch.sendBookmark();
  }

  watchCount(plural?: string): number {
    return this.#watchesOf(plural).length;
  }

  async close(): Promise<void> {
    clearInterval(this.#cutTimer);
    await this.goAway();
  }

  #watchesOf(plural: string | undefined): WatchStream[] {
    return [...this.#watches].filter((watch) => plural === undefined || watch.plural === plural);
  }

  #kinds(): ServedKind[] {
    const definitions = BUILT_IN_KINDS.find(
      ({ plural }) => plural === 'customresourcedefinitions',
    )!;
    const custom = this.store
      .list(definitions, '')
      .map((each) => customKind(each as unknown as Fields));
    return [...BUILT_IN_KINDS, ...custom];
  }

  #kindOf(apiVersion: string, name: string): ServedKind {
    const slash = apiVersion.indexOf('/');
    const [group, version] =
      slash < 0 ? ['', apiVersion] : [apiVersion.slice(0, slash), apiVersion.slice(slash + 1)];
    const kind = this.#kinds().find(
      (each) => each.group === group && each.kind === name && each.versions.includes(version),
    );
    if (kind === undefined)
      throw new Error(`no matches for kind "${name}" in version "${apiVersion}"`);
    return kind;
  }

  // ── requests ───────────────────────────────────────────────────────────────────────────────────────────────────────

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on('error', () => undefined);
    const warnings: string[] = [];
    try {
      if (this.faults.slowMs > 0) {
        const { promise, resolve } = Promise.withResolvers<void>();
        setTimeout(resolve, this.faults.slowMs).unref();
        await promise;
      }
      const body = await readBody(request);
      await this.#answer(request, response, body, warnings);
    } catch (error) {
      const failure =
        error instanceof ApiError
          ? error
          : new ApiError(
              500,
              'InternalError',
              `Internal error occurred: ${(error as Error).stack}`,
            );
      for (const [name, value] of Object.entries(failure.headers)) response.setHeader(name, value);
      if (!response.headersSent) send(response, failure.code, failure.status, warnings);
      else response.destroy();
    }
  }

  async #answer(
    request: IncomingMessage,
    response: ServerResponse,
    body: string,
    warnings: string[],
  ): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://server');
    const segments = url.pathname
      .split('/')
      .filter((part) => part !== '')
      .map(decodeURIComponent);
    const method = request.method ?? 'GET';
    if (['healthz', 'livez', 'readyz'].includes(segments[0] ?? '')) {
      response.writeHead(200, { 'content-type': 'text/plain' }).end('ok');
      return;
    }
    const user = impersonated(request, this.#authenticate(request));
    if (url.pathname === '/openapi/v2') {
      response.writeHead(200, { 'content-type': OPENAPI_V2_TYPE }).end(openApiV2(this.#kinds()));
      return;
    }
    const kinds = this.#kinds();
    if (method === 'GET') {
      const document = discoveryDocument(kinds, segments);
      if (document !== undefined) return send(response, 200, document, warnings);
    }
    const info = requestInfo(method, segments, url.searchParams, kinds);
    if (info === undefined) {
      throw new ApiError(404, 'NotFound', 'the server could not find the requested resource');
    }
    const counted = `${info.verb} ${info.resource}`;
    this.requests.set(counted, (this.requests.get(counted) ?? 0) + 1);
    this.#fail(info);
    // A list or watch of one name is authorized as that of the object.
    const named = /^metadata\.name==?([a-z0-9.-]+)$/.exec(
      url.searchParams.get('fieldSelector') ?? '',
    );
    if (!this.#access.allows(user, { ...info, name: info.name || (named?.[1] ?? '') })) {
      throw forbidden(user, info);
    }
    await this.#objects.answer({ info, user, url, method, body, request, response, warnings });
  }

  #fail({ verb, resource }: RequestInfo): void {
    const { status, retryAfterS, statusFor } = this.faults;
    if (status === 0 || !statusFor(verb, resource)) return;
    if (status === 410) throw expired('1', this.store.compactedRevision);
    const headers: Record<string, string> =
      status === 429 && retryAfterS > 0 ? { 'retry-after': String(retryAfterS) } : {};
    const reasons = {
      429: 'TooManyRequests',
      500: 'InternalError',
      503: 'ServiceUnavailable',
    } as const;
    throw new ApiError(
      status,
      reasons[status],
      'the server is at fault, by order of the test',
      {},
      headers,
    );
  }

  #authenticate(request: IncomingMessage): User {
    if (this.#authority === null && request.headers.authorization === undefined) return ADMIN;
    const socket = request.socket as TLSSocket;
    if (socket.authorized === true) {
      const { CN, O } = socket.getPeerCertificate().subject;
      return {
        username: String(CN),
        uid: '',
        groups: [...[O ?? []].flat(), 'system:authenticated'],
      };
    }
    const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1] ?? '';
    const reviewed = this.tokens.review(token, []);
    if ('error' in reviewed) throw new ApiError(401, 'Unauthorized', 'Unauthorized');
    return reviewed.user;
  }
}

/** `kubectl --as`: an administrator may act as somebody else. */
function impersonated(request: IncomingMessage, user: User): User {
  const username = request.headers['impersonate-user'];
  if (typeof username !== 'string' || !user.groups.includes('system:masters')) return user;
  const groups = [request.headers['impersonate-group'] ?? []].flat();
  return { username, uid: '', groups: [...groups, 'system:authenticated'] };
}

function forbidden(user: User, info: RequestInfo): ApiError {
  const { verb, resource, subresource, group, namespace, name } = info;
  const what = subresource === '' ? resource : `${resource}/${subresource}`;
  const where = namespace === '' ? 'at the cluster scope' : `in the namespace "${namespace}"`;
  const named = name === '' ? '' : ` "${name}"`;
  return new ApiError(
    403,
    'Forbidden',
    `${group === '' ? resource : `${resource}.${group}`}${named} is forbidden: User "${user.username}" cannot ${verb} resource "${what}" in API group "${group}" ${where}`,
    { name, kind: resource, ...(group !== '' && { group }) },
  );
}
