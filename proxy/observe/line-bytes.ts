import type { LineBytes, LineQueue } from './line-queue.ts';

/**
 * How the pieces of a line become bytes without an object. Copies go by words of four bytes: a loop of
 * single bytes takes four times as long, and a call of `copyWithin` pays off for long pieces only.
 */

/** From here on a call of `copyWithin` or `utf8Write` costs less than a loop of our own. */
const RUN_BYTES_LONG = 64;
const TEXT_CHARACTERS_LONG = 40;
export const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const ZERO = 0x30;

/**
 * Taken off the prototype once: V8 has one shape for each way to hold a string (flat, part of another one, interned, …), and
 * looks a method up anew for each character where it has met more than four of them.
 */
const { charCodeAt } = String.prototype;

/** Goes word by word: up to three bytes too many, which the next ones are written over. */
export function copyRun(
  before: DataView,
  bytesBefore: Buffer,
  from: number,
  to: number,
  line: LineQueue,
): void {
  const count = to - from;
  line.reserve(count);
  const { view, at } = line;
  if (count <= RUN_BYTES_LONG) {
    for (let done = 0; done < count; done += 4) {
      view.setInt32(at + done, before.getInt32(from + done, true), true);
    }
  } else if (view === before) line.bytes.copyWithin(at, from, to);
  else bytesBefore.copy(line.bytes, at, from, to);
  line.at = at + count;
}

/**
 * Puts printable ASCII without `"` and `\`, which every format takes as it is, and returns where it ends;
 * -1 where the text is none.
 */
export function putSafe(text: string, bytes: LineBytes, view: DataView, at: number): number {
  const { length } = text;
  if (length > TEXT_CHARACTERS_LONG) {
    const isAscii = bytes.utf8Write(text, at, length) === length;
    return isAscii && isSafe(view, at, length) ? at + length : -1;
  }
  for (let done = 0; done < length; done += 1) {
    const code = charCodeAt.call(text, done);
    if (code < 0x20 || code > 0x7e || code === QUOTE || code === BACKSLASH) return -1;
    bytes[at + done] = code;
  }
  return at + length;
}

/** Four bytes at a time; the bytes behind the last one are written over. */
function isSafe(view: DataView, at: number, length: number): boolean {
  view.setInt32(at + length, 0x20202020);
  let unsafe = 0;
  for (let done = 0; done < length; done += 4) {
    const word = view.getInt32(at + done);
    const quote = word ^ 0x22222222;
    const backslash = word ^ 0x5c5c5c5c;
    // The high bit of a byte stands where it has one, is below 0x20, 0x7f, `"` or `\`; a borrow can
    // only add one where there is one.
    unsafe |=
      word |
      (word - 0x20202020) |
      (word + 0x01010101) |
      ((quote - 0x01010101) & ~quote) |
      ((backslash - 0x01010101) & ~backslash);
  }
  return (unsafe & 0x80808080) === 0;
}

/** Digits of an integer below 2^31. */
export const DIGITS_MAX = 10;

/** `number` from 0 to 2^31 - 1. */
export function putDigits(number: number, bytes: LineBytes, at: number): number {
  let digits = 1;
  for (let power = 10; power <= number; power *= 10) digits += 1;
  let left = number;
  for (let place = at + digits - 1; place >= at; place -= 1) {
    const tenth = (left / 10) | 0;
    bytes[place] = ZERO + left - tenth * 10;
    left = tenth;
  }
  return at + digits;
}

/** A text as UTF-8 in words of four bytes, lowest byte first. */
export class PackedText {
  readonly #words: Int32Array;
  readonly bytes: number;

  constructor(text: string) {
    const bytes = Buffer.from(text);
    this.bytes = bytes.length;
    this.#words = new Int32Array((bytes.length + 3) >> 2);
    for (const [at, byte] of bytes.entries()) this.#words[at >> 2]! |= byte << ((at & 3) * 8);
  }

  write(line: LineQueue): void {
    line.reserve(this.bytes);
    line.at = this.put(line.view, line.at);
  }

  /** Returns where it ends. Puts up to three bytes more. */
  put(view: DataView, at: number): number {
    const words = this.#words;
    for (let word = 0; word < words.length; word += 1) {
      view.setInt32(at + word * 4, words[word]!, true);
    }
    return at + this.bytes;
  }
}
