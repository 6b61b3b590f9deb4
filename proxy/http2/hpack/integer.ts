/**
 * Integers of RFC 7541 §5.1: the value if it fits the prefix, else a full prefix and the rest in
 * groups of seven bits, the lowest first.
 */

/** The most that is read: no length or index of a header block comes near it. */
const INTEGER_MAX = 0x0fff_ffff;

/** Reads integers; one scratch object a decoder. */
export class IntegerReader {
  /** Offset behind the integer read last. */
  at = 0;

  /** The integer whose prefix is in the `prefixBits` lowest bits of `bytes[at]`; -1: cut off or too large. */
  read(bytes: Uint8Array, start: number, end: number, prefixBits: number): number {
    const full = (1 << prefixBits) - 1;
    let at = start;
    let value = bytes[at++]! & full;
    if (value === full) {
      let shift = 0;
      for (;;) {
        // Five groups are more than INTEGER_MAX needs: padding with zero groups ends here too.
        if (at >= end || shift > 28) return -1;
        const byte = bytes[at++]!;
        value += (byte & 0x7f) * 2 ** shift;
        shift += 7;
        if (byte < 0x80) break;
      }
      if (value > INTEGER_MAX) return -1;
    }
    this.at = at;
    return value;
  }
}

/** Writes `value` behind the pattern bits in `first`; answers the offset behind it. */
export function writeInteger(
  out: Uint8Array,
  start: number,
  first: number,
  prefixBits: number,
  value: number,
): number {
  const full = (1 << prefixBits) - 1;
  let at = start;
  if (value < full) {
    out[at++] = first | value;
    return at;
  }
  out[at++] = first | full;
  let rest = value - full;
  while (rest >= 0x80) {
    out[at++] = 0x80 | (rest & 0x7f);
    rest >>>= 7;
  }
  out[at++] = rest;
  return at;
}

/** The most bytes that `writeInteger` writes for a value below 2^28. */
export const INTEGER_BYTES_MAX = 6;
