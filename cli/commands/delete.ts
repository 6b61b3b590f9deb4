import type { Kind } from '../../control-plane/kinds/kind.ts';
import { connectApi } from '../api-connection.ts';
import { ApiError } from '../api-error.ts';
import type { CommandHandler } from '../command-table.ts';
import { CommandError, ExitCode } from '../exit-code.ts';
import { kindByName, objectName } from '../kind-name.ts';
import { namespaceOf, namespaceOption, readManifests, showProblems } from '../manifests.ts';

/** `weft delete <kind> <name>…`, `weft delete <kind>/<name>` or `weft delete -f FILE`. */
export const run: CommandHandler = async (context) => {
  const { args, options, terminal } = context;
  const targets: { kind: Kind; namespace: string; name: string }[] = [];
  let failed = false;
  if (options['filename'] !== undefined) {
    if (args.length > 0) {
      throw new CommandError('-f and names do not go together', '', ExitCode.Usage);
    }
    const { objects, problems } = await readManifests(context);
    showProblems(context, problems);
    failed = problems.length > 0;
    for (const object of objects) {
      const { kind, manifest } = object;
      const namespace = namespaceOf(context, object);
      targets.push({ kind, namespace, name: manifest.metadata.name });
    }
  } else {
    const namespace = namespaceOption(options);
    for (const [kindWord, name] of pairs(args)) {
      targets.push({ kind: kindByName(kindWord), namespace, name });
    }
  }
  const api = connectApi(context);
  for (const { kind, namespace, name } of targets) {
    try {
      await api.delete(kind, namespace, name);
      terminal.out(`${objectName(kind, name).replace('/', ' "')}" deleted\n`);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 404 && options['ignoreNotFound'] === true) continue;
      terminal.talk(`${error.line}\n`);
      failed = true;
    }
  }
  return failed ? ExitCode.Failure : ExitCode.Ok;
};

/** `vs reviews ratings` and `vs/reviews dr/ratings`. */
function pairs(args: readonly string[]): [string, string][] {
  const [first, ...names] = args;
  if (first?.includes('/') === true) {
    return args.map((word) => {
      const slash = word.indexOf('/');
      if (slash <= 0) throw usage();
      return [word.slice(0, slash), word.slice(slash + 1)];
    });
  }
  if (first === undefined || names.length === 0) throw usage();
  return names.map((name) => [first, name]);
}

function usage(): CommandError {
  return new CommandError(
    'say what to delete',
    'weft delete virtualservice reviews, weft delete vs/reviews, or weft delete -f FILE',
    ExitCode.Usage,
  );
}
