import { AGE, type Kind, type PrinterColumn } from '../control-plane/kinds/kind.ts';
import { printerValue } from '../control-plane/kinds/printer-value.ts';
import type { Resource } from '../control-plane/kinds/resource.ts';
import type { CommandContext } from './command-table.ts';
import { objectName } from './kind-name.ts';
import { columnWidths, renderTable } from './table.ts';

export interface ObjectTableOptions {
  /** Names with their kind before them: tables of several kinds in one output. */
  readonly prefixed?: boolean;
  /** Rows that go on below a table already printed: no header, columns at least as wide as these. */
  readonly below?: readonly number[];
}

/** Objects of one kind in the kind's printer columns, as `-o wide`, `-A` and `--no-headers` ask. */
export function objectTable(
  { options }: CommandContext,
  kind: Kind,
  items: readonly Resource[],
  { prefixed = false, below }: ObjectTableOptions = {},
): { readonly text: string; readonly widths: readonly number[] } {
  const columns = columnsOf(kind, options['output'] === 'wide');
  const withNamespace = options['allNamespaces'] === true;
  const headers = [
    ...(withNamespace ? ['namespace'] : []),
    'name',
    ...columns.map(({ name }) => name),
  ];
  const rows = items.map((item) => [
    ...(withNamespace ? [item.metadata.namespace] : []),
    prefixed ? objectName(kind, item.metadata.name) : item.metadata.name,
    ...columns.map((column) => String(printerValue(item, column, Date.now()) ?? '<none>')),
  ]);
  const widths = columnWidths(headers, rows, below);
  const text = renderTable(headers, rows, { widths });
  const headless = below !== undefined || options['headers'] === false;
  return { text: headless ? text.slice(text.indexOf('\n') + 1) : text, widths };
}

function columnsOf(kind: Kind, wide: boolean): PrinterColumn[] {
  const columns = kind.printerColumns.filter(({ priority }) => wide || priority === 0);
  return columns.some(({ name }) => name === AGE.name) ? columns : [...columns, AGE];
}
