import { stringify } from 'yaml';
import { AGE, type Kind, type PrinterColumn } from '../../control-plane/kinds/kind.ts';
import { KINDS } from '../../control-plane/kinds/kind-registry.ts';
import type { Resource } from '../../control-plane/kinds/resource.ts';
import { age } from '../age.ts';
import { type ApiClient, ApiError } from '../api-client.ts';
import { connectApi } from '../api-connection.ts';
import type { CommandContext, CommandHandler } from '../command-table.ts';
import { CommandError, ExitCode } from '../exit-code.ts';
import { kindByName, objectName } from '../kind-name.ts';
import { renderTable } from '../table.ts';

/** `weft get <kinds> [names…]`, with kubectl's outputs and manners. `all` stands for every kind. */
export const run: CommandHandler = async (context) => {
  const { args, options, terminal } = context;
  const [kindsWord, ...names] = args;
  const kinds =
    kindsWord === 'all' ? [...KINDS] : kindsWord!.split(',').map((word) => kindByName(word));
  if (names.length > 0 && options['allNamespaces'] === true) {
    throw new CommandError('a name and --all-namespaces do not go together', '', ExitCode.Usage);
  }
  const api = connectApi(context);
  if (options['watch'] === true) {
    if (kinds.length > 1 || names.length > 1) {
      throw new CommandError('--watch follows one kind', '', ExitCode.Usage);
    }
    return watch(context, api, kinds[0]!, names[0]);
  }
  let exitCode: number = ExitCode.Ok;
  const found: { kind: Kind; items: Resource[] }[] = [];
  for (const kind of kinds) {
    if (names.length === 0) {
      const { items } = await api.list(kind, namespaceOf(context), selectorQuery(context));
      found.push({ kind, items });
      continue;
    }
    const items: Resource[] = [];
    for (const name of names) {
      try {
        items.push(await api.get(kind, String(options['namespace']), name));
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        terminal.talk(`Error from server (${error.reason}): ${error.message}\n`);
        exitCode = ExitCode.Failure;
      }
    }
    found.push({ kind, items });
  }
  print(context, found, names.length === 1 && kinds.length === 1);
  return exitCode;
};

function namespaceOf({ options }: CommandContext): string | undefined {
  return options['allNamespaces'] === true ? undefined : String(options['namespace']);
}

function selectorQuery({ options }: CommandContext): Record<string, string> {
  return options['selector'] === undefined ? {} : { labelSelector: String(options['selector']) };
}

function print(
  context: CommandContext,
  found: readonly { kind: Kind; items: readonly Resource[] }[],
  single: boolean,
): void {
  const { options, terminal } = context;
  const all = found.flatMap(({ items }) => items);
  const whole =
    single && all.length === 1 ? all[0] : { apiVersion: 'v1', kind: 'List', items: all };
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
      if (shown.length === 0 && !(single || all.length > 0)) {
        const namespace = namespaceOf(context);
        terminal.talk(
          namespace === undefined
            ? 'No resources found\n'
            : `No resources found in ${namespace} namespace.\n`,
        );
      }
      shown.forEach(({ kind, items }, index) => {
        if (index > 0) terminal.out('\n');
        terminal.out(table(context, kind, items, shown.length > 1));
      });
    }
  }
}

function columnsOf(context: CommandContext, kind: Kind): PrinterColumn[] {
  const wide = context.options['output'] === 'wide';
  const columns = kind.printerColumns.filter(({ priority }) => wide || priority === 0);
  return columns.some(({ name }) => name === AGE.name) ? columns : [...columns, AGE];
}

function table(
  context: CommandContext,
  kind: Kind,
  items: readonly Resource[],
  prefixed: boolean,
): string {
  const columns = columnsOf(context, kind);
  const withNamespace = context.options['allNamespaces'] === true;
  const headers = [
    ...(withNamespace ? ['namespace'] : []),
    'name',
    ...columns.map(({ name }) => name),
  ];
  const rows = items.map((item) => [
    ...(withNamespace ? [item.metadata.namespace] : []),
    prefixed ? objectName(kind, item.metadata.name) : item.metadata.name,
    ...columns.map((column) => cellOf(item, column)),
  ]);
  const text = renderTable(headers, rows);
  return context.options['headers'] === false ? text.slice(text.indexOf('\n') + 1) : text;
}

function cellOf(item: Resource, column: PrinterColumn): string {
  let value: unknown = item;
  for (const step of column.path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return '<none>';
    value = (value as Record<string, unknown>)[step];
  }
  if (value === undefined || value === null) return '<none>';
  if (column.type === 'date') return age(String(value), Date.now());
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

async function watch(
  context: CommandContext,
  api: ApiClient,
  kind: Kind,
  name: string | undefined,
): Promise<number> {
  const { options, terminal } = context;
  const query = selectorQuery(context);
  if (name !== undefined) query['fieldSelector'] = `metadata.name=${name}`;
  const stop = new AbortController();
  const onSignal = () => stop.abort();
  process.once('SIGINT', onSignal);
  try {
    const { items, metadata } = await api.list(kind, namespaceOf(context), query);
    const show = (item: Resource, first: boolean) => {
      if (options['output'] === 'json') terminal.out(`${JSON.stringify(item)}\n`);
      else if (options['output'] === 'yaml')
        terminal.out(`---\n${stringify(item, { lineWidth: 0 })}`);
      else if (options['output'] === 'name')
        terminal.out(`${objectName(kind, item.metadata.name)}\n`);
      else {
        const text = table(context, kind, [item], false);
        terminal.out(first ? text : text.slice(text.indexOf('\n') + 1));
      }
    };
    for (const [index, item] of items.entries()) show(item, index === 0);
    let first = items.length === 0;
    const namespace = namespaceOf(context);
    for await (const event of api.watch(
      kind,
      namespace,
      metadata.resourceVersion,
      query,
      stop.signal,
    )) {
      if (event.type === 'BOOKMARK') continue;
      if (event.type === 'ERROR') throw new ApiError(410, event.object);
      show(event.object, first);
      first = false;
    }
    return ExitCode.Ok;
  } catch (error) {
    if (stop.signal.aborted) return ExitCode.Ok;
    throw error instanceof ApiError
      ? new CommandError(error.message, 'start the watch again')
      : error;
  } finally {
    process.off('SIGINT', onSignal);
  }
}
