import { stringify } from 'yaml';
import { storedApiVersion } from '../../control-plane/kinds/kind.ts';
import { connectApi } from '../api-connection.ts';
import type { CommandContext, CommandHandler } from '../command-table.ts';
import { CommandError, ExitCode } from '../exit-code.ts';
import { namespaceOf, readManifests, showProblems } from '../manifests.ts';
import { writtenPart } from '../object-change.ts';
import { unifiedDiff } from '../unified-diff.ts';
import { getOrNone, showApiError } from './apply.ts';

/** `weft diff -f FILE`: exit 0 nothing would change, 1 something would, above 1 an error, as kubectl. */
export const run: CommandHandler = async (context) => {
  try {
    return await diff(context);
  } catch (error) {
    if (!(error instanceof CommandError) || error.exitCode !== ExitCode.Failure) throw error;
    throw new CommandError(error.message, error.hint, SERVER_FAILURE);
  }
};

/** 1 means "they differ" here. */
const SERVER_FAILURE = 2;

async function diff(context: CommandContext): Promise<number> {
  const { terminal } = context;
  const { objects, problems } = await readManifests(context);
  showProblems(context, problems);
  let failed = false;
  let differs = false;
  const api = connectApi(context);
  for (const object of objects) {
    try {
      const namespace = namespaceOf(context, object);
      const { kind, manifest } = object;
      const { name, labels, annotations } = manifest.metadata;
      const current = await getOrNone(api, object, namespace);
      const wanted = {
        apiVersion: storedApiVersion(kind),
        kind: kind.kind,
        metadata: { name, namespace, labels, annotations },
        spec: manifest.spec,
      };
      const label = `${kind.singular}.${kind.group}/${namespace}/${name}`;
      const before = current === undefined ? '' : yaml(writtenPart(current));
      const text = unifiedDiff(before, yaml(wanted), `live/${label}`, `${object.file}/${label}`);
      if (text === '') continue;
      differs = true;
      terminal.out(
        text.replace(/^[+-].*$/gm, (line) =>
          terminal.colour(line.startsWith('+') ? 'green' : 'red', line),
        ),
      );
    } catch (error) {
      failed = true;
      showApiError(context, object, error);
    }
  }
  if (problems.length > 0) return ExitCode.Data;
  if (failed) return SERVER_FAILURE;
  return differs ? ExitCode.Failure : ExitCode.Ok;
}

function yaml(value: unknown): string {
  return stringify(JSON.parse(JSON.stringify(value)), { lineWidth: 0, sortMapEntries: true });
}
