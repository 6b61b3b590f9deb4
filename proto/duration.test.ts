import fc from 'fast-check';
import { expect, test } from 'vitest';
import { duration, durationMs, formatDuration, parseDuration } from './duration.ts';

test.each([
  ['0s', 0, 0],
  ['1s', 1, 0],
  ['1.5s', 1, 500_000_000],
  ['0.000000001s', 0, 1],
  ['-1.5s', -1, -500_000_000],
  ['-0.25s', 0, -250_000_000],
  ['315576000000s', 315_576_000_000, 0],
])('%s is read', (text, seconds, nanos) => {
  expect(parseDuration(text)).toEqual({ seconds, nanos });
});

test.each([
  '',
  's',
  '1',
  '1S',
  '1ms',
  '+1s',
  '1.s',
  '.5s',
  '1.0000000001s',
  ' 1s',
  '1e3s',
  '315576000000.1s',
  '315576000001s',
])('%j is no duration', (text) => {
  expect(parseDuration(text)).toBeUndefined();
});

test('milliseconds come and go', () => {
  expect(durationMs(duration(1500))).toBe(1500);
  expect(duration(-1500)).toEqual({ seconds: -1, nanos: -500_000_000 });
  expect(duration(0.25)).toEqual({ seconds: 0, nanos: 250_000 });
  expect(duration(999.9999999)).toEqual({ seconds: 1, nanos: 0 });
});

test('fuzz: what is written reads back', () => {
  const value = fc.record({
    seconds: fc.nat({ max: 315_575_999_999 }),
    nanos: fc.nat({ max: 999_999_999 }),
  });
  fc.assert(
    fc.property(value, (each) => {
      expect(parseDuration(formatDuration(each))).toEqual(each);
    }),
  );
});
