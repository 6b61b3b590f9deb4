import { type ReadObject, readDocuments } from '../control-plane/kinds/documents.ts';
import { formatProblem, type Problem } from '../control-plane/kinds/problem.ts';
import type { CommandContext } from './command-table.ts';
import { CommandError, ExitCode } from './exit-code.ts';
import { readManifestFiles } from './manifest-files.ts';

/** What `-f` names, read and checked offline. Objects are those that are right, problems all the others. */
export interface Manifests {
  readonly objects: readonly ReadObject[];
  readonly problems: readonly Problem[];
}

/** Reads what `-f FILE|DIR|-` (and further names) hold. Two objects of one name are a problem of the second. */
export function readManifests(
  { options }: CommandContext,
  names: readonly string[] = [],
): Manifests {
  const given = [...((options['filename'] as readonly string[] | undefined) ?? []), ...names];
  const objects: ReadObject[] = [];
  const problems: Problem[] = [];
  const seen = new Map<string, ReadObject>();
  for (const { file, text } of readManifestFiles(given, options['recursive'] === true)) {
    const read = readDocuments(text, file);
    problems.push(...read.problems);
    for (const object of read.objects) {
      const { kind, manifest } = object;
      const key = [
        kind.group,
        kind.kind,
        manifest.metadata.namespace ?? '',
        manifest.metadata.name,
      ].join('/');
      const earlier = seen.get(key);
      if (earlier !== undefined) {
        const message = `${kind.kind} ${manifest.metadata.name} stands a second time (first at ${earlier.file}:${earlier.line})`;
        problems.push({
          file,
          line: object.line,
          column: 1,
          path: 'metadata.name',
          message,
          code: 'invalid',
        });
        continue;
      }
      seen.set(key, object);
      objects.push(object);
    }
  }
  return { objects, problems };
}

/** Prints each problem on a line of its own, in the form that editors can jump from. */
export function showProblems({ terminal }: CommandContext, problems: readonly Problem[]): void {
  for (const problem of problems) terminal.talk(`${formatProblem(problem)}\n`);
}

/** The namespace an object goes to: its own, else `-n`. A file and an explicit `-n` that differ are an error, as in kubectl. */
export function namespaceOf(
  { options }: CommandContext,
  { manifest, file, line }: ReadObject,
): string {
  const asked = String(options['namespace'] ?? 'default');
  const own = manifest.metadata.namespace;
  if (own !== undefined && asked !== 'default' && own !== asked) {
    throw new CommandError(
      `${file}:${line}: ${manifest.metadata.name} says namespace ${own}, the command says ${asked}`,
      'leave one of them out',
      ExitCode.Usage,
    );
  }
  return own ?? asked;
}
