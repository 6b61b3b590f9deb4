import { expect, test } from 'vitest';
import { connectionsByOpenFiles } from './open-files-limit.ts';

test('[D13] connections take two fifths of the open files, so that upstreams and admin have theirs', () => {
  const limits =
    'Max processes             100   100   processes\nMax open files            256   4096   files\n';
  expect(connectionsByOpenFiles(limits)).toBe(102);
});

test('no limit that can be read is no bound', () => {
  expect(connectionsByOpenFiles('')).toBe(Number.POSITIVE_INFINITY);
  expect(connectionsByOpenFiles('Max open files  unlimited  unlimited  files\n')).toBe(
    Number.POSITIVE_INFINITY,
  );
});
