import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { HandClock } from '../clock.testing.ts';
import { Debounce } from './debounce.ts';
import { PushQueue } from './push-queue.ts';
import { StreamAdmission } from './stream-admission.ts';

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

test('[F14] changes are taken up after a quiet time, at the latest after the longest', () => {
  const clock = new HandClock();
  let fired = 0;
  const debounce = new Debounce(clock, { quietMs: 100, maxMs: 1000 }, () => fired++);
  debounce.trigger();
  clock.advance(99);
  expect(fired).toBe(0);
  clock.advance(1);
  expect(fired).toBe(1);
  for (let at = 0; at < 20; at++) {
    debounce.trigger();
    clock.advance(50);
  }
  expect(fired).toBe(2);
  debounce.trigger();
  debounce.close();
  clock.advance(1000);
  expect(fired).toBe(2);
});

const LIMITS = {
  streamsPerIdentityMax: 2,
  streamsMax: 3,
  streamsPerSecond: 1,
  streamsBurst: 4,
};

test('[A6.2] the streams of one identity are bounded, and of all', () => {
  const clock = new HandClock();
  const admission = new StreamAdmission(clock, LIMITS);
  const first = admission.admit('x');
  admission.admit('x');
  expect(admission.admit('x')).toMatchObject({
    problem: expect.stringMatching(/x already hold 2 streams/),
  });
  if ('release' in first) {
    first.release();
    first.release();
  }
  expect(admission.admit('x')).toHaveProperty('release');
  expect(admission.admit('y')).toHaveProperty('release');
  clock.advance(10_000);
  expect(admission.admit('z')).toMatchObject({
    problem: expect.stringMatching(/3 streams are open/),
  });
});

test('[A6.6] new streams are limited in rate', () => {
  const clock = new HandClock();
  const admission = new StreamAdmission(clock, { ...LIMITS, streamsMax: 100 });
  const results = Array.from({ length: 5 }, (_, at) => 'release' in admission.admit(String(at)));
  expect(results).toEqual([true, true, true, true, false]);
  clock.advance(1000);
  expect(admission.admit('later')).toHaveProperty('release');
});
