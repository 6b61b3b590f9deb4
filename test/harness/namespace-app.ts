import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer as createHttpServer, request } from 'node:http';
import { connect, createServer, type Socket } from 'node:net';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';

/**
 * An app that was never told of a mesh, in a network namespace: serves and calls whatever the test asks over its IPC
 * channel (`namespace-app-client.ts`). Run as a program.
 */

export type TcpService =
  /** Sends back what comes, and its end. */
  | 'echo'
  /** Says `220 ready` before the client says anything, then echoes. */
  | 'server-first'
  /** Answers with the number and SHA-256 of all bytes once the client has ended its side. */
  | 'digest'
  /** Reads an eight-digit number, sends so many bytes, ends. */
  | 'source'
  /** Sends `partial`, and a little later resets the connection. */
  | 'reset'
  /** Reads nothing at all until `resume`. */
  | 'stalled';

export interface TlsMaterial {
  readonly key: string;
  readonly cert: string;
}

export interface HttpReply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** How an exchange ended: the peer's FIN, its RST, no connection at all, or not within the time. */
export interface Exchange {
  readonly end: 'fin' | 'reset' | 'refused' | 'timeout' | 'enough';
  readonly text: string;
  readonly bytes: number;
  readonly sha256: string;
  /** Milliseconds from the connection to the first byte, or -1. */
  readonly firstByteMs: number;
  readonly code: string;
}

/** What a port has seen so far. */
export interface Served {
  readonly connections: number;
  readonly bytes: number;
  /** Peer addresses, the latest last. */
  readonly peers: readonly string[];
}

export interface ExchangeOptions {
  readonly host: string;
  readonly port: number;
  readonly send?: string;
  /** Bytes of filler after `send`. */
  readonly fill?: number;
  /** Half-close after what is sent. */
  readonly end?: boolean;
  /** Done as soon as this text has come. */
  readonly enough?: string;
  readonly timeoutMs?: number;
  readonly tls?: boolean;
}

export interface RequestOptions {
  readonly host: string;
  readonly port: number;
  readonly path?: string;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface Calls {
  http(options: { port: number; name: string; host?: string }): Promise<void>;
  tcp(options: { port: number; service: TcpService; host?: string }): Promise<void>;
  tls(options: { port: number; host?: string } & TlsMaterial): Promise<void>;
  request(options: RequestOptions): Promise<HttpReply>;
  exchange(options: ExchangeOptions): Promise<Exchange>;
  served(options: { port: number }): Promise<Served>;
  /** Milliseconds for each of `count` requests or connections, one after another. */
  latencies(options: RequestOptions & { count: number; kind: 'http' | 'tcp' }): Promise<number[]>;
  resume(options: { port: number }): Promise<void>;
}

interface PortRecord {
  connections: number;
  bytes: number;
  peers: string[];
  sockets: Set<Socket>;
}

const ports = new Map<number, PortRecord>();

const calls: Calls = {
  async http({ port, name, host = '::' }) {
    const record = recordOf(port);
    const server = createHttpServer((incoming, response) => {
      incoming.on('data', (chunk: Buffer) => {
        record.bytes += chunk.length;
      });
      incoming.on('end', () => {
        const { method, url, headers, socket } = incoming;
        const status = Number(/^\/status\/(\d{3})/.exec(url ?? '')?.[1] ?? 200);
        const { localAddress } = socket;
        const peer = plain(socket.remoteAddress);
        const seen = { app: name, method, url, headers, peer, local: plain(localAddress) };
        response.writeHead(status, { 'content-type': 'application/json' });
        response.end(JSON.stringify(seen));
      });
    });
    server.on('connection', (socket) => note(record, socket));
    server.keepAliveTimeout = 60_000;
    server.listen(port, host);
    await once(server, 'listening');
  },

  async tcp({ port, service, host = '::' }) {
    const record = recordOf(port);
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      note(record, socket);
      serve(service, socket, record);
    });
    server.listen(port, host);
    await once(server, 'listening');
  },

  async tls({ port, host = '::', key, cert }) {
    const record = recordOf(port);
    const server = createTlsServer({ key, cert }, (socket) => {
      socket.on('error', () => {});
      socket.pipe(socket);
    });
    server.on('connection', (socket) => note(record, socket));
    server.on('tlsClientError', () => {});
    server.listen(port, host);
    await once(server, 'listening');
  },

  request: httpRequest,
  exchange: tcpExchange,

  served: async ({ port }) => {
    const { connections, bytes, peers } = recordOf(port);
    return { connections, bytes, peers: peers.slice(-20) };
  },

  async latencies({ count, kind, ...options }) {
    const times: number[] = [];
    for (let done = 0; done < count; done++) {
      const startMs = performance.now();
      if (kind === 'http') await httpRequest(options);
      else await tcpExchange({ ...options, send: 'x', enough: 'x' });
      times.push(performance.now() - startMs);
    }
    return times;
  },

  async resume({ port }) {
    for (const socket of recordOf(port).sockets) socket.resume();
  },
};

function recordOf(port: number): PortRecord {
  let record = ports.get(port);
  if (record === undefined) {
    record = { connections: 0, bytes: 0, peers: [], sockets: new Set() };
    ports.set(port, record);
  }
  return record;
}

function note(record: PortRecord, socket: Socket): void {
  record.connections += 1;
  record.peers.push(plain(socket.remoteAddress));
  if (record.peers.length > 100) record.peers.shift();
  record.sockets.add(socket);
  socket.on('close', () => record.sockets.delete(socket));
  socket.on('error', () => {});
}

function serve(service: TcpService, socket: Socket, record: PortRecord): void {
  if (service === 'stalled') {
    socket.on('data', (chunk: Buffer) => {
      record.bytes += chunk.length;
    });
    socket.on('end', () => socket.end(String(record.bytes)));
    socket.pause();
    return;
  }
  if (service === 'server-first') socket.write('220 ready\n');
  const hash = createHash('sha256');
  let bytes = 0;
  socket.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    record.bytes += chunk.length;
    if (service === 'reset') {
      socket.write('partial');
      setTimeout(() => socket.resetAndDestroy(), RESET_AFTER_MS);
    } else if (service === 'digest') hash.update(chunk);
    else if (service === 'source') {
      if (bytes === chunk.length) fill(socket, Number(chunk.toString('latin1', 0, 8)), true);
    } else if (!socket.write(chunk)) {
      socket.pause();
      socket.once('drain', () => socket.resume());
    }
  });
  socket.on('end', () => {
    if (service === 'digest') socket.end(`${bytes} ${hash.digest('hex')}`);
    else if (service !== 'source') socket.end();
  });
}

/** A reset that overtakes the bytes before it would be told without them. */
const RESET_AFTER_MS = 200;

const FILLER = Buffer.alloc(64 * 1024, 'weft');

/** Writes `total` bytes no faster than they are taken. */
function fill(socket: Socket, total: number, end: boolean): void {
  let left = total;
  const pump = (): void => {
    while (left > 0 && !socket.destroyed) {
      const chunk = left >= FILLER.length ? FILLER : FILLER.subarray(0, left);
      left -= chunk.length;
      if (!socket.write(chunk) && left > 0) {
        socket.once('drain', pump);
        return;
      }
    }
    if (end) socket.end();
  };
  pump();
}

function httpRequest(options: RequestOptions): Promise<HttpReply> {
  const { host, port, path = '/', method = 'GET', headers = {}, body } = options;
  return new Promise((resolve, reject) => {
    const outgoing = request(
      { host, port, path, method, headers, agent: false, timeout: 20_000 },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk;
        });
        response.on('error', reject);
        response.on('end', () => {
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers as Record<string, string>,
            body: text,
          });
        });
      },
    );
    outgoing.on('timeout', () => outgoing.destroy(new Error('no answer within 20 s')));
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

function tcpExchange(options: ExchangeOptions): Promise<Exchange> {
  const { host, port, send = '', fill: filler = 0, end = false, enough } = options;
  return new Promise((resolve) => {
    const hash = createHash('sha256');
    let text = '';
    let bytes = 0;
    let connectedMs = 0;
    let firstByteMs = -1;
    const target = { host, port, allowHalfOpen: true };
    const socket: Socket =
      options.tls === true ? connectTls({ ...target, rejectUnauthorized: false }) : connect(target);
    const finish = (ending: Exchange['end'], code = ''): void => {
      clearTimeout(timer);
      socket.destroy();
      const sha256 = bytes > 0 && !hashed ? hash.digest('hex') : '';
      hashed = true;
      resolve({ end: ending, text, bytes, sha256, firstByteMs, code });
    };
    let hashed = false;
    const timer = setTimeout(() => finish('timeout'), options.timeoutMs ?? 20_000);
    socket.once(options.tls === true ? 'secureConnect' : 'connect', () => {
      connectedMs = performance.now();
      if (send !== '') socket.write(send);
      if (filler > 0) fill(socket, filler, end);
      else if (end) socket.end();
    });
    socket.on('data', (chunk: Buffer) => {
      if (firstByteMs < 0) firstByteMs = performance.now() - connectedMs;
      bytes += chunk.length;
      if (!hashed) hash.update(chunk);
      if (text.length < 4096) text += chunk.toString('latin1', 0, 4096);
      if (enough !== undefined && text.includes(enough)) finish('enough');
    });
    socket.on('end', () => finish('fin'));
    socket.on('error', (error: NodeJS.ErrnoException) => {
      const code = error.code ?? error.message;
      finish(code === 'ECONNREFUSED' ? 'refused' : 'reset', code);
    });
  });
}

function plain(address: string | undefined): string {
  return (address ?? '').replace(/^::ffff:/, '');
}

if (process.send !== undefined) {
  process.on('message', (message: { id: number; call: keyof Calls; options: never }) => {
    calls[message.call](message.options).then(
      (value) => process.send!({ id: message.id, value }),
      (error: Error) => process.send!({ id: message.id, error: error.message }),
    );
  });
  // The test is gone.
  process.on('disconnect', () => process.exit(0));
  process.send({ id: 0, value: 'up' });
}
