import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { createServer, isIPv6, type Server, type Socket } from 'node:net';
import type { HostPort } from '../tcp/socket-address.ts';
import { DnsConnection, type Reply } from './dns-connection.ts';

export interface DnsListenersOptions {
  readonly address: HostPort;
  readonly after: (delayMs: number, callback: () => void) => () => void;
  /** `reply` is called once, with null for no answer. */
  readonly onUdp: (message: Buffer, port: number, reply: Reply) => void;
  readonly onTcp: (message: Buffer, reply: Reply) => void;
  readonly onTrouble: (error: Error) => void;
}

/** Connections at a time. */
const CONNECTIONS_MAX = 128;
/** Times that a port is looked for that is free for both UDP and TCP. */
const PORT_ATTEMPTS = 16;

/** The sockets: UDP and TCP on one address, and on ::1 beside 127.0.0.1. */
export class DnsListeners {
  readonly #options: DnsListenersOptions;
  readonly #servers: Server[] = [];
  readonly #sockets: UdpSocket[] = [];
  readonly #connections = new Set<DnsConnection>();

  constructor(options: DnsListenersOptions) {
    this.#options = options;
  }

  async open(): Promise<readonly HostPort[]> {
    const first = await this.#openBoth(this.#options.address);
    if (first.host !== '127.0.0.1') return [first];
    try {
      return [first, await this.#openBoth({ host: '::1', port: first.port })];
    } catch (error) {
      // A host without IPv6 has nobody who asks there.
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'EADDRNOTAVAIL' && code !== 'EAFNOSUPPORT') {
        this.#options.onTrouble(error as Error);
      }
      return [first];
    }
  }

  async close(): Promise<void> {
    for (const connection of this.#connections) connection.destroy();
    const closing = [
      ...this.#servers.map((server) => new Promise<void>((done) => server.close(() => done()))),
      ...this.#sockets.map((socket) => new Promise<void>((done) => socket.close(() => done()))),
    ];
    this.#servers.length = 0;
    this.#sockets.length = 0;
    await Promise.all(closing);
  }

  /** With port 0 until one is found that both protocols have. */
  async #openBoth(address: HostPort): Promise<HostPort> {
    const host = address.host === 'localhost' ? '127.0.0.1' : address.host;
    for (let attempt = 1; ; attempt++) {
      const server = await this.#openTcp(host, address.port);
      const { port } = server.address() as { port: number };
      try {
        this.#sockets.push(await this.#openUdp(host, port));
        this.#servers.push(server);
        return { host, port };
      } catch (error) {
        await new Promise((done) => server.close(done));
        if (address.port !== 0 || attempt === PORT_ATTEMPTS) throw error;
      }
    }
  }

  #openUdp(host: string, port: number): Promise<UdpSocket> {
    const socket = createSocket({ type: isIPv6(host) ? 'udp6' : 'udp4', ipv6Only: isIPv6(host) });
    return new Promise((resolve, reject) => {
      socket.once('error', (error) => {
        socket.close();
        reject(error);
      });
      socket.bind({ address: host, port, exclusive: true }, () => {
        socket.removeAllListeners('error');
        socket.on('error', this.#options.onTrouble);
        socket.on('message', (message, { address, port: from }) => {
          this.#options.onUdp(message, from, (bytes) => {
            // Port 0 is nobody's; the socket may be closed by the time that a name server answers.
            if (bytes === null || from === 0 || !this.#sockets.includes(socket)) return;
            socket.send(bytes, from, address, () => {});
          });
        });
        resolve(socket);
      });
    });
  }

  #openTcp(host: string, port: number): Promise<Server> {
    const server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) =>
      this.#accept(socket),
    );
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host, port, exclusive: true, ipv6Only: isIPv6(host) }, () => {
        server.removeAllListeners('error');
        server.on('error', this.#options.onTrouble);
        resolve(server);
      });
    });
  }

  /** One too many takes the place of the one that has been idle longest: slow clients keep nobody out. */
  #accept(socket: Socket): void {
    if (this.#connections.size >= CONNECTIONS_MAX) {
      for (const connection of this.#connections) {
        if (!connection.isIdle) continue;
        this.#connections.delete(connection);
        connection.destroy();
        break;
      }
    }
    if (this.#connections.size >= CONNECTIONS_MAX) {
      socket.destroy();
      return;
    }
    const connection = new DnsConnection(socket, {
      after: this.#options.after,
      onMessage: this.#options.onTcp,
      onClose: (closed) => this.#connections.delete(closed),
    });
    this.#connections.add(connection);
  }
}
