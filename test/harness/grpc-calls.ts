import { Metadata, status } from '@grpc/grpc-js';
import type { Test } from 'tap';
import type { GrpcEchoClient } from './grpc-echo-client.ts';
import { until } from './until.ts';

/** What a server of the echo's methods tells, of either implementation. */
export interface EchoServer {
  /** Calls of `Hang` that have ended at their client. */
  readonly cancelled: () => number;
}

/** Calls of all four kinds by grpc-js, with what may be done to them; each a subtest. */
export async function everyKindOfCall(
  t: Test,
  client: GrpcEchoClient,
  server: EchoServer,
): Promise<void> {
  await t.test('unary, with metadata both ways', async (t) => {
    const metadata = new Metadata();
    metadata.set('x-answer', 'text');
    metadata.set('x-answer-bin', Buffer.from([0, 1, 254, 255]));
    const result = await client.unary('Unary', Buffer.from('hello'), { metadata });
    t.same([result.code, String(result.message)], [status.OK, 'hello'], result.details);
    for (const side of [result.head, result.trailers]) {
      t.same(side.get('x-answer'), ['text']);
      t.same(side.get('x-answer-bin'), [Buffer.from([0, 1, 254, 255])]);
    }
  });

  await t.test('4 MiB both ways', async (t) => {
    const message = Buffer.alloc(4 << 20, 'large ');
    const result = await client.unary('Unary', message);
    t.equal(result.code, status.OK, result.details);
    t.ok(result.message?.equals(message));
  });

  await t.test('a stream of the client', async (t) => {
    const messages = Array.from({ length: 1000 }, () => Buffer.alloc(10));
    t.equal(await client.collect(messages), '1000 10000');
  });

  await t.test('a stream of the server', async (t) => {
    const sizes = new Set<number>();
    let messages = 0;
    for await (const message of client.stream('10000 50')) {
      messages += 1;
      sizes.add((message as Buffer).length);
    }
    t.same([messages, [...sizes]], [10_000, [50]]);
  });

  await t.test('both, turn by turn', async (t) => {
    t.equal(await client.turnByTurn(50), status.OK);
  });

  await t.test(
    'a call that is cancelled, and one whose time is over, end at the server',
    async (t) => {
      const before = server.cancelled();
      const late = await client.unary('Hang', Buffer.from('x'), { deadlineMs: 300 });
      t.equal(late.code, status.DEADLINE_EXCEEDED, late.details);
      await until('the server to see the deadline', () => server.cancelled() === before + 1);
      const cancelled = client.unary('Hang', Buffer.from('x'), {
        onCall: (cancel) => {
          // On its way before it is cancelled: a later call on the connection has been answered.
          void client.unary('Unary', Buffer.from('x')).then(cancel);
        },
      });
      t.equal((await cancelled).code, status.CANCELLED);
      await until('the server to see the cancellation', () => server.cancelled() === before + 2);
    },
  );

  await t.test('100 calls at once', async (t) => {
    const calls = Array.from({ length: 100 }, (_, number) =>
      client.unary('Unary', Buffer.from(`${number}`)),
    );
    const answers = (await Promise.all(calls)).map(({ message }) => String(message));
    t.same(
      answers,
      calls.map((_, number) => `${number}`),
    );
  });
}
