import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import type { HeaderBlock } from '../http/header-block.ts';
import { RequestHead, type ResponseHead } from '../http/message.ts';
import type { ClientStream, ResetReason } from '../http/stream.ts';
import type { Transport } from '../http/transport.ts';
import { DEFAULT_HTTP2_SETTINGS } from '../http2/http2-settings.ts';
import { StatsRegistry } from '../observe/stats.ts';
import { TimerLists } from '../tcp/timer-list.ts';
import { InMemorySecretStore } from '../tls/secret-store.ts';
import { TlsContexts } from '../tls/tls-context.ts';
import type { ClusterConfig, EndpointConfig } from './cluster-config.ts';
import { LiveClusterManager } from './cluster-manager.ts';
import { DnsResolver } from './dns-resolver.ts';
import type { ClusterDeps } from './live-cluster.ts';
import type {
  PickContext,
  StreamFailure,
  UpstreamConnectionInfo,
  UpstreamSink,
  UpstreamTunnelSink,
} from './upstream.ts';

/** What tests of clusters share: configurations with defaults, recording sinks, loopback servers. */

export const NO_CONTEXT: PickContext = {
  tried: [],
  repicksMax: 0,
  originalDestination: '',
  endpointOnly: '',
};

export function endpointConfig(change: Partial<EndpointConfig> = {}): EndpointConfig {
  return {
    address: '127.0.0.1',
    port: 1,
    hostname: '',
    health: 'HEALTHY',
    weight: 1,
    localityWeight: 0,
    locality: '',
    priority: 0,
    transportSocketMatch: new Map(),
    workload: null,
    ...change,
  };
}

export function clusterConfig(
  endpoints: readonly Partial<EndpointConfig>[] = [],
  change: Partial<ClusterConfig> = {},
): ClusterConfig {
  return {
    name: 'test',
    discovery: 'STATIC',
    edsServiceName: 'test',
    connectTimeoutMs: 5_000,
    lbPolicy: 'ROUND_ROBIN',
    leastRequestChoices: 2,
    panicThresholdPercent: 0,
    localityWeighted: false,
    httpProtocol: 'HTTP1',
    http2: DEFAULT_HTTP2_SETTINGS,
    idleTimeoutMs: 3_600_000,
    requestsPerConnectionMax: 0,
    streamDurationMaxMs: 0,
    connectionsMax: 1024,
    pendingRequestsMax: 1024,
    requestsMax: 1024,
    retriesMax: 3,
    tls: null,
    tlsMatches: [],
    dnsRefreshMs: 5_000,
    dnsFamily: 'AUTO',
    bindAddresses: [],
    tcpKeepaliveMs: 0,
    assignment: { version: '1', endpoints: endpoints.map(endpointConfig) },
    service: null,
    version: '1',
    ...change,
  };
}

export function clusterDeps(change: Partial<ClusterDeps> = {}): ClusterDeps & {
  readonly secrets: InMemorySecretStore;
} {
  const secrets = new InMemorySecretStore();
  return {
    stats: new StatsRegistry(),
    random: Math.random,
    timers: new TimerLists(),
    tlsContexts: new TlsContexts(secrets),
    dns: new DnsResolver(),
    isOwnAddress: () => false,
    secrets,
    ...change,
  };
}

export function clusterManager(change: Partial<ClusterDeps> = {}) {
  const deps = clusterDeps(change);
  return { deps, manager: new LiveClusterManager(deps) };
}

/** Something that others wait for: `until` resolves when the condition holds after a change. */
export class Waitable {
  readonly #waiting: { test: () => boolean; resolve: () => void }[] = [];

  until(test: () => boolean): Promise<void> {
    if (test()) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ test, resolve }));
  }

  changed(): void {
    for (const { test, resolve } of [...this.#waiting]) if (test()) resolve();
  }
}

/** Everything that one request is told. */
export class RecordingSink extends Waitable implements UpstreamSink {
  stream: ClientStream | null = null;
  connection: UpstreamConnectionInfo | null = null;
  reusedAtStart = false;
  failure = '';
  status = 0;
  body = '';
  ended = false;
  reset = '';

  onStreamReady(stream: ClientStream, connection: UpstreamConnectionInfo): void {
    this.stream = stream;
    this.connection = connection;
    this.reusedAtStart = connection.reused;
    this.changed();
  }
  onStreamFailure(failure: StreamFailure, detail: string): void {
    this.failure = `${failure}: ${detail}`;
    this.changed();
  }
  onInformational(_head: ResponseHead): void {}
  onResponse(head: ResponseHead, endStream: boolean): void {
    this.status = head.status;
    this.ended = endStream;
    this.changed();
  }
  onData(chunk: Buffer, endStream: boolean): void {
    this.body += chunk.toString('latin1');
    this.ended ||= endStream;
    this.changed();
  }
  onTrailers(_trailers: HeaderBlock): void {
    this.ended = true;
    this.changed();
  }
  onReset(reason: ResetReason, detail: string): void {
    this.reset = `${reason}: ${detail}`;
    this.changed();
  }
  onDrain(): void {}

  get outcome(): Promise<void> {
    return this.until(() => this.ended || this.failure !== '' || this.reset !== '');
  }
}

/** Everything that one tunnel is told. */
export class RecordingTunnel extends Waitable implements UpstreamTunnelSink {
  transport: Transport | null = null;
  connection: UpstreamConnectionInfo | null = null;
  failure = '';
  text = '';
  ended = false;
  closed = '';

  onReady(transport: Transport, connection: UpstreamConnectionInfo): void {
    this.transport = transport;
    this.connection = connection;
    this.changed();
  }
  onFailure(failure: StreamFailure, detail: string): void {
    this.failure = `${failure}: ${detail}`;
    this.changed();
  }
  onData(bytes: Buffer): void {
    this.text += bytes.toString('latin1');
    this.changed();
  }
  onEnd(): void {
    this.ended = true;
    this.changed();
  }
  onClose(detail: string): void {
    this.closed = detail;
    this.changed();
  }
  onDrain(): void {}
}

export function getRequest(path = '/'): RequestHead {
  return new RequestHead('GET', 'http', 'test', path, [], 'HTTP/1.1');
}

/** A server of raw bytes on loopback; `sockets` are those that are open. */
export interface LoopbackServer {
  readonly port: number;
  readonly server: Server;
  readonly sockets: Set<Socket>;
  /** Connections accepted so far. */
  connections: number;
  close(): void;
}

export async function loopback(
  onSocket: (socket: Socket) => void,
  host = '127.0.0.1',
): Promise<LoopbackServer> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    result.connections++;
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    onSocket(socket);
  });
  server.listen(0, host);
  await once(server, 'listening');
  const result: LoopbackServer = {
    port: (server.address() as AddressInfo).port,
    server,
    sockets,
    connections: 0,
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
  return result;
}

/** Answers every request head with 200 and `body`; `headers` are lines with CRLF. */
export function answering(body: string, headers = ''): (socket: Socket) => void {
  return (socket) => {
    let seen = '';
    socket.on('data', (bytes: Buffer) => {
      seen += bytes.toString('latin1');
      for (let end = seen.indexOf('\r\n\r\n'); end >= 0; end = seen.indexOf('\r\n\r\n')) {
        seen = seen.slice(end + 4);
        socket.write(`HTTP/1.1 200 OK\r\n${headers}content-length: ${body.length}\r\n\r\n${body}`);
      }
    });
    socket.on('end', () => socket.end());
  };
}

/** A port on which nobody listens. */
export async function closedPort(): Promise<number> {
  const server = await loopback(() => {});
  const { port } = server;
  server.server.close();
  await once(server.server, 'close');
  return port;
}
