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

/** Writes a latin1 string to a Buffer that has room for it; answers the number of bytes. */
export function writeLatin1(out: Uint8Array, text: string, at: number): number {
  return (out as unknown as Latin1Buffer).latin1Write(text, at, text.length);
}
