import { judge, type Row, targetText, WEFT } from '../result.ts';
import { pairedRatio, spread } from '../statistics.ts';
import { spreadText } from './number-text.ts';

/** Cells of a table, the head first; all rows have the head's length. */
export type Table = readonly (readonly string[])[];

/**
 * A case's rows: each subject's value, then Weft's ratio to each other subject. Every unit has a table of its own, for one
 * column holds one kind of number.
 */
export function caseTables(rows: readonly Row[]): readonly { unit: string; table: Table }[] {
  const byUnit = Map.groupBy(rows, ({ unit }) => unit);
  return [...byUnit].map(([unit, rows]) => ({ unit, table: unitTable(rows, unit) }));
}

function unitTable(rows: readonly Row[], unit: string): Table {
  const subjects = [...new Set(rows.flatMap(({ figures }) => figures.map((f) => f.subject)))];
  const peers = subjects.includes(WEFT) ? subjects.filter((subject) => subject !== WEFT) : [];
  const head = [unit, ...subjects, ...peers.map((peer) => `${WEFT} ÷ ${peer}`)];
  const lines = rows.map((row) => {
    const roundsOf = (subject: string) =>
      row.figures.find((figure) => figure.subject === subject)?.rounds;
    const values = subjects.map((subject) => {
      const rounds = roundsOf(subject);
      return rounds === undefined ? '' : spreadText(spread(rounds));
    });
    const ratios = peers.map((peer) => {
      const [ours, theirs] = [roundsOf(WEFT), roundsOf(peer)];
      if (ours === undefined || theirs === undefined) return '';
      return spreadText(pairedRatio(ours, theirs));
    });
    return [row.name, ...values, ...ratios];
  });
  return [head, ...lines];
}

/** One line a target: case, row, target, what was measured, the verdict. */
export function targetTable(cases: readonly { name: string; rows: readonly Row[] }[]): Table {
  const lines = cases.flatMap(({ name, rows }) =>
    rows.flatMap((row) =>
      row.targets.map((target) => {
        const { measured, verdict, missedBy } = judge(row, target);
        const by = verdict === 'missed' ? ` by ${(missedBy * 100).toFixed(0)} %` : '';
        const value = measured === null ? '–' : spreadText(measured);
        return [name, row.name, targetText(target, row.unit), value, `${verdict}${by}`];
      }),
    ),
  );
  return [['case', 'row', 'target', 'measured', 'verdict'], ...lines];
}

/** For a terminal: columns of equal width, two blanks between them. */
export function plainTable(table: Table): string {
  const widths = (table[0] ?? []).map((_, column) =>
    Math.max(...table.map((line) => line[column]!.length)),
  );
  return table
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

export function markdownTable(table: Table): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  const [head = [], ...lines] = table;
  return [line(head), line(head.map(() => '---')), ...lines.map(line)].join('\n');
}
