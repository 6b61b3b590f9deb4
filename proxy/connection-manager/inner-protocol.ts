/** What the first bytes of a tunnel are: HTTP of either version, something else, or too few to say. */
export type InnerProtocol = 'http' | 'opaque' | 'undecided';

/** The longest method looked for; registered ones have at most 17 characters. */
const METHOD_BYTES_MAX = 20;

/**
 * HTTP/1 begins with a method in capitals and a space, and so does the preface of HTTP/2 (`PRI * HTTP/2.0`, PR-02);
 * TLS begins with 0x16.
 */
export function detectInnerProtocol(bytes: Uint8Array): InnerProtocol {
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at]!;
    if (byte === 0x20) return at >= 3 ? 'http' : 'opaque';
    const isCapital = byte >= 0x41 && byte <= 0x5a;
    if (!(isCapital || byte === 0x2d) || at >= METHOD_BYTES_MAX) return 'opaque';
  }
  return 'undecided';
}
