import { printableCell } from '../table.ts';

/** A table whose cells are broken at blanks to fit `widths`, with a rule under the header and a line between rows. */
export function renderWrappedTable(
  headers: readonly string[],
  rows: readonly (readonly string[])[],
  widths: readonly number[],
  paint: (text: string, column: number) => string,
): string {
  const line = (cells: readonly string[], painted: (text: string, column: number) => string) =>
    cells
      .map(
        (text, column) =>
          painted(text, column) + ' '.repeat(Math.max(0, widths[column]! - [...text].length)),
      )
      .join('  ')
      .trimEnd();
  const block = (row: readonly string[]) => {
    const wrapped = row.map((text, column) => wrap(printableCell(text), widths[column]!));
    const height = Math.max(...wrapped.map((lines) => lines.length));
    return Array.from({ length: height }, (_, at) =>
      line(
        wrapped.map((lines) => lines[at] ?? ''),
        paint,
      ),
    );
  };
  const rule = widths.map((width) => '─'.repeat(width)).join('  ');
  const head = line(
    headers.map((header) => header.toUpperCase()),
    (text) => text,
  );
  return `${[head, rule, ...rows.flatMap(block)].join('\n')}\n`;
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ').flatMap((each) => chunks(each, width))) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = '';
    }
    line += line === '' ? word : ` ${word}`;
  }
  return [...lines, line];
}

/** A word longer than a line is cut. */
function chunks(word: string, width: number): string[] {
  const parts: string[] = [];
  for (let at = 0; at < word.length; at += width) parts.push(word.slice(at, at + width));
  return parts.length === 0 ? [''] : parts;
}
