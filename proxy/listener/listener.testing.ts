import { connect, type Socket } from 'node:net';
import type { Transport } from '../http/transport.ts';
import type { Logger } from '../observe/logger.ts';
import type { RequestRecord } from '../observe/request-record.ts';
import { StatsRegistry } from '../observe/stats.ts';
import { TimerLists } from '../tcp/timer-list.ts';
import type { DownstreamConnectionInfo } from '../tls/peer-certificate.ts';
import { InMemorySecretStore } from '../tls/secret-store.ts';
import type { DownstreamTlsConfig } from '../tls/tls-config.ts';
import { TlsContexts } from '../tls/tls-context.ts';
import { clusterConfig, clusterDeps, Waitable } from '../upstream/cluster.testing.ts';
import { LiveClusterManager } from '../upstream/cluster-manager.ts';
import type { ListenerDeps } from './compiled-listener.ts';
import type { FilterChainConfig, ListenerConfig } from './listener-config.ts';
import { ListenerManager } from './listener-manager.ts';
import type { NetworkConnection, NetworkFilter } from './network-filter.ts';

/** What tests of listeners share. */

/** A filter that remembers what it is given and answers nothing. */
export class RecordingFilter extends Waitable implements NetworkFilter {
  readonly accepted: RecordedConnection[] = [];

  accept(
    transport: Transport,
    info: DownstreamConnectionInfo,
    originalDestination: string,
  ): NetworkConnection {
    const connection = new RecordedConnection(transport, info, originalDestination, this);
    this.accepted.push(connection);
    this.changed();
    return connection;
  }
}

export class RecordedConnection implements NetworkConnection {
  readonly transport: Transport;
  readonly info: DownstreamConnectionInfo;
  readonly originalDestination: string;
  readonly #filter: RecordingFilter;
  text = '';
  ended = false;
  closed = '';
  drained = false;

  constructor(
    transport: Transport,
    info: DownstreamConnectionInfo,
    originalDestination: string,
    filter: RecordingFilter,
  ) {
    this.transport = transport;
    this.info = info;
    this.originalDestination = originalDestination;
    this.#filter = filter;
  }
  receive(bytes: Buffer): void {
    this.text += bytes.toString('latin1');
    this.#filter.changed();
  }
  receiveEnd(): void {
    this.ended = true;
    this.#filter.changed();
  }
  close(detail: string): void {
    this.closed = detail;
    this.#filter.changed();
  }
  onTransportDrain(): void {}
  drain(): void {
    this.drained = true;
    this.#filter.changed();
  }
}

export class RecordingLog extends Waitable {
  readonly records: RequestRecord[] = [];
  log(record: RequestRecord): void {
    this.records.push(record);
    this.changed();
  }
}

/** Filters are found by the HTTP connection manager's `statPrefix`. */
export function httpChain(
  statPrefix: string,
  change: Partial<Omit<FilterChainConfig, 'match'>> & {
    match?: Partial<FilterChainConfig['match']>;
  } = {},
): FilterChainConfig {
  const { match, ...rest } = change;
  return {
    name: statPrefix,
    tls: null,
    transportConnectTimeoutMs: 10_000,
    filter: {
      kind: 'httpConnectionManager',
      config: { statPrefix, delayedCloseTimeoutMs: 1_000 } as never,
    },
    ...rest,
    match: {
      destinationPort: 0,
      prefixRanges: [],
      serverNames: [],
      transportProtocol: '',
      applicationProtocols: [],
      sourcePrefixRanges: [],
      ...match,
    },
  };
}

export function tcpChain(
  clusters: readonly { name: string; weight: number }[],
  change: Parameters<typeof httpChain>[1] & {
    idleTimeoutMs?: number;
    connectAttemptsMax?: number;
    accessLogs?: RecordingLog[];
  } = {},
): FilterChainConfig {
  const { idleTimeoutMs = 3_600_000, connectAttemptsMax = 1, accessLogs = [], ...rest } = change;
  return httpChain('tcp', {
    filter: {
      kind: 'tcpProxy',
      config: {
        statPrefix: 'tcp',
        clusters,
        endpoint: '',
        weightTotal: clusters.reduce((sum, { weight }) => sum + weight, 0),
        idleTimeoutMs,
        connectAttemptsMax,
        accessLogs,
      },
    },
    ...rest,
  });
}

export function listenerConfig(
  filterChains: readonly FilterChainConfig[],
  change: Partial<ListenerConfig> = {},
): ListenerConfig {
  return {
    name: 'test',
    version: '1',
    address: '127.0.0.1',
    port: 0,
    additionalAddresses: [],
    bindToPort: true,
    ignoresConnectionsMax: false,
    useOriginalDst: false,
    direction: 'INBOUND',
    inspectTls: false,
    inspectHttp: false,
    inspectTimeoutMs: 15_000,
    continueOnInspectTimeout: false,
    bufferBytesMax: 1024 * 1024,
    filterChains,
    defaultFilterChain: null,
    accessLogs: [],
    ...change,
  };
}

export function downstreamTls(change: Partial<DownstreamTlsConfig> = {}): DownstreamTlsConfig {
  return {
    certificateSecret: 'default',
    validationSecret: 'ROOTCA',
    subjectAltNames: [],
    alpnProtocols: ['istio-http/1.1', 'istio'],
    minVersion: 'TLSv1.2',
    maxVersion: 'TLSv1.3',
    ciphers: '',
    requireClientCertificate: true,
    ...change,
  };
}

export function listenerManager(change: Partial<ListenerDeps> = {}) {
  const stats = new StatsRegistry();
  const secrets = new InMemorySecretStore();
  const timers = change.timers ?? new TimerLists();
  const tlsContexts = new TlsContexts(secrets);
  const clusters = new LiveClusterManager({ ...clusterDeps({ timers, tlsContexts }), stats });
  const filters = new Map<string, RecordingFilter>();
  const logged: string[] = [];
  const filter = (name: string): RecordingFilter => {
    let found = filters.get(name);
    if (found === undefined) {
      found = new RecordingFilter();
      filters.set(name, found);
    }
    return found;
  };
  const line = (fields: unknown, message?: string) => {
    const reason = (fields as { reason?: string }).reason ?? String(fields);
    logged.push(`${message ?? ''}: ${reason}`);
  };
  const deps: ListenerDeps = {
    clusters,
    timers,
    random: Math.random,
    wallClockMs: () => 0,
    metrics: null,
    stats,
    tlsContexts,
    log: { info: line, warn: line, error: line } as unknown as Logger,
    httpConnectionManager: ({ statPrefix }) => filter(statPrefix),
    loadOriginalDestination: () => ({ kind: 'lookup', lookup: () => null }),
    connectionsPerListenerMax: 1_000,
    connectionsMax: 10_000,
    ...change,
  };
  const manager = new ListenerManager(deps);
  return { manager, deps, stats, secrets, clusters, filter, logged };
}

/** Adds the listener and gives its port. */
export async function bind(manager: ListenerManager, config: ListenerConfig): Promise<number> {
  const result = await manager.set(config);
  if (result.kind !== 'listening') throw new Error(JSON.stringify(result));
  return result.port;
}

/** A raw client that remembers what it gets. */
export class Client extends Waitable {
  readonly socket: Socket;
  text = '';
  ended = false;
  closed = false;
  error = '';

  constructor(socket: Socket) {
    super();
    this.socket = socket;
    socket.on('data', (bytes: Buffer) => {
      this.text += bytes.toString('latin1');
      this.changed();
    });
    socket.on('end', () => {
      this.ended = true;
      this.changed();
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.error = error.code ?? error.message;
      this.changed();
    });
    socket.on('close', () => {
      this.closed = true;
      this.changed();
    });
  }

  static to(port: number, host = '127.0.0.1'): Client {
    return new Client(connect({ port, host, allowHalfOpen: true }));
  }
}

export { clusterConfig };
