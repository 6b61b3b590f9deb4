export interface TableOptions {
  /** May colour a cell of the rows, after its width has been taken. */
  readonly paint?: (text: string, column: number, row: number) => string;
  /** Of the columns, as `columnWidths` gives them; default those of this table. */
  readonly widths?: readonly number[];
}

/**
 * kubectl's table: upper-case headers, left-aligned, three blanks between columns, no trailing blanks.
 * Cells are made safe for a terminal: control characters leave as `\x1b`.
 */
export function renderTable(
  headers: readonly string[],
  rows: readonly (readonly string[])[],
  { paint = (text) => text, widths = columnWidths(headers, rows) }: TableOptions = {},
): string {
  const safe = rows.map((row) => row.map(printableCell));
  const names = headers.map((header) => header.toUpperCase());
  const line = (row: readonly string[], painted: (text: string, column: number) => string) =>
    row
      .map((text, column) => {
        const last = column === row.length - 1;
        return painted(text, column) + (last ? '' : ' '.repeat(widths[column]! - width(text) + 3));
      })
      .join('')
      .trimEnd();
  return [
    line(names, (text) => text),
    ...safe.map((row, index) => line(row, (text, column) => paint(text, column, index))),
  ]
    .map((text) => `${text}\n`)
    .join('');
}

/** Of each column the longest cell, in characters, and not less than in `least`. */
export function columnWidths(
  headers: readonly string[],
  rows: readonly (readonly string[])[],
  least: readonly number[] = [],
): number[] {
  return headers.map((header, column) =>
    rows.reduce(
      (widest, row) => Math.max(widest, width(printableCell(row[column] ?? ''))),
      Math.max(width(header), least[column] ?? 0),
    ),
  );
}

/** Text of others, shown on a terminal: no escape sequences, one line (A7.3). */
export function printableCell(text: string): string {
  return text.replace(
    /[\u0000-\u001f\u007f-\u009f]/g,
    (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
}

function width(text: string): number {
  return [...text].length;
}
