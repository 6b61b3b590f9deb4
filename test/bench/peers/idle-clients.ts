import { connect as connectPlain, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

/** Half of the least backlog among the proxies: connections that are being made at one time. */
const AT_ONCE = 100;

/** Connections to one port that do nothing, each after one request that was answered with 2xx. */
export class IdleClients {
  readonly #sockets: Socket[] = [];
  readonly #port: number;
  readonly #tls: boolean;

  constructor(port: number, tls: boolean) {
    this.#port = port;
    this.#tls = tls;
  }

  /** `count` more. @throws {Error} where one is refused, lost, or not answered with 2xx */
  async open(count: number): Promise<void> {
    for (let made = 0; made < count; made += AT_ONCE) {
      const some = Array.from({ length: Math.min(AT_ONCE, count - made) }, () => this.#openOne());
      await Promise.all(some);
    }
  }

  /** How many have been lost. */
  get lost(): number {
    return this.#sockets.filter((socket) => socket.destroyed).length;
  }

  close(): void {
    for (const socket of this.#sockets.splice(0)) socket.destroy();
  }

  #openOne(): Promise<void> {
    return new Promise((resolve, reject) => {
      const at = { port: this.#port, host: '127.0.0.1' };
      const socket = this.#tls
        ? connectTls({ ...at, rejectUnauthorized: false })
        : connectPlain(at);
      this.#sockets.push(socket);
      socket.once('error', reject);
      socket.once('close', () => reject(new Error('an idle connection was closed')));
      socket.once(this.#tls ? 'secureConnect' : 'connect', () => {
        socket.write('GET /0 HTTP/1.1\r\nhost: a\r\n\r\n');
      });
      socket.setEncoding('latin1').once('data', (text: string) => {
        if (/^HTTP\/1\.1 2/.test(text)) resolve();
        else reject(new Error(`answered ${JSON.stringify(text.slice(0, 60))}`));
      });
    });
  }
}
