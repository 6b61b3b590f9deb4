import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { createServer, isIPv6, type Server, type Socket } from 'node:net';
import { MessageFrames } from './message-frames.ts';
import type { SocketAddress } from './name-servers.ts';

export interface DnsListenersOptions {
  readonly address: SocketAddress;
  readonly after: (delayMs: number, callback: () => void) => () => void;
  /** `reply` is called once, with null for no answer. */
  readonly onUdp: (message: Buffer, port: number, reply: Reply) => void;
  readonly onTcp: (message: Buffer, reply: Reply) => void;
  readonly onTrouble: (error: Error) => void;
}

export type Reply = (bytes: Buffer | null) => void;

/** Connections at a time on one address; the next one is closed. */
const CONNECTIONS_MAX = 128;
/** Milliseconds in which a client has to send a whole question, the first and each further one. */
const QUESTION_MS = 10_000;
/** Questions of one connection that wait for their answers; further ones are not read meanwhile. */
const WAITING_MAX = 32;
/** Bytes of a question; the name has 255, and the rest is options. */
const QUESTION_BYTES_MAX = 4_096;
/** Bytes of answers that a client does not take; then it is cut off. */
const UNREAD_BYTES_MAX = 1024 * 1024;
/** Times that a port is looked for that is free for both UDP and TCP. */
const PORT_ATTEMPTS = 16;

/** The sockets: UDP and TCP on one address, and on ::1 beside 127.0.0.1. */
export class DnsListeners {
  readonly #options: DnsListenersOptions;
  readonly #servers: Server[] = [];
  readonly #sockets: UdpSocket[] = [];
  readonly #connections = new Set<Socket>();

  constructor(options: DnsListenersOptions) {
    this.#options = options;
  }

  async open(): Promise<readonly SocketAddress[]> {
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
    for (const socket of this.#connections) socket.destroy();
    const closing = [
      ...this.#servers.map((server) => new Promise<void>((done) => server.close(() => done()))),
      ...this.#sockets.map((socket) => new Promise<void>((done) => socket.close(() => done()))),
    ];
    this.#servers.length = 0;
    this.#sockets.length = 0;
    await Promise.all(closing);
  }

  /** With port 0 until one is found that both protocols have. */
  async #openBoth(address: SocketAddress): Promise<SocketAddress> {
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

  #accept(socket: Socket): void {
    if (this.#connections.size >= CONNECTIONS_MAX) {
      socket.destroy();
      return;
    }
    this.#connections.add(socket);
    const frames = new MessageFrames(QUESTION_BYTES_MAX);
    let waiting = 0;
    let hasEnded = false;
    let cancelDeadline = (): void => {};
    // Runs while a question is awaited, from its beginning: a client that trickles bytes does not move it.
    const expectQuestion = (): void => {
      cancelDeadline();
      cancelDeadline = this.#options.after(QUESTION_MS, () => {
        if (waiting > 0) expectQuestion();
        else socket.destroy();
      });
    };
    const answer: Reply = (bytes) => {
      waiting--;
      if (socket.destroyed) return;
      if (waiting < WAITING_MAX) socket.resume();
      if (bytes !== null) {
        const length = Buffer.alloc(2);
        length.writeUInt16BE(bytes.length);
        socket.write(Buffer.concat([length, bytes]));
      }
      if (socket.writableLength > UNREAD_BYTES_MAX) socket.destroy();
      else if (hasEnded && waiting === 0) socket.end();
    };
    socket.on('data', (chunk: Buffer) => {
      const messages = frames.add(chunk);
      if (frames.isTooLong) {
        socket.destroy();
        return;
      }
      if (messages.length > 0) expectQuestion();
      for (const message of messages) {
        waiting++;
        this.#options.onTcp(message, answer);
      }
      if (waiting >= WAITING_MAX) socket.pause();
    });
    socket.on('end', () => {
      // It asks no more, and still reads.
      hasEnded = true;
      if (waiting === 0) socket.end();
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      cancelDeadline();
      this.#connections.delete(socket);
    });
    expectQuestion();
  }
}
