import fc from 'fast-check';
import { expect, test } from 'vitest';
import { escapeJson, escapeText } from './escape.ts';

const runs = Number(process.env['WEFT_FUZZ_RUNS'] ?? 300);
const latin1 = fc.string({
  unit: fc.integer({ min: 0, max: 255 }).map((c) => String.fromCharCode(c)),
});

test.each([
  ['plain /path?x=1', 'plain /path?x=1'],
  ['a\r\nb\tc', 'a\\r\\nb\\tc'],
  ['say "hi" \\ bye', 'say \\"hi\\" \\\\ bye'],
  ['\x1b[31mred\x00\x7f\x9b', '\\x1B[31mred\\x00\\x7F\\x9B'],
  ['caf\xc3\xa9', 'caf\\xC3\\xA9'],
])('[A7.3] text: %j is written %j', (value, escaped) => {
  expect(escapeText(value)).toBe(escaped);
});

test.each([
  ['plain', 'plain'],
  ['a\r\nb"\\', 'a\\r\\nb\\"\\\\'],
  ['\x1b[31m\x7f\x9b', '\\u001b[31m\\u007f\\u009b'],
  ['caf\xc3\xa9', 'café'],
  ['bad \xff\xfe', 'bad ÿþ'],
  ['\xe2\x80\xa8', '\\u2028'],
])('[A7.3] JSON: %j is written %j', (value, escaped) => {
  expect(escapeJson(value)).toBe(escaped);
});

test('[A7.3] fuzz: an escaped value is one printable ASCII word, and no two values look the same', () => {
  fc.assert(
    fc.property(latin1, latin1, (one, other) => {
      expect(escapeText(one)).toMatch(/^[ -~]*$/);
      expect(escapeText(one)).not.toMatch(/(^|[^\\])(\\\\)*"/);
      if (one !== other) expect(escapeText(one)).not.toBe(escapeText(other));
    }),
    { numRuns: runs },
  );
});

test('[A7.3] fuzz: an escaped value is the inside of a JSON string on one line', () => {
  fc.assert(
    fc.property(fc.oneof(latin1, fc.string({ unit: 'binary' })), (value) => {
      const escaped = escapeJson(value);
      expect(typeof JSON.parse(`"${escaped}"`)).toBe('string');
      expect(escaped).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/);
    }),
    { numRuns: runs },
  );
});
