import type { ConnectionManagerConfig } from '../proxy/connection-manager/connection-manager-config.ts';
import { DateHeader } from '../proxy/connection-manager/date-header.ts';
import type { DownstreamConnection } from '../proxy/connection-manager/downstream-connection.ts';
import {
  type ConnectionManagerDeps,
  HttpConnectionManager,
} from '../proxy/connection-manager/http-connection-manager.ts';
import type { HeaderBlock } from '../proxy/http/header-block.ts';
import { type RequestHead, ResponseHead } from '../proxy/http/message.ts';
import type { ClientStream, ResetReason } from '../proxy/http/stream.ts';
import type { CollectingTransport, WriteSource } from '../proxy/http/transport.ts';
import { DEFAULT_HTTP2_SETTINGS } from '../proxy/http2/http2-settings.ts';
import { type RequestRecord, responseFlags } from '../proxy/observe/request-record.ts';
import { StatsRegistry } from '../proxy/observe/stats.ts';
import type {
  HeaderMutations,
  RetryPolicyConfig,
  RouteActionConfig,
  RouteConfig,
  RouteEntryConfig,
  RouteMatchConfig,
  VirtualHostConfig,
  WeightedCluster,
} from '../proxy/router/route-config.ts';
import { RouteTables } from '../proxy/router/route-tables.ts';
import { TimerLists } from '../proxy/tcp/timer-list.ts';
import type { DownstreamConnectionInfo } from '../proxy/tls/peer-certificate.ts';
import type { ClusterConfig } from '../proxy/upstream/cluster-config.ts';
import type {
  Cluster,
  Endpoint,
  ExchangeEvent,
  PendingStream,
  PickContext,
  StreamFailure,
  UpstreamSink,
  UpstreamTunnelSink,
} from '../proxy/upstream/upstream.ts';
import { ManualClock } from './manual-clock.ts';

/**
 * The request path with no socket: bytes of a client into the real HTTP/1.1 codec and connection
 * manager, and clusters whose tries the test answers by hand.
 *
 * ```ts
 * const mesh = exchange({ routes: [route('/', 'a')] });
 * const client = mesh.connect();
 * client.send('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
 * mesh.cluster('a').last.respond(200, [], 'hello');
 * client.text; mesh.records;
 * ```
 */
export function exchange(options: ExchangeOptions = {}): Exchange {
  return new Exchange(options);
}

export interface ExchangeOptions {
  readonly config?: Partial<ConnectionManagerConfig>;
  readonly table?: Partial<RouteConfig>;
  readonly virtualHost?: Partial<VirtualHostConfig>;
  readonly routes?: readonly RouteEntryConfig[];
  readonly clusters?: readonly string[];
  readonly random?: () => number;
  readonly deps?: Partial<ConnectionManagerDeps>;
}

export const NO_MUTATIONS: HeaderMutations = Object.freeze({ remove: [], add: [] });

export class Exchange {
  readonly clock = new ManualClock();
  readonly records: RequestRecord[] = [];
  readonly bugs: unknown[] = [];
  readonly tables = new RouteTables();
  readonly stats = new StatsRegistry();
  readonly clusters = new Map<string, FakeCluster>();
  readonly manager: HttpConnectionManager;

  constructor(options: ExchangeOptions) {
    for (const name of options.clusters ?? ['a', 'b']) {
      this.clusters.set(name, new FakeCluster(name));
    }
    const table = routeConfig([
      { ...virtualHost(options.routes ?? [route('/', 'a')]), ...options.virtualHost },
    ]);
    const config = {
      ...managerConfig({ ...table, ...options.table }),
      accessLogs: [{ log: (record: RequestRecord) => this.records.push(record) }],
      ...options.config,
    };
    this.manager = new HttpConnectionManager(config, {
      routes: this.tables,
      clusters: this.clusters,
      timers: new TimerLists(this.clock),
      wallClockMs: () => 1_700_000_000_000 + this.clock.nowMs(),
      date: new DateHeader(() => 0),
      random: options.random ?? (() => 0),
      stats: this.stats,
      metrics: null,
      peerMetadata: null,
      isOwnListener: () => false,
      onBug: (error) => this.bugs.push(error),
      ...options.deps,
    });
  }

  cluster(name: string): FakeCluster {
    const cluster = this.clusters.get(name);
    if (cluster === undefined) throw new Error(`no cluster ${name} in the test`);
    return cluster;
  }

  connect(info: Partial<DownstreamConnectionInfo> = {}, originalDestination = ''): FakeClient {
    const transport = new MemoryTransport();
    const connection = this.manager.accept(
      transport,
      { ...PLAIN_CONNECTION, ...info },
      originalDestination,
    );
    return new FakeClient(transport, connection);
  }

  /** The record of the one request that has ended. */
  get record(): RequestRecord {
    if (this.records.length !== 1) {
      throw new Error(`${this.records.length} requests have ended, 1 expected`);
    }
    return this.records[0]!;
  }

  /** A statistic by its dotted name. */
  stat(name: string): number {
    for (const [, series] of this.stats.series()) {
      if (series.dotted === name && 'value' in series.metric) return series.metric.value;
    }
    return Number.NaN;
  }

  /** Response flags of the one request that has ended. */
  get flags(): string {
    return responseFlags(this.record.flags);
  }
}

export const PLAIN_CONNECTION: DownstreamConnectionInfo = Object.freeze({
  localAddress: '10.0.0.1:15001',
  remoteAddress: '10.0.0.9:40000',
  requestedServerName: '',
  peerPrincipal: '',
  localPrincipal: '',
  mutualTls: false,
  peerCertificate: null,
  alpnProtocol: '',
  tls: false,
});

/** What the proxy writes to a client. */
export class MemoryTransport implements CollectingTransport {
  chunks: Buffer[] = [];
  ended = false;
  destroyed = false;
  paused = false;
  /** What `write` answers. */
  writable = true;
  #source: WriteSource | null = null;

  write(bytes: Buffer | string): boolean {
    if (!this.destroyed && !this.ended) {
      this.chunks.push(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
    }
    return this.writable;
  }

  flushLater(source: WriteSource): void {
    this.#source = source;
  }

  /** The end of a turn of the event loop: what the codec has collected is written. */
  endTurn(): void {
    const source = this.#source;
    this.#source = null;
    source?.flush();
  }

  end(): void {
    this.endTurn();
    this.ended = true;
  }

  closeAfterFlush(): void {
    this.end();
  }

  abort(): void {
    this.destroyed = true;
  }

  destroy(): void {
    this.destroyed = true;
  }

  pauseReading(): void {
    this.paused = true;
  }

  resumeReading(): void {
    this.paused = false;
  }

  readonly bufferedBytes = 0;

  get text(): string {
    this.endTurn();
    return Buffer.concat(this.chunks).toString('latin1');
  }
}

export class FakeClient {
  readonly transport: MemoryTransport;
  readonly connection: DownstreamConnection;

  constructor(transport: MemoryTransport, connection: DownstreamConnection) {
    this.transport = transport;
    this.connection = connection;
  }

  send(text: string | Buffer): this {
    this.connection.receive(typeof text === 'string' ? Buffer.from(text, 'latin1') : text);
    return this;
  }

  get(path = '/', headers: readonly string[] = []): this {
    const lines = headers.map((line) => `${line}\r\n`).join('');
    return this.send(`GET ${path} HTTP/1.1\r\nhost: a\r\n${lines}\r\n`);
  }

  /** The client closes its connection. */
  close(): void {
    this.connection.close('remote close');
  }

  /** All that has been received. */
  get text(): string {
    return this.transport.text;
  }

  /** Status of the latest response head. */
  get status(): number {
    const lines = this.text.match(/HTTP\/1\.1 ([0-9]{3})/g) ?? [];
    return Number(lines.at(-1)?.slice(9) ?? 0);
  }

  /** The first value of a response field, or ''. */
  header(name: string): string {
    const match = this.text.match(new RegExp(`^${name}: (.*)\\r$`, 'm'));
    return match?.[1] ?? '';
  }

  /** What follows the first head. */
  get body(): string {
    return this.text.slice(this.text.indexOf('\r\n\r\n') + 4);
  }
}

export class FakeCluster implements Cluster {
  readonly name: string;
  config: ClusterConfig;
  readonly service = null;
  readonly tries: FakeTry[] = [];
  readonly picks: PickContext[] = [];
  endpoints: FakeEndpoint[] = [new FakeEndpoint('10.1.0.1:80'), new FakeEndpoint('10.1.0.2:80')];
  retriesMax = 3;
  retriesHeld = 0;
  readonly events: ExchangeEvent[] = [];

  constructor(name: string) {
    this.name = name;
    this.config = {
      name,
      tls: null,
      tlsMatches: [],
      streamDurationMaxMs: 0,
    } as unknown as ClusterConfig;
  }

  /** Round robin over what has not been tried. */
  pickEndpoint(context: PickContext): Endpoint | null {
    this.picks.push({ ...context, tried: [...context.tried] });
    const left = this.endpoints.filter((endpoint) => !context.tried.includes(endpoint));
    const from = left.length > 0 ? left : this.endpoints;
    return from[this.tries.length % Math.max(1, from.length)] ?? null;
  }

  openStream(
    endpoint: Endpoint,
    head: RequestHead,
    endStream: boolean,
    sink: UpstreamSink,
  ): PendingStream {
    const attempt = new FakeTry(endpoint as FakeEndpoint, head, endStream, sink, null);
    this.tries.push(attempt);
    return attempt;
  }

  connect(endpoint: Endpoint, sink: UpstreamTunnelSink): PendingStream {
    const attempt = new FakeTry(endpoint as FakeEndpoint, null, false, null, sink);
    this.tries.push(attempt);
    return attempt;
  }

  tryRetry(): boolean {
    if (this.retriesHeld >= this.retriesMax) return false;
    this.retriesHeld++;
    return true;
  }

  endRetry(): void {
    this.retriesHeld--;
  }

  countEvent(event: ExchangeEvent): void {
    this.events.push(event);
  }

  get last(): FakeTry {
    const last = this.tries.at(-1);
    if (last === undefined) throw new Error(`cluster ${this.name} has had no try`);
    return last;
  }
}

export class FakeEndpoint implements Endpoint {
  readonly address: string;
  hostname = '';
  workload: Endpoint['workload'] = null;
  readonly active = 0;
  readonly outcomes: number[] = [];

  constructor(address: string) {
    this.address = address;
  }

  reportOutcome(status: number): void {
    this.outcomes.push(status);
  }
}

/** One try at an endpoint, answered by the test. */
export class FakeTry implements PendingStream, ClientStream {
  readonly endpoint: FakeEndpoint;
  /** As it was when the try began. */
  readonly headers: readonly string[];
  readonly path: string;
  readonly authority: string;
  readonly upgrade: string;
  /** What the app is to be asked in where the cluster leaves it open. */
  readonly originalVersion: string;
  readonly endStream: boolean;
  readonly #sink: UpstreamSink | null;
  readonly #tunnel: UpstreamTunnelSink | null;
  readonly tunnelTransport = new MemoryTransport();
  #ready = false;
  reused = false;
  mutualTls = false;
  cancelled = false;
  resetWith: ResetReason | '' = '';
  paused = false;
  ended: boolean;
  /** What `writeData` answers. */
  writable = true;
  written = '';
  trailers: HeaderBlock | null = null;

  constructor(
    endpoint: FakeEndpoint,
    head: RequestHead | null,
    endStream: boolean,
    sink: UpstreamSink | null,
    tunnel: UpstreamTunnelSink | null,
  ) {
    this.endpoint = endpoint;
    this.headers = [...(head?.headers ?? [])];
    this.path = head?.path ?? '';
    this.authority = head?.authority ?? '';
    this.upgrade = head?.upgrade ?? '';
    this.originalVersion = head?.originalVersion ?? '';
    this.endStream = endStream;
    this.ended = endStream;
    this.#sink = sink;
    this.#tunnel = tunnel;
  }

  header(name: string): string | undefined {
    const at = this.headers.findIndex((field, index) => index % 2 === 0 && field === name);
    return at < 0 ? undefined : this.headers[at + 1];
  }

  ready(reused = false): this {
    if (this.#ready) return this;
    this.#ready = true;
    this.reused = reused;
    const connection = {
      localAddress: '10.0.0.1:50000',
      remoteAddress: this.endpoint.address,
      mutualTls: this.mutualTls,
      peerPrincipal: '',
      reused,
    };
    this.#sink?.onStreamReady(this, connection);
    this.#tunnel?.onReady(this.tunnelTransport, connection);
    return this;
  }

  respond(status: number, headers: readonly string[] = [], body: string | null = ''): this {
    this.ready();
    const head = new ResponseHead(status, [...headers]);
    this.#sink?.onResponse(head, body === '');
    // A stream that was reset tells nothing more.
    if (this.resetWith !== '') return this;
    if (body !== '' && body !== null) this.#sink?.onData(Buffer.from(body, 'latin1'), true);
    return this;
  }

  /** 101: from here on a tunnel. */
  switchProtocols(): void {
    this.ready();
    const head = new ResponseHead(101, []);
    head.upgrade = true;
    this.#sink?.onResponse(head, false);
  }

  informational(status: number, headers: readonly string[] = []): void {
    this.ready();
    this.#sink?.onInformational(new ResponseHead(status, [...headers]));
  }

  data(text: string, endStream = false): void {
    this.#sink?.onData(Buffer.from(text, 'latin1'), endStream);
    this.#tunnel?.onData(Buffer.from(text, 'latin1'));
  }

  endWithTrailers(trailers: HeaderBlock): void {
    this.#sink?.onTrailers(trailers);
  }

  /** The upstream's half of a tunnel ends. */
  endTunnel(): void {
    this.#tunnel?.onEnd();
  }

  drain(): void {
    this.#sink?.onDrain();
  }

  die(reason: ResetReason = 'connectionTermination', detail = 'lost'): void {
    this.ready();
    this.#sink?.onReset(reason, detail);
  }

  fail(failure: StreamFailure, detail = ''): void {
    this.#sink?.onStreamFailure(failure, detail);
    this.#tunnel?.onFailure(failure, detail);
  }

  cancel(): void {
    this.cancelled = true;
  }

  writeData(chunk: Buffer, endStream: boolean): boolean {
    this.written += chunk.toString('latin1');
    this.ended ||= endStream;
    return this.writable;
  }

  writeTrailers(trailers: HeaderBlock): void {
    this.trailers = trailers;
    this.ended = true;
  }

  reset(reason: ResetReason): void {
    this.resetWith = reason;
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
  }
}

// --- configuration with every default ---------------------------------------------------------

export function managerConfig(table: RouteConfig | null): ConnectionManagerConfig {
  return {
    statPrefix: 'test',
    codecType: 'AUTO',
    http2: DEFAULT_HTTP2_SETTINGS,
    rdsRouteName: table === null ? 'rds' : '',
    routeConfig: table,
    httpFilters: [{ kind: 'fault', name: 'fault', fault: null }, { kind: 'router' }],
    accessLogs: [],
    direction: 'OUTBOUND',
    requestHeadersBytesMax: 60 * 1024,
    headersCountMax: 100,
    streamIdleTimeoutMs: 300_000,
    requestTimeoutMs: 0,
    requestHeadersTimeoutMs: 10_000,
    idleTimeoutMs: 3_600_000,
    connectionDurationMaxMs: 0,
    streamDurationMaxMs: 0,
    drainTimeoutMs: 5_000,
    delayedCloseTimeoutMs: 1_000,
    acceptHttp10: false,
    normalizePath: true,
    mergeSlashes: false,
    escapedSlashes: 'KEEP',
    serverName: 'envoy',
    serverHeader: 'OVERWRITE',
    generateRequestId: true,
    preserveExternalRequestId: false,
    useRemoteAddress: false,
    xffTrustedHops: 0,
    forwardClientCert: 'SANITIZE',
    clientCertSubject: false,
    clientCertUri: true,
    clientCertDns: false,
    upgrades: new Map([['websocket', true]]),
    explicitProxy: false,
    stripAnyHostPort: false,
    tracingSamplingPerMillion: -1,
  };
}

export function routeConfig(virtualHosts: readonly VirtualHostConfig[]): RouteConfig {
  return {
    name: 'test',
    version: '1',
    virtualHosts,
    ignorePortInHost: false,
    requestHeaders: NO_MUTATIONS,
    responseHeaders: NO_MUTATIONS,
  };
}

export function virtualHost(
  routes: readonly RouteEntryConfig[],
  domains: readonly string[] = ['*'],
): VirtualHostConfig {
  return {
    name: `vh-${domains[0]}`,
    domains,
    routes,
    requestHeaders: NO_MUTATIONS,
    responseHeaders: NO_MUTATIONS,
    retry: null,
    includeAttemptCount: false,
    fault: null,
    rbac: new Map(),
  };
}

export function match(parts: Partial<RouteMatchConfig> = {}): RouteMatchConfig {
  return {
    path: { kind: 'prefix', value: '/', ignoreCase: false },
    headers: [],
    queryParameters: [],
    grpc: false,
    fractionPerMillion: 1_000_000,
    ...parts,
  };
}

export function weightedCluster(
  name: string,
  parts: Partial<WeightedCluster> = {},
): WeightedCluster {
  return {
    name,
    weight: 1,
    hostRewrite: '',
    requestHeaders: NO_MUTATIONS,
    responseHeaders: NO_MUTATIONS,
    ...parts,
  };
}

/** A route of a prefix to one cluster. */
export function route(
  prefix: string,
  cluster: string,
  action: Partial<RouteActionConfig> = {},
  entry: Partial<RouteEntryConfig> = {},
): RouteEntryConfig {
  return {
    name: `${prefix}->${cluster}`,
    match: match({ path: { kind: 'prefix', value: prefix, ignoreCase: false } }),
    action: {
      kind: 'route',
      clusters: [weightedCluster(cluster)],
      weightTotal: 1,
      clusterHeader: '',
      timeoutMs: 0,
      idleTimeoutMs: -1,
      grpcTimeoutMaxMs: -1,
      grpcTimeoutOffsetMs: 0,
      streamDuration: null,
      retry: null,
      prefixRewrite: '',
      regexRewrite: null,
      hostRewrite: '',
      autoHostRewrite: false,
      upgrades: new Map(),
      clusterNotFoundStatus: 503,
      ...action,
    },
    requestHeaders: NO_MUTATIONS,
    responseHeaders: NO_MUTATIONS,
    fault: null,
    rbac: new Map(),
    ...entry,
  };
}

export function retryPolicy(
  retryOn: number,
  parts: Partial<RetryPolicyConfig> = {},
): RetryPolicyConfig {
  return {
    retryOn,
    retriableStatusCodes: [],
    retriableHeaders: [],
    retriesMax: 2,
    perTryTimeoutMs: 0,
    backoffBaseMs: 25,
    backoffMaxMs: 250,
    skipPreviousHosts: false,
    hostSelectionAttemptsMax: 1,
    ...parts,
  };
}
