import { expect, test } from 'vitest';
import { readInjectionSettings } from './settings.ts';

test('no settings are all defaults', () => {
  expect(readInjectionSettings(undefined)).toMatchObject({
    settings: { image: 'weft:latest', nativeSidecar: true, statusPort: 15_020 },
  });
});

test.each<[string, unknown, string]>([
  ['an unknown name', { images: 'x' }, ''],
  ['an image that is none', { image: 'a b' }, 'image'],
  ['an address without a port', { controlPlane: 'host' }, 'controlPlane'],
  ['a port of the sidecar', { statusPort: 15_001 }, 'statusPort'],
  ['a quantity that is none', { resources: { limits: { cpu: 'x' } } }, 'resources.limits.cpu'],
  [
    'an operator that is none',
    { neverInjectSelector: [{ matchExpressions: [{ key: 'a', operator: 'Is' }] }] },
    'neverInjectSelector.0.matchExpressions.0.operator',
  ],
  ['a variable of injection', { env: { NODE_OPTIONS: 'x' } }, 'env.NODE_OPTIONS'],
  ['a list', [], ''],
])('%s is a problem with its path', (_, value, path) => {
  const read = readInjectionSettings(value);
  expect('problems' in read && read.problems.map((problem) => problem.path.join('.'))).toEqual([
    path,
  ]);
});
