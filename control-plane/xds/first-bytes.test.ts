import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { afterFirstBytes } from './first-bytes.ts';

let closers: (() => void)[] = [];

afterEach(() => {
  for (const close of closers) close();
  closers = [];
});

interface Taken {
  readonly first: string;
  readonly timeoutMs: number;
}

/** A connection whose server end waits so long for first bytes, and what it was taken with. */
async function connection(waitMs: number): Promise<{ client: Socket; taken: Taken[] }> {
  const taken: Taken[] = [];
  const server: Server = createServer((socket) => {
    afterFirstBytes(socket, waitMs, (ready) => {
      taken.push({ first: String(ready.read()), timeoutMs: ready.timeout ?? 0 });
      ready.write('taken');
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  closers.push(() => client.destroy());
  closers.push(() => server.close());
  await once(client, 'connect');
  return { client, taken };
}

test('a connection is handed on with its first bytes, and is no longer on the clock', async () => {
  const { client, taken } = await connection(60_000);
  expect(taken).toEqual([]);
  client.write('hello');
  const [answer] = await once(client, 'data');
  expect(String(answer)).toBe('taken');
  expect(taken).toEqual([{ first: 'hello', timeoutMs: 0 }]);
});

test('a connection that says nothing is closed in time', async () => {
  const { client, taken } = await connection(20);
  client.resume();
  await once(client, 'close');
  expect(taken).toEqual([]);
});

test('a connection that ends before it said anything is closed and not handed on', async () => {
  const { client, taken } = await connection(60_000);
  client.resume();
  client.end();
  await once(client, 'close');
  expect(taken).toEqual([]);
});

test('a connection that is reset before it said anything harms nobody', async () => {
  const { client, taken } = await connection(60_000);
  client.resetAndDestroy();
  await once(client, 'close');
  expect(taken).toEqual([]);
});
