import { type ReadObject, readDocuments } from '../control-plane/kinds/documents.ts';
import { formatProblem, type Problem } from '../control-plane/kinds/problem.ts';
import type { CommandContext, OptionValues } from './command-table.ts';
import { CommandError, ExitCode } from './exit-code.ts';
import { readManifestFiles } from './manifest-files.ts';

/** What `-f` names, read and checked offline. Objects are those that are right, problems all the others. */
export interface Manifests {
  readonly objects: readonly ReadObject[];
  readonly problems: readonly Problem[];
}

/** Reads what `-f FILE|DIR|-` (and further names) hold, in order: of two objects of one name the later one stays, as in kubectl. */
export async function readManifests(
  { options }: CommandContext,
  names: readonly string[] = [],
): Promise<Manifests> {
  const given = [...((options['filename'] as readonly string[] | undefined) ?? []), ...names];
  const objects: ReadObject[] = [];
  const problems: Problem[] = [];
  for (const { file, text } of await readManifestFiles(given, options['recursive'] === true)) {
    const read = readDocuments(text, file);
    problems.push(...read.problems);
    objects.push(...read.objects);
  }
  return { objects, problems };
}

/** Prints each problem on a line of its own, in the form that editors can jump from. */
export function showProblems({ terminal }: CommandContext, problems: readonly Problem[]): void {
  for (const problem of problems) terminal.talk(`${formatProblem(problem)}\n`);
}

/** `-n`, or the namespace of those who say none. */
export function namespaceOption(options: OptionValues): string {
  return String(options['namespace'] ?? 'default');
}

/** The namespace an object goes to: its own, else `-n`. A file and an explicit `-n` that differ are an error, as in kubectl. */
export function namespaceOf(
  { options }: CommandContext,
  { manifest, file, line }: ReadObject,
): string {
  const own = manifest.metadata.namespace;
  if (own !== undefined && options['namespace'] !== undefined && own !== options['namespace']) {
    throw new CommandError(
      `${file}:${line}: ${manifest.metadata.name} says namespace ${own}, the command says ${String(options['namespace'])}`,
      'leave one of them out',
      ExitCode.Usage,
    );
  }
  return own ?? namespaceOption(options);
}
