/**
 * How much the peer sends within a round trip: the bandwidth-delay product. Where that comes near the
 * window, the window is the bottleneck and is doubled, up to a bound.
 *
 *   window update due ──▶ ping ── DATA, DATA, … ──▶ its ack: bytes ≥ 1/3 window? window := 2 × window
 *
 * A sample is taken only where half a window of data has just been read, so that a connection of small
 * messages never sends a ping for it. A peer that had used up its window can have sent only the other
 * half before it saw the ping; a third is that half less what was being framed. No clock: the ping is
 * the round trip.
 */
export class BandwidthEstimate {
  windowBytes: number;
  readonly #windowBytesMax: number;
  #sampling = false;
  #sampleBytes = 0;

  constructor(windowBytes: number, windowBytesMax: number) {
    this.windowBytes = windowBytes;
    this.#windowBytesMax = windowBytesMax;
  }

  /** DATA has arrived. */
  onData(bytes: number): void {
    if (this.#sampling) this.#sampleBytes += bytes;
  }

  /** True: send the ping that ends the sample. */
  begin(): boolean {
    if (this.#sampling || this.windowBytes >= this.#windowBytesMax) return false;
    this.#sampling = true;
    this.#sampleBytes = 0;
    return true;
  }

  /** The ping has been answered. True: `windowBytes` has grown, which `mayGrow` can forbid. */
  end(mayGrow: boolean): boolean {
    if (!this.#sampling) return false;
    this.#sampling = false;
    if (!mayGrow || this.#sampleBytes * 3 < this.windowBytes) return false;
    this.windowBytes = Math.min(2 * this.windowBytes, this.#windowBytesMax);
    return true;
  }
}
