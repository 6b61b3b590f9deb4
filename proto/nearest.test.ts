import { expect, test } from 'vitest';
import { nearest } from './nearest.ts';

const NAMES = ['address', 'api_listener', 'filter_chains', 'name'];

test.each([
  ['adress', 'address'],
  ['addrses', 'address'], // neighbours swapped
  ['filterchains', 'filter_chains'],
  ['nam', 'name'],
  ['zzz', undefined],
  ['', undefined],
  ['n'.repeat(100_000), undefined],
])('%.20s → %s', (name, expected) => {
  expect(nearest(name, NAMES)).toBe(expected);
});
