/**
 * Messages on a stream, each after its length in two bytes (RFC 1035 §4.2.2). Holds what has come of one message, 64 KiB
 * at most by the length's own range, or `bytesMax`.
 */
export class MessageFrames {
  readonly #bytesMax: number;
  #chunks: Buffer[] = [];
  #bytes = 0;

  constructor(bytesMax = 65_535) {
    this.#bytesMax = bytesMax;
  }

  /** A message that is longer than it may be was announced: the stream is of no more use. */
  isTooLong = false;

  /** The messages that `chunk` completes. */
  add(chunk: Buffer): Buffer[] {
    if (this.isTooLong) return [];
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    const messages: Buffer[] = [];
    // Joined only when something is complete, so that a message that comes byte by byte is copied once.
    while (this.#bytes >= 2) {
      const length = this.#length();
      if (length > this.#bytesMax) {
        this.isTooLong = true;
        this.#chunks = [];
        this.#bytes = 0;
        break;
      }
      if (this.#bytes < 2 + length) break;
      const all = this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks);
      messages.push(all.subarray(2, 2 + length));
      this.#bytes -= 2 + length;
      this.#chunks = this.#bytes === 0 ? [] : [all.subarray(2 + length)];
    }
    return messages;
  }

  #length(): number {
    const [first, second] = this.#chunks;
    return first!.length >= 2 ? first!.readUInt16BE(0) : first![0]! * 256 + second![0]!;
  }
}
