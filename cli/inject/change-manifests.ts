import { writeFileSync } from 'node:fs';
import { printable } from '../../control-plane/kinds/problem.ts';
import type { CommandContext } from '../command-table.ts';
import { CommandError, ExitCode } from '../exit-code.ts';
import { type ManifestFile, readManifestFiles } from '../manifest-files.ts';
import { showProblems } from '../manifests.ts';
import type { ManifestResult, ObjectReport } from './manifest-injection.ts';

/**
 * Reads the files of `-f`, changes each, reports on standard error what became of every object, and writes them as one
 * stream, or nothing where there is a problem: half of it in `kubectl apply` would be worse.
 */
export async function changeManifests(
  context: CommandContext,
  change: (file: ManifestFile) => ManifestResult,
): Promise<number> {
  const { options, terminal } = context;
  const names = (options['filename'] as readonly string[] | undefined) ?? [];
  const files = await readManifestFiles(names, options['recursive'] === true);
  const texts: string[] = [];
  let problems = 0;
  for (const file of files) {
    checkLength(file.file, file.text);
    const result = change(file);
    checkLength(`${file.file}, injected,`, result.text);
    for (const report of result.reports) showReport(context, report);
    showProblems(context, result.problems);
    problems += result.problems.length;
    texts.push(result.text);
  }
  if (problems > 0) {
    terminal.talk(`${problems} problem${problems === 1 ? '' : 's'} found; nothing was written\n`);
    return ExitCode.Data;
  }
  const text = joinStreams(texts);
  const output = options['output'];
  if (typeof output === 'string' && output !== '-') write(output, text);
  else terminal.out(text);
  return ExitCode.Ok;
}

const LINE_CHARS_MAX = 2000;
/** Of one file: some thousand pods, injected; memory is a hundred times this. */
const MANIFEST_CHARS_MAX = 16 * 1024 * 1024;

function checkLength(name: string, { length }: string): void {
  if (length <= MANIFEST_CHARS_MAX) return;
  const message = `${name} has ${length} characters; at most ${MANIFEST_CHARS_MAX} are allowed`;
  throw new CommandError(message, 'split it', ExitCode.Data);
}

/** One file stays as it is; between two stands `---`. */
function joinStreams(texts: readonly string[]): string {
  return texts.reduce((joined, text) => {
    if (joined === '') return text;
    const separator = /^\ufeff?(---|%)/.test(text) ? '' : '---\n';
    const end = /^\ufeff?%/.test(text) ? '...\n' : '';
    return `${joined}${joined.endsWith('\n') ? '' : '\n'}${end}${separator}${text}`;
  }, '');
}

function showReport({ terminal, options }: CommandContext, report: ObjectReport): void {
  const { kind, name, outcome, reason, warnings, details } = report;
  // What stands in a file cannot move the cursor of the terminal.
  const talk = (line: string) => terminal.talk(`${printable(line, LINE_CHARS_MAX)}\n`);
  const why = reason === '' ? '' : `: ${reason}`;
  talk(`${kind.toLowerCase()} "${name}" ${outcome}${why}`);
  for (const warning of warnings) talk(`  ‼ ${warning}`);
  if (options['verbose'] !== true) return;
  for (const detail of details) talk(`  √ ${detail}`);
}

function write(file: string, text: string): void {
  try {
    writeFileSync(file, text);
  } catch (error) {
    throw new CommandError(`${file} cannot be written: ${(error as Error).message}`);
  }
}
