import type { CaseResult } from '../result.ts';
import { caseTables, markdownTable, targetTable } from './table.ts';

/** What is written by hand, by the case's name; `introduction` and `method` stand before the figures. */
export type Notes = ReadonlyMap<string, string>;

/** The whole of docs/benchmarks.md. Only `notes` is not made of the results. */
export function benchmarksDocument(cases: readonly CaseResult[], notes: Notes): string {
  const parts = [
    '# Benchmarks',
    '<!-- Written by `make bench RECORD=1`; edit test/bench/peers/notes/ instead. -->',
    notes.get('introduction') ?? '',
    '## Targets',
    markdownTable(targetTable(cases)),
    MEASURED_HOW,
    '![CPU and time beside peers](benchmarks.svg)',
    notes.get('method') ?? '',
    ...cases.map((result) => caseSection(result, notes)),
  ];
  return `${parts.filter((part) => part !== '').join('\n\n')}\n`;
}

const MEASURED_HOW =
  'Measured: the median of the rounds, with the least and the greatest in parentheses; a ratio is taken round by round.';

function caseSection(result: CaseResult, notes: Notes): string {
  const programs = Object.entries(result.programs)
    .map(([name, version]) => `${name} ${version}`)
    .join(', ');
  const missing = result.missing.length === 0 ? '' : ` Not there: ${result.missing.join(', ')}.`;
  const remarks = result.rows
    .filter(({ remark }) => remark !== '')
    .map(({ name, remark }) => `- ${name}: ${remark}`);
  return [
    `## ${result.title}`,
    `\`make bench ONLY=${result.name}\`, ${result.measuredAt.slice(0, 16).replace('T', ' ')} UTC, commit ${result.commit || 'unknown'}, on ${result.machine}. ${programs}.${missing}`,
    ...caseTables(result.rows).map(({ table }) => markdownTable(table)),
    remarks.join('\n'),
    notes.get(result.name) ?? '',
  ]
    .filter((part) => part !== '')
    .join('\n\n');
}

/** `case`, `row` and target's text of a target, as one text. */
export function targetKey(caseName: string, rowName: string, target: string): string {
  return [caseName, rowName, target].join(' | ');
}

/** Keys of the targets that a document calls met. */
export function targetsMarkedMet(document: string): ReadonlySet<string> {
  const met = new Set<string>();
  for (const line of document.split('\n')) {
    const cells = line.split(' | ');
    if (cells.length === 5 && cells[4] === 'met |') {
      met.add(targetKey(cells[0]!.replace('| ', ''), cells[1]!, cells[2]!));
    }
  }
  return met;
}
