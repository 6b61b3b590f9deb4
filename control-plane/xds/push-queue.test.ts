import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { HandClock } from '../clock.testing.ts';
import { PushQueue } from './push-queue.ts';

function queue(unsettledMax = 100, unsettledBytesMax = 1000, bytes = 1) {
  const clock = new HandClock();
  const pushed: string[] = [];
  const items = new Map(['a', 'b', 'c'].map((name) => [name, { name }]));
  const options = { unsettledMax, unsettledBytesMax, settleMs: 3000 };
  const pushes = new PushQueue<{ name: string }>(clock, options, (item) => {
    pushed.push(item.name);
    return bytes;
  });
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

test('[OP-02] bytes of unsettled pushes are bounded, and are given back when one settles or is gone', async () => {
  const { pushes, pushed, item, clock } = queue(100, 1000, 1500);
  for (const name of ['a', 'b', 'c']) pushes.add(item(name));
  await turns();
  expect(pushed).toEqual(['a']);
  pushes.remove(item('a'));
  await turns();
  expect(pushed).toEqual(['a', 'b']);
  pushes.add(item('b'));
  await turns();
  expect(pushed).toEqual(['a', 'b']);
  clock.advance(3000);
  await turns();
  expect(pushed).toEqual(['a', 'b', 'c']);
  pushes.settled(item('c'));
  await turns();
  expect(pushed).toEqual(['a', 'b', 'c', 'b']);
  pushes.settled(item('b'));
  expect(clock.timerCount).toBe(0);
});

test('a push that settles at once holds nobody up', async () => {
  const clock = new HandClock();
  const pushed: object[] = [];
  const options = { unsettledMax: 1, unsettledBytesMax: 1, settleMs: 3000 };
  const pushes: PushQueue<object> = new PushQueue<object>(clock, options, (item) => {
    pushed.push(item);
    pushes.settled(item);
    return 1000;
  });
  for (const item of [{}, {}, {}]) pushes.add(item);
  await turns();
  expect(pushed.length).toBe(3);
});

test('a stream that is gone is not pushed to', async () => {
  const { pushes, pushed, item } = queue();
  pushes.add(item('a'));
  pushes.remove(item('a'));
  await turns();
  expect(pushed).toEqual([]);
});
