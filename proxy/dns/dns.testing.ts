import { createSocket } from 'node:dgram';
import { connect, createServer } from 'node:net';
import { decode, encode, type Packet } from 'dns-packet';
import type { HostPort } from '../tcp/socket-address.ts';
import type { NamedHost, NameTableConfig } from './name-table-config.ts';

/** Tables, clients and name servers for tests. */

/** `{ 'reviews.default.svc.cluster.local': ['10.0.0.1'] }` */
export function nameTable(
  hosts: Readonly<Record<string, readonly string[]>>,
  ports: NamedHost['ports'] = [{ name: 'http', protocol: 'tcp', number: 9080 }],
): NameTableConfig {
  return {
    version: '1',
    hosts: new Map(
      Object.entries(hosts).map(([host, ips]) => {
        const local = /^([^.]+)\.([^.]+)\.svc\./.exec(host);
        const named: NamedHost = {
          host,
          v4: ips.filter((ip) => !ip.includes(':')),
          v6: ips.filter((ip) => ip.includes(':')),
          shortname: local?.[1] ?? '',
          namespace: local?.[2] ?? '',
          ports,
        };
        return [host, named];
      }),
    ),
  };
}

export function question(
  name: string,
  type = 'A',
  options: { id?: number; ednsBytes?: number; flags?: number } = {},
): Buffer {
  const { id = 0x1234, ednsBytes = 0, flags = 0x0100 } = options;
  return encode({
    type: 'query',
    id,
    flags,
    questions: [{ type: type as 'A', name }],
    additionals:
      ednsBytes === 0
        ? []
        : [
            {
              type: 'OPT',
              name: '.',
              udpPayloadSize: ednsBytes,
              extendedRcode: 0,
              ednsVersion: 0,
              flags: 0,
              flag_do: false,
              options: [],
            },
          ],
  });
}

/** A message as `name type data` lines. */
export function told(message: Buffer) {
  const packet = decode(message) as unknown as Packet & {
    rcode: string;
    flag_tc: boolean;
    flag_aa: boolean;
  };
  const lines = (records: Packet['answers'] = []) =>
    records
      .filter(({ type }) => type !== 'OPT')
      .map((each) => {
        const { name, type, data } = each as { name: string; type: string; data: unknown };
        return `${name} ${type} ${typeof data === 'object' ? JSON.stringify(data) : data}`;
      });
  return {
    id: packet.id,
    code: packet.rcode,
    isCut: packet.flag_tc,
    isOwn: packet.flag_aa,
    questions: (packet.questions ?? []).map(({ name, type }) => `${name} ${type}`),
    answers: lines(packet.answers),
    additionals: lines(packet.additionals),
    ttls: (packet.answers ?? []).map((each) => (each as { ttl?: number }).ttl),
    hasEdns: (packet.additionals ?? []).some(({ type }) => type === 'OPT'),
  };
}

/** Sends datagrams; the first answer, or null after `waitMs`. */
export function askUdp(to: HostPort, bytes: Buffer, waitMs = 8_000): Promise<Buffer | null> {
  const socket = createSocket(to.host.includes(':') ? 'udp6' : 'udp4');
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => end(null), waitMs);
    const end = (answer: Buffer | null): void => {
      clearTimeout(timer);
      socket.close();
      resolve(answer);
    };
    socket.on('error', reject);
    socket.on('message', end);
    socket.send(bytes, to.port, to.host);
  });
}

export function framed(bytes: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

/** Writes to a connection and ends it; everything that came back, message by message. */
export function askTcp(to: HostPort, ...writes: Buffer[]): Promise<Buffer[]> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const socket = connect({ port: to.port, host: to.host, allowHalfOpen: true });
    for (const bytes of writes) socket.write(bytes);
    socket.end();
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('error', reject);
    socket.on('close', () => {
      const all = Buffer.concat(chunks);
      const messages: Buffer[] = [];
      for (let at = 0; at < all.length; ) {
        const end = at + 2 + all.readUInt16BE(at);
        messages.push(all.subarray(at + 2, end));
        at = end;
      }
      resolve(messages);
    });
  });
}

export interface FakeNameServer {
  readonly address: HostPort;
  /** What was asked, `name type over`. */
  readonly asked: string[];
  /** The questions themselves, with where they came from. */
  readonly packets: { readonly bytes: Buffer; readonly port: number }[];
  close(): Promise<void>;
}

/** Answers with what `respond` gives for a question: nothing, one message or several. */
export async function fakeNameServer(
  respond: (query: Buffer, over: 'udp' | 'tcp') => readonly Buffer[] | null,
): Promise<FakeNameServer> {
  const asked: string[] = [];
  const packets: { bytes: Buffer; port: number }[] = [];
  const note = (bytes: Buffer, over: string, port: number) => {
    asked.push(`${told(bytes).questions[0]} ${over}`);
    packets.push({ bytes, port });
  };
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      const query = chunk.subarray(2);
      note(query, 'tcp', socket.remotePort ?? 0);
      for (const answer of respond(query, 'tcp') ?? []) socket.write(framed(answer));
    });
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as { port: number };
  const socket = createSocket('udp4');
  socket.on('message', (query, from) => {
    note(query, 'udp', from.port);
    for (const answer of respond(query, 'udp') ?? []) socket.send(answer, from.port, from.address);
  });
  await new Promise<void>((done) => socket.bind(port, '127.0.0.1', done));
  return {
    address: { host: '127.0.0.1', port },
    asked,
    packets,
    close: async () => {
      await new Promise<void>((done) => socket.close(done));
      await new Promise((done) => server.close(done));
    },
  };
}

/** A name server's answer: the question back, with these addresses. */
export function answered(query: Buffer, addresses: readonly string[], flags = 0x0180): Buffer {
  const { id, questions = [] } = decode(query);
  const { name } = questions[0]!;
  return encode({
    type: 'response',
    id: id!,
    flags,
    questions,
    answers: addresses.map((data) => ({ type: 'A', name, ttl: 7, data })),
  });
}
