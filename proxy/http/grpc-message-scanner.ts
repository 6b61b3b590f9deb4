/**
 * Counts the messages of a gRPC body as its bytes pass, and keeps none of them (gRPC over HTTP/2, Length-Prefixed-Message):
 *
 *     ┌──────┬────────────┬─────────────┐
 *     │ flag │ u32 length │ length bytes │ …
 *     └──────┴────────────┴─────────────┘
 *
 * A message counts when its prefix is complete. What is no gRPC is counted as if it were, and nothing else happens.
 */
export class GrpcMessageScanner {
  /** Messages begun so far. */
  messages = 0;
  /** Bytes of the prefix still to come, 0 amid a message. */
  #prefixLeft = PREFIX_BYTES;
  #lengthBytes = 0;
  /** Bytes of the message still to come. */
  #messageLeft = 0;

  /** Whether the bytes so far end where a message does. */
  get atBoundary(): boolean {
    return this.#prefixLeft === PREFIX_BYTES;
  }

  scan(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length; ) {
      if (this.#prefixLeft > 0) {
        const byte = chunk[at++]!;
        // The first of the five is the flag.
        if (this.#prefixLeft < PREFIX_BYTES) this.#lengthBytes = this.#lengthBytes * 256 + byte;
        if (--this.#prefixLeft > 0) continue;
        this.messages++;
        this.#messageLeft = this.#lengthBytes;
        this.#lengthBytes = 0;
      } else {
        const taken = Math.min(this.#messageLeft, chunk.length - at);
        this.#messageLeft -= taken;
        at += taken;
      }
      if (this.#messageLeft === 0) this.#prefixLeft = PREFIX_BYTES;
    }
  }
}

const PREFIX_BYTES = 5;
