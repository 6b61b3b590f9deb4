import type { ReceiveBudget } from './receive-budget.ts';
import { INITIAL_WINDOW_BYTES } from './receive-window.ts';

/** Spare budget below this is kept for the next data rather than given back. */
const SPARE_BYTES_MAX = 64 * 1024;
/** Held bytes below this are always within what everybody may have. */
const CROWDED_BYTES_MIN = 32 * 1024;

/**
 * The flow-control window of a connection (RFC 9113 §5.2): what its peer may still send, and what it has sent that no
 * reader has taken. Both are memory that the peer can make us hold:
 *
 *   available + held ≤ 65,535 + what the budget of the process has granted
 *
 * The window begins with the 65,535 that the protocol gives to everybody. It grows with use: it is doubled, up to a
 * bound, when half of it has been read, so that a connection takes of the budget what its traffic needs. Data that
 * waits for a slow reader does not count against the window while the budget covers it: a stream that stands still
 * does not stop the others of its connection. Where the budget is short the window becomes smaller again.
 */
export class ConnectionWindow {
  readonly #budget: ReceiveBudget;
  /** What the peer may still send, at most `#aimBytes`. */
  #availableBytes = INITIAL_WINDOW_BYTES;
  #heldBytes = 0;
  #aimBytes = INITIAL_WINDOW_BYTES;
  #aimBytesMax: number;
  #grantedBytes = 0;
  #closed = false;

  constructor(budget: ReceiveBudget, bytesMax: number) {
    this.#budget = budget;
    this.#aimBytesMax = Math.max(INITIAL_WINDOW_BYTES, bytesMax);
  }

  /** Received, and not taken by a reader. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** What readers leave unread takes so much of the budget that it will soon hold up the streams that are read. */
  get crowded(): boolean {
    const held = this.#heldBytes;
    return held > CROWDED_BYTES_MIN && 2 * held > this.#budget.shareBytes;
  }

  /** It takes little again. */
  get roomy(): boolean {
    const held = this.#heldBytes;
    return held <= CROWDED_BYTES_MIN || 8 * held < this.#budget.shareBytes;
  }

  /** A DATA frame of this length has come. False: more than was allowed. */
  receive(bytes: number): boolean {
    this.#availableBytes -= bytes;
    this.#heldBytes += bytes;
    return this.#availableBytes >= 0;
  }

  /** A reader has taken bytes; answers the increment to announce now, or 0. */
  release(bytes: number): number {
    this.#heldBytes -= bytes;
    if (this.#closed) {
      this.#giveBackTo(this.#heldBytes - INITIAL_WINDOW_BYTES);
      return 0;
    }
    const spare = INITIAL_WINDOW_BYTES + this.#grantedBytes - this.#aimBytes - this.#heldBytes;
    if (spare > SPARE_BYTES_MAX || (spare > 0 && this.#heldBytes === 0)) {
      this.#giveBackTo(this.#grantedBytes - spare);
    }
    return this.refill();
  }

  /** After data that no reader has taken at once; answers as `release`. */
  refill(): number {
    if (2 * this.#availableBytes > this.#aimBytes) return 0;
    return this.#closed ? 0 : this.#replenish();
  }

  /** The window may grow up to so many bytes. */
  raise(bytesMax: number): void {
    this.#aimBytesMax = Math.max(this.#aimBytesMax, bytesMax);
  }

  /** Nothing is received any more. What is held is counted until its readers have it. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#giveBackTo(this.#heldBytes - INITIAL_WINDOW_BYTES);
  }

  #replenish(): number {
    const budget = this.#budget;
    if (this.#heldBytes === 0) this.#aim();
    const held = this.#heldBytes;
    const wanted = this.#aimBytes + held - INITIAL_WINDOW_BYTES;
    if (wanted > this.#grantedBytes) {
      this.#grantedBytes += budget.take(wanted - this.#grantedBytes, this.#grantedBytes);
    } else {
      this.#giveBackTo(wanted);
    }
    const room = Math.min(this.#aimBytes, INITIAL_WINDOW_BYTES + this.#grantedBytes - held);
    const increment = room - this.#availableBytes;
    if (increment <= 0 || 2 * increment < room) return 0;
    this.#availableBytes += increment;
    return increment;
  }

  #aim(): void {
    if (this.#grantedBytes <= this.#budget.shareBytes) {
      this.#aimBytes = Math.min(2 * this.#aimBytes, this.#aimBytesMax);
    } else {
      // Not below what the peer may send already, which is at most the half.
      this.#aimBytes = Math.max(INITIAL_WINDOW_BYTES, Math.ceil(this.#aimBytes / 2));
    }
  }

  #giveBackTo(bytes: number): void {
    const less = this.#grantedBytes - Math.max(0, bytes);
    if (less <= 0) return;
    this.#grantedBytes -= less;
    this.#budget.giveBack(less);
  }
}
