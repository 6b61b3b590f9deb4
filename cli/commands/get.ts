import { stringify } from 'yaml';
import type { Kind } from '../../control-plane/kinds/kind.ts';
import { KINDS } from '../../control-plane/kinds/kind-registry.ts';
import type { Resource } from '../../control-plane/kinds/resource.ts';
import { connectApi } from '../api-connection.ts';
import { ApiError } from '../api-error.ts';
import type { CommandContext, CommandHandler } from '../command-table.ts';
import { CommandError, ExitCode } from '../exit-code.ts';
import { kindByName, objectName } from '../kind-name.ts';
import { namespaceOption } from '../manifests.ts';
import { objectTable } from '../object-table.ts';
import { watchObjects } from '../object-watch.ts';

/** `weft get <kinds> [names…]` or `weft get <kind>/<name>…`, with kubectl's outputs and manners. `all` stands for every kind. */
export const run: CommandHandler = async (context) => {
  const { args, options, terminal } = context;
  const wanted = selections(args);
  const named = wanted.some(({ names }) => names.length > 0);
  if (named && options['allNamespaces'] === true) {
    throw new CommandError('a name and --all-namespaces do not go together', '', ExitCode.Usage);
  }
  if (named && options['selector'] !== undefined) {
    throw new CommandError('a name and --selector do not go together', '', ExitCode.Usage);
  }
  const api = connectApi(context);
  const namespace = options['allNamespaces'] === true ? undefined : namespaceOption(options);
  const query: Record<string, string> =
    options['selector'] === undefined ? {} : { labelSelector: String(options['selector']) };
  if (options['watch'] === true) {
    const [first, ...others] = wanted;
    if (others.length > 0 || first!.names.length > 1) {
      throw new CommandError('--watch follows one kind, or one object', '', ExitCode.Usage);
    }
    const { kind, names } = first!;
    const name = names[0];
    return watchObjects(context, api, {
      kind,
      namespace,
      query: name === undefined ? query : { fieldSelector: `metadata.name=${name}` },
    });
  }
  let exitCode: number = ExitCode.Ok;
  const found: Found[] = [];
  for (const { kind, names } of wanted) {
    if (names.length === 0) {
      const { items } = await api.list(kind, namespace, query);
      found.push({ kind, items });
      continue;
    }
    const items: Resource[] = [];
    for (const name of names) {
      try {
        items.push(await api.get(kind, namespaceOption(options), name));
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        terminal.talk(`${error.line}\n`);
        exitCode = ExitCode.Failure;
      }
    }
    found.push({ kind, items });
  }
  const count = found.reduce((sum, { items }) => sum + items.length, 0);
  if (count > 0 || !named) print(context, found, named && wanted.length === 1);
  return exitCode;
};

interface Selection {
  readonly kind: Kind;
  /** None: all of the kind. */
  readonly names: readonly string[];
}

interface Found {
  readonly kind: Kind;
  readonly items: readonly Resource[];
}

function selections(args: readonly string[]): Selection[] {
  if (args.some((word) => word.includes('/'))) {
    const byKind = new Map<Kind, string[]>();
    for (const word of args) {
      const [kindWord, name, ...more] = word.split('/');
      if (kindWord === '' || name === undefined || name === '' || more.length > 0) {
        throw new CommandError(
          `${word} is not kind/name`,
          'weft get vs/reviews dr/reviews, or weft get vs reviews',
          ExitCode.Usage,
        );
      }
      const kind = kindByName(kindWord!);
      byKind.set(kind, [...(byKind.get(kind) ?? []), name]);
    }
    return [...byKind].map(([kind, names]) => ({ kind, names }));
  }
  const [kindsWord, ...names] = args;
  const kinds =
    kindsWord === 'all'
      ? [...KINDS]
      : [...new Set(kindsWord!.split(',').map((word) => kindByName(word)))];
  return kinds.map((kind) => ({ kind, names }));
}

function print(context: CommandContext, found: readonly Found[], oneKindByName: boolean): void {
  const { options, terminal } = context;
  const all = found.flatMap(({ items }) => items);
  const whole =
    oneKindByName && all.length === 1 ? all[0] : { apiVersion: 'v1', kind: 'List', items: all };
  switch (options['output']) {
    case 'json':
      terminal.out(`${JSON.stringify(whole, null, 2)}\n`);
      return;
    case 'yaml':
      terminal.out(stringify(whole, { lineWidth: 0 }));
      return;
    case 'name':
      for (const { kind, items } of found) {
        for (const item of items) terminal.out(`${objectName(kind, item.metadata.name)}\n`);
      }
      return;
    default: {
      const shown = found.filter(({ items }) => items.length > 0);
      if (shown.length === 0) {
        terminal.talk(
          options['allNamespaces'] === true
            ? 'No resources found\n'
            : `No resources found in ${namespaceOption(options)} namespace.\n`,
        );
      }
      shown.forEach(({ kind, items }, index) => {
        if (index > 0) terminal.out('\n');
        terminal.out(objectTable(context, kind, items, { prefixed: found.length > 1 }).text);
      });
    }
  }
}
