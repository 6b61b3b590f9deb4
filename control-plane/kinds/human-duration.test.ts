import { expect, test } from 'vitest';
import { humanDuration } from './human-duration.ts';

const S = 1000;
const M = 60 * S;
const H = 60 * M;
const D = 24 * H;

test.each([
  [-5 * S, '<invalid>'],
  [-1 * S, '0s'],
  [119 * S, '119s'],
  [2 * M, '2m'],
  [5 * M + 12 * S, '5m12s'],
  [10 * M + 5 * S, '10m'],
  [3 * H, '3h'],
  [3 * H + 2 * M, '3h2m'],
  [8 * H + 5 * M, '8h'],
  [2 * D + 5 * H, '2d5h'],
  [41 * D, '41d'],
  [2 * 365 * D + 3 * D, '2y3d'],
  [9 * 365 * D, '9y'],
])('%d ms is printed as kubectl does: %s', (ms, text) => {
  expect(humanDuration(ms)).toBe(text);
});
