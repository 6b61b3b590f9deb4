import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { connect } from 'node:tls';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { CLIENT_HELLO_BYTES_MAX, ClientHelloParser, HelloResult } from './client-hello.ts';

/** The first bytes that Node's own client sends. */
async function realHello(servername: string, alpn: string[]): Promise<Buffer> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connect({
    port: (server.address() as AddressInfo).port,
    host: '127.0.0.1',
    servername,
    ...(alpn.length === 0 ? {} : { ALPNProtocols: alpn }),
    rejectUnauthorized: false,
  });
  client.on('error', () => {});
  const [socket] = await once(server, 'connection');
  const [bytes] = await once(socket, 'data');
  client.destroy();
  socket.destroy();
  server.close();
  return bytes as Buffer;
}

/** Splits the handshake message of one record over many. */
function inRecordsOf(hello: Buffer, fragmentBytes: number): Buffer {
  const message = hello.subarray(5);
  const records: Buffer[] = [];
  for (let at = 0; at < message.length; at += fragmentBytes) {
    const fragment = message.subarray(at, at + fragmentBytes);
    records.push(Buffer.from([22, 3, 1, fragment.length >> 8, fragment.length & 255]), fragment);
  }
  return Buffer.concat(records);
}

function outcome(chunks: readonly Buffer[]): string {
  const parser = new ClientHelloParser();
  for (const chunk of chunks) {
    const result = parser.write(chunk);
    if (result === HelloResult.Malformed) return `malformed ${parser.problem}`;
    if (result === HelloResult.Complete) {
      return `${parser.serverName} [${parser.alpnProtocols.join(' ')}]`;
    }
  }
  return 'needMore';
}

let hello: Buffer;
beforeAll(async () => {
  hello = await realHello('Reviews.Example', ['istio-http/1.1', 'istio']);
});
const WHOLE = 'reviews.example [istio-http/1.1 istio]';

describe('ClientHelloParser', () => {
  test('server name and protocols of a real hello, whole, byte by byte, and cut at every offset', () => {
    expect(outcome([hello])).toBe(WHOLE);
    expect(outcome([...hello].map((byte) => Buffer.from([byte])))).toBe(WHOLE);
    for (let cut = 1; cut < hello.length; cut++) {
      expect(outcome([hello.subarray(0, cut)])).toBe('needMore');
      expect(outcome([hello.subarray(0, cut), hello.subarray(cut)])).toBe(WHOLE);
    }
  });

  test('a hello without server name and ALPN has empty ones', async () => {
    expect(outcome([await realHello('', [])])).toBe(' []');
  });

  test('a hello spread over records is put together, up to 64 of them', () => {
    expect(outcome([inRecordsOf(hello, 40)])).toBe(WHOLE);
    expect(outcome([inRecordsOf(hello, 1)])).toBe('malformed too many records');
  });

  test.each([
    ['GET / HTTP/1.1\r\n', 'malformed not a handshake record'],
    ['\x16\x02\x01\x00\x05', 'malformed not a TLS version'],
    ['\x16\x03\x01\x00\x00', 'malformed record length'],
    ['\x16\x03\x01\xff\xff', 'malformed record length'],
    ['\x16\x03\x01\x00\x01\x02', 'malformed the first handshake message is no ClientHello'],
    ['\x16\x03\x01\x00\x04\x01\x01\x00\x00', 'malformed ClientHello over 16 KiB'],
    ['\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03', 'malformed short ClientHello'],
  ])('%j is %s', (bytes, expected) => {
    expect(outcome([Buffer.from(bytes, 'latin1')])).toBe(expected);
  });

  test('a server name with a NUL byte is malformed', () => {
    const bytes = Buffer.from(hello);
    bytes[bytes.indexOf('Reviews') + 3] = 0;
    expect(outcome([bytes])).toBe('malformed server name');
  });

  test('fuzz: any bytes end in a result, and the cutting changes nothing', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(hello.length - 1), fc.nat(255)), { maxLength: 6 }),
        fc.array(fc.nat(hello.length), { maxLength: 8 }),
        fc.uint8Array({ maxLength: 40 }),
        (changes, cuts, tail) => {
          const bytes = Buffer.concat([hello, tail]);
          for (const [at, value] of changes) bytes[at] = value;
          const chunks: Buffer[] = [];
          let at = 0;
          for (const cut of [...cuts, bytes.length].sort((a, b) => a - b)) {
            chunks.push(bytes.subarray(at, cut));
            at = cut;
          }
          expect(outcome(chunks)).toBe(outcome([bytes]));
        },
      ),
      { numRuns: Number(process.env['WEFT_FUZZ_RUNS'] ?? 300) },
    );
  });

  test('[A1.4] no more than a hello is kept', () => {
    expect(CLIENT_HELLO_BYTES_MAX).toBe(16 * 1024);
  });
});
