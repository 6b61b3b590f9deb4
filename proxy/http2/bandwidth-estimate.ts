/**
 * How much the peer sends within a round trip: the bandwidth-delay product. When it comes near the
 * window, the window is the bottleneck and is doubled, up to a bound.
 *
 *   window update due ──▶ ping ── DATA, DATA, … ──▶ its ack: bytes ≥ 2/3 window? window := 2 × bytes
 *
 * A sample is taken only where half a window of data has just been read, so that a connection of small
 * messages never sends a ping for it. No clock: the ping is the round trip.
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

  /** The ping has been answered. True: `windowBytes` has grown. */
  end(): boolean {
    if (!this.#sampling) return false;
    this.#sampling = false;
    if (this.#sampleBytes * 3 < this.windowBytes * 2) return false;
    const wanted = Math.min(2 * this.#sampleBytes, this.#windowBytesMax);
    if (wanted <= this.windowBytes) return false;
    this.windowBytes = wanted;
    return true;
  }
}
