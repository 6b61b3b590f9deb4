import { latin1 } from '../../http/latin1.ts';
import { isFieldValueBytes } from './field-kind.ts';

/**
 * The latest short values that came as literals, as strings: clients send `:path` and `content-length` anew with every
 * request (nghttp2 never indexes them), and making and checking a string costs more than finding it again. One for
 * the process: what it holds is bounded and no secret (never-indexed literals do not come here).
 */
export class LiteralStrings {
  readonly #strings: string[] = new Array(SLOTS).fill('');

  /** The value as a string, or null where it is long or cannot stand in a field line. */
  find(bytes: Uint8Array, start: number, end: number): string | null {
    const length = end - start;
    if (length === 0) return '';
    if (length > LENGTH_MAX) return null;
    const middle = bytes[start + (length >> 1)]!;
    const last = bytes[end - 1]!;
    const slot = (length * 31 + bytes[start]! * 7 + middle * 17 + last * 61) & (SLOTS - 1);
    const known = this.#strings[slot]!;
    if (known.length === length) {
      let at = 0;
      while (at < length && known.charCodeAt(at) === bytes[start + at]) at++;
      if (at === length) return known;
    }
    if (!isFieldValueBytes(bytes, start, end)) return null;
    const made = latin1(bytes, start, end);
    this.#strings[slot] = made;
    return made;
  }
}

const SLOTS = 512;
/** Characters; what is longer is rarely said twice. */
const LENGTH_MAX = 96;
