import { readFileSync } from 'node:fs';
import { enableCompileCache, flushCompileCache } from 'node:module';
import { hostname, networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import manifest from '../package.json' with { type: 'json' };
import type { FieldPath } from '../proto/json.ts';
import type { Logger, Loggers, LogLevel } from './observe/logger.ts';
import { StartError } from './sidecar/start-error.ts';
import type { Sidecar } from './sidecar.ts';
import type { AppEndpoints } from './status/status-environment.ts';
import type { BootstrapOverrides } from './xds/bootstrap/bootstrap.ts';
import type { DrainTimes } from './xds/bootstrap/drain-environment.ts';

/** Command line and environment → Bootstrap → Sidecar. Envoy's flags, as far as they mean something here. */

const USAGE = `Usage: weft proxy [-c FILE] [options]
       weft proxy wait|drain|healthcheck [--timeout 60s] [--address HOST:PORT]

Without -c and --config-yaml the sidecar is configured by its environment: WEFT_CONTROL_PLANE=host:port and
what docs/sidecar-container.md lists.

  -c, --config-path FILE     Envoy bootstrap, YAML or JSON
      --config-yaml TEXT     the bootstrap itself, in place of a file
      --mode serve|validate  validate: check the bootstrap and exit (0 good, 1 bad)
      --service-node ID      node.id, over the one in the bootstrap
      --service-cluster NAME node.cluster, over the one in the bootstrap
  -l, --log-level LEVEL      trace, debug, info, warning, error, critical, off; default info
      --drain-time-s N       seconds that a stop waits for requests under way, default $WEFT_DRAIN_TIME_S or 5
  -h, --help                 this text
`;

/** Milliseconds that the exit waits for logs. */
const FLUSH_MS = 1000;
const EXIT_BAD_USAGE = 64;
const EXIT_SIGTERM_TWICE = 143;
/** Where a bootstrap that no file holds comes from, in messages. */
const ENVIRONMENT = 'the environment';

interface CommandLine {
  /** The bootstrap; null = it is made from the environment. */
  readonly text: string | null;
  readonly fileName: string;
  readonly validateOnly: boolean;
  readonly overrides: BootstrapOverrides;
  readonly logLevel: LogLevel;
  /** Null: as the environment says. */
  readonly drainTimeMs: number | null;
}

/** Wrong use of the command line; the message says what is right. */
class UsageError extends Error {
  readonly code = 'WEFT_USAGE';
}

async function readCommandLine(args: readonly string[]): Promise<CommandLine | 'help'> {
  const { values } = parse(args);
  if (values.help === true) return 'help';
  if (values.concurrency !== undefined) {
    throw new UsageError(
      '--concurrency is not supported: one process uses one core; run more replicas of the app instead',
    );
  }
  const path = values['config-path'] ?? '';
  const yaml = values['config-yaml'] ?? '';
  const { isConfiguredByEnvironment } = await import('./xds/bootstrap/environment-variables.ts');
  if (path !== '' && yaml !== '') {
    throw new UsageError('give one of -c FILE and --config-yaml TEXT, not both');
  }
  if (path === '' && yaml === '' && !isConfiguredByEnvironment(process.env)) {
    throw new UsageError(
      'give one of -c FILE and --config-yaml TEXT, or set WEFT_CONTROL_PLANE=host:port to configure it by the environment',
    );
  }
  const mode = values.mode ?? 'serve';
  if (mode !== 'serve' && mode !== 'validate') {
    throw new UsageError(`--mode "${mode}" is not one of serve, validate`);
  }
  const { LOG_LEVEL_NAMES, parseLogLevel } = await import('./observe/logger.ts');
  const level = parseLogLevel(values['log-level'] ?? 'info');
  if (level === null) {
    throw new UsageError(`--log-level "${values['log-level']}" is not one of ${LOG_LEVEL_NAMES}`);
  }
  const drainText = values['drain-time-s'];
  const drainSeconds = Number(drainText ?? '0');
  if (!(drainSeconds >= 0 && drainSeconds <= 86_400)) {
    throw new UsageError('--drain-time-s must be a number of seconds, 0 to 86400');
  }
  return {
    text: path !== '' ? readBootstrapFile(path) : yaml !== '' ? yaml : null,
    fileName: path !== '' ? path : yaml !== '' ? '--config-yaml' : ENVIRONMENT,
    validateOnly: mode === 'validate',
    overrides: {
      node: values['service-node'] ?? '',
      cluster: values['service-cluster'] ?? '',
    },
    logLevel: level,
    drainTimeMs: drainText === undefined ? null : drainSeconds * 1000,
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      strict: true,
      allowPositionals: false,
      options: {
        'config-path': { type: 'string', short: 'c' },
        'config-yaml': { type: 'string' },
        mode: { type: 'string' },
        'service-node': { type: 'string' },
        'service-cluster': { type: 'string' },
        'log-level': { type: 'string', short: 'l' },
        'drain-time-s': { type: 'string' },
        concurrency: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
    });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function readBootstrapFile(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new UsageError(`the bootstrap ${path} cannot be read: ${(error as Error).message}`);
  }
}

/**
 * Sources are compiled at each start; what came of it is kept beside the packages, which takes two thirds off the
 * time to start. Where the place cannot be written nothing is kept. Everything large is imported after this.
 */
function keepCompiledSources(): void {
  enableCompileCache(join(import.meta.dirname, '../node_modules/.cache/weft'));
}

/** `weft proxy wait`, `drain`, `healthcheck`: a hook of a container waits for them, so they load nothing else. */
async function statusCommand(args: readonly string[]): Promise<number> {
  const { runStatusCommand } = await import('./status/status-command.ts');
  const { code, message } = await runStatusCommand(args, process.env);
  if (message !== '') {
    const text = code === 0 ? `${message}\n` : `weft proxy ${args[0]}: ${message}\n`;
    (code === 0 ? process.stdout : process.stderr).write(text);
  }
  return code;
}

/** Runs until stopped; resolves with the exit code. */
export async function main(args: readonly string[]): Promise<number> {
  keepCompiledSources();
  if (['wait', 'drain', 'healthcheck'].includes(args[0] ?? '')) return statusCommand(args);
  let commandLine: CommandLine | 'help';
  try {
    commandLine = await readCommandLine(args);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`weft proxy: ${error.message}\n`);
    return error.message.startsWith('the bootstrap') ? 1 : EXIT_BAD_USAGE;
  }
  if (commandLine === 'help') {
    process.stdout.write(USAGE);
    return 0;
  }
  const { fileName, overrides, validateOnly, logLevel } = commandLine;
  const environment = (name: string): string | undefined => process.env[name];
  const text = commandLine.text ?? (await readEnvironment());
  const drain = await readDrainTimes(commandLine.drainTimeMs);
  const { appEndpointsFromEnvironment } = await import('./status/status-environment.ts');
  const app = appEndpointsFromEnvironment(process.env);
  const problems = [
    ...(typeof text === 'string' ? [] : text),
    ...('problems' in drain ? drain.problems : []),
    ...(app.ok ? [] : app.problems),
  ];
  if (typeof text !== 'string' || 'problems' in drain || !app.ok) {
    const lines = [...new Set(problems)].map((problem) => `  ${problem}\n`);
    process.stderr.write(
      `weft proxy: the sidecar cannot be configured by its environment:\n${lines.join('')}`,
    );
    return 1;
  }
  if (validateOnly) {
    const { loadBootstrap } = await import('./xds/bootstrap/bootstrap.ts');
    const { checkOnlyContext } = await import('./xds/compile/compile-context.ts');
    const contextAt = (root: FieldPath) => checkOnlyContext(root, environment);
    const checked = loadBootstrap(text, fileName, overrides, contextAt);
    if (checked.ok) process.stdout.write(`${fileName}: configuration OK\n`);
    else process.stderr.write(`${checked.problems.join('\n')}\n`);
    return checked.ok ? 0 : 1;
  }
  const { Loggers } = await import('./observe/logger.ts');
  const loggers = new Loggers({ level: logLevel });
  const appEndpoints = app.endpoints;
  return serve({ text, fileName, overrides, drain, appEndpoints, environment, loggers });
}

/** The bootstrap's text, or every problem. */
async function readEnvironment(): Promise<string | readonly string[]> {
  const { bootstrapFromEnvironment } = await import('./xds/bootstrap/environment.ts');
  const made = bootstrapFromEnvironment({
    variables: process.env,
    hostName: hostname(),
    addresses: ownAddresses(),
    readFile: (path) => {
      try {
        return readFileSync(path, 'utf8');
      } catch {
        return undefined;
      }
    },
  });
  return made.ok ? JSON.stringify(made.bootstrap) : made.problems;
}

/** Addresses that others may reach this host at, IPv4 first. */
function ownAddresses(): string[] {
  const all = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  const reachable = all.filter(
    ({ internal, address }) => !internal && !/^(fe80|169\.254)/i.test(address),
  );
  return reachable
    .toSorted((a, b) => a.family.localeCompare(b.family))
    .map(({ address }) => address);
}

async function readDrainTimes(
  flagMs: number | null,
): Promise<DrainTimes | { readonly problems: readonly string[] }> {
  if (flagMs !== null) return { drainMs: flagMs, minimumMs: 0 };
  const { drainFromEnvironment } = await import('./xds/bootstrap/drain-environment.ts');
  const parsed = drainFromEnvironment(process.env);
  return parsed.ok ? parsed.times : { problems: parsed.problems };
}

/** [A5.6] In a container the sidecar shares its pod with programs that may not be friendly. */
async function warnOfExposure(log: Logger, inContainer: boolean): Promise<void> {
  const { processExposures, opensInspectorOnSignal } = await import(
    './observe/process-exposure.ts'
  );
  const inspectorUrl = process.getBuiltinModule('node:inspector').url() ?? '';
  for (const { what, warning } of processExposures({
    variables: process.env,
    execArgv: process.execArgv,
    inspectorUrl,
  })) {
    log.warn({ what }, warning);
  }
  delete process.env['NODE_TLS_REJECT_UNAUTHORIZED'];
  if (inContainer && opensInspectorOnSignal(process.execArgv)) {
    const warning = 'SIGUSR1 opens an inspector; start node with --disable-sigusr1';
    log.warn({ what: 'SIGUSR1' }, warning);
  }
}

interface ServeOptions {
  readonly text: string;
  readonly fileName: string;
  readonly overrides: BootstrapOverrides;
  readonly drain: DrainTimes;
  readonly appEndpoints: AppEndpoints;
  readonly environment: (name: string) => string | undefined;
  readonly loggers: Loggers;
}

async function serve(options: ServeOptions): Promise<number> {
  const { loggers } = options;
  const log = loggers.get('main');
  await warnOfExposure(log, options.fileName === ENVIRONMENT);
  let stop: (code: number) => void = () => {};
  const stopped = new Promise<number>((resolve) => {
    stop = resolve;
  });
  const { startSidecar } = await import('./sidecar.ts');
  let sidecar: Sidecar;
  let onStop = (_reason: string): void => stop(0);
  try {
    sidecar = await startSidecar({
      ...options,
      version: manifest.version,
      wallClockMs: () => Date.now(),
      random: () => Math.random(),
      onQuit: () => stop(0),
      onStop: () => onStop('POST /quitquitquit'),
    });
  } catch (error) {
    // A start that fails says why in plain lines: a field at its place, a port in use, …
    if (!(error instanceof StartError)) throw error;
    loggers.flushSync();
    process.stderr.write(`${error.lines.join('\n')}\n`);
    return 1;
  }
  flushCompileCache(); // a later kill -9 would lose it
  onStop = (reason) => {
    const { drainMs, minimumMs } = options.drain;
    log.info({ reason, drainMs }, 'draining');
    sidecar.drain(drainMs, minimumMs).then(
      () => stop(0),
      (error: unknown) => {
        log.error({ error: String(error) }, 'draining failed');
        stop(1);
      },
    );
  };
  let signals = 0;
  const onSignal = (signal: NodeJS.Signals): void => {
    signals++;
    if (signals === 1) {
      onStop(signal);
      return;
    }
    log.warn({ signal }, 'stopping at once');
    stop(EXIT_SIGTERM_TWICE);
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  // What reaches here is a bug outside the request path, which catches its own at the connection. One request
  // must not end all others, and the live tables are swapped whole: the state stays sound, so it goes on.
  const onBug = (error: unknown): void => {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    log.error({ error: text }, 'unexpected error; this is a bug, please report it');
    sidecar.countBug();
  };
  process.on('uncaughtException', onBug);
  process.on('unhandledRejection', onBug);
  const code = await stopped;
  await sidecar.close(FLUSH_MS);
  loggers.flushSync();
  return code;
}

if (import.meta.main) {
  // Exit by code, not by an empty event loop: what a peer keeps open must not keep the process.
  process.exit(await main(process.argv.slice(2)));
}
