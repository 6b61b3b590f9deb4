import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { StatsRegistry } from '../observe/stats.ts';
import { readingDirectly } from '../tcp/direct-reads.ts';
import { formatAddress, type HostPort, unmapped } from '../tcp/socket-address.ts';
import { AcceptedConnection } from './accepted-connection.ts';
import type { CompiledListener, ListenerDeps } from './compiled-listener.ts';
import { type ListenerConfig, listenerAddresses } from './listener-config.ts';
import { ListenerStats } from './listener-stats.ts';
import type { OriginalDestination } from './original-destination.ts';

/** Finds the listener that owns an original destination, and asks the kernel for it. */
export interface Redirection {
  originalDestination(socket: Socket): OriginalDestination | null;
  owner(destination: OriginalDestination): CompiledListener | null;
  /** Connections of all listeners under way. */
  readonly connectionsActive: number;
}

export interface BoundAddress {
  readonly address: string;
  readonly port: number;
}

interface BoundSocket extends BoundAddress {
  readonly server: Server;
}

export type ListenResult =
  | ({ readonly kind: 'listening' } & BoundAddress)
  /** `bindToPort` is false: connections come from other listeners. */
  | { readonly kind: 'unbound' }
  | { readonly kind: 'problem'; readonly detail: string };

/**
 * Connections are counted by the listener that accepts them. The others, which may be thousands (an address each),
 * share what nobody reads: no page has to show rows of zeros.
 */
const NOT_COUNTED = new ListenerStats(new StatsRegistry(), '', '', () => 0);
/** Connections that the kernel holds until they are accepted. */
const BACKLOG = 1_024;
/** Lines a second of refused connections in the operational log; the counters have them all. */
const REFUSALS_LOGGED_PER_S = 10;

/** One listener: its socket, its configuration, its connections. */
export class LiveListener {
  readonly name: string;
  readonly deps: ListenerDeps;
  readonly stats: ListenerStats;
  /** Swapped in one assignment; connections keep what they began with. */
  compiled: CompiledListener;
  readonly connections = new Set<AcceptedConnection>();
  readonly #redirection: Redirection;
  #sockets: readonly BoundSocket[] = [];
  #draining = false;
  #logWindowMs = 0;
  #loggedInWindow = 0;

  constructor(compiled: CompiledListener, deps: ListenerDeps, redirection: Redirection) {
    const { config } = compiled;
    this.name = config.name;
    this.deps = deps;
    this.compiled = compiled;
    this.#redirection = redirection;
    const address = formatAddress(config.address, config.port);
    this.stats = config.bindToPort
      ? new ListenerStats(deps.stats, config.name, address, () => this.connections.size)
      : NOT_COUNTED;
  }

  get config(): ListenerConfig {
    return this.compiled.config;
  }

  /** What is bound: the configured port, or the one that the kernel chose for 0. Null when not bound. */
  get bound(): BoundAddress | null {
    return this.#sockets[0] ?? null;
  }

  /** All that is bound: the first address and the additional ones. */
  get allBound(): readonly BoundAddress[] {
    return this.#sockets;
  }

  /** Binds every address; where one cannot be had, none is. */
  async listen(): Promise<ListenResult> {
    const { config } = this;
    if (!config.bindToPort) return { kind: 'unbound' };
    for (const address of listenerAddresses(config)) {
      const bound = await this.#bind(address);
      if (typeof bound === 'string') {
        this.stopAccepting();
        return { kind: 'problem', detail: bound };
      }
      this.#sockets = [...this.#sockets, bound];
    }
    const { address, port } = this.#sockets[0]!;
    return { kind: 'listening', address, port };
  }

  #bind({ host, port }: HostPort): Promise<BoundSocket | string> {
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true });
    server.on('connection', (socket) => this.#onSocket(readingDirectly(socket)));
    return new Promise((resolve) => {
      const onListenError = (error: NodeJS.ErrnoException) => {
        resolve(this.#listenProblem(host, port, error));
      };
      server.once('error', onListenError);
      // The families have a socket each, so that no address is ever an IPv4-mapped one.
      server.listen({ host, port, backlog: BACKLOG, ipv6Only: host.includes(':') }, () => {
        server.removeListener('error', onListenError);
        server.on('error', (error) => {
          this.deps.log.error({ listener: this.name, err: error }, 'listener socket failed');
        });
        // Kept: asking the socket is a system call, and the loop check asks once a request.
        const bound = server.address() as AddressInfo;
        resolve({ server, address: bound.address, port: bound.port });
      });
    });
  }

  /** New connections get `compiled`; those under way are asked to finish. */
  swap(compiled: CompiledListener): void {
    this.compiled = compiled;
    for (const connection of [...this.connections]) connection.drain();
  }

  /** Every connection is asked to finish, later ones at once when they are accepted. */
  drain(): void {
    this.#draining = true;
    for (const connection of [...this.connections]) connection.drain();
  }

  stopAccepting(): void {
    for (const { server } of this.#sockets) server.close();
    this.#sockets = [];
  }

  /** Ends everything now. */
  destroy(): void {
    this.stopAccepting();
    for (const connection of [...this.connections]) connection.destroy();
    this.closeStats();
  }

  /** Its series end; what is under way is counted no longer. */
  closeStats(): void {
    if (this.stats !== NOT_COUNTED) this.stats.close();
  }

  /** For `AcceptedConnection` only. */
  onConnectionEnd(connection: AcceptedConnection): void {
    if (this.connections.delete(connection)) this.stats.connectionsDestroyed.value++;
  }

  /** For `AcceptedConnection` only. */
  logRefusal(level: 'info' | 'warn', remote: string, port: number, reason: string): void {
    if (!this.#mayLog()) return;
    this.deps.log[level]({ listener: this.name, remote, port, reason }, 'connection refused');
  }

  #mayLog(): boolean {
    const nowMs = this.deps.timers.clock.nowMs();
    if (nowMs - this.#logWindowMs >= 1_000) {
      this.#logWindowMs = nowMs;
      this.#loggedInWindow = 0;
    }
    return ++this.#loggedInWindow <= REFUSALS_LOGGED_PER_S;
  }

  #onSocket(socket: Socket): void {
    this.stats.connectionsTotal.value++;
    const { connectionsPerListenerMax, connectionsMax } = this.deps;
    if (
      this.connections.size >= connectionsPerListenerMax ||
      (!this.config.ignoresConnectionsMax && this.#redirection.connectionsActive >= connectionsMax)
    ) {
      this.stats.connectionsOverflow.value++;
      socket.on('error', ignore);
      socket.resetAndDestroy();
      return;
    }
    const { useOriginalDst, direction } = this.config;
    const destination = useOriginalDst ? this.#redirection.originalDestination(socket) : null;
    if (useOriginalDst && destination === null && this.#mayLog()) {
      const remote = formatAddress(unmapped(socket.remoteAddress ?? ''), socket.remotePort ?? 0);
      this.deps.log.info({ listener: this.name, remote }, 'a connection was not redirected here');
    }
    // An inbound listener only wants to know the port; the owners are outbound listeners.
    const owner =
      destination === null || direction === 'INBOUND' ? null : this.#redirection.owner(destination);
    const connection = new AcceptedConnection(this, owner ?? this.compiled, socket, destination);
    this.connections.add(connection);
    if (this.#draining) connection.drain();
    try {
      connection.start();
    } catch (error) {
      // A bug of one connection must not end the process.
      this.deps.log.error({ listener: this.name, err: error }, 'accepting a connection failed');
      connection.destroy();
    }
  }

  #listenProblem(host: string, port: number, error: NodeJS.ErrnoException): string {
    const where = formatAddress(host, port);
    const why =
      error.code === 'EADDRINUSE'
        ? 'another process has the port (EADDRINUSE)'
        : error.code === 'EACCES'
          ? 'the port needs a privilege that this process does not have (EACCES)'
          : error.code === 'EADDRNOTAVAIL'
            ? 'the address is not one of this host (EADDRNOTAVAIL)'
            : error.code === 'EAFNOSUPPORT'
              ? 'this host has no addresses of that family (EAFNOSUPPORT)'
              : error.message;
    return `listener '${this.name}' cannot listen on ${where}: ${why}`;
  }
}

function ignore(): void {}
