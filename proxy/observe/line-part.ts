import { escapeJson, escapeText } from './escape.ts';
import { cut } from './format.ts';
import type { NumberReader, Operator, TextReader } from './format-operators.ts';
import { DIGITS_MAX, PackedText, putDigits, putSafe, QUOTE } from './line-bytes.ts';
import type { LineQueue } from './line-queue.ts';
import type { RequestRecord } from './request-record.ts';

export interface LinePartOptions {
  /** Stands before the value, as written. */
  readonly literal: string;
  /** The command; null where the literal is all. */
  readonly operator: Operator | null;
  /** `:length`, -1 where there is none. */
  readonly lengthMax: number;
  /** Stands for an absent value. ASCII. */
  readonly absent: string;
  /** A text value stands between quotes, which what is absent does not. */
  readonly isQuoted: boolean;
  readonly escaping: 'text' | 'json';
}

const PartKind = { Literal: 0, Text: 1, Number: 2 } as const;
type PartKind = (typeof PartKind)[keyof typeof PartKind];

/** A literal and the value behind it. Remembers the value. */
export class LinePart {
  readonly kind: PartKind;
  /** Bytes that it took in the line before. */
  bytes = 0;
  readonly #literal: PackedText;
  readonly #absent: PackedText;
  readonly #readText: TextReader;
  readonly #readNumber: NumberReader;
  readonly #lengthMax: number;
  readonly #isQuoted: boolean;
  readonly #escape: (value: string) => string;
  #text = '';
  #number = -1;

  constructor({ literal, operator, lengthMax, absent, isQuoted, escaping }: LinePartOptions) {
    this.#literal = new PackedText(literal);
    this.#absent = new PackedText(absent);
    this.#lengthMax = lengthMax;
    this.#isQuoted = isQuoted;
    this.#escape = escaping === 'text' ? escapeText : escapeJson;
    this.#readText = operator?.kind === 'text' ? operator.read : readNothing;
    this.#readNumber = operator?.kind === 'number' ? operator.read : readNoNumber;
    this.kind = kindOf(operator);
  }

  /** Reads the value; false where it is that of the line before. */
  read(record: RequestRecord): boolean {
    switch (this.kind) {
      case PartKind.Literal:
        return false;
      case PartKind.Text: {
        const text = this.#readText(record);
        if (text === this.#text) return false;
        this.#text = text;
        return true;
      }
      case PartKind.Number: {
        const number = this.#readNumber(record);
        if (number === this.#number) return false;
        this.#number = number;
        return true;
      }
    }
  }

  /** Of the value read last. */
  get isAbsent(): boolean {
    return this.kind === PartKind.Text ? this.#text === '' : this.#number < 0;
  }

  /** Writes the literal and the value read last. */
  write(line: LineQueue): void {
    switch (this.kind) {
      case PartKind.Literal:
        this.#literal.write(line);
        return;
      case PartKind.Text:
        if (this.#text === '') this.#writeAbsent(line);
        else this.#writeText(line);
        return;
      case PartKind.Number:
        if (this.#number < 0) this.#writeAbsent(line);
        else this.#writeNumber(line);
    }
  }

  #writeAbsent(line: LineQueue): void {
    this.#literal.write(line);
    this.#absent.write(line);
  }

  /** The value is cut before it is made safe: the length is that of the value. */
  #writeText(line: LineQueue): void {
    const text = cut(this.#text, this.#lengthMax);
    const literal = this.#literal;
    line.reserve(literal.bytes + text.length + 2);
    const { bytes, view } = line;
    let at = literal.put(view, line.at);
    if (this.#isQuoted) bytes[at++] = QUOTE;
    const end = putSafe(text, bytes, view, at);
    if (end < 0) {
      this.#writeEscaped(text, at, line);
      return;
    }
    if (this.#isQuoted) bytes[end] = QUOTE;
    line.at = this.#isQuoted ? end + 1 : end;
  }

  #writeEscaped(text: string, at: number, line: LineQueue): void {
    line.at = at;
    line.text(this.#escape(text));
    if (!this.#isQuoted) return;
    line.reserve(1);
    line.bytes[line.at++] = QUOTE;
  }

  #writeNumber(line: LineQueue): void {
    const number = this.#number;
    const literal = this.#literal;
    line.reserve(literal.bytes + DIGITS_MAX);
    line.at = literal.put(line.view, line.at);
    if (this.#lengthMax >= 0 || (number | 0) !== number)
      line.text(cut(String(number), this.#lengthMax));
    else line.at = putDigits(number, line.bytes, line.at);
  }
}

function kindOf(operator: Operator | null): PartKind {
  if (operator === null) return PartKind.Literal;
  return operator.kind === 'text' ? PartKind.Text : PartKind.Number;
}

function readNothing(): string {
  return '';
}

function readNoNumber(): number {
  return -1;
}
