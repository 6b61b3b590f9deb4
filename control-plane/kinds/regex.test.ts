import fc from 'fast-check';
import { RE2JS } from 're2js';
import { expect, test } from 'vitest';
import { REGEX, REGEX_COST_MAX, regexCost } from './regex.ts';

test.each([
  '/api/v[0-9]{1,3}/users/[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}',
  '^[a-zA-Z0-9_-]{1,63}$',
  '.*(?i)jason.*',
  'a{1000}',
  '\\{not a count\\}',
  '[{]3}',
])('accepts %s', (pattern) => {
  expect(REGEX.check(pattern)).toBeUndefined();
});

test('fuzz: the cost bounds the size of the program', () => {
  const atom = fc.constantFrom('a', '.', '[a-z]', '\\pL', '\\d', '(?i)k', '^', '\\b', '[^{}]');
  const count = fc.constantFrom(
    '',
    '',
    '',
    '*',
    '+?',
    '?',
    '{3}',
    '{2,7}',
    '{40}',
    '{0,12}',
    '{5,}',
  );
  const { pattern } = fc.letrec<{ pattern: string; piece: string }>((tie) => ({
    pattern: fc.array(tie('piece'), { minLength: 1, maxLength: 4 }).map((parts) => parts.join('')),
    piece: fc.oneof(
      { depthSize: 'small' },
      fc.tuple(atom, count).map((parts) => parts.join('')),
      fc.tuple(tie('pattern'), count).map(([inner, times]) => `(${inner})${times}`),
      fc.tuple(tie('pattern'), tie('pattern')).map(([left, right]) => `(?:${left}|${right})`),
    ),
  }));
  fc.assert(
    fc.property(pattern, (source) => {
      if (REGEX.check(source) !== undefined) return;
      expect(RE2JS.compile(source).programSize()).toBeLessThanOrEqual(2 * regexCost(source) + 10);
    }),
    { numRuns: Number(process.env['WEFT_FUZZ_RUNS'] ?? 300) },
  );
});

test.each([
  ['(?=a)', 'RE2 syntax'],
  ['(a', 'RE2 syntax'],
  ['a{2,1}', 'RE2 syntax'],
  ['(abc{30}){30}|x'.repeat(4), 'counted repetitions'],
  ['x'.repeat(1025), 'more than 1024 characters'],
])('refuses %.30s', (pattern, expected) => {
  expect(REGEX.check(pattern)).toContain(expected);
});

test('counts multiply inside of each other and not side by side', () => {
  expect(regexCost('a{10}b{20}')).toBe(10 * 20);
  expect(regexCost('(a{10}b{20}){5}')).toBe(15 * 100);
  expect(regexCost('((a{10}){10}){10}')).toBe(17 * 1000);
  expect(regexCost('(a{9999}')).toBeGreaterThan(REGEX_COST_MAX);
});
