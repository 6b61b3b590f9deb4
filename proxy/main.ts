import { readFileSync } from 'node:fs';
import { enableCompileCache, flushCompileCache } from 'node:module';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { FieldPath } from '../proto/json.ts';
import type { Loggers, LogLevel } from './observe/logger.ts';
import type { Sidecar } from './sidecar.ts';
import type { BootstrapOverrides } from './xds/bootstrap/bootstrap.ts';

/** Command line and environment → Bootstrap → Sidecar. Envoy's flags, as far as they mean something here. */

const USAGE = `Usage: weft proxy -c FILE [options]

  -c, --config-path FILE     Envoy bootstrap, YAML or JSON
      --config-yaml TEXT     the bootstrap itself, in place of a file
      --mode serve|validate  validate: check the bootstrap and exit (0 good, 1 bad)
      --service-node ID      node.id, over the one in the bootstrap
      --service-cluster NAME node.cluster, over the one in the bootstrap
  -l, --log-level LEVEL      trace, debug, info, warning, error, critical, off; default info
      --drain-time-s N       seconds that a stop waits for requests under way, default 5
  -h, --help                 this text
`;

/** Milliseconds that the exit waits for logs. */
const FLUSH_MS = 1000;
const EXIT_BAD_USAGE = 64;
const EXIT_SIGTERM_TWICE = 143;

interface CommandLine {
  readonly text: string;
  readonly fileName: string;
  readonly validateOnly: boolean;
  readonly overrides: BootstrapOverrides;
  readonly logLevel: LogLevel;
  readonly drainTimeMs: number;
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
  if ((path === '') === (yaml === ''))
    throw new UsageError('give one of -c FILE and --config-yaml TEXT');
  const mode = values.mode ?? 'serve';
  if (mode !== 'serve' && mode !== 'validate') {
    throw new UsageError(`--mode "${mode}" is not one of serve, validate`);
  }
  const { LOG_LEVEL_NAMES, parseLogLevel } = await import('./observe/logger.ts');
  const level = parseLogLevel(values['log-level'] ?? 'info');
  if (level === null) {
    throw new UsageError(`--log-level "${values['log-level']}" is not one of ${LOG_LEVEL_NAMES}`);
  }
  const drainSeconds = Number(values['drain-time-s'] ?? '5');
  if (!(drainSeconds >= 0 && drainSeconds <= 86_400)) {
    throw new UsageError('--drain-time-s must be a number of seconds, 0 to 86400');
  }
  return {
    text: path === '' ? yaml : readBootstrapFile(path),
    fileName: path === '' ? '--config-yaml' : path,
    validateOnly: mode === 'validate',
    overrides: {
      node: values['service-node'] ?? '',
      cluster: values['service-cluster'] ?? '',
    },
    logLevel: level,
    drainTimeMs: drainSeconds * 1000,
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

/** Runs until stopped; resolves with the exit code. */
export async function main(args: readonly string[]): Promise<number> {
  keepCompiledSources();
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
  const { text, fileName, overrides, validateOnly, logLevel, drainTimeMs } = commandLine;
  const environment = (name: string): string | undefined => process.env[name];
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
  return serve({ text, fileName, overrides, drainTimeMs, environment, loggers });
}

interface ServeOptions {
  readonly text: string;
  readonly fileName: string;
  readonly overrides: BootstrapOverrides;
  readonly drainTimeMs: number;
  readonly environment: (name: string) => string | undefined;
  readonly loggers: Loggers;
}

async function serve(options: ServeOptions): Promise<number> {
  const { loggers } = options;
  const log = loggers.get('main');
  let stop: (code: number) => void = () => {};
  const stopped = new Promise<number>((resolve) => {
    stop = resolve;
  });
  const { StartError, startSidecar } = await import('./sidecar.ts');
  let sidecar: Sidecar;
  try {
    sidecar = await startSidecar({
      ...options,
      wallClockMs: () => Date.now(),
      random: () => Math.random(),
      onQuit: () => stop(0),
    });
  } catch (error) {
    // A start that fails says why in plain lines: a field at its place, a port in use, …
    if (!(error instanceof StartError)) throw error;
    loggers.flushSync();
    process.stderr.write(`${error.lines.join('\n')}\n`);
    return 1;
  }
  flushCompileCache(); // a later kill -9 would lose it
  let signals = 0;
  const onSignal = (signal: NodeJS.Signals): void => {
    signals++;
    if (signals > 1) {
      log.warn({ signal }, 'stopping at once');
      stop(EXIT_SIGTERM_TWICE);
      return;
    }
    log.info({ signal, drainMs: options.drainTimeMs }, 'draining');
    sidecar.drain(options.drainTimeMs).then(
      () => stop(0),
      (error: unknown) => {
        log.error({ error: String(error) }, 'draining failed');
        stop(1);
      },
    );
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

// The command line `weft proxy` imports this file with its path as argv[1].
if (import.meta.main || process.argv[1] === import.meta.filename) {
  // Exit by code, not by an empty event loop: what a peer keeps open must not keep the process.
  process.exit(await main(process.argv.slice(2)));
}
