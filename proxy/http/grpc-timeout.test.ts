import { expect, test } from 'vitest';
import { formatGrpcTimeout, parseGrpcTimeout } from './grpc-timeout.ts';

test.each([
  ['1H', 3_600_000],
  ['2M', 120_000],
  ['3S', 3_000],
  ['4m', 4],
  ['0m', 0],
  ['82653919u', 82_654],
  ['82653919n', 83],
  ['1n', 1],
  ['99999999H', 99_999_999 * 3_600_000],
])('[PR-07] grpc-timeout %s is %i ms', (value, ms) => {
  expect(parseGrpcTimeout(value)).toBe(ms);
});

test.each(['', 'm', '5', '5s', '5 m', ' 5m', '-5m', '+5m', '1.5S', '5mm', '123456789m', '0x5m'])(
  '[PR-07] grpc-timeout "%s" is malformed, hence no deadline',
  (value) => {
    expect(parseGrpcTimeout(value)).toBe(-1);
  },
);

test.each([
  [0, '0m'],
  [1500, '1500m'],
  [99_999_999, '99999999m'],
  [100_000_000, '100000S'],
  [100_000_000_000, '1666666M'],
  [100_000_000 * 60_000, '1666666H'],
  [Number.MAX_SAFE_INTEGER, '99999999H'],
])('[PR-07] %i ms are told as %s', (ms, value) => {
  expect(formatGrpcTimeout(ms)).toBe(value);
  expect(parseGrpcTimeout(value)).toBeLessThanOrEqual(ms);
});
