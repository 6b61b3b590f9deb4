import fc from 'fast-check';
import { expect, test } from 'vitest';
import { MessageFrames } from './message-frames.ts';

function framed(message: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([message.length >> 8, message.length & 255]), message]);
}

test('fuzz however a stream is cut, the messages are the same', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 6 }),
      fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1 }),
      (messages, sizes) => {
        const all = Buffer.concat(messages.map(framed));
        const frames = new MessageFrames();
        const out: Buffer[] = [];
        for (let at = 0, n = 0; at < all.length; n++) {
          const size = sizes[n % sizes.length]!;
          out.push(...frames.add(all.subarray(at, at + size)));
          at += size;
        }
        expect(out.map((message) => [...message])).toEqual(messages.map((message) => [...message]));
      },
    ),
    { numRuns: Number(process.env['WEFT_FUZZ_RUNS'] ?? 500) },
  );
});

test('a message that is announced as too long ends it, and nothing of it is kept', () => {
  const frames = new MessageFrames(100);
  expect(frames.add(framed(Buffer.alloc(100)))).toHaveLength(1);
  expect(frames.add(Buffer.from([0, 101, 1]))).toEqual([]);
  expect(frames.isTooLong).toBe(true);
  expect(frames.add(framed(Buffer.alloc(1)))).toEqual([]);
});
