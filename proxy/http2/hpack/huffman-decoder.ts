import { CODE_BITS, CODES, EOS, SYMBOLS } from './huffman-code.ts';

/**
 * Decodes `bytes[start, end)` to `out` from 0 on; `out` holds `decodedBytesMax` bytes. Answers the
 * number of bytes written, or -1 where the coding is invalid (RFC 7541 §5.2): EOS in the
 * string, padding of more than 7 bits or of anything but ones.
 */
export function huffmanDecode(
  bytes: Uint8Array,
  start: number,
  end: number,
  out: Uint8Array,
): number {
  let state = 0;
  let written = 0;
  for (let at = start; at < end; at++) {
    const byte = bytes[at]!;
    let step = STEPS[(state << 4) | (byte >> 4)]!;
    if ((step & EMITS) !== 0) out[written++] = step & 0xff;
    state = (step >> NEXT_SHIFT) & 0x1ff;
    step = STEPS[(state << 4) | (byte & 15)]!;
    if ((step & EMITS) !== 0) out[written++] = step & 0xff;
    state = (step >> NEXT_SHIFT) & 0x1ff;
  }
  return ENDS[state] === 1 ? written : -1;
}

/** The most bytes that `codedBytes` of Huffman code can stand for: the shortest code has 5 bits. */
export function decodedBytesMax(codedBytes: number): number {
  return Math.floor((codedBytes * 8) / 5) + 1;
}

/** A step: bits 0–7 the symbol, bit 8 whether there is one, from bit 9 on the next state. */
const EMITS = 0x100;
const NEXT_SHIFT = 9;

/** States are the inner nodes of the code tree, 0 the root, and one from which nothing leads out. */
const FAILED = SYMBOLS - 1;
/** (state, four bits) → step. No code is shorter than 5 bits, so a step emits one symbol at most. */
const STEPS = new Uint32Array((FAILED + 1) << 4);
/** 1: a string may end here. */
const ENDS = new Uint8Array(FAILED + 1);

(() => {
  // Inner node n has children[2n] and children[2n + 1]: a node, or a leaf as -1 - symbol.
  const children = new Int32Array(2 * SYMBOLS);
  let nodes = 1;
  for (let symbol = 0; symbol < SYMBOLS; symbol++) {
    let node = 0;
    for (let bit = CODE_BITS[symbol]! - 1; bit >= 0; bit--) {
      const branch = 2 * node + ((CODES[symbol]! >>> bit) & 1);
      if (bit === 0) {
        children[branch] = -1 - symbol;
      } else {
        if (children[branch] === 0) children[branch] = nodes++;
        node = children[branch]!;
      }
    }
  }
  for (let node = 0; node < nodes; node++) {
    for (let nibble = 0; nibble < 16; nibble++) {
      let at = node;
      let emitted = 0;
      for (let bit = 3; bit >= 0; bit--) {
        const child = children[2 * at + ((nibble >> bit) & 1)]!;
        if (child === -1 - EOS) {
          at = FAILED;
          break;
        }
        if (child < 0) {
          emitted = EMITS | (-1 - child);
          at = 0;
        } else {
          at = child;
        }
      }
      STEPS[(node << 4) | nibble] = (at << NEXT_SHIFT) | (at === FAILED ? 0 : emitted);
    }
  }
  for (let nibble = 0; nibble < 16; nibble++) STEPS[(FAILED << 4) | nibble] = FAILED << NEXT_SHIFT;
  // Padding is a prefix of EOS, which is all ones, of at most 7 bits.
  let at = 0;
  for (let bits = 0; bits <= 7; bits++) {
    ENDS[at] = 1;
    at = children[2 * at + 1]!;
  }
})();
