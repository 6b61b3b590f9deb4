import { stringify } from 'yaml';
import type { ProxyStatus } from '../../control-plane/xds/proxy-status.ts';
import { connectApi } from '../api-connection.ts';
import type { CommandHandler } from '../command-table.ts';
import { ExitCode } from '../exit-code.ts';
import { findProxy, listProxies } from '../proxy-list.ts';
import { printableCell, renderTable } from '../table.ts';

/** `weft proxy-status [proxy]`: istioctl's columns, one a type (CL-02); NACK texts below the table. */
export const run: CommandHandler = async (context) => {
  const { args, options, terminal } = context;
  const all = await listProxies(connectApi(context));
  const proxies = args[0] === undefined ? all : [findProxy(all, args[0])];
  if (options['output'] === 'json') {
    terminal.out(`${JSON.stringify(proxies, null, 2)}\n`);
    return ExitCode.Ok;
  }
  if (options['output'] === 'yaml') {
    terminal.out(stringify(proxies, { lineWidth: 0 }));
    return ExitCode.Ok;
  }
  if (proxies.length === 0) {
    terminal.talk('No proxies are connected.\n');
    return ExitCode.Ok;
  }
  const headers = ['name', 'cluster', ...TYPES, 'control plane', 'version'];
  const rows = proxies.map((proxy) => [
    proxy.name,
    proxy.cluster,
    ...TYPES.map((type) => statusOf(proxy, type)),
    proxy.controlPlane,
    proxy.version,
  ]);
  const paint = (text: string) => {
    const style = STYLES.get(text);
    return style === undefined ? text : terminal.colour(style, text);
  };
  const table = renderTable(headers, rows, { paint });
  terminal.out(table);
  for (const { name, types } of proxies) {
    for (const { type, error } of types) {
      if (error !== '') terminal.out(`\n${printable(`${name} refused ${type}: ${error}`)}\n`);
    }
  }
  return ExitCode.Ok;
};

/** Sidecars wrote it: lines stay, nothing else may move the cursor. */
function printable(text: string): string {
  return text.split('\n').map(printableCell).join('\n');
}

const TYPES = ['CDS', 'LDS', 'EDS', 'RDS'];
const STYLES = new Map<string, 'green' | 'yellow' | 'red'>([
  ['SYNCED', 'green'],
  ['STALE', 'yellow'],
  ['ERROR', 'red'],
]);

function statusOf(proxy: ProxyStatus, type: string): string {
  return proxy.types.find((entry) => entry.type === type)?.status ?? 'NOT SENT';
}
