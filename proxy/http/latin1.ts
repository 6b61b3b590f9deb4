/**
 * The runtime's own latin1 conversions: `toString` and `write` come to these after looking at the
 * name of the encoding, which costs more than a short string.
 */
interface Latin1Buffer {
  latin1Slice(start: number, end: number): string;
  latin1Write(text: string, at: number, length: number): number;
}

/** `bytes[start, end)` of a Buffer as a latin1 string. */
export function latin1(bytes: Uint8Array, start: number, end: number): string {
  return start === end ? '' : (bytes as unknown as Latin1Buffer).latin1Slice(start, end);
}

/**
 * Up to this length a loop is cheaper than the call into the runtime: 12 to 18 characters break even (17 ns, and 36 ns
 * where the string was cut out of another one).
 */
const SHORT_BYTES = 16;

/** Writes a latin1 string to a Buffer that has room for it; answers the offset behind it. */
export function writeLatin1(out: Uint8Array, start: number, text: string): number {
  const length = text.length;
  if (length > SHORT_BYTES) {
    return start + (out as unknown as Latin1Buffer).latin1Write(text, start, length);
  }
  for (let index = 0; index < length; index++) out[start + index] = text.charCodeAt(index);
  return start + length;
}
