/**
 * kubectl's table: upper-case headers, left-aligned, three blanks between columns, no trailing blanks.
 * Cells are made safe for a terminal: control characters leave as `\x1b`. `paint` may colour a cell after
 * its width has been taken.
 */
export function renderTable(
  headers: readonly string[],
  rows: readonly (readonly string[])[],
  paint: (text: string, column: number, row: number) => string = (text) => text,
): string {
  const safe = rows.map((row) => row.map(printableCell));
  const names = headers.map((header) => header.toUpperCase());
  const widths = names.map((name, column) =>
    Math.max(width(name), ...safe.map((row) => width(row[column] ?? ''))),
  );
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
