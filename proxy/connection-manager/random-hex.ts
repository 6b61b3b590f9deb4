import { randomFillSync } from 'node:crypto';

/** A Buffer whose `toString('latin1')` does without looking at the name of the encoding. */
export type TextBuffer = Buffer & { latin1Slice(start: number, end: number): string };

/** Random bytes from a pool: asking the kernel for 8 at a time costs 25 times as much. */
const pool = new Uint8Array(8192);
let poolAt = pool.length;
const DIGITS = Buffer.from('0123456789abcdef');

/** Takes `bytes` (at most 64) of the pool; answers where they begin. Valid until the next call. */
export function takeRandom(bytes: number): number {
  if (poolAt + bytes > pool.length) {
    randomFillSync(pool);
    poolAt = 0;
  }
  const start = poolAt;
  poolAt += bytes;
  return start;
}

export function randomAt(index: number): number {
  return pool[index]!;
}

/** Writes a byte as two lower-case digits; answers the offset behind them. */
export function writeHexByte(out: Buffer, at: number, byte: number): number {
  out[at] = DIGITS[byte >> 4]!;
  out[at + 1] = DIGITS[byte & 0xf]!;
  return at + 2;
}

/** Writes `bytes` random bytes as digits; answers the offset behind them. */
export function writeRandomHex(out: Buffer, start: number, bytes: number): number {
  let at = start;
  const first = takeRandom(bytes);
  for (let index = 0; index < bytes; index++) at = writeHexByte(out, at, pool[first + index]!);
  return at;
}
