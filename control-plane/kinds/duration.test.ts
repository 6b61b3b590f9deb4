import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DURATION_MS_MAX, parseDurationMs } from './duration.ts';

test.each([
  ['10s', 10_000],
  ['1.5h', 5_400_000],
  ['1h2m3s4ms', 3_723_004],
  ['250ms', 250],
  ['0', 0],
  ['0s', 0],
  ['0.001s', 1],
  ['8760h', DURATION_MS_MAX],
])('%s is %d ms', (text, ms) => {
  expect(parseDurationMs(text)).toBe(ms);
});

test.each([
  '',
  '10',
  's',
  '1 s',
  '-1s',
  '+1s',
  '1d',
  '1us',
  '0.5ms',
  '8761h',
  '1e3s',
  '1s ',
  '.5s',
  '1.s',
])('%j is no duration', (text) => {
  expect(parseDurationMs(text)).toBeUndefined();
});

test('fuzz: any whole number of milliseconds comes back', () => {
  fc.assert(
    fc.property(fc.nat({ max: 1e9 }), (ms) => {
      expect(parseDurationMs(`${ms}ms`)).toBe(ms);
      expect(parseDurationMs(`${ms / 1000}s`.includes('e') ? `${ms}ms` : `${ms / 1000}s`)).toBe(ms);
    }),
    { numRuns: Number(process.env['WEFT_FUZZ_RUNS'] ?? 300) },
  );
});
