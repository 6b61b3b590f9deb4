import { printable } from './problem.ts';
import type { FieldPath, Fields } from './schema.ts';
import {
  DEPTH_MAX,
  Places,
  type SourceDocument,
  type SourceProblem,
  VALUES_MAX,
} from './source-document.ts';

export type JsonRead =
  | { readonly kind: 'read'; readonly documents: readonly SourceDocument[] }
  | { readonly kind: 'notJson'; readonly offset: number; readonly message: string };

/**
 * Reads JSON (RFC 8259) with the places of its parts, in one pass. Stricter than `JSON.parse` where two readers could
 * disagree: a key stands once in an object. An empty text holds no document.
 */
export function readJson(text: string): JsonRead {
  const reader = new JsonReader(text);
  try {
    return { kind: 'read', documents: reader.read() ? [reader] : [] };
  } catch (error) {
    if (error instanceof TooMuch) return { kind: 'read', documents: [reader] };
    if (error instanceof NotJson)
      return { kind: 'notJson', offset: error.offset, message: error.message };
    throw error;
  }
}

/** Leaves the recursion; never leaves this file. */
class NotJson extends Error {
  readonly offset: number;

  constructor(offset: number, message: string) {
    super(message);
    this.offset = offset;
  }
}

/** Likewise: reading on only to refuse it all would hold the event loop for every other caller (A6.3). */
class TooMuch extends Error {}

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?/y;
const LITERALS: readonly (readonly [string, unknown])[] = [
  ['true', true],
  ['false', false],
  ['null', null],
];

class JsonReader implements SourceDocument {
  value: unknown;
  readonly problems: SourceProblem[] = [];
  readonly #text: string;
  readonly #places = new Places();
  #at = 0;
  #values = 0;
  #start = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** False where the text is empty. */
  read(): boolean {
    this.#skipBlank();
    if (this.#at === this.#text.length) return false;
    this.#start = this.#at;
    const value = this.#value(0);
    this.#skipBlank();
    if (this.#at < this.#text.length)
      throw new NotJson(this.#at, 'something follows the first value');
    this.value = this.problems.length > 0 ? undefined : value;
    return true;
  }

  locate(path: FieldPath, at: 'name' | 'value'): number {
    return this.#places.locate(this.value, this.#start, path, at);
  }

  #problem(offset: number, message: string): void {
    if (this.problems.length < 100) this.problems.push({ offset, message });
  }

  #value(depth: number): unknown {
    const start = this.#at;
    if (++this.#values > VALUES_MAX) {
      this.#problem(start, `holds more than ${VALUES_MAX} values`);
      throw new TooMuch();
    }
    // Too deep to go on: what is below could be anything, so that the reading ends here.
    if (depth > DEPTH_MAX) throw new NotJson(start, `is nested more than ${DEPTH_MAX} deep`);
    const first = this.#text[start];
    if (first === '{') return this.#object(depth);
    if (first === '[') return this.#list(depth);
    if (first === '"') return this.#string();
    for (const [word, value] of LITERALS) {
      if (!this.#text.startsWith(word, start)) continue;
      this.#at += word.length;
      return value;
    }
    const digits = this.#match(NUMBER);
    if (digits === undefined) throw new NotJson(start, 'a value is expected');
    const number = Number(digits);
    if (!Number.isFinite(number)) this.#problem(start, 'is not a finite number');
    return number;
  }

  #object(depth: number): Fields {
    const fields: Fields = Object.create(null);
    this.#at++;
    this.#skipBlank();
    if (this.#take('}')) return fields;
    do {
      this.#skipBlank();
      const nameAt = this.#at;
      const name = this.#string();
      this.#skipBlank();
      if (!this.#take(':')) throw new NotJson(this.#at, '":" is expected');
      this.#skipBlank();
      const valueAt = this.#at;
      const value = this.#value(depth + 1);
      if (name === '__proto__') this.#problem(nameAt, 'the key "__proto__" is not allowed');
      else if (Object.hasOwn(fields, name)) {
        this.#problem(nameAt, `the key "${printable(name)}" stands twice in one map`);
      } else {
        fields[name] = value;
        this.#places.set(fields, name, nameAt, valueAt);
      }
      this.#skipBlank();
    } while (this.#take(','));
    if (!this.#take('}')) throw new NotJson(this.#at, '"," or "}" is expected');
    return fields;
  }

  #list(depth: number): unknown[] {
    const items: unknown[] = [];
    this.#at++;
    this.#skipBlank();
    if (this.#take(']')) return items;
    do {
      this.#skipBlank();
      this.#places.set(items, items.length, this.#at, this.#at);
      items.push(this.#value(depth + 1));
      this.#skipBlank();
    } while (this.#take(','));
    if (!this.#take(']')) throw new NotJson(this.#at, '"," or "]" is expected');
    return items;
  }

  #string(): string {
    const start = this.#at;
    if (!this.#take('"')) throw new NotJson(start, 'a string in double quotes is expected');
    let end = this.#text.indexOf('"', this.#at);
    while (end >= 0 && this.#isEscaped(end)) end = this.#text.indexOf('"', end + 1);
    if (end < 0) throw new NotJson(start, 'the string has no closing quote');
    this.#at = end + 1;
    const plain = this.#text.slice(start + 1, end);
    if (!/[\\\u0000-\u001f]/.test(plain)) return plain;
    try {
      return JSON.parse(this.#text.slice(start, end + 1)) as string;
    } catch {
      throw new NotJson(
        start,
        'the string has an escape or a control character that JSON does not know',
      );
    }
  }

  /** Whether an odd number of backslashes stands before the quote. */
  #isEscaped(quote: number): boolean {
    let backslashes = 0;
    while (this.#text[quote - 1 - backslashes] === '\\') backslashes++;
    return backslashes % 2 === 1;
  }

  #take(char: string): boolean {
    if (this.#text[this.#at] !== char) return false;
    this.#at++;
    return true;
  }

  #skipBlank(): void {
    for (;;) {
      const code = this.#text.charCodeAt(this.#at);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
      this.#at++;
    }
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    if (found !== undefined) this.#at += found.length;
    return found;
  }
}
