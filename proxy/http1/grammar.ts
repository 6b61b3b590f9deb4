/** Byte classes of HTTP/1.1 under their RFC rule names, as 256-entry tables: 1 is a member. */

export const HTAB = 0x09;
export const LF = 0x0a;
export const CR = 0x0d;
export const SP = 0x20;
export const COLON = 0x3a;
export const SEMICOLON = 0x3b;

/** `tchar` (RFC 9110 §5.6.2): bytes of a method or a field name. */
export const TCHAR: Uint8Array = byteClass((byte) =>
  "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ".includes(
    String.fromCharCode(byte),
  ),
);

/**
 * Bytes of a request target. RFC 9112 §3.2 through RFC 3986, and knowingly also `"<>[\]^{|}` and the
 * back-tick, which browsers send and which Envoy and nginx pass: no reader takes them for a delimiter.
 * `#` is refused, as Envoy does: a fragment is never sent, and readers cut it off or do not.
 */
export const TARGET: Uint8Array = byteClass((byte) => byte > SP && byte < 0x7f && byte !== 0x23);

/** `field-vchar` and inner white space (RFC 9110 §5.5): HTAB, SP, VCHAR, obs-text. */
export const FIELD_CONTENT: Uint8Array = byteClass(
  (byte) => byte === HTAB || (byte >= SP && byte !== 0x7f),
);

/** Value of a `HEXDIG` (RFC 5234), 255 for any other byte. */
export const HEX_VALUE: Uint8Array = (() => {
  const table = new Uint8Array(256).fill(255);
  for (let digit = 0; digit < 16; digit++) {
    const spelling = digit.toString(16);
    table[spelling.charCodeAt(0)] = digit;
    table[spelling.toUpperCase().charCodeAt(0)] = digit;
  }
  return table;
})();

function byteClass(holds: (byte: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => (holds(byte) ? 1 : 0));
}
