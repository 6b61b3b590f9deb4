import { stringify } from 'yaml';
import type { Kind } from '../control-plane/kinds/kind.ts';
import type { Resource } from '../control-plane/kinds/resource.ts';
import type { ApiClient } from './api-client.ts';
import { ApiError } from './api-error.ts';
import type { CommandContext } from './command-table.ts';
import { CommandError, ExitCode } from './exit-code.ts';
import { objectName } from './kind-name.ts';
import { objectTable } from './object-table.ts';

export interface WatchedObjects {
  readonly kind: Kind;
  /** Undefined: all. */
  readonly namespace: string | undefined;
  readonly query: Readonly<Record<string, string>>;
}

/**
 * `get -w`: what there is, then every change until Ctrl-C. A watch that the server ends in good order (they have a
 * longest time) goes on from the last change seen; one that broke off, or whose history is gone, is an error.
 */
export async function watchObjects(
  context: CommandContext,
  api: ApiClient,
  { kind, namespace, query }: WatchedObjects,
): Promise<number> {
  const stop = new AbortController();
  const onSignal = () => stop.abort();
  process.once('SIGINT', onSignal);
  try {
    const show = printer(context, kind);
    const { items, metadata } = await api.list(kind, namespace, query);
    if (items.length > 0) show(items);
    let { resourceVersion } = metadata;
    while (!stop.signal.aborted) {
      for await (const event of api.watch(kind, namespace, resourceVersion, query, stop.signal)) {
        if (event.type === 'ERROR') throw new ApiError(410, event.object);
        resourceVersion = event.object.metadata.resourceVersion;
        if (event.type !== 'BOOKMARK') show([event.object]);
      }
    }
    return ExitCode.Ok;
  } catch (error) {
    if (stop.signal.aborted) return ExitCode.Ok;
    throw error instanceof ApiError && error.status === 410
      ? new CommandError(error.message, 'start the watch again')
      : error;
  } finally {
    process.off('SIGINT', onSignal);
  }
}

function printer(context: CommandContext, kind: Kind): (items: readonly Resource[]) => void {
  const { options, terminal } = context;
  let widths: readonly number[] | undefined;
  return (items) => {
    switch (options['output']) {
      case 'json':
        for (const item of items) terminal.out(`${JSON.stringify(item)}\n`);
        return;
      case 'yaml':
        for (const item of items) terminal.out(`---\n${stringify(item, { lineWidth: 0 })}`);
        return;
      case 'name':
        for (const item of items) terminal.out(`${objectName(kind, item.metadata.name)}\n`);
        return;
      default: {
        const table = objectTable(
          context,
          kind,
          items,
          widths === undefined ? {} : { below: widths },
        );
        widths = table.widths;
        terminal.out(table.text);
      }
    }
  };
}
