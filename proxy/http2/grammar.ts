/** Byte classes of what HTTP/2 carries in pseudo-header fields, as 256-entry tables: 1 is a member. */

/** `tchar` (RFC 9110 §5.6.2): a method. */
const TCHAR: Uint8Array = byteClass((byte) =>
  "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ".includes(
    String.fromCharCode(byte),
  ),
);

/** Bytes of a path, as `http1/grammar.ts` TARGET has them: one view of the path for both versions. */
const PATH: Uint8Array = byteClass((byte) => byte > 0x20 && byte < 0x7f && byte !== 0x23);

export function isToken(text: string): boolean {
  return isAllOf(TCHAR, text);
}

/** Starts with `/` and has no byte that would end a request line (RFC 9113 §8.3.1). */
export function isPath(text: string): boolean {
  return text.charCodeAt(0) === 0x2f && isAllOf(PATH, text);
}

function isAllOf(members: Uint8Array, text: string): boolean {
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code > 0xff || members[code] === 0) return false;
  }
  return text.length > 0;
}

function byteClass(holds: (byte: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => (holds(byte) ? 1 : 0));
}
