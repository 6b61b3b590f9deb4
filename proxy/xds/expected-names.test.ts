import { expect, test } from 'vitest';
import { ExpectedNames } from './expected-names.ts';
import { ManualTimers } from './manual-timers.testing.ts';

function expected() {
  const timers = new ManualTimers();
  const missing: (readonly string[])[] = [];
  return { timers, missing, names: new ExpectedNames(timers, 15, (some) => missing.push(some)) };
}

test('what was asked for at one time is told missing at one time, what came in between is not', () => {
  const { timers, missing, names } = expected();
  names.add(['a', 'b', 'c']);
  timers.advance(5);
  names.add(['b', 'd']);
  names.arrived('a');
  timers.advance(10);
  expect(missing).toEqual([['b', 'c']]);
  timers.advance(5);
  expect(missing).toEqual([['b', 'c'], ['d']]);
});

test('ten thousand names wait with one timer, and with none when all have come', () => {
  const { timers, missing, names } = expected();
  const many = Array.from({ length: 10_000 }, (_, index) => `service-${index}`);
  names.add(many);
  expect(timers.pending).toEqual([15]);
  for (const name of many) names.arrived(name);
  expect(timers.pending).toEqual([]);
  names.add(['again']);
  names.close();
  timers.advance(100);
  expect(missing).toEqual([]);
});
