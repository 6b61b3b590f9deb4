import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isFieldValueBytes } from './field-kind.ts';
import { LiteralStrings } from './literal-strings.ts';

test('fuzz: what is found is what is there, whatever was there before', () => {
  const strings = new LiteralStrings();
  // Few different bytes: slots and prefixes collide.
  const value = fc.array(fc.constantFrom(0x61, 0x62, 0x20, 0x80, 0xff, 0x0d, 0x00), {
    maxLength: 100,
  });
  fc.assert(
    fc.property(fc.array(value, { maxLength: 30 }), (values) => {
      for (const given of values) {
        const bytes = Buffer.from([1, ...given, 2]);
        const found = strings.find(bytes, 1, bytes.length - 1);
        const valid = isFieldValueBytes(bytes, 1, bytes.length - 1);
        if (found !== null) expect(found).toBe(bytes.toString('latin1', 1, bytes.length - 1));
        if (given.length <= 96) expect(found !== null).toBe(valid);
      }
    }),
  );
});

test('a value that is too long to be kept is left to the caller', () => {
  expect(new LiteralStrings().find(Buffer.alloc(97, 0x61), 0, 97)).toBeNull();
});
