import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { DIRECT_READER, DIRECT_READS, readingDirectly, readsDirectly } from './direct-reads.ts';

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

/** Keeps what it is given, as receivers may. */
class Reader {
  readonly chunks: Buffer[] = [];
  bytes = 0;
  #waiting: (() => void) | null = null;

  onSocketData(bytes: Buffer): void {
    this.chunks.push(bytes);
    this.bytes += bytes.length;
    this.#waiting?.();
  }

  async until(bytes: number): Promise<void> {
    while (this.bytes < bytes) await new Promise<void>((resolve) => (this.#waiting = resolve));
  }

  get text(): string {
    return Buffer.concat(this.chunks).toString('latin1');
  }
}

async function pair(): Promise<{ server: Server; accepted: Socket; client: Socket }> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [socket] = (await once(server, 'connection')) as [Socket];
  const accepted = readingDirectly(socket);
  cleanups.push(() => {
    client.destroy();
    accepted.destroy();
    server.close();
  });
  return { server, accepted, client };
}

describe('an accepted socket', () => {
  test('reads directly on this runtime, and emits no data', async () => {
    const { accepted, client } = await pair();
    expect(readsDirectly(accepted)).toBe(true);
    const reader = new Reader();
    let streamed = 0;
    Object.assign(accepted, { [DIRECT_READER]: reader });
    accepted.on('data', () => streamed++);
    accepted.resume();
    client.write('hello');
    await reader.until(5);
    expect(reader.text).toBe('hello');
    expect(streamed).toBe(0);
  });

  test('its chunks stay what they were when other reads follow, small and large', async () => {
    const { accepted, client } = await pair();
    const reader = new Reader();
    Object.assign(accepted, { [DIRECT_READER]: reader });
    accepted.resume();
    const sent = Buffer.alloc(3_000_000);
    for (let at = 0; at < sent.length; at += 4) sent.writeUInt32BE(at, at);
    let expected = 0;
    for (const size of [1, 700, 5_000, 900_000, 2_000_000, 13]) {
      client.write(sent.subarray(expected, expected + size));
      expected += size;
      await reader.until(expected);
    }
    expect(Buffer.concat(reader.chunks).equals(sent.subarray(0, expected))).toBe(true);
  });

  test('pauses, resumes and ends like any other', async () => {
    const { accepted, client } = await pair();
    const reader = new Reader();
    Object.assign(accepted, { [DIRECT_READER]: reader });
    accepted.pause();
    client.end('all of it');
    await once(client, 'finish');
    expect(reader.bytes).toBe(0);
    const ended = once(accepted, 'end');
    accepted.resume();
    await ended;
    expect(reader.text).toBe('all of it');
  });

  test('counts for its server: close waits for it', async () => {
    const { server, accepted } = await pair();
    const count = () =>
      new Promise<number>((resolve) => server.getConnections((_, open) => resolve(open)));
    expect(await count()).toBe(1);
    const closed = once(server, 'close');
    server.close();
    accepted.destroy();
    await closed;
  });

  test('has the addresses of the connection', async () => {
    const { server, accepted, client } = await pair();
    expect(accepted.remotePort).toBe(client.localPort);
    expect(accepted.localPort).toBe((server.address() as AddressInfo).port);
  });
});

test('two sockets that read in turns do not see each other’s bytes', async () => {
  const first = await pair();
  const second = await pair();
  const readers = [first, second].map(({ accepted }) => {
    const reader = new Reader();
    Object.assign(accepted, { [DIRECT_READER]: reader });
    accepted.resume();
    return reader;
  });
  for (let round = 1; round <= 50; round++) {
    first.client.write('a'.repeat(40_000));
    second.client.write('b'.repeat(round));
    await Promise.all([
      readers[0]!.until(40_000 * round),
      readers[1]!.until((round * (round + 1)) / 2),
    ]);
  }
  expect(readers[0]!.text).toBe('a'.repeat(40_000 * 50));
  expect(readers[1]!.text).toMatch(/^b+$/);
});

test('a connecting socket takes the same reads', async () => {
  const server = createServer((socket) => socket.end('from the server'));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const socket = connect({ port, host: '127.0.0.1', onread: DIRECT_READS });
  cleanups.push(() => {
    socket.destroy();
    server.close();
  });
  const reader = new Reader();
  Object.assign(socket, { [DIRECT_READER]: reader });
  await once(socket, 'end');
  expect(reader.text).toBe('from the server');
});

test('a socket whose handle is of another kind stays as it is', () => {
  const socket = new Socket();
  expect(readingDirectly(socket)).toBe(socket);
  expect(readsDirectly(socket)).toBe(false);
});
