import pino from 'pino';

/**
 * Operational log: JSON lines on stderr, one named logger a part of the proxy (`listener`, `upstream`,
 * `xds`, …), each with a level that can be changed while it runs (`POST /logging?upstream=debug`).
 * Not for requests: those have the access log. Lines are written from the event loop's idle side and
 * dropped, never waited for, once `PENDING_BYTES_MAX` stand in line.
 */

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';

/** Level methods take an object of fields and a message, or the message alone. */
export type Logger = Pick<
  pino.Logger,
  'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'isLevelEnabled'
>;

/** Bytes waiting for stderr. */
const PENDING_BYTES_MAX = 4 * 1024 * 1024;

export interface LogDestination {
  write(line: string): void;
  /** Writes what waits, blocking; for the moment before exit. */
  flushSync?(): void;
}

export interface LoggersOptions {
  readonly level?: LogLevel;
  /** Default: stderr. */
  readonly destination?: LogDestination;
}

/** All loggers of the process. */
export class Loggers {
  readonly #root: pino.Logger;
  readonly #destination: LogDestination;
  readonly #loggers = new Map<string, pino.Logger>();
  #level: LogLevel;

  constructor({ level = 'info', destination }: LoggersOptions = {}) {
    this.#level = level;
    this.#destination =
      destination ?? pino.destination({ dest: 2, sync: false, maxLength: PENDING_BYTES_MAX });
    this.#root = pino(
      {
        level: 'trace',
        base: null,
        timestamp: pino.stdTimeFunctions.isoTime,
        formatters: { level: (label) => ({ level: label }) },
        redact: { paths: REDACTED_PATHS, censor: '[redacted]' },
      },
      this.#destination,
    );
  }

  /** The logger of that name; the same object each time. */
  get(name: string): Logger {
    let logger = this.#loggers.get(name);
    if (logger === undefined) {
      logger = this.#root.child({ logger: name }, { level: this.#level });
      this.#loggers.set(name, logger);
    }
    return logger;
  }

  /** Sets all loggers, and those still to come. */
  setAll(level: LogLevel): void {
    this.#level = level;
    for (const logger of this.#loggers.values()) logger.level = level;
  }

  /** False where there is no such logger. */
  set(name: string, level: LogLevel): boolean {
    const logger = this.#loggers.get(name);
    if (logger === undefined) return false;
    logger.level = level;
    return true;
  }

  /** Names and levels, sorted. */
  levels(): readonly (readonly [name: string, level: string])[] {
    return [...this.#loggers]
      .map(([name, logger]) => [name, logger.level] as const)
      .sort(([a], [b]) => (a < b ? -1 : 1));
  }

  /** Before exit. Never throws: a log that cannot be written must not change how the process ends. */
  flushSync(): void {
    try {
      this.#destination.flushSync?.();
    } catch {
      // Nobody is left to tell.
    }
  }
}

const REDACTED_PATHS = [
  'token',
  'privateKey',
  'password',
  'authorization',
  '*.token',
  '*.privateKey',
];

/** Envoy's names and pino's: `warning`, `critical`, `off` are understood. Null where it is no level. */
export function parseLogLevel(name: string): LogLevel | null {
  return LEVELS.get(name.toLowerCase()) ?? null;
}

/** For error messages. */
export const LOG_LEVEL_NAMES = 'trace, debug, info, warning, error, critical, off';

const LEVELS: ReadonlyMap<string, LogLevel> = new Map<string, LogLevel>([
  ['trace', 'trace'],
  ['debug', 'debug'],
  ['info', 'info'],
  ['warn', 'warn'],
  ['warning', 'warn'],
  ['error', 'error'],
  ['critical', 'fatal'],
  ['fatal', 'fatal'],
  ['off', 'silent'],
  ['silent', 'silent'],
]);
