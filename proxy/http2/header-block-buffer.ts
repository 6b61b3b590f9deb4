import {
  FLOOD_CONTINUATION,
  HEADER_BLOCK_TOO_LARGE,
  NO_VIOLATION,
  type Violation,
} from './violation.ts';

/** CONTINUATION frames of one block: 60 KiB of fields are four full frames, some peers send less in one. */
const FRAMES_MAX = 32;

/**
 * A field block that comes in several frames (RFC 9113 §4.3): bounded in bytes and in frames, for a
 * peer can send CONTINUATION without end and nothing may come between (CVE-2024-27316).
 */
export class HeaderBlockBuffer {
  /** A block has begun and not ended. */
  open = false;
  #fragments: Buffer[] = [];
  #bytes = 0;
  readonly #bytesMax: number;

  /** `bytesMax`: of the block as it is coded. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  begin(): void {
    this.open = true;
  }

  /** Keeps a copy of `bytes[start, end)`. */
  add(bytes: Buffer, start: number, end: number): Violation {
    if (this.#fragments.length > FRAMES_MAX) return FLOOD_CONTINUATION;
    this.#bytes += end - start;
    if (this.#bytes > this.#bytesMax) return HEADER_BLOCK_TOO_LARGE;
    this.#fragments.push(Buffer.from(bytes.subarray(start, end)));
    return NO_VIOLATION;
  }

  /** The whole block; the buffer is empty afterwards. */
  take(): Buffer {
    const block = Buffer.concat(this.#fragments, this.#bytes);
    this.#fragments = [];
    this.#bytes = 0;
    this.open = false;
    return block;
  }
}
