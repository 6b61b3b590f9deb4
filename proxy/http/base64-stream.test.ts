import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Base64Decoder, Base64Encoder } from './base64-stream.ts';

/** Null where a chunk was refused, or the end came too early. */
function decoded(text: string, cut: number): string | null {
  const decoder = new Base64Decoder();
  const chunks: Buffer[] = [];
  for (let at = 0; at < text.length; at += cut) {
    const chunk = decoder.decode(Buffer.from(text.slice(at, at + cut), 'latin1'));
    if (chunk === null) return null;
    chunks.push(chunk);
  }
  return decoder.complete ? Buffer.concat(chunks).toString('latin1') : null;
}

test.each([
  ['', ''],
  ['aGVsbG8=', 'hello'],
  ['aGVsbA==', 'hell'],
  ['aGVs', 'hel'],
  // Parts that were encoded one by one.
  ['aGVsbG8=aGVsbA==aGVs', 'hellohellhel'],
  ['+/+/', '\xfb\xff\xbf'],
  ['aGVsbG8', null],
  ['aGVsbG8*', null],
  ['aGVsbG8\n', null],
  ['a===', null],
  ['====', null],
  ['aG=s', null],
  ['-_-_', null],
  ['aGVs\xff', null],
])('[PR-08] base64 %j is %j, however it is cut', (text, expected) => {
  for (let cut = 1; cut <= text.length; cut++) expect(decoded(text, cut)).toBe(expected);
});

test('fuzz: any bytes come back, cut and flushed anywhere', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.uint8Array({ maxLength: 10 }), fc.boolean()), { maxLength: 12 }),
      fc.integer({ min: 1, max: 9 }),
      (parts, cut) => {
        const encoder = new Base64Encoder();
        let text = '';
        for (const [bytes, flush] of parts) {
          text += encoder.encode(Buffer.from(bytes), flush).toString('latin1');
        }
        text += encoder.encode(Buffer.alloc(0), true).toString('latin1');
        const bytes = Buffer.concat(parts.map(([part]) => part));
        expect(decoded(text, cut)).toBe(bytes.toString('latin1'));
      },
    ),
  );
});

test('fuzz: any input is decoded or refused', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 9 })), (chunks) => {
      const decoder = new Base64Decoder();
      for (const chunk of chunks) if (decoder.decode(chunk) === null) return;
      expect(typeof decoder.complete).toBe('boolean');
    }),
  );
});

test('what is held back is less than a group', () => {
  const encoder = new Base64Encoder();
  expect(encoder.encode(Buffer.from('hell'), false).toString()).toBe('aGVs');
  expect(encoder.encode(Buffer.from('o'), false).toString()).toBe('');
  expect(encoder.encode(Buffer.from(''), true).toString()).toBe('bG8=');
});
