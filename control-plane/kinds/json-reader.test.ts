import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readJson } from './json-reader.ts';

const RUNS = Number(process.env['WEFT_FUZZ_RUNS'] ?? 300);

function read(text: string): unknown {
  const result = readJson(text);
  if (result.kind === 'notJson') return `notJson ${result.offset}: ${result.message}`;
  const [document] = result.documents;
  if (document === undefined) return 'none';
  return document.problems.length > 0
    ? document.problems.map(({ offset, message }) => `${offset}: ${message}`)
    : document.value;
}

describe('RFC 8259', () => {
  test.each<[string, unknown]>([
    ['', 'none'],
    [' \n\t', 'none'],
    ['{}', {}],
    [' [ ] ', []],
    [
      '{"a":[1,-0.5e+2,true,false,null,"\\u00e9\\n\\"\\\\"]}',
      { a: [1, -50, true, false, null, 'é\n"\\'] },
    ],
    ['{"a":1,}', 'notJson 7: a string in double quotes is expected'],
    ['[1,]', 'notJson 3: a value is expected'],
    ['{"a" 1}', 'notJson 5: ":" is expected'],
    ['{"a":1', 'notJson 6: "," or "}" is expected'],
    ['["a', 'notJson 1: the string has no closing quote'],
    [
      '["a\n"]',
      'notJson 1: the string has an escape or a control character that JSON does not know',
    ],
    [
      '["\\x"]',
      'notJson 1: the string has an escape or a control character that JSON does not know',
    ],
    ['[01]', 'notJson 2: "," or "]" is expected'],
    ['[NaN]', 'notJson 1: a value is expected'],
    ['{} {}', 'notJson 3: something follows the first value'],
    ['{a: 1}', 'notJson 1: a string in double quotes is expected'],
    ['{"a":1,"b":2,"a":3}', ['13: the key "a" stands twice in one map']],
    ['{"__proto__":{}}', ['1: the key "__proto__" is not allowed']],
    ['[1e999]', ['1: is not a finite number']],
    ['['.repeat(100), 'notJson 65: is nested more than 64 deep'],
  ])('%.60j', (text, expected) => {
    expect(read(text)).toEqual(expected);
  });

  test('many values are counted, and a string of 3 MiB is read at once', () => {
    expect(read(`[${'1,'.repeat(300_000)}1]`)).toEqual([
      expect.stringContaining('holds more than 200000 values'),
    ]);
    const long = 'x\\n'.repeat(1_000_000);
    expect((read(`["${long}"]`) as string[])[0]!.length).toBe(2_000_000);
  });
});

test('every part has its place', () => {
  const result = readJson('{"a": {"b": [10, {"c": 1}]}}');
  const [document] = result.kind === 'read' ? result.documents : [];
  expect(document!.locate(['a', 'b', 1, 'c'], 'name')).toBe(18);
  expect(document!.locate(['a', 'b', 1, 'c'], 'value')).toBe(23);
  expect(document!.locate(['a', 'b', 0], 'value')).toBe(13);
  expect(document!.locate(['a', 'missing', 'x'], 'value')).toBe(6);
});

test('fuzz: whatever JSON.stringify writes is read back', () => {
  fc.assert(
    fc.property(
      fc.jsonValue({ maxDepth: 5 }),
      fc.constantFrom(undefined, 2, '\t'),
      (value, indent) => {
        fc.pre(!JSON.stringify(value).includes('__proto__'));
        expect(JSON.stringify(read(JSON.stringify(value, null, indent)))).toBe(
          JSON.stringify(value),
        );
      },
    ),
    { numRuns: RUNS },
  );
});

test('fuzz: where JSON.parse refuses, so does this; where it does not, the values agree', () => {
  const piece = fc.constantFrom(
    ...'{}[]:," \\\n',
    '"a"',
    '"b"',
    '1',
    '-0',
    '1.5e3',
    'true',
    'null',
    '\\u0041',
    'x',
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      const text = pieces.join('');
      const result = readJson(text);
      let parsed: unknown;
      let valid = true;
      try {
        parsed = JSON.parse(text);
      } catch {
        valid = false;
      }
      const read = result.kind === 'read' && result.documents.length > 0;
      expect([text, read]).toEqual([text, valid]);
      if (!read || result.documents[0]!.problems.length > 0) return;
      expect(JSON.stringify(result.documents[0]!.value)).toBe(JSON.stringify(parsed));
    }),
    { numRuns: RUNS * 3 },
  );
});
