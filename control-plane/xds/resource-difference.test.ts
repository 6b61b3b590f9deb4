import { expect, test } from 'vitest';
import { LayeredResources } from '../translate/layered-resources.ts';
import { changedNames } from './resource-difference.ts';
import { byName, cluster } from './resources.testing.ts';

test('what is new, what changed, then what is gone; the same object is not compared', () => {
  const before = byName(cluster('a'), cluster('b'), cluster('gone'));
  const after = byName(cluster('new'), cluster('b', '2'), cluster('a'));
  expect(changedNames(before, after)).toEqual(['new', 'b', 'gone']);
  expect(changedNames(before, before)).toEqual([]);
});

test('two maps are compared once', () => {
  const before = byName(cluster('a'));
  const after = byName(cluster('a', '2'));
  expect(changedNames(before, after)).toBe(changedNames(before, after));
});

test('layered maps differ where either layer does, as the whole maps would', () => {
  const commons = [
    byName(cluster('a'), cluster('b')),
    byName(cluster('a', '2'), cluster('b')),
    byName(cluster('b')),
  ];
  const owns = [byName(), byName(cluster('own')), byName(cluster('a', '2'), cluster('own', '2'))];
  const all = commons.flatMap((common) => owns.map((own) => new LayeredResources(common, own)));
  for (const from of all) {
    for (const to of all) {
      const flat = changedNames(new Map(from), new Map(to));
      expect([...changedNames(from, to)].sort()).toEqual([...flat].sort());
      expect([...changedNames(new Map(from), to)].sort()).toEqual([...flat].sort());
    }
  }
});
