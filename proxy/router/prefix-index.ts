/** Prefixes that may stand in one another: a lookup has as many to look at. */
export const NESTED_MAX = 16;

/**
 * Finds the prefixes of a text among thousands. They stand sorted, each with the longest other one that it begins
 * with, the one around it: of a text the longest is found by halving, and the others stand around that.
 *
 * ```
 * 0  /      ◀┬──┐
 * 1  /a     ─┘◀┐│    longest('/a/c') = 1, outer(1) = 0, outer(0) = −1
 * 2  /a/b   ───┘│
 * 3  /b     ────┘
 * ```
 *
 * An entry costs two words beside the string, which the configuration holds anyway.
 */
export class PrefixIndex {
  readonly #texts: string[] = [];
  readonly #outer: number[] = [];
  /** The last entry and those around it, outermost first. */
  readonly #open: number[] = [];
  /** With how many characters the latest two texts to be compared begin alike. */
  #common = 0;

  /**
   * To be called with each text once, in the order of `<`. The number of its entry; −1: it stands in `NESTED_MAX`
   * others and is not taken.
   */
  add(text: string): number {
    const open = this.#open;
    while (open.length > 0 && !text.startsWith(this.#texts[open.at(-1)!]!)) open.pop();
    if (open.length === NESTED_MAX) return -1;
    const entry = this.#texts.length;
    this.#texts.push(text);
    this.#outer.push(open.at(-1) ?? -1);
    open.push(entry);
    return entry;
  }

  /** The entry around this one, or −1. */
  outer(entry: number): number {
    return this.#outer[entry]!;
  }

  /** The entry that is the longest prefix of `text`, or −1. Reads no more of the text than entries are long. */
  longest(text: string): number {
    const texts = this.#texts;
    // The text comes after the entry `low` and before the entry `high`.
    let low = -1;
    let high = texts.length;
    let lowCommon = 0;
    let highCommon = 0;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      // What stands between the two begins as both do, and is not compared there again.
      if (this.#isAtMost(texts[middle]!, text, Math.min(lowCommon, highCommon))) {
        low = middle;
        lowCommon = this.#common;
      } else {
        high = middle;
        highCommon = this.#common;
      }
    }
    // A prefix of the text that is at most `low` is a prefix of `low` too.
    while (low >= 0 && texts[low]!.length > lowCommon) low = this.#outer[low]!;
    return low;
  }

  /** Whether `entry` ≤ `text`, of which the first `from` characters are known to be the same. */
  #isAtMost(entry: string, text: string, from: number): boolean {
    const end = Math.min(entry.length, text.length);
    let at = from;
    while (at < end) {
      const difference = entry.charCodeAt(at) - text.charCodeAt(at);
      if (difference !== 0) {
        this.#common = at;
        return difference < 0;
      }
      at++;
    }
    this.#common = at;
    return entry.length <= text.length;
  }
}
