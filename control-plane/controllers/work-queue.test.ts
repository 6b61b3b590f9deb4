import { expect, test } from 'vitest';
import { HandClock } from '../clock.testing.ts';
import { WorkQueue, type WorkQueueOptions } from './work-queue.ts';

function queue(overrides: Partial<WorkQueueOptions> = {}) {
  const clock = new HandClock();
  const done: string[] = [];
  const made = new WorkQueue({
    clock,
    random: () => 1,
    reconcile: async (key) => {
      done.push(key);
      return 'unchanged';
    },
    mayRun: () => true,
    perSecond: 10,
    burst: 3,
    onError: () => undefined,
    ...overrides,
  });
  return { clock, done, queue: made };
}

const settle = async () => {
  for (let turn = 0; turn < 10; turn++) await Promise.resolve();
};

test('a key that waits already is worked on once', async () => {
  const { queue: q, done } = queue();
  q.add('a');
  q.add('b');
  q.add('b');
  await settle();
  expect(done).toEqual(['a', 'b']);
});

test('a key that comes while it is worked on is worked on once more, not at the same time', async () => {
  const gates: (() => void)[] = [];
  const { queue: q } = queue({
    reconcile: () => new Promise((resolve) => gates.push(() => resolve('unchanged'))),
  });
  q.add('a');
  await settle();
  q.add('a');
  q.add('a');
  expect(gates).toHaveLength(1);
  gates[0]!();
  await settle();
  expect(gates).toHaveLength(2);
  gates[1]!();
  await settle();
  expect(gates).toHaveLength(2);
  expect(q.size).toBe(0);
});

test('work is held to its rate after the burst', async () => {
  const { queue: q, done, clock } = queue();
  for (let at = 0; at < 10; at++) q.add(`k${at}`);
  await settle();
  expect(done).toHaveLength(3);
  for (let at = 0; at < 5; at++) {
    clock.advance(100);
    await settle();
  }
  expect(done).toHaveLength(8);
});

test('what fails or throws is tried again, later each time', async () => {
  const at: number[] = [];
  const errors: unknown[] = [];
  const { queue: q, clock } = queue({
    reconcile: async () => {
      at.push(clock.nowMs());
      if (at.length === 2) throw new Error('broken');
      return at.length === 4 ? 'written' : 'failed';
    },
    onError: (error) => errors.push(error),
  });
  q.add('a');
  for (let step = 0; step < 100; step++) {
    await settle();
    clock.advance(100);
  }
  expect(at.map((ms, index) => ms - (at[index - 1] ?? ms))).toEqual([0, 500, 1000, 2000]);
  expect(errors).toHaveLength(1);
});

test('nothing runs for who does not lead, and what came then is dropped', async () => {
  let leads = false;
  const { queue: q, done } = queue({ mayRun: () => leads });
  q.add('a');
  await settle();
  leads = true;
  q.add('b');
  await settle();
  expect(done).toEqual(['b']);
});

test('a closed queue does nothing more', async () => {
  const { queue: q, done, clock } = queue({ reconcile: async () => 'failed' });
  q.add('a');
  await settle();
  q.close();
  q.add('b');
  clock.advance(100_000);
  expect(done).toEqual([]);
  expect(clock.timerCount).toBe(0);
});

test('a key that somebody else keeps changing is written at a low rate, others are not held up', async () => {
  const written: string[] = [];
  const { queue: q, clock } = queue({
    perSecond: 1000,
    burst: 1000,
    reconcile: async (key) => {
      written.push(key);
      return 'written';
    },
  });
  for (let step = 0; step < 200; step++) {
    q.add('contested');
    await settle();
    clock.advance(100);
  }
  // 5 at once, and one each 5 s of the 20 s.
  expect(written.length).toBeGreaterThanOrEqual(8);
  expect(written.length).toBeLessThanOrEqual(9);
  q.add('other');
  await settle();
  expect(written.at(-1)).toBe('other');
  q.add('contested');
  await settle();
  expect(written.at(-1)).toBe('other');
  clock.advance(60_000);
  await settle();
  expect(written.at(-1)).toBe('contested');
});
