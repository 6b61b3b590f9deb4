import { existsSync, globSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { ROOT } from '../../harness/node-process.ts';
import { benchmarksDocument, type Notes, targetsMarkedMet } from './report/document.ts';
import { benchmarksPlot } from './report/plot.ts';
import type { CaseResult } from './result.ts';

const JSON_FILE = join(ROOT, 'docs/benchmarks.json');
const DOCUMENT = join(ROOT, 'docs/benchmarks.md');
const PLOT = join(ROOT, 'docs/benchmarks.svg');

/** `make bench RECORD=1`: these cases take the place of their predecessors, the others stay as they were measured. */
export function record(cases: readonly CaseResult[], order: readonly string[]): readonly string[] {
  const merged = mergeCases(readResults(JSON_FILE), cases, order);
  writeResults(JSON_FILE, merged);
  renderDocument(merged);
  return [JSON_FILE, DOCUMENT, PLOT];
}

/** The document and its plot anew from what was recorded: after a note has been changed. */
export function renderRecorded(): void {
  renderDocument(readResults(JSON_FILE));
}

function renderDocument(cases: readonly CaseResult[]): void {
  writeFileSync(DOCUMENT, benchmarksDocument(cases, readNotes()));
  writeFileSync(PLOT, benchmarksPlot(cases));
}

export function mergeCases(
  before: readonly CaseResult[],
  now: readonly CaseResult[],
  order: readonly string[],
): readonly CaseResult[] {
  const byName = new Map([...before, ...now].map((result) => [result.name, result]));
  return order.flatMap((name) => byName.get(name) ?? []);
}

export function writeResults(file: string, cases: readonly CaseResult[]): void {
  const rounded = (_: string, value: unknown) =>
    typeof value === 'number' ? Number(value.toPrecision(6)) : value;
  writeFileSync(file, `${JSON.stringify({ cases }, rounded, 2)}\n`);
}

/** Keys of targets that the document calls met; none where there is no document. */
export function recordedAsMet(): ReadonlySet<string> {
  return existsSync(DOCUMENT) ? targetsMarkedMet(readFileSync(DOCUMENT, 'utf8')) : new Set();
}

function readResults(file: string): readonly CaseResult[] {
  if (!existsSync(file)) return [];
  return (JSON.parse(readFileSync(file, 'utf8')) as { cases: CaseResult[] }).cases;
}

function readNotes(): Notes {
  const files = globSync(join(import.meta.dirname, 'notes/*.md'));
  return new Map(
    files.map((file) => [basename(file, '.md'), readFileSync(file, 'utf8').trim()] as const),
  );
}
