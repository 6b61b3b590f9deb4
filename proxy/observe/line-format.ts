import { compileOperator, type Operator } from './format-operators.ts';
import type { FormatCommand, FormatProblem, FormatText } from './format-parser.ts';
import { copyRun } from './line-bytes.ts';
import { LinePart, type LinePartOptions } from './line-part.ts';
import type { LineQueue } from './line-queue.ts';
import type { RequestRecord } from './request-record.ts';

/** The compiled format of an access log's lines. */
export interface LineFormat {
  /** Writes what `record` says from `line.at` on, a line feed included where the format has one. */
  write(record: RequestRecord, line: LineQueue): void;
}

/**
 * Parts one after the other. What they wrote in the line before is remembered by where it stands:
 * neighbours whose values are the same are copied from there as one.
 */
export class LineParts implements LineFormat {
  readonly #parts: readonly LinePart[];
  /** Where the line before begins, in the memory that this epoch names; 0: nowhere. */
  #from = 0;
  #epoch = 0;

  constructor(parts: readonly LinePart[]) {
    this.#parts = parts;
  }

  write(record: RequestRecord, line: LineQueue): void {
    const parts = this.#parts;
    const { view: before, bytes: bytesBefore, epoch } = line;
    const isThere = this.#epoch === epoch;
    this.#epoch = 0;
    const offset = line.at - line.from;
    let runFrom = this.#from;
    let runTo = runFrom;
    for (let at = 0; at < parts.length; at += 1) {
      const part = parts[at]!;
      const isNew = part.read(record);
      if (isThere && !isNew) {
        runTo += part.bytes;
        continue;
      }
      if (runTo > runFrom) copyRun(before, bytesBefore, runFrom, runTo, line);
      runTo += part.bytes;
      runFrom = runTo;
      const began = line.at - line.from;
      part.write(line);
      part.bytes = line.at - line.from - began;
    }
    if (runTo > runFrom) copyRun(before, bytesBefore, runFrom, runTo, line);
    this.#from = line.from + offset;
    this.#epoch = line.epoch;
  }
}

/** A piece of a format: text as it is written, or a command. */
export type LinePiece =
  | { readonly text: string }
  | { readonly operator: Operator; readonly lengthMax: number };

/** Text and commands with their operators; a problem where a command is none. */
export function compilePieces(
  parts: readonly (FormatText | FormatCommand)[],
): readonly LinePiece[] | FormatProblem {
  const pieces: LinePiece[] = [];
  for (const part of parts) {
    if (part.kind === 'text') {
      pieces.push({ text: part.text });
      continue;
    }
    const operator = compileOperator(part);
    if ('problem' in operator) return operator;
    pieces.push({ operator, lengthMax: part.lengthMax });
  }
  return pieces;
}

/** Puts pieces together: literal text joins the value behind it. */
export class LineBuilder {
  readonly #escaping: 'text' | 'json';
  readonly #parts: LinePart[] = [];
  #literal = '';

  constructor(escaping: 'text' | 'json') {
    this.#escaping = escaping;
  }

  literal(text: string): void {
    this.#literal += text;
  }

  value(operator: Operator, lengthMax: number, absent: string, isQuoted: boolean): void {
    this.#add({ operator, lengthMax, absent, isQuoted });
  }

  pieces(pieces: readonly LinePiece[], absent: string): void {
    for (const piece of pieces) {
      if ('text' in piece) this.literal(piece.text);
      else this.value(piece.operator, piece.lengthMax, absent, false);
    }
  }

  finish(): LineParts {
    if (this.#literal !== '') {
      this.#add({ operator: null, lengthMax: -1, absent: '', isQuoted: false });
    }
    return new LineParts(this.#parts);
  }

  #add(part: Omit<LinePartOptions, 'literal' | 'escaping'>): void {
    this.#parts.push(new LinePart({ ...part, literal: this.#literal, escaping: this.#escaping }));
    this.#literal = '';
  }
}
