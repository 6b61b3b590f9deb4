import { expect, test } from 'vitest';
import { median, pairedRatio, quantile, spread } from './statistics.ts';

test('the median is the middle value, of an even count the mean of two', () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 3, 2])).toBe(2.5);
  expect(median([])).toBeNaN();
});

test('quantiles lie between ranks', () => {
  expect(quantile([10, 20, 30, 40, 50], 0.25)).toBe(20);
  expect(quantile([0, 10], 0.99)).toBeCloseTo(9.9);
  expect(quantile([7], 0.99)).toBe(7);
});

test('a spread is median, least and greatest', () => {
  expect(spread([5, 1, 9])).toEqual({ median: 5, min: 1, max: 9 });
});

test('a ratio is taken round by round: a round that is slow for both changes nothing', () => {
  expect(pairedRatio([10, 100, 11], [20, 200, 20])).toEqual({ median: 0.5, min: 0.5, max: 0.55 });
});

test('a round that only one side has is left out', () => {
  expect(pairedRatio([10, 30], [10])).toEqual({ median: 1, min: 1, max: 1 });
});
