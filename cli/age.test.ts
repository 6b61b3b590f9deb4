import { expect, test } from 'vitest';
import { age } from './age.ts';

const at = '2026-01-01T00:00:00Z';
const S = 1000;
const M = 60 * S;
const H = 60 * M;
const D = 24 * H;

test.each([
  ['0s', 0],
  ['119s', 119 * S],
  ['2m', 2 * M],
  ['5m12s', 5 * M + 12 * S],
  ['10m', 10 * M + 59 * S],
  ['179m', 179 * M],
  ['3h', 3 * H],
  ['3h5m', 3 * H + 5 * M],
  ['47h', 47 * H],
  ['2d', 48 * H],
  ['2d3h', 2 * D + 3 * H],
  ['40d', 40 * D],
  ['2y', 731 * D],
])('an object is %s old as kubectl says it', (expected, ms) => {
  expect(age(at, Date.parse(at) + ms)).toBe(expected);
});

test('a clock that is behind gives 0s and no time gives <unknown>', () => {
  expect(age(at, Date.parse(at) - H)).toBe('0s');
  expect(age('never', 0)).toBe('<unknown>');
});
