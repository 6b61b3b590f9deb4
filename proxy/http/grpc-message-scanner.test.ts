import fc from 'fast-check';
import { expect, test } from 'vitest';
import { GrpcMessageScanner } from './grpc-message-scanner.ts';

function message(bytes: number): Buffer {
  const out = Buffer.alloc(5 + bytes, 'x');
  out[0] = bytes & 1;
  out.writeUInt32BE(bytes, 1);
  return out;
}

function scanned(chunks: readonly Buffer[]): GrpcMessageScanner {
  const scanner = new GrpcMessageScanner();
  for (const chunk of chunks) scanner.scan(chunk);
  return scanner;
}

test('[OB-01] messages are counted by their prefixes, empty ones too', () => {
  const { messages, atBoundary } = scanned([
    Buffer.concat([message(0), message(3), message(0), message(70_000)]),
  ]);
  expect(messages).toBe(4);
  expect(atBoundary).toBe(true);
});

test('[OB-01] a message counts when its prefix is complete', () => {
  const scanner = scanned([message(10).subarray(0, 4)]);
  expect(scanner.messages).toBe(0);
  expect(scanner.atBoundary).toBe(false);
  scanner.scan(message(10).subarray(4, 5));
  expect(scanner.messages).toBe(1);
  expect(scanner.atBoundary).toBe(false);
  scanner.scan(message(10).subarray(5));
  expect(scanner.atBoundary).toBe(true);
});

test('the largest length that a prefix can say is only waited for', () => {
  const scanner = scanned([Buffer.from([0, 0xff, 0xff, 0xff, 0xff]), Buffer.alloc(1 << 20)]);
  expect(scanner.messages).toBe(1);
  expect(scanner.atBoundary).toBe(false);
});

test('fuzz: where the bytes are cut changes nothing', () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat(40), { maxLength: 20 }),
      fc.array(fc.integer({ min: 1, max: 17 }), { minLength: 1, maxLength: 30 }),
      (sizes, cuts) => {
        const bytes = Buffer.concat(sizes.map(message));
        const chunks: Buffer[] = [];
        for (let at = 0, cut = 0; at < bytes.length; cut++) {
          const end = at + cuts[cut % cuts.length]!;
          chunks.push(bytes.subarray(at, end));
          at = end;
        }
        const { messages, atBoundary } = scanned(chunks);
        expect(messages).toBe(sizes.length);
        expect(atBoundary).toBe(true);
      },
    ),
  );
});
