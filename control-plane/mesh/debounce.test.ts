import { expect, test } from 'vitest';
import { HandClock } from '../clock.testing.ts';
import { Debounce } from './debounce.ts';

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
