import type { ReceiveBudget } from './receive-budget.ts';

/** Bytes of request heads that a connection may have in any case: 256 requests of 1 KiB. */
const FREE_BYTES = 256 * 1024;
/** What is taken of the budget at a time, and kept spare at most. */
const STEP_BYTES = 64 * 1024;

/**
 * The request heads of the streams of one connection. A head may have 60 KiB and a connection hundreds of
 * streams that are never ended: beyond what many ordinary requests need, it counts against the budget of the process.
 */
export class HeldHeads {
  readonly #budget: ReceiveBudget;
  #bytes = 0;
  #grantedBytes = 0;

  constructor(budget: ReceiveBudget) {
    this.#budget = budget;
  }

  /** False, and nothing is held: more than this connection may have now. */
  hold(bytes: number): boolean {
    const missing = this.#bytes + bytes - FREE_BYTES - this.#grantedBytes;
    if (missing > 0) {
      this.#grantedBytes += this.#budget.take(Math.max(missing, STEP_BYTES), this.#grantedBytes);
      if (this.#bytes + bytes > FREE_BYTES + this.#grantedBytes) {
        this.#giveBackSpare(0);
        return false;
      }
    }
    this.#bytes += bytes;
    return true;
  }

  release(bytes: number): void {
    this.#bytes -= bytes;
    if (this.#grantedBytes > 0) this.#giveBackSpare(this.#bytes === 0 ? 0 : STEP_BYTES);
  }

  #giveBackSpare(keptBytes: number): void {
    const needed = Math.max(0, this.#bytes - FREE_BYTES);
    const spare = this.#grantedBytes - needed;
    if (spare <= keptBytes) return;
    this.#grantedBytes -= spare;
    this.#budget.giveBack(spare);
  }
}
