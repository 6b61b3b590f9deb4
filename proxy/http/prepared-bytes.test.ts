import { expect, test } from 'vitest';
import { OVERRUN_BYTES, PreparedBytes } from './prepared-bytes.ts';

test('texts of every length and every byte stand where they were put, and little behind them is touched', () => {
  const all = String.fromCharCode(...Array.from({ length: 0x100 }, (_, code) => code));
  for (let length = 0; length <= all.length; length++) {
    const text = all.slice(all.length - length);
    const prepared = new PreparedBytes(text);
    expect(prepared.length).toBe(length);
    const bytes = Buffer.alloc(1 + length + OVERRUN_BYTES + 1, '.');
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    expect(prepared.write(view, 1)).toBe(1 + length);
    expect(bytes.toString('latin1', 0, 1 + length)).toBe(`.${text}`);
    expect(bytes.at(-1)).toBe('.'.charCodeAt(0));
  }
});
