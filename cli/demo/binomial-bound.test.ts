import { expect, test } from 'vitest';
import { binomialBound } from './binomial-bound.ts';

test('the bound of 600 draws at 10 % is where the exact distribution leaves 1 in 100,000', () => {
  expect(binomialBound(600, 0.1, 1e-5)).toEqual({ low: 30, high: 95 });
});

test('half a chance of ten draws keeps all but the ends at 1 %', () => {
  expect(binomialBound(10, 0.5, 0.01)).toEqual({ low: 1, high: 9 });
});
