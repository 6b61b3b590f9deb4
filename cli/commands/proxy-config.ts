import { stringify } from 'yaml';
import { connectApi } from '../api-connection.ts';
import type { CommandContext, CommandHandler } from '../command-table.ts';
import type { JsonValue } from '../config-dump.ts';
import { CONFIG_VIEWS, ConfigFilter } from '../config-views.ts';
import { CommandError, ExitCode } from '../exit-code.ts';
import { findProxy, listProxies } from '../proxy-list.ts';
import { renderTable } from '../table.ts';

/**
 * `weft proxy-config listeners|routes|clusters|endpoints|certs [proxy]`: what the sidecar holds now, read from its admin port,
 * in istioctl's columns (CL-03). `--admin` names the port; else the proxy's name finds it through the control plane.
 */
export const run: CommandHandler = async (context) => {
  const { args, options, terminal } = context;
  const view = CONFIG_VIEWS.get(ALIASES.get(args[0]!) ?? args[0]!);
  if (view === undefined) {
    throw new CommandError(
      `unknown: proxy-config ${args[0]}`,
      `there is ${[...CONFIG_VIEWS.keys()].join(', ')}`,
      ExitCode.Usage,
    );
  }
  const admin = await findAdmin(context);
  const body = await readAdmin(admin, view.path);
  const items = view.items(
    body,
    new ConfigFilter({
      fqdn: String(options['fqdn'] ?? ''),
      port: String(options['port'] ?? ''),
      direction: String(options['direction'] ?? ''),
    }),
  );
  const sources = items.map(({ source }) => source);
  if (options['output'] === 'json') {
    terminal.out(`${JSON.stringify(sources, null, 2)}\n`);
    return ExitCode.Ok;
  }
  if (options['output'] === 'yaml') {
    terminal.out(stringify(sources, { lineWidth: 0 }));
    return ExitCode.Ok;
  }
  const rows = items.flatMap(({ rows }) => rows);
  terminal.out(renderTable(view.headers, rows));
  return ExitCode.Ok;
};

/** istioctl's singular and short words. */
const ALIASES = new Map([
  ['listener', 'listeners'],
  ['l', 'listeners'],
  ['route', 'routes'],
  ['r', 'routes'],
  ['cluster', 'clusters'],
  ['c', 'clusters'],
  ['endpoint', 'endpoints'],
  ['ep', 'endpoints'],
  ['cert', 'certs'],
  ['secret', 'certs'],
  ['s', 'certs'],
]);

async function findAdmin(context: CommandContext): Promise<string> {
  const { args, options } = context;
  if (options['admin'] !== undefined) return String(options['admin']);
  if (args[1] === undefined) {
    throw new CommandError(
      'which sidecar?',
      'name one, or its admin port with --admin 127.0.0.1:15000',
      ExitCode.Usage,
    );
  }
  const proxy = findProxy(await listProxies(connectApi(context)), args[1]);
  if (proxy.adminAddress === '') {
    throw new CommandError(
      `${proxy.name} does not say where its admin port is`,
      'give it with --admin host:port',
    );
  }
  return proxy.adminAddress;
}

async function readAdmin(admin: string, path: string): Promise<JsonValue> {
  let response: Response;
  try {
    response = await fetch(`http://${admin}${path}`, { signal: AbortSignal.timeout(10_000) });
  } catch (error) {
    const cause = (error as { cause?: Error }).cause;
    const why = (cause ?? (error as Error)).message;
    throw new CommandError(
      `the sidecar's admin port ${admin} does not answer: ${why}`,
      'it listens on the loopback of the machine that the sidecar runs on',
    );
  }
  if (!response.ok)
    throw new CommandError(
      `${admin}${path} answered ${response.status}: ${(await response.text()).slice(0, 200)}`,
    );
  try {
    return (await response.json()) as JsonValue;
  } catch (error) {
    throw new CommandError(
      `${admin}${path} did not answer with JSON: ${(error as Error).message}`,
      "is it a sidecar's admin port?",
    );
  }
}
