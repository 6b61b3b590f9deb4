import { describe, expect, test } from 'vitest';
import { HpackDecoder } from './hpack-decoder.ts';
import { HpackEncoder } from './hpack-encoder.ts';

function encode(encoder: HpackEncoder, ...fields: readonly string[]): Buffer {
  const out = Buffer.alloc(16_384);
  let end = encoder.begin(out, 0);
  for (let at = 0; at < fields.length; at += 2) {
    end = encoder.field(out, end, encoder.slot(fields[at]!), fields[at + 1]!);
  }
  return out.subarray(0, end);
}

describe('HPACK encoder', () => {
  test('entries of the static table are one byte', () => {
    const encoder = new HpackEncoder();
    expect(encode(encoder, ':method', 'GET', ':status', '500').toString('hex')).toBe('828e');
  });

  test('a value is indexed when it comes the second time in a row', () => {
    const encoder = new HpackEncoder();
    const lengths = [1, 2, 3].map(() => encode(encoder, 'user-agent', 'bench/1.0').length);
    expect(lengths[0]).toBe(3 + 9 - 1 + 1);
    expect(lengths[2]).toBe(1);
    expect(encode(encoder, 'user-agent', 'bench/1.0').toString('hex')).toBe('be');
  });

  test('values that differ every time push nothing out of the table', () => {
    const encoder = new HpackEncoder();
    for (let count = 0; count < 3; count++) encode(encoder, 'x-keep', 'this');
    for (let count = 0; count < 10_000; count++) encode(encoder, 'x-request-id', `${count}`);
    expect(encode(encoder, 'x-keep', 'this').length).toBe(1);
  });

  test.each(['authorization', 'cookie', 'proxy-authorization', 'set-cookie'])(
    'RFC 7541 §7.1.3 %s is never indexed, however often it comes',
    (name) => {
      const encoder = new HpackEncoder();
      for (let count = 0; count < 4; count++) {
        const wire = encode(encoder, name, 'secret');
        // 0001xxxx: literal never indexed, with a name of the static table.
        expect(wire[0]! & 0xf0).toBe(0x10);
        expect(wire.toString('latin1')).toContain('secret');
      }
    },
  );

  test('§4.2 a change of the table size is said in front of the next block, the least one too', () => {
    const encoder = new HpackEncoder();
    for (let count = 0; count < 3; count++) encode(encoder, 'x-a', 'b');
    encoder.setPeerTableBytes(0);
    encoder.setPeerTableBytes(100);
    expect(encode(encoder, ':method', 'GET').toString('hex')).toBe('203f4582');
    expect(encode(encoder, ':method', 'GET').toString('hex')).toBe('82');
    const decoder = new HpackDecoder(4096, 4096, 10);
    const wire = encode(encoder, 'x-a', 'b');
    expect(decoder.decode(wire, 0, wire.length)).toBe(true);
    expect(decoder.fields).toEqual(['x-a', 'b']);
  });

  test('names without end do not grow the memory of the encoder beyond its bound', () => {
    const encoder = new HpackEncoder();
    const decoder = new HpackDecoder(4096, 65_536, 10);
    for (let count = 0; count < 2000; count++) {
      for (let again = 0; again < 3; again++) {
        const wire = encode(encoder, `x-${count}`, 'v');
        expect(decoder.decode(wire, 0, wire.length)).toBe(true);
        expect(decoder.fields).toEqual([`x-${count}`, 'v']);
      }
    }
    expect(decoder.tableSizeBytes).toBeLessThanOrEqual(4096);
  });
});

describe('HPACK decoder', () => {
  const decode = (decoder: HpackDecoder, hex: string) => {
    const wire = Buffer.from(hex, 'hex');
    return decoder.decode(wire, 0, wire.length);
  };

  test.each([
    ['§6.1 index 0', '80'],
    ['§2.3.3 an index beyond the tables', 'be'],
    ['§6.2 a name index beyond the tables', '7f0001 61'.replace(' ', '')],
    ['§6.3 an update beyond what was announced', '3fe21f'],
    ['§4.2 an update behind a field', '8220'],
    ['§5.2 a string longer than the block', '000561'],
    ['a literal that ends behind its name', '000161'],
    ['an integer without end', 'ffffffffffffffffff'],
  ])('%s is a coding error', (_name, wire) => {
    expect(decode(new HpackDecoder(4096, 4096, 10), wire)).toBe(false);
  });

  test('§4.4 an entry larger than the table empties it', () => {
    const decoder = new HpackDecoder(64, 4096, 10);
    expect(decode(decoder, '4001610162')).toBe(true);
    expect(decoder.tableSizeBytes).toBe(34);
    expect(decode(decoder, `40016120${'62'.repeat(32)}`)).toBe(true);
    expect(decoder.tableSizeBytes).toBe(0);
    expect(decoder.fields).toEqual(['a', 'b'.repeat(32)]);
  });
});
