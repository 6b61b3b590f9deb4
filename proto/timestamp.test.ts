import { expect, test } from 'vitest';
import { formatTimestamp, parseTimestamp, timestamp } from './timestamp.ts';

test.each([
  ['1970-01-01T00:00:00Z', 0, 0],
  ['2030-01-31T12:00:00.25Z', 1_896_091_200, 250_000_000],
  ['2030-01-31T13:00:00+01:00', 1_896_091_200, 0],
  ['0001-01-01T00:00:00Z', -62_135_596_800, 0],
  ['9999-12-31T23:59:59.999999999Z', 253_402_300_799, 999_999_999],
])('%s is read', (text, seconds, nanos) => {
  expect(parseTimestamp(text)).toEqual({ seconds, nanos });
});

test.each([
  '2030-01-31',
  '2030-02-30T00:00:00Z',
  '2030-01-31T25:00:00Z',
  '2030-01-31T12:00:00',
  '2030-01-31 12:00:00Z',
  '2030-01-31T12:00:00+25:00',
  '0001-01-01T00:00:00+01:00',
])('%s is no timestamp', (text) => {
  expect(parseTimestamp(text)).toBeUndefined();
});

test('is written in UTC with 0, 3, 6 or 9 digits', () => {
  expect(formatTimestamp({ seconds: 0, nanos: 0 })).toBe('1970-01-01T00:00:00Z');
  expect(formatTimestamp(timestamp(1_500))).toBe('1970-01-01T00:00:01.500Z');
  expect(formatTimestamp({ seconds: -1, nanos: 1 })).toBe('1969-12-31T23:59:59.000000001Z');
});

test('milliseconds before 1970 round down', () => {
  expect(timestamp(-1)).toEqual({ seconds: -1, nanos: 999_000_000 });
});
