import { enableCompileCache } from 'node:module';
import { join } from 'node:path';
import manifest from '../package.json' with { type: 'json' };

/** Bytes of log lines that wait for stderr. */
const LOG_PENDING_BYTES_MAX = 4 * 1024 * 1024;
/** Milliseconds that a stop waits for them. */
const LOG_FLUSH_MS = 1000;

/**
 * `weft control-plane`: runs until SIGTERM or SIGINT. Exit code 0 after a clean stop, 1 where it cannot start or a bug
 * ended it, 64 for wrong flags; what then still runs must not keep the process.
 *
 * The rest is imported late, so that the compile cache serves it: 0.5 s to start become 0.15 s.
 */
export async function main(args: readonly string[]): Promise<number> {
  enableCompileCache(join(import.meta.dirname, '../node_modules/.cache/weft'));
  const { parseControlPlaneFlags } = await import('./flags.ts');
  const parsed = parseControlPlaneFlags(args, process.env, manifest.version, {
    out: (text) => process.stdout.write(text),
    talk: (text) => process.stderr.write(text),
  });
  return parsed.kind === 'exit' ? parsed.exitCode : run(parsed.flags);
}

async function run({ options, logLevel }: import('./flags.ts').ControlPlaneFlags): Promise<number> {
  const { default: pino } = await import('pino');
  const { startControlPlane } = await import('./control-plane.ts');
  // Lines are dropped, never waited for, once so many stand in line: strangers cause log lines, and a collector that
  // stops reading must not stop the control plane.
  const destination = pino.destination({
    dest: 2,
    sync: false,
    maxLength: LOG_PENDING_BYTES_MAX,
  });
  const log = pino(
    { level: logLevel, base: null, timestamp: pino.stdTimeFunctions.isoTime },
    destination,
  );
  const clock = {
    wallMs: Date.now,
    monotonicMs: () => performance.now(),
    schedule: (delayMs: number, callback: () => void) => {
      const timer = setTimeout(callback, delayMs);
      return () => clearTimeout(timer);
    },
    random: Math.random,
  };
  const stop = stopSignal();
  const calledOff = new AbortController();
  void stop.then(() => calledOff.abort());
  let controlPlane: import('./control-plane.ts').ControlPlane;
  try {
    controlPlane = await startControlPlane(options, clock, log, calledOff.signal);
  } catch (error) {
    if (calledOff.signal.aborted) return 0;
    process.stderr.write(`weft control-plane: ${describe(error)}\n`);
    return 1;
  }
  // A bug: state may be half changed, and a restart loses nothing.
  process.on('uncaughtException', (error) => {
    log.fatal({ err: error }, 'a bug ended the control plane');
    process.exit(1);
  });
  process.on('SIGHUP', () => {
    controlPlane.reloadAuthority().catch((error: unknown) => {
      log.error({ err: error }, 'the authority stays as it was');
    });
  });
  log.info({ ...controlPlane.addresses, data: options.dataDirectory }, 'control plane ready');
  const signal = await stop;
  log.info({ signal }, 'control plane stops');
  await controlPlane.close();
  await written(destination);
  return 0;
}

/** Resolves when the lines are written, or at the latest after `LOG_FLUSH_MS`; what then waits is dropped. */
function written(destination: import('pino').DestinationStream & SonicStream): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      destination.destroy();
      resolve();
    };
    setTimeout(done, LOG_FLUSH_MS);
    destination.flush(done);
  });
}

/** What `pino.destination` gives, as far as it is used here. */
interface SonicStream {
  flush(callback: () => void): void;
  destroy(): void;
}

/** The first signal to stop; a second one ends the process at once. */
function stopSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let isStopping = false;
    const onSignal = (signal: NodeJS.Signals): void => {
      if (isStopping) process.exit(1);
      isStopping = true;
      resolve(signal);
    };
    process.on('SIGTERM', onSignal);
    process.on('SIGINT', onSignal);
  });
}

/** Errors with a code of ours are written for people; of others the stack is worth more. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code } = error as NodeJS.ErrnoException;
  return code === undefined ? (error.stack ?? error.message) : error.message;
}

// By code, not by an empty event loop: a log line that nobody takes must not keep the process.
if (import.meta.main) process.exit(await main(process.argv.slice(2)));
