import fc from 'fast-check';
import { expect, test } from 'vitest';
import { applyJsonPatch } from './json-patch.testing.ts';
import { diffJson } from './json-patch.ts';

const runs = Number(process.env['WEFT_FUZZ_RUNS'] ?? 500);

test('fuzz: the patch makes the second document of the first', () => {
  const key = fc.constantFrom('a', 'b/c', 'd~e', 'name', '', '__proto__', '~1');
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      fc.constantFrom(null, true, 1, 'x', ''),
      fc.array(tie('value'), { maxLength: 5 }),
      fc
        .array(fc.tuple(key, tie('value')), { maxLength: 4 })
        .map((entries) => JSON.parse(JSON.stringify(Object.fromEntries(entries))) as unknown),
    ),
  }));
  fc.assert(
    fc.property(value, value, (from, to) => {
      const patch = JSON.parse(JSON.stringify(diffJson(from, to)));
      expect(applyJsonPatch(from, patch)).toEqual(to);
    }),
    { numRuns: runs },
  );
});

test('[KI-01] parents that are absent are added whole, and keys are escaped', () => {
  const to = { metadata: { annotations: { 'prometheus.io/port': '1' } } };
  expect(diffJson({ metadata: {} }, to)).toEqual([
    { op: 'add', path: '/metadata/annotations', value: to.metadata.annotations },
  ]);
  expect(diffJson({ 'a/b~c': 1 }, { 'a/b~c': 2 })).toEqual([
    { op: 'replace', path: '/a~1b~0c', value: 2 },
  ]);
});

test('items of lists are known by their names', () => {
  const from = [{ name: 'app', image: 'a' }, { name: 'log' }];
  const to = [{ name: 'proxy' }, { name: 'app', image: 'b' }, { name: 'log' }];
  expect(diffJson(from, to)).toEqual([
    { op: 'add', path: '/0', value: { name: 'proxy' } },
    { op: 'replace', path: '/1/image', value: 'b' },
  ]);
});

test('equal documents need no operation', () => {
  expect(diffJson({ a: [1, { b: undefined }] }, { a: [1, {}] })).toEqual([]);
});

test('lists too long to compare are replaced without quadratic work', () => {
  const from = Array.from({ length: 3000 }, (_, index) => `a${index}`);
  const to = Array.from({ length: 3000 }, (_, index) => `b${index}`);
  expect(applyJsonPatch(from, diffJson(from, to))).toEqual(to);
});
