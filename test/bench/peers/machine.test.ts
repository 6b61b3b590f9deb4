import { expect, test } from 'vitest';
import { allowedCores, chooseCores } from './machine.ts';

test('ranges of allowed cores are written out', () => {
  expect(allowedCores('Name:\tx\nCpus_allowed_list:\t0-2,5,8-9\n')).toEqual([0, 1, 2, 5, 8, 9]);
  expect(allowedCores('Name:\tx\n')).toEqual([]);
});

test('load and proxies have a core each', () => {
  expect(chooseCores([3, 5, 6])).toEqual({ load: 3, proxy: 5 });
});

test('one core is not enough, and the reason says so', () => {
  expect(chooseCores([0])).toEqual({ problem: expect.stringContaining('needs two cores') });
});
