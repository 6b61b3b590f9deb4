import { CODE_BITS, CODES } from './huffman-code.ts';

/** Bytes that a latin1 string takes in Huffman code. */
export function huffmanBytes(text: string): number {
  let bits = 0;
  for (let at = 0; at < text.length; at++) bits += CODE_BITS[text.charCodeAt(at) & 0xff]!;
  return (bits + 7) >> 3;
}

/** Writes a latin1 string in Huffman code (RFC 7541 §5.2); answers the offset behind it. */
export function huffmanEncode(text: string, out: Uint8Array, start: number): number {
  let at = start;
  // Up to 7 bits wait in `held`; a code of up to 30 bits goes out in two halves.
  let held = 0;
  let heldBits = 0;
  for (let index = 0; index < text.length; index++) {
    const symbol = text.charCodeAt(index) & 0xff;
    let bits = CODE_BITS[symbol]!;
    const code = CODES[symbol]!;
    if (bits > 16) {
      bits -= 16;
      held = (held << bits) | (code >>> 16);
      heldBits += bits;
      while (heldBits >= 8) {
        heldBits -= 8;
        out[at++] = held >>> heldBits;
      }
      held &= (1 << heldBits) - 1;
      bits = 16;
    }
    held = (held << bits) | (code & ((1 << bits) - 1));
    heldBits += bits;
    while (heldBits >= 8) {
      heldBits -= 8;
      out[at++] = held >>> heldBits;
    }
    held &= (1 << heldBits) - 1;
  }
  if (heldBits > 0) out[at++] = (held << (8 - heldBits)) | (0xff >> heldBits);
  return at;
}
