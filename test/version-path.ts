import type { ConnectionManagerConfig } from '../proxy/connection-manager/connection-manager-config.ts';
import { DateHeader } from '../proxy/connection-manager/date-header.ts';
import { HttpConnectionManager } from '../proxy/connection-manager/http-connection-manager.ts';
import type { HeaderBlock } from '../proxy/http/header-block.ts';
import { RequestHead, ResponseHead } from '../proxy/http/message.ts';
import type {
  BodySink,
  ClientConnection,
  ClientStream,
  ResponseSink,
  ServerHandler,
  ServerStream,
} from '../proxy/http/stream.ts';
import { Http1ClientConnection, http1ClientOptions } from '../proxy/http1/client-connection.ts';
import { Http1ServerConnection, http1ServerOptions } from '../proxy/http1/server-connection.ts';
import { Http2ClientConnection } from '../proxy/http2/client-connection.ts';
import { http2ClientOptions, http2ServerOptions } from '../proxy/http2/connection-options.ts';
import { DEFAULT_HTTP2_SETTINGS } from '../proxy/http2/http2-settings.ts';
import { Http2ServerConnection } from '../proxy/http2/server-connection.ts';
import type { RequestRecord } from '../proxy/observe/request-record.ts';
import { StatsRegistry } from '../proxy/observe/stats.ts';
import { RouteTables } from '../proxy/router/route-tables.ts';
import { TimerLists } from '../proxy/tcp/timer-list.ts';
import type { ClusterConfig } from '../proxy/upstream/cluster-config.ts';
import type {
  Cluster,
  Endpoint,
  PendingStream,
  UpstreamConnectionInfo,
  UpstreamSink,
  UpstreamTunnelSink,
} from '../proxy/upstream/upstream.ts';
import { ManualClock } from './manual-clock.ts';
import { type MemoryEnd, MemoryNetwork } from './memory-network.ts';
import {
  managerConfig,
  match,
  PLAIN_CONNECTION,
  route,
  routeConfig,
  virtualHost,
} from './proxy-exchange.ts';

/**
 * A request's way through one proxy or two, each hop in a version of its own: real codecs, connection managers and
 * routers, joined by connections in memory.
 *
 * ```ts
 * const path = versionPath(['1.1', '2', '1.1']); // client ─1.1▶ sidecar ─2▶ sidecar ─1.1▶ app
 * const answer = path.request({ path: '/x', body: ['a'] });
 * path.app.last.respond(200, [], ['b']);
 * path.settle();
 * ```
 */
export type Version = '1.1' | '2';

export interface PathOptions {
  readonly config?: Partial<ConnectionManagerConfig>;
  /** The app is bytes that the test answers itself. */
  readonly rawApp?: boolean;
  /** `SETTINGS_ENABLE_CONNECT_PROTOCOL` of an HTTP/2 app, default true. */
  readonly appTakesUpgrades?: boolean;
  /** Prefix of the one route, default `/`, which `*` does not have. */
  readonly routePrefix?: string;
  /** CONNECT has a route of its own (`connect_matcher`), to the same cluster. */
  readonly connectRoute?: boolean;
}

export function versionPath(versions: readonly Version[], options: PathOptions = {}): VersionPath {
  return new VersionPath(versions, options);
}

export class VersionPath {
  readonly network = new MemoryNetwork();
  readonly clock = new ManualClock();
  readonly app: App;
  readonly records: RequestRecord[][] = [];
  readonly bugs: unknown[] = [];
  /** In order from the client. */
  readonly #sidecars: HttpConnectionManager[] = [];
  readonly #version: Version;
  #client: ClientConnection | null = null;
  clientEnd: MemoryEnd | null = null;

  constructor(versions: readonly Version[], options: PathOptions) {
    this.#version = versions[0]!;
    this.app = new App(versions.at(-1)!, options);
    for (let hop = versions.length - 1; hop >= 1; hop--) {
      const next = this.#sidecars[0];
      const accept =
        next === undefined
          ? (end: MemoryEnd) => this.app.accept(end)
          : (end: MemoryEnd) => {
              end.receiver = next.accept(end, PLAIN_CONNECTION, '');
            };
      this.#sidecars.unshift(
        this.#sidecar(new WireCluster(this.network, versions[hop]!, accept), options),
      );
    }
  }

  #sidecar(cluster: WireCluster, options: PathOptions): HttpConnectionManager {
    const records: RequestRecord[] = [];
    this.records.unshift(records);
    const upgrades = new Map([
      ['websocket', true],
      ['chat', true],
      ['connect', true],
    ]);
    const routes = [route(options.routePrefix ?? '/', 'a')];
    if (options.connectRoute === true) {
      routes.unshift(route('', 'a', {}, { match: match({ path: { kind: 'connect' } }) }));
    }
    const config = {
      ...managerConfig(routeConfig([virtualHost(routes)])),
      http2: { ...DEFAULT_HTTP2_SETTINGS, extendedConnect: true },
      generateRequestId: false,
      accessLogs: [{ log: (record: RequestRecord) => records.push(record) }],
      upgrades,
      ...options.config,
    };
    return new HttpConnectionManager(config, {
      routes: new RouteTables(),
      clusters: new Map([
        ['a', cluster],
        ['PassthroughCluster', cluster],
      ]),
      timers: new TimerLists(this.clock),
      wallClockMs: () => 1_700_000_000_000 + this.clock.nowMs(),
      date: new DateHeader(() => 0),
      random: () => 0,
      stats: new StatsRegistry(),
      metrics: null,
      peerMetadata: null,
      isOwnListener: () => false,
      onBug: (error) => this.bugs.push(error),
    });
  }

  /** A connection to the first proxy on which the test writes bytes. */
  rawClient(): RawEnd {
    const [near, far] = this.network.connection();
    far.receiver = this.#sidecars[0]!.accept(far, PLAIN_CONNECTION, '');
    this.clientEnd = near;
    return new RawEnd(this.network, near);
  }

  /** Sends a request by a real codec and runs until all is quiet. */
  request(given: Message & { readonly method?: string; readonly path?: string } = {}): Received {
    const head = new RequestHead(
      given.method ?? 'GET',
      'http',
      given.authority ?? 'a.example',
      given.path ?? '/',
      [...(given.headers ?? [])],
      this.#version === '2' ? 'HTTP/2' : 'HTTP/1.1',
    );
    head.upgrade = given.upgrade ?? '';
    if (head.upgrade === 'connect') {
      head.method = 'CONNECT';
      head.path = '';
    }
    const client = this.#connected();
    const received = new Received();
    const open = given.open === true || head.upgrade !== '';
    const body = given.body ?? [];
    const trailers = given.trailers ?? null;
    const complete = body.length === 0 && trailers === null && !open;
    const stream = client.request(head, complete, received);
    received.stream = stream;
    if (!complete) writeMessage(stream, body, trailers, open);
    this.settle();
    return received;
  }

  #connected(): ClientConnection {
    if (this.#client !== null && this.#client.capacity > 0) return this.#client;
    const [near, far] = this.network.connection();
    far.receiver = this.#sidecars[0]!.accept(far, PLAIN_CONNECTION, '');
    this.clientEnd = near;
    const client = clientCodec(this.#version, near);
    near.receiver = client;
    this.#client = client;
    this.settle();
    return client;
  }

  settle(): void {
    this.network.settle();
    if (this.bugs.length > 0) throw this.bugs[0];
  }

  /** Codes of the details that each proxy logged, in order from the client. */
  get details(): string[] {
    return this.records.map((records) =>
      records.map((record) => record.responseCodeDetails).join(' '),
    );
  }
}

export interface Message {
  readonly authority?: string;
  readonly headers?: readonly string[];
  readonly body?: readonly (string | Buffer)[];
  readonly trailers?: readonly string[];
  readonly upgrade?: string;
  /** The end does not follow. */
  readonly open?: boolean;
}

function writeMessage(
  stream: { writeData(chunk: Buffer, end: boolean): boolean; writeTrailers(t: HeaderBlock): void },
  body: readonly (string | Buffer)[],
  trailers: readonly string[] | null,
  open: boolean,
): void {
  body.forEach((chunk, index) => {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk, 'latin1') : chunk;
    stream.writeData(bytes, !open && trailers === null && index === body.length - 1);
  });
  if (trailers !== null) stream.writeTrailers([...trailers]);
}

/** One message as it arrives. */
class Incoming implements BodySink {
  body = '';
  bodyBytes = 0;
  trailers: readonly string[] | null = null;
  ended = false;
  /** `reason detail`, '' = none. */
  reset = '';
  drains = 0;
  keepsBody = true;

  onData(chunk: Buffer, endStream: boolean): void {
    if (this.ended) throw new Error('data behind the end');
    this.bodyBytes += chunk.length;
    if (this.keepsBody) this.body += chunk.toString('latin1');
    this.ended = endStream;
  }
  onTrailers(trailers: HeaderBlock): void {
    if (this.ended) throw new Error('trailers behind the end');
    this.trailers = [...trailers];
    this.ended = true;
  }
  onReset(reason: string, detail: string): void {
    this.reset = `${reason} ${detail}`;
  }
  onDrain(): void {
    this.drains++;
  }
}

/** Fields that a proxy adds or changes by design. */
const OWN = /^(date|server|x-forwarded-proto|x-request-id|x-envoy-.*|x-weft-.*|content-length|te)$/;

/** Fields as the other side gave them: without what proxies write themselves. */
export function endToEnd(headers: readonly string[]): string[] {
  const kept: string[] = [];
  for (let at = 0; at < headers.length; at += 2) {
    if (!OWN.test(headers[at]!)) kept.push(`${headers[at]}: ${headers[at + 1]}`);
  }
  return kept;
}

/** The answer that the client gets. */
export class Received extends Incoming implements ResponseSink {
  status = 0;
  headers: readonly string[] = [];
  tunnel = false;
  readonly informational: number[] = [];
  informationalHeaders: string[] = [];
  stream: ClientStream | null = null;

  onInformational(head: ResponseHead): void {
    this.informational.push(head.status);
    this.informationalHeaders = endToEnd(head.headers);
  }
  onResponse(head: ResponseHead, endStream: boolean): void {
    if (this.status !== 0) throw new Error('two responses');
    this.status = head.status;
    this.headers = [...head.headers];
    this.tunnel = head.upgrade;
    this.ended = endStream;
  }
  field(name: string): string | undefined {
    return fieldOf(this.headers, name);
  }
  get fields(): string[] {
    return endToEnd(this.headers);
  }
}

function fieldOf(headers: readonly string[], name: string): string | undefined {
  const at = headers.findIndex((field, index) => index % 2 === 0 && field === name);
  return at < 0 ? undefined : headers[at + 1];
}

/** A request as the app gets it. */
export class AppRequest extends Incoming {
  readonly head: RequestHead;
  readonly stream: ServerStream;
  /** As they arrived. */
  readonly headers: readonly string[];

  readonly #app: App;

  constructor(app: App, stream: ServerStream, head: RequestHead, endStream: boolean) {
    super();
    this.#app = app;
    this.stream = stream;
    this.head = head;
    this.headers = [...head.headers];
    this.ended = endStream;
  }
  override onData(chunk: Buffer, endStream: boolean): void {
    super.onData(chunk, endStream);
    if (endStream) this.#app.onComplete(this);
  }
  override onTrailers(trailers: HeaderBlock): void {
    super.onTrailers(trailers);
    this.#app.onComplete(this);
  }
  field(name: string): string | undefined {
    return fieldOf(this.headers, name);
  }
  get fields(): string[] {
    return endToEnd(this.headers);
  }
  /** The whole answer, or its beginning where `open`. */
  respond(status: number, given: Message = {}): this {
    const body = given.body ?? [];
    const trailers = given.trailers ?? null;
    const open = given.open === true;
    const head = new ResponseHead(status, [...(given.headers ?? [])]);
    const complete = body.length === 0 && trailers === null && !open;
    this.stream.writeHead(head, complete);
    if (!complete) writeMessage(this.stream, body, trailers, open);
    return this;
  }
  /** 101, or 200 to CONNECT: the tunnel is open. */
  accept(headers: readonly string[] = []): this {
    const connect = this.head.upgrade === 'connect';
    const own = connect ? [] : ['upgrade', this.head.upgrade];
    const head = new ResponseHead(connect ? 200 : 101, [...own, ...headers]);
    head.upgrade = true;
    this.stream.writeHead(head, false);
    return this;
  }
}

/** What stands at the end of the path. */
export class App implements ServerHandler {
  readonly requests: AppRequest[] = [];
  /** Ends of connections that the last proxy opened: what it wrote is `end.peer.text`. */
  readonly ends: MemoryEnd[] = [];
  readonly refusals: string[] = [];
  /** Answers a request as soon as its head is there. */
  onArrival: (request: AppRequest) => void = () => {};
  /** Answers a request when all of it is there. */
  onComplete: (request: AppRequest) => void = () => {};
  /** For `rawApp`. */
  onBytes: (bytes: Buffer, end: MemoryEnd) => void = () => {};
  readonly #version: Version;
  readonly #options: PathOptions;

  constructor(version: Version, options: PathOptions) {
    this.#version = version;
    this.#options = options;
  }

  get last(): AppRequest {
    const last = this.requests.at(-1);
    if (last === undefined) throw new Error('no request has reached the app');
    return last;
  }

  /** All bytes that arrived, over all connections. */
  get bytes(): string {
    return this.ends.map((end) => end.peer!.text).join('');
  }

  accept(end: MemoryEnd): void {
    this.ends.push(end);
    if (this.#options.rawApp === true) {
      end.receiver = {
        receive: (bytes) => this.onBytes(bytes, end),
        receiveEnd: () => {},
        close: () => {},
        onTransportDrain: () => {},
      };
      return;
    }
    end.receiver =
      this.#version === '1.1'
        ? new Http1ServerConnection(end, this, http1ServerOptions({ scheme: 'http' }))
        : new Http2ServerConnection(
            end,
            this,
            http2ServerOptions({
              nowMs: () => 0,
              extendedConnect: this.#options.appTakesUpgrades ?? true,
            }),
          );
  }

  onRequest(stream: ServerStream, head: RequestHead, endStream: boolean): BodySink {
    const request = new AppRequest(this, stream, head, endStream);
    this.requests.push(request);
    this.onArrival(request);
    if (endStream) this.onComplete(request);
    return request;
  }

  onProtocolError(status: number, detail: string): void {
    this.refusals.push(`${status} ${detail}`);
  }
}

/** An end that the test reads and writes itself. */
export class RawEnd {
  readonly end: MemoryEnd;
  readonly #network: MemoryNetwork;
  #received: Buffer[] = [];
  ended = false;
  /** Why the connection went, '' = it has not. */
  closed = '';

  constructor(network: MemoryNetwork, end: MemoryEnd) {
    this.#network = network;
    this.end = end;
    end.receiver = {
      receive: (bytes) => this.#received.push(bytes),
      receiveEnd: () => {
        this.ended = true;
      },
      close: (detail) => {
        this.closed = detail;
      },
      onTransportDrain: () => {},
    };
  }

  send(...parts: readonly (string | Buffer)[]): this {
    for (const part of parts) this.end.write(part);
    this.#network.settle();
    return this;
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#received);
  }

  get text(): string {
    return this.bytes.toString('latin1');
  }
}

function clientCodec(version: Version, end: MemoryEnd): ClientConnection {
  const listener = { onStreamEnd() {} };
  return version === '1.1'
    ? new Http1ClientConnection(end, listener, http1ClientOptions())
    : new Http2ClientConnection(end, listener, http2ClientOptions({ nowMs: () => 0 }));
}

const NOTHING_PENDING: PendingStream = { cancel() {} };

/** A cluster of one endpoint that is reached in memory, by the codec of its version. */
class WireCluster implements Cluster {
  readonly name = 'a';
  readonly service = null;
  readonly config: ClusterConfig;
  readonly #network: MemoryNetwork;
  readonly #version: Version;
  readonly #accept: (end: MemoryEnd) => void;
  readonly #connections: ClientConnection[] = [];
  readonly #endpoint: Endpoint = {
    address: '10.1.0.1:80',
    hostname: '',
    workload: null,
    active: 0,
    reportOutcome() {},
  };

  constructor(network: MemoryNetwork, version: Version, accept: (end: MemoryEnd) => void) {
    this.#network = network;
    this.#version = version;
    this.#accept = accept;
    this.config = { name: 'a', tls: null, tlsMatches: [] } as unknown as ClusterConfig;
  }

  pickEndpoint(): Endpoint {
    return this.#endpoint;
  }

  openStream(
    _endpoint: Endpoint,
    head: RequestHead,
    endStream: boolean,
    sink: UpstreamSink,
  ): PendingStream {
    const idle = this.#connections.find((codec) => codec.reusable && codec.capacity > 0);
    const codec = idle ?? this.#connect();
    const before = codec.activeStreams;
    const stream = codec.request(head, endStream, sink);
    if (codec.activeStreams > before) sink.onStreamReady(stream, INFO);
    return NOTHING_PENDING;
  }

  connect(_endpoint: Endpoint, sink: UpstreamTunnelSink): PendingStream {
    const [near, far] = this.#network.connection();
    this.#accept(far);
    near.receiver = {
      receive: (bytes) => sink.onData(bytes),
      receiveEnd: () => sink.onEnd(),
      close: (detail) => sink.onClose(detail),
      onTransportDrain: () => sink.onDrain(),
    };
    sink.onReady(near, INFO);
    return NOTHING_PENDING;
  }

  #connect(): ClientConnection {
    const [near, far] = this.#network.connection();
    const codec = clientCodec(this.#version, near);
    near.receiver = codec;
    this.#accept(far);
    // The settings of the server come before the first request, as a pool waits for them where it has to.
    for (let turn = 0; turn < 4; turn++) {
      near.flush();
      far.flush();
      near.deliver();
      far.deliver();
    }
    this.#connections.push(codec);
    return codec;
  }

  tryRetry(): boolean {
    return true;
  }
  endRetry(): void {}
  countEvent(): void {}
}

const INFO: UpstreamConnectionInfo = Object.freeze({
  localAddress: '10.0.0.1:50000',
  remoteAddress: '10.1.0.1:80',
  mutualTls: false,
  peerPrincipal: '',
  reused: false,
});
