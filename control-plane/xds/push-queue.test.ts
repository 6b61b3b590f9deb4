import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { HandClock } from '../clock.testing.ts';
import { PushQueue } from './push-queue.ts';

function queue(unsettledMax = 100) {
  const clock = new HandClock();
  const pushed: string[] = [];
  const items = new Map(['a', 'b', 'c'].map((name) => [name, { name }]));
  const pushes = new PushQueue<{ name: string }>(clock, { unsettledMax, settleMs: 3000 }, (item) =>
    pushed.push(item.name),
  );
  const item = (name: string) => items.get(name)!;
  return { clock, pushed, pushes, item };
}

async function turns(): Promise<void> {
  for (let left = 10; left > 0; left--) await turn();
}

test('who is added twice is pushed to once', async () => {
  const { pushes, pushed, item } = queue();
  for (const name of ['a', 'b', 'a']) pushes.add(item(name));
  expect(pushed).toEqual([]);
  await turns();
  expect(pushed).toEqual(['a', 'b']);
});

test('[A6.6] one push a turn of the event loop', async () => {
  const { pushes, pushed, item } = queue();
  for (const name of ['a', 'b', 'c']) pushes.add(item(name));
  await turn();
  expect(pushed.length).toBeLessThanOrEqual(2);
  await turns();
  expect(pushed).toEqual(['a', 'b', 'c']);
});

test('[OP-02] unsettled pushes are bounded, and one that never settles holds nobody up for long', async () => {
  const { pushes, pushed, item, clock } = queue(1);
  for (const name of ['a', 'b', 'c']) pushes.add(item(name));
  await turns();
  expect(pushed).toEqual(['a']);
  pushes.settled(item('a'));
  await turns();
  expect(pushed).toEqual(['a', 'b']);
  clock.advance(3000);
  await turns();
  expect(pushed).toEqual(['a', 'b', 'c']);
});

test('a stream that is gone is not pushed to', async () => {
  const { pushes, pushed, item } = queue();
  pushes.add(item('a'));
  pushes.remove(item('a'));
  await turns();
  expect(pushed).toEqual([]);
});
