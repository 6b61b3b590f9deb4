import { type FieldRole, fieldRoleAt, knownFieldNames } from '../http/field-name.ts';
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

/** A name that is often written. */
export interface KnownName {
  readonly role: FieldRole;
  /** With what follows it. */
  readonly start: PreparedBytes;
}

/** Undefined: a name that passes on as it is. */
export function knownName(name: string): KnownName | undefined {
  return KNOWN_NAMES.get(name);
}

/** `name: value` and CRLF. */
export function writeFieldLine(
  out: WriteBuffer,
  start: number,
  name: string,
  value: string,
): number {
  return writeKnownLine(out, start, KNOWN_NAMES.get(name), name, value);
}

/** The same where the name has been looked up. */
export function writeKnownLine(
  out: WriteBuffer,
  start: number,
  known: KnownName | undefined,
  name: string,
  value: string,
): number {
  const { bytes } = out;
  let at: number;
  if (known !== undefined) {
    at = known.start.write(out.view, start);
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

const KNOWN_NAMES: ReadonlyMap<string, KnownName> = new Map(
  knownFieldNames().map((name, index) => [
    name,
    { role: fieldRoleAt(index), start: new PreparedBytes(`${name}: `) },
  ]),
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
