/** The `date` of responses (RFC 9110 §6.6.1), rendered once a second. */
export class DateHeader {
  readonly #wallClockMs: () => number;
  #second = -1;
  #text = '';

  constructor(wallClockMs: () => number) {
    this.#wallClockMs = wallClockMs;
  }

  get value(): string {
    const now = this.#wallClockMs();
    const second = Math.floor(now / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#text = new Date(second * 1000).toUTCString();
    }
    return this.#text;
  }
}
