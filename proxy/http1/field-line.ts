import { knownFieldNames } from '../http/field-name.ts';
import type { HeaderBlock } from '../http/header-block.ts';
import { writeLatin1 } from '../http/latin1.ts';
import { OVERRUN_BYTES, PreparedBytes } from '../http/prepared-bytes.ts';
import type { WriteBuffer } from '../http/write-buffer.ts';
import { COLON, CR, LF, SP } from './grammar.ts';

/** Each function that writes does so where room was reserved, and answers the offset behind what it wrote. */

/** Room for the lines of a block, with prepared text behind them. */
export function fieldBytes(fields: HeaderBlock): number {
  let bytes = fields.length * 2 + OVERRUN_BYTES; // `: ` and CRLF
  for (let at = 0; at < fields.length; at++) bytes += fields[at]!.length;
  return bytes;
}

/** `name: value` and CRLF. */
export function writeFieldLine(
  out: WriteBuffer,
  start: number,
  name: string,
  value: string,
): number {
  const { bytes } = out;
  const known = KNOWN_NAMES.get(name);
  let at: number;
  if (known !== undefined) {
    at = known.write(out.view, start);
  } else {
    at = writeLatin1(bytes, start, name);
    bytes[at] = COLON;
    bytes[at + 1] = SP;
    at += 2;
  }
  at = writeLatin1(bytes, at, value);
  bytes[at] = CR;
  bytes[at + 1] = LF;
  return at + 2;
}

/** The known names with what follows them. */
const KNOWN_NAMES: ReadonlyMap<string, PreparedBytes> = new Map(
  knownFieldNames().map((name) => [name, new PreparedBytes(`${name}: `)]),
);

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
