import { expect, test } from 'vitest';
import { jsonEqual, mergePatch } from './json-value.ts';

// RFC 7396, Appendix A.
test.each<[unknown, unknown, unknown]>([
  [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
  [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
  [{ a: 'b' }, { a: null }, {}],
  [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
  [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
  [{ a: 'c' }, { a: ['b'] }, { a: ['b'] }],
  [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
  [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
  [
    ['a', 'b'],
    ['c', 'd'],
    ['c', 'd'],
  ],
  [{ a: 'b' }, ['c'], ['c']],
  [{ a: 'foo' }, null, null],
  [{ a: 'foo' }, 'bar', 'bar'],
  [{ e: null }, { a: 1 }, { e: null, a: 1 }],
  [[1, 2], { a: 'b', c: null }, { a: 'b' }],
  [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
])('RFC 7396: %j patched with %j is %j', (target, patch, result) => {
  expect(jsonEqual(mergePatch(target, patch), result)).toBe(true);
});

test('values are equal by content, whatever their key order and prototype', () => {
  const bare = Object.assign(Object.create(null), { b: [1, { c: null }], a: 1 });
  expect(jsonEqual({ a: 1, b: [1, { c: null }] }, bare)).toBe(true);
  expect(jsonEqual({ a: 1 }, { a: 1, b: undefined })).toBe(false);
  expect(jsonEqual([1], { 0: 1 })).toBe(false);
  expect(jsonEqual({ toString: 1 }, { a: 1 })).toBe(false);
  expect(jsonEqual(0, false)).toBe(false);
});
