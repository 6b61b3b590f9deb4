/** What the first bytes of a tunnel are: an HTTP/1 request, something else, or too few to say. */
export type InnerProtocol = 'http1' | 'opaque' | 'undecided';

/** The longest method looked for; registered ones have at most 17 characters. */
const METHOD_BYTES_MAX = 20;

/**
 * HTTP/1 begins with a method in capitals and a space (PR-02). The HTTP/2 preface looks like one
 * (`PRI * HTTP/2.0`) and is opaque here; TLS begins with 0x16.
 */
export function detectInnerProtocol(bytes: Uint8Array): InnerProtocol {
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at]!;
    if (byte === 0x20) return at >= 3 && !isPreface(bytes) ? 'http1' : 'opaque';
    const isCapital = byte >= 0x41 && byte <= 0x5a;
    if (!(isCapital || byte === 0x2d) || at >= METHOD_BYTES_MAX) return 'opaque';
  }
  return 'undecided';
}

function isPreface(bytes: Uint8Array): boolean {
  return bytes[0] === 0x50 && bytes[1] === 0x52 && bytes[2] === 0x49 && bytes[3] === 0x20;
}
