import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';
import { decode, encode } from 'dns-packet';

/**
 * A name server for tests: `*.outside.example` is 198.51.100.9, `long.outside.example` has sixty addresses, and there is
 * nothing else. As a program: `name-server.ts <host> <port>`.
 */
export async function startNameServer(host: string, port: number): Promise<NameServer> {
  const asked: string[] = [];
  const answer = (query: Buffer, bytesMax: number): Buffer => {
    const { id, questions = [] } = decode(query);
    const { name, type } = questions[0]!;
    asked.push(`${name} ${type}`);
    const isKnown = name.toLowerCase().endsWith('.outside.example');
    const last = name.startsWith('long.') ? 60 : 1;
    const answers = Array.from({ length: isKnown && type === 'A' ? last : 0 }, (_, n) => {
      return { type: 'A' as const, name, ttl: 7, data: `198.51.100.${9 + n}` };
    });
    const message = { type: 'response' as const, id: id!, questions };
    const flags = 0x0180 | (isKnown ? 0 : 3);
    const whole = encode({ ...message, flags, answers });
    return whole.length <= bytesMax ? whole : encode({ ...message, flags: flags | 0x0200 });
  };
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      const reply = answer(chunk.subarray(2), 65_535);
      const length = Buffer.alloc(2);
      length.writeUInt16BE(reply.length);
      socket.write(Buffer.concat([length, reply]));
    });
  });
  await new Promise<void>((done) => server.listen(port, host, done));
  const bound = (server.address() as { port: number }).port;
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
  socket.on('message', (query, from) => socket.send(answer(query, 512), from.port, from.address));
  await new Promise<void>((done) => socket.bind(bound, host, done));
  return {
    port: bound,
    asked,
    close: async () => {
      await new Promise<void>((done) => socket.close(done));
      await new Promise((done) => server.close(done));
    },
  };
}

export interface NameServer {
  readonly port: number;
  /** `name type`, in their order. */
  readonly asked: readonly string[];
  close(): Promise<void>;
}

if (import.meta.main) {
  const [host = '127.0.0.1', port = '53'] = process.argv.slice(2);
  await startNameServer(host, Number(port));
  process.stdout.write('listening\n');
}
