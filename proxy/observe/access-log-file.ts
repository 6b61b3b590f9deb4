import { close, constants, fstatSync, openSync, write } from 'node:fs';
import type { LineSink } from './access-log.ts';
import type { Counter, Gauge } from './metric.ts';
import type { StatsRegistry } from './stats.ts';

/**
 * A file, pipe or terminal that access-log lines are appended to. Requests never wait for it: lines
 * stand in a bounded queue and leave in batches, one write at a time. Where the reader has stopped or
 * the disk is full, lines are dropped and counted (D28, D29), the oldest first.
 *
 * Pipes and terminals are opened again through /proc, as a file description of their own that does
 * not block: a stuck reader then costs a timer, not a thread of the pool, and other users of the
 * same stdout keep their mode.
 */

/** Bytes that wait per file. About 40 000 lines. */
const QUEUE_BYTES_MAX = 8 * 1024 * 1024;
/** Bytes of one write. */
const BATCH_BYTES = 64 * 1024;
/** Milliseconds a line may wait for company. */
const FLUSH_DELAY_MS = 100;
/** Milliseconds until a full pipe or disk is tried again. */
const RETRY_DELAY_MS = 50;
/** Different files; listeners that name one path share one. */
const FILES_MAX = 64;

export interface AccessLogFilesOptions {
  readonly queueBytesMax?: number;
  /** Told once per spell of trouble, not once per line. */
  readonly onTrouble?: (path: string, error: NodeJS.ErrnoException) => void;
}

/** All access-log files of the process, one object a path. */
export class AccessLogFiles {
  readonly #files = new Map<string, AccessLogFile>();
  readonly #options: AccessLogFilesOptions;
  readonly #stats: FileStats;

  constructor(registry: StatsRegistry, options: AccessLogFilesOptions = {}) {
    this.#options = options;
    this.#stats = {
      written: registry.counter('weft_access_log_lines_total', 'Access-log lines written'),
      droppedFull: dropped(registry, 'queue_full'),
      droppedFailed: dropped(registry, 'write_failed'),
      bufferedBytes: registry.gauge(
        'weft_access_log_buffered_bytes',
        'Access-log bytes waiting to be written',
      ),
    };
  }

  /** `/dev/stdout` and `/dev/stderr` mean this process's own. The problem is for a NACK. */
  open(path: string): AccessLogFile | { readonly problem: string } {
    const known = this.#files.get(path);
    if (known !== undefined) return known;
    if (!path.startsWith('/')) {
      return { problem: `access log path '${path}' must be absolute, e.g. /dev/stdout` };
    }
    if (this.#files.size >= FILES_MAX) {
      return { problem: `access log '${path}': ${FILES_MAX} files are open already` };
    }
    try {
      const fd = openForAppend(path);
      const file = new AccessLogFile(path, fd, this.#stats, this.#options);
      this.#files.set(path, file);
      return file;
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      return { problem: `access log '${path}' cannot be opened: ${code ?? message}` };
    }
  }

  /** `POST /reopen_logs`, after logrotate has moved the files. */
  reopen(): void {
    for (const file of this.#files.values()) file.reopen();
  }

  /** Writes out what waits; false where `timeoutMs` passed before (a reader that has stopped). */
  async flush(timeoutMs: number): Promise<boolean> {
    const done = await Promise.all([...this.#files.values()].map((file) => file.flush(timeoutMs)));
    return done.every(Boolean);
  }

  /** `flush`, then closes; lines that are left, or come later, are dropped and counted. */
  async close(timeoutMs: number): Promise<boolean> {
    const done = await this.flush(timeoutMs);
    for (const file of this.#files.values()) file.close();
    this.#files.clear();
    return done;
  }
}

interface FileStats {
  readonly written: Counter;
  readonly droppedFull: Counter;
  readonly droppedFailed: Counter;
  readonly bufferedBytes: Gauge;
}

function dropped(registry: StatsRegistry, reason: string): Counter {
  return registry.counter('weft_access_log_dropped_lines_total', 'Access-log lines given up', [
    ['reason', reason],
  ]);
}

export class AccessLogFile implements LineSink {
  readonly path: string;
  readonly #stats: FileStats;
  readonly #queueBytesMax: number;
  readonly #onTrouble: (path: string, error: NodeJS.ErrnoException) => void;
  #fd: number;
  /** Lines from `#first` on wait. */
  #lines: string[] = [];
  #first = 0;
  #queuedBytes = 0;
  /** The batch being written, `#batchAt` bytes of it done, or null. */
  #batch: Buffer | null = null;
  #batchAt = 0;
  #batchLines = 0;
  #writing = false;
  #timer: NodeJS.Timeout | null = null;
  #timerIsRetry = false;
  /** The last byte that reached the file was no line feed: the next batch starts on a new line. */
  #torn = false;
  #troubled = false;
  #reopen = false;
  #closed = false;
  #waiters: (() => void)[] = [];

  constructor(path: string, fd: number, stats: FileStats, options: AccessLogFilesOptions) {
    this.path = path;
    this.#fd = fd;
    this.#stats = stats;
    this.#queueBytesMax = options.queueBytesMax ?? QUEUE_BYTES_MAX;
    this.#onTrouble = options.onTrouble ?? (() => {});
  }

  /** Takes one line with its line feed. */
  write(line: string): void {
    if (this.#closed) {
      this.#stats.droppedFailed.add(1);
      return;
    }
    this.#lines.push(line);
    this.#queuedBytes += line.length;
    this.#stats.bufferedBytes.value += line.length;
    if (this.#queuedBytes > this.#queueBytesMax) this.#dropOldest();
    if (this.#timer === null && !this.#writing) this.#schedule(FLUSH_DELAY_MS, false);
    if (this.#queuedBytes >= BATCH_BYTES && !this.#writing && !this.#timerIsRetry) this.#pump();
  }

  reopen(): void {
    this.#reopen = true;
    if (!this.#writing) this.#pump();
  }

  /** True when all that waited has left (or was given up), false after `timeoutMs`. */
  flush(timeoutMs: number): Promise<boolean> {
    if (this.#isIdle) return Promise.resolve(true);
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#waiters = this.#waiters.filter((waiter) => waiter !== done);
        resolve(false);
      }, timeoutMs);
      const done = () => {
        clearTimeout(timer);
        resolve(true);
      };
      this.#waiters.push(done);
      if (!this.#writing && !this.#timerIsRetry) this.#pump();
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancelTimer();
    const leftLines =
      this.#lines.length - this.#first + (this.#batch === null ? 0 : this.#batchLines);
    this.#stats.droppedFailed.add(leftLines);
    this.#stats.bufferedBytes.add(-this.#queuedBytes);
    this.#lines = [];
    this.#first = 0;
    this.#queuedBytes = 0;
    if (!this.#writing) closeFd(this.#fd);
  }

  get #isIdle(): boolean {
    return this.#batch === null && this.#first === this.#lines.length;
  }

  #dropOldest(): void {
    while (this.#queuedBytes > this.#queueBytesMax && this.#first < this.#lines.length) {
      this.#forget(this.#lines[this.#first]!);
      this.#lines[this.#first] = '';
      this.#first += 1;
      this.#stats.droppedFull.add(1);
    }
    this.#compact();
  }

  #forget(line: string): void {
    this.#queuedBytes -= line.length;
    this.#stats.bufferedBytes.value -= line.length;
  }

  /** Lets go of the taken front of the queue once it is the larger half. */
  #compact(): void {
    if (this.#first < 1024 && this.#first < this.#lines.length) return;
    if (this.#first * 2 < this.#lines.length) return;
    this.#lines = this.#lines.slice(this.#first);
    this.#first = 0;
  }

  /** Writes the next piece, or goes idle. The only place that starts a write. */
  #pump(): void {
    this.#cancelTimer();
    if (this.#reopen && this.#batch === null) this.#openAgain();
    if (this.#batch === null) this.#takeBatch();
    if (this.#batch === null) {
      const waiters = this.#waiters;
      this.#waiters = [];
      for (const waiter of waiters) waiter();
      return;
    }
    this.#writing = true;
    const { length } = this.#batch;
    write(this.#fd, this.#batch, this.#batchAt, length - this.#batchAt, null, this.#onWritten);
  }

  #takeBatch(): void {
    let text = this.#torn ? '\n' : '';
    let lines = 0;
    while (this.#first < this.#lines.length && text.length < BATCH_BYTES) {
      const line = this.#lines[this.#first]!;
      this.#forget(line);
      this.#lines[this.#first] = '';
      this.#first += 1;
      text += line;
      lines += 1;
    }
    this.#compact();
    if (lines === 0) return;
    this.#batch = Buffer.from(text, 'utf8');
    this.#batchAt = 0;
    this.#batchLines = lines;
  }

  readonly #onWritten = (error: NodeJS.ErrnoException | null, writtenBytes: number): void => {
    this.#writing = false;
    if (this.#closed) {
      closeFd(this.#fd);
      return;
    }
    const batch = this.#batch!;
    if (error !== null) {
      this.#failed(error);
      return;
    }
    this.#troubled = false;
    this.#batchAt += writtenBytes;
    if (writtenBytes > 0) this.#torn = batch[this.#batchAt - 1] !== LINE_FEED;
    if (this.#batchAt === batch.length) {
      this.#batch = null;
      this.#stats.written.add(this.#batchLines);
    }
    this.#goOn();
  };

  /** Lines that came while others were written wait for company as well, unless somebody waits for them. */
  #goOn(): void {
    const isUrgent = this.#batch !== null || this.#reopen || this.#waiters.length > 0;
    if (isUrgent || this.#queuedBytes >= BATCH_BYTES || this.#isIdle) this.#pump();
    else this.#schedule(FLUSH_DELAY_MS, false);
  }

  /** A full pipe keeps the batch; any other trouble (ENOSPC, EIO, EPIPE) gives it up. */
  #failed(error: NodeJS.ErrnoException): void {
    if (error.code !== 'EAGAIN') {
      if (!this.#troubled) this.#onTrouble(this.path, error);
      this.#troubled = true;
      this.#stats.droppedFailed.add(this.#batchLines);
      this.#batch = null;
    }
    if (this.#isIdle) this.#pump();
    else this.#schedule(RETRY_DELAY_MS, true);
  }

  /** The old file stays in use where the new one cannot be opened. */
  #openAgain(): void {
    this.#reopen = false;
    try {
      const fd = openForAppend(this.path);
      closeFd(this.#fd);
      this.#fd = fd;
      this.#torn = false;
    } catch (error) {
      this.#onTrouble(this.path, error as NodeJS.ErrnoException);
    }
  }

  #schedule(delayMs: number, isRetry: boolean): void {
    this.#cancelTimer();
    this.#timerIsRetry = isRetry;
    this.#timer = setTimeout(this.#onTimer, delayMs);
    this.#timer.unref();
  }

  readonly #onTimer = (): void => {
    this.#timer = null;
    this.#pump();
  };

  #cancelTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#timerIsRetry = false;
  }
}

const LINE_FEED = 10;
const STANDARD_STREAMS: ReadonlyMap<string, number> = new Map([
  ['/dev/stdout', 1],
  ['/dev/stderr', 2],
  ['/proc/self/fd/1', 1],
  ['/proc/self/fd/2', 2],
]);

/** A file description that does not block; mode 0640 where the file is made. */
function openForAppend(path: string): number {
  const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_NONBLOCK;
  const standard = STANDARD_STREAMS.get(path);
  if (standard === undefined) return openSync(path, flags | constants.O_CREAT, 0o640);
  const stats = fstatSync(standard);
  // A regular file does not block, and `> file` keeps its place in the shared description.
  if (!stats.isFIFO() && !stats.isCharacterDevice()) return standard;
  try {
    return openSync(`/proc/self/fd/${standard}`, flags);
  } catch {
    return standard; // no /proc, or a terminal of another user: its own mode then
  }
}

/** The process's own stdout and stderr stay open. */
function closeFd(fd: number): void {
  if (fd > 2) close(fd, () => {});
}
