/**
 * The Huffman code of RFC 7541 appendix B. It is canonical (codes of one length ascend with the
 * symbol, and a longer code continues after the last shorter one), so the lengths say it all.
 */

/** Bits of each symbol's code in base 36, symbols 0 to 255 and EOS (256). */
const LENGTHS =
  'dnsssssssoussussssssssusssssssss6aacd68baa8b8666555666666678f6cad677777777777777777777' +
  '77878djde6f56565666577666567655677777fbedskmkkmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmo' +
  'lmnnllmlnmnnkmmmnmmnqqkjmnmpqqqrrqopjlqrrqrollqqsrrrkoklmllnmmppooqnqrqqrrrrrsrrrrrqu';

export const SYMBOLS = 257;
export const EOS = 256;

/** Bits of the code of a symbol: 5 to 30. */
export const CODE_BITS: Uint8Array = Uint8Array.from(LENGTHS, (digit) =>
  Number.parseInt(digit, 36),
);

/** The code of a symbol, in its `CODE_BITS` lowest bits. */
export const CODES: Uint32Array = (() => {
  const codes = new Uint32Array(SYMBOLS);
  const order = Array.from(CODE_BITS, (_, symbol) => symbol).sort(
    (a, b) => CODE_BITS[a]! - CODE_BITS[b]! || a - b,
  );
  let code = 0;
  let bits = 0;
  for (const symbol of order) {
    code *= 2 ** (CODE_BITS[symbol]! - bits);
    bits = CODE_BITS[symbol]!;
    codes[symbol] = code++;
  }
  return codes;
})();
