import { fieldValueOf } from './field-name.ts';
import { shorten } from './shorten.ts';

/**
 * A header block: one flat array of lower-case name, value, name, value, in the order received.
 * Repeated fields stay separate entries. Names are interned lower-case strings; values are latin1
 * strings without leading or trailing whitespace (RFC 9110 §5.5). The owner of the array may change
 * it in place; nobody keeps it after the stream has ended.
 *
 * The codecs check what they parse and write what they find: whoever pushes to the array itself
 * vouches for names and values. `setHeader` and `addHeader` check the value.
 */
export type HeaderBlock = string[];

/** The first value of `name` (lower case), or '' where the field is absent. */
export function headerValue(block: HeaderBlock, name: string): string {
  for (let at = 0; at < block.length; at += 2) {
    if (block[at] === name) return block[at + 1]!;
  }
  return '';
}

/** Whether the field `name` (lower case) is present, even with an empty value. */
export function hasHeader(block: HeaderBlock, name: string): boolean {
  for (let at = 0; at < block.length; at += 2) {
    if (block[at] === name) return true;
  }
  return false;
}

/**
 * All values of `name` joined with `,` (RFC 9110 §5.3), or null where the field is absent. Policies
 * that judge a header must see this, not the first value (A2.4).
 */
export function headerValues(block: HeaderBlock, name: string): string | null {
  let joined: string | null = null;
  for (let at = 0; at < block.length; at += 2) {
    if (block[at] === name)
      joined = joined === null ? block[at + 1]! : `${joined},${block[at + 1]!}`;
  }
  return joined;
}

/**
 * Replaces every entry of `name` with one, in the first one's place, or appends it. A value from a
 * claim, a variable or a configuration cannot end the line: what may not stand there becomes `?`.
 */
export function setHeader(block: HeaderBlock, name: string, value: string): void {
  setOwnHeader(block, name, fieldValueOf(value));
}

/** `setHeader` for a value that was made here, or came as a field value: it is taken as it is. */
export function setOwnHeader(block: HeaderBlock, name: string, value: string): void {
  let kept = -1;
  for (let at = 0; at < block.length; at += 2) {
    if (block[at] !== name) continue;
    if (kept < 0) {
      kept = at;
      block[at + 1] = value;
    } else {
      block.splice(at, 2);
      at -= 2;
    }
  }
  if (kept < 0) block.push(name, value);
}

/** Adds an entry and keeps those that are there. The value is made safe as by `setHeader`. */
export function addHeader(block: HeaderBlock, name: string, value: string): void {
  block.push(name, fieldValueOf(value));
}

/** Removes every entry of `name`; true where one was there. */
export function removeHeader(block: HeaderBlock, name: string): boolean {
  let write = 0;
  for (let at = 0; at < block.length; at += 2) {
    if (block[at] === name) continue;
    if (write !== at) {
      block[write] = block[at]!;
      block[write + 1] = block[at + 1]!;
    }
    write += 2;
  }
  if (write === block.length) return false;
  shorten(block, write);
  return true;
}
