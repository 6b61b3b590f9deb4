import { expect, test } from 'vitest';
import { mergeCases } from '../record.ts';
import { type CaseResult, ratioTarget, valueTarget } from '../result.ts';
import { benchmarksDocument, targetKey, targetsMarkedMet } from './document.ts';
import { numberText, spreadText } from './number-text.ts';
import { benchmarksPlot } from './plot.ts';
import { regressions } from './regression.ts';
import { caseTables, markdownTable, plainTable, targetTable } from './table.ts';

const caseOf = (name: string, ours: readonly number[]): CaseResult => ({
  name,
  title: `Title of ${name} <&>`,
  measuredAt: '2026-01-02T03:04:05.678Z',
  commit: 'abc',
  machine: 'a machine',
  programs: { Node: '26', nginx: '1.22' },
  missing: ['Envoy'],
  rows: [
    {
      name: '1 KiB, 32 connections',
      unit: 'µs CPU/request',
      figures: [
        { subject: 'Weft', rounds: ours },
        { subject: 'nginx', rounds: [20, 20, 20] },
      ],
      targets: [ratioTarget('nginx', 'atMost', 1.2), ratioTarget('Envoy', 'atMost', 0.6)],
      remark: 'a remark',
    },
    {
      name: 'idle',
      unit: 'MiB',
      figures: [{ subject: 'Weft', rounds: [36] }],
      targets: [valueTarget('atMost', 35)],
      remark: '',
    },
  ],
});
const MET = caseOf('h1', [22, 24, 23]);
const MISSED = caseOf('h1', [30, 28, 29]);

test('numbers have three significant digits', () => {
  const texts = [0, 0.01234, 0.9996, 1.05, 17.43, 123.6, 12_345, Number.NaN].map(numberText);
  expect(texts).toEqual(['0', '0.0123', '1.000', '1.05', '17.4', '124', '12345', '–']);
});

test('a spread of one round is its value', () => {
  expect(spreadText({ median: 2, min: 2, max: 2 })).toBe('2.00');
  expect(spreadText({ median: 2, min: 1, max: 3 })).toBe('2.00 (1.00–3.00)');
});

test('each unit has a table with a column for every subject and every ratio', () => {
  expect(caseTables(MET.rows)).toEqual([
    {
      unit: 'µs CPU/request',
      table: [
        ['µs CPU/request', 'Weft', 'nginx', 'Weft ÷ nginx'],
        ['1 KiB, 32 connections', '23.0 (22.0–24.0)', '20.0', '1.15 (1.10–1.20)'],
      ],
    },
    {
      unit: 'MiB',
      table: [
        ['MiB', 'Weft'],
        ['idle', '36.0'],
      ],
    },
  ]);
});

test('the table of targets says met, missed by how much, and not measured', () => {
  expect(targetTable([MET]).map((line) => line.slice(2))).toEqual([
    ['target', 'measured', 'verdict'],
    ['≤ 1.2 × nginx', '1.15 (1.10–1.20)', 'met'],
    ['≤ 0.6 × Envoy', '–', 'not measured'],
    ['≤ 35 MiB', '36.0', 'missed by 3 %'],
  ]);
});

test('a table for the terminal is aligned, one for Markdown is escaped', () => {
  const table = [
    ['a', 'bb'],
    ['ccc', 'd|e'],
  ];
  expect(plainTable(table)).toBe('a    bb\nccc  d|e');
  expect(markdownTable(table)).toBe('| a | bb |\n| --- | --- |\n| ccc | d\\|e |');
});

test('what the document marks as met is read back from it, and nothing else', () => {
  const document = benchmarksDocument([MET], new Map());
  expect(targetsMarkedMet(document)).toEqual(
    new Set([targetKey('h1', '1 KiB, 32 connections', '≤ 1.2 × nginx')]),
  );
});

test('notes stand in the document and survive new figures', () => {
  const notes = new Map([
    ['introduction', 'Why this page.'],
    ['h1', 'Because of this and that.'],
  ]);
  for (const results of [MET, MISSED]) {
    const document = benchmarksDocument([results], notes);
    expect(document).toContain('Why this page.');
    expect(document).toContain('- 1 KiB, 32 connections: a remark\n\nBecause of this and that.');
    expect(document).toContain('nginx 1.22. Not there: Envoy.');
  }
});

test('the plot is one well-formed picture of the rows that have targets', () => {
  const svg = benchmarksPlot([MET, MISSED]);
  expect(svg.match(/<svg /g)).toHaveLength(1);
  expect(svg).toContain('Title of h1 &lt;&amp;&gt;');
  // Two rows of two and one subject in each of two cases, and the background.
  expect(svg.match(/<rect /g)).toHaveLength(7);
  expect(svg.match(/>1\.2 × nginx<\/text>/g)).toHaveLength(2);
  expect(svg).not.toMatch(/NaN|undefined|Infinity/);
  const opened = svg.match(/<(text|title|svg)\b/g)!.length;
  expect(svg.match(/<\/(text|title|svg)>/g)).toHaveLength(opened);
});

test('a target that was met and is missed by more than 15 % is a regression, one that was missed is not', () => {
  const met = targetsMarkedMet(benchmarksDocument([MET], new Map()));
  expect(regressions([MET], met)).toEqual([]);
  expect(regressions([caseOf('h1', [26, 26, 26])], met)).toEqual([]);
  expect(regressions([MISSED], met)).toEqual([
    'h1, 1 KiB, 32 connections: ≤ 1.2 × nginx was met and is now 1.45, 21 % beyond it',
  ]);
  expect(regressions([MISSED], new Set())).toEqual([]);
});

test('cases that were run take the place of their predecessors, in the one order', () => {
  const merged = mergeCases([caseOf('b', [1]), MET], [MISSED], ['h1', 'b', 'c']);
  expect(merged.map(({ name, rows }) => [name, rows[0]!.figures[0]!.rounds])).toEqual([
    ['h1', [30, 28, 29]],
    ['b', [1]],
  ]);
});
