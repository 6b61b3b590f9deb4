/**
 * Splits a watch's bytes into its lines, one JSON text each. Bytes are kept as they came until their line is whole; a line
 * longer than `lineBytesMax` ends it, so that a server cannot fill the memory.
 */
export class JsonLines {
  readonly #lineBytesMax: number;
  readonly #parts: Buffer[] = [];
  #bytes = 0;

  constructor(lineBytesMax: number) {
    this.#lineBytesMax = lineBytesMax;
  }

  /** Bytes of a line that is not whole yet. */
  get pendingBytes(): number {
    return this.#bytes;
  }

  /** The lines that are whole now, blank ones left out; null where one is too long: nothing may follow. */
  push(chunk: Buffer): string[] | null {
    const lines: string[] = [];
    for (let start = 0; start < chunk.length; ) {
      const end = chunk.indexOf(LF, start);
      const part = chunk.subarray(start, end < 0 ? chunk.length : end);
      if (this.#bytes + part.length > this.#lineBytesMax) return null;
      if (end < 0) {
        this.#parts.push(part);
        this.#bytes += part.length;
        break;
      }
      const line = this.#line(part);
      if (line.trim() !== '') lines.push(line);
      start = end + 1;
    }
    return lines;
  }

  #line(last: Buffer): string {
    if (this.#parts.length === 0) return last.toString('utf8');
    const line = Buffer.concat([...this.#parts, last]).toString('utf8');
    this.#parts.length = 0;
    this.#bytes = 0;
    return line;
  }
}

const LF = 0x0a;
