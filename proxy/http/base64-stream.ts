/**
 * Base64 (RFC 4648 §4) of a stream, in chunks that are cut anywhere. Padding may stand amid the stream, where a sender
 * encoded its parts one by one (gRPC-Web, `grpc-web-text`).
 */

/** From text to bytes; linear, and holds at most three characters. */
export class Base64Decoder {
  /** The characters of a group that is not complete: six bits each. */
  #bits = 0;
  #characters = 0;
  /** Of those, `=`. */
  #padding = 0;

  /** Null: what came is no base64. The decoder is of no use any more. */
  decode(chunk: Uint8Array): Buffer | null {
    const out = Buffer.allocUnsafe(((this.#characters + chunk.length) >> 2) * 3);
    let written = 0;
    for (let at = 0; at < chunk.length; at++) {
      const character = chunk[at]!;
      const value = VALUES[character]!;
      if (value < 0) {
        if (character !== PAD || this.#characters < 2) return null;
        this.#padding++;
      } else if (this.#padding > 0) return null;
      this.#bits = (this.#bits << 6) | (value & 63);
      if (++this.#characters < 4) continue;
      const bytes = 3 - this.#padding;
      out[written++] = (this.#bits >> 16) & 255;
      if (bytes > 1) out[written++] = (this.#bits >> 8) & 255;
      if (bytes > 2) out[written++] = this.#bits & 255;
      this.#bits = 0;
      this.#characters = 0;
      this.#padding = 0;
    }
    return out.subarray(0, written);
  }

  /** Whether the text so far is complete; padding is no choice. */
  get complete(): boolean {
    return this.#characters === 0;
  }
}

/** From bytes to text; holds at most two bytes. */
export class Base64Encoder {
  #rest: Buffer = NO_BYTES;

  /** `flush`: nothing is held back, so that the text ends in padding where it must. */
  encode(chunk: Buffer, flush: boolean): Buffer {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const taken = flush ? bytes.length : bytes.length - (bytes.length % 3);
    this.#rest = taken === bytes.length ? NO_BYTES : Buffer.from(bytes.subarray(taken));
    return taken === 0 ? NO_BYTES : Buffer.from(bytes.toString('base64', 0, taken), 'latin1');
  }
}

const NO_BYTES = Buffer.alloc(0);
const PAD = 0x3d;

/** Six bits by character code, -1 for what is no base64. */
const VALUES = new Int8Array(256).fill(-1);
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
for (let value = 0; value < 64; value++) VALUES[ALPHABET.charCodeAt(value)] = value;
