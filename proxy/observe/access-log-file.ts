import { close, constants, fstatSync, openSync, write } from 'node:fs';
import type { LineSink } from './access-log.ts';
import type { LineFormat } from './line-format.ts';
import { LineQueue } from './line-queue.ts';
import type { Counter, Gauge } from './metric.ts';
import type { RequestRecord } from './request-record.ts';
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
/** As many bytes do not wait for company any more. */
const BATCH_BYTES = 64 * 1024;
/** Milliseconds a line may wait for company. */
const FLUSH_DELAY_MS = 100;
/** Milliseconds until a full pipe or disk is tried again. */
const RETRY_DELAY_MS = 50;
/** Milliseconds without a line after which a file gives its memory back. */
const IDLE_DELAY_MS = 10_000;
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
  readonly #onTrouble: (path: string, error: NodeJS.ErrnoException) => void;
  readonly #queue: LineQueue;
  #fd: number;
  /** Bytes of the queue's batch that have been written. */
  #batchDone = 0;
  #writing = false;
  #timer: NodeJS.Timeout | null = null;
  /** What the timer is for; `None` where there is none. */
  #waitsFor: Wait = Wait.None;
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
    this.#queue = new LineQueue(options.queueBytesMax ?? QUEUE_BYTES_MAX);
    this.#onTrouble = options.onTrouble ?? (() => {});
  }

  write(format: LineFormat, record: RequestRecord): void {
    if (this.#closed) {
      this.#stats.droppedFailed.add(1);
      return;
    }
    const queue = this.#queue;
    const bytesBefore = queue.queuedBytes;
    queue.begin();
    format.write(record, queue);
    const droppedLines = queue.end();
    if (droppedLines > 0) this.#stats.droppedFull.add(droppedLines);
    this.#stats.bufferedBytes.value += queue.queuedBytes - bytesBefore;
    if (this.#writing || this.#waitsFor === Wait.Retry) return;
    if (queue.queuedBytes >= BATCH_BYTES) this.#pump();
    else if (this.#waitsFor !== Wait.Company) this.#schedule(FLUSH_DELAY_MS, Wait.Company);
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
      if (!this.#writing && this.#waitsFor !== Wait.Retry) this.#pump();
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancelTimer();
    const queue = this.#queue;
    this.#stats.droppedFailed.add(queue.queuedLines + queue.batchLines);
    this.#stats.bufferedBytes.add(-queue.queuedBytes);
    queue.clear();
    if (!this.#writing) closeFd(this.#fd);
  }

  get #isIdle(): boolean {
    return this.#queue.batch === null && this.#queue.queuedLines === 0;
  }

  /** Writes the next piece, or goes idle. The only place that starts a write. */
  #pump(): void {
    this.#cancelTimer();
    const queue = this.#queue;
    if (this.#reopen && queue.batch === null) this.#openAgain();
    if (queue.batch === null) this.#takeBatch();
    const { batch, batchFrom, batchTo } = queue;
    if (batch === null) {
      this.#schedule(IDLE_DELAY_MS, Wait.Idle);
      const waiters = this.#waiters;
      this.#waiters = [];
      for (const waiter of waiters) waiter();
      return;
    }
    this.#writing = true;
    const from = batchFrom + this.#batchDone;
    write(this.#fd, batch, from, batchTo - from, null, this.#onWritten);
  }

  #takeBatch(): void {
    const queue = this.#queue;
    const bytesBefore = queue.queuedBytes;
    if (!queue.take(this.#torn)) return;
    this.#batchDone = 0;
    this.#stats.bufferedBytes.value += queue.queuedBytes - bytesBefore;
  }

  readonly #onWritten = (error: NodeJS.ErrnoException | null, writtenBytes: number): void => {
    this.#writing = false;
    if (this.#closed) {
      closeFd(this.#fd);
      return;
    }
    if (error !== null) {
      this.#failed(error);
      return;
    }
    this.#troubled = false;
    this.#batchDone += writtenBytes;
    const queue = this.#queue;
    const end = queue.batchFrom + this.#batchDone;
    if (writtenBytes > 0) this.#torn = queue.batch![end - 1] !== LINE_FEED;
    if (end === queue.batchTo) {
      this.#stats.written.add(queue.batchLines);
      queue.release();
    }
    this.#goOn();
  };

  /** Lines that came while others were written wait for company as well, unless somebody waits for them. */
  #goOn(): void {
    const { batch, queuedBytes } = this.#queue;
    const isUrgent = batch !== null || this.#reopen || this.#waiters.length > 0;
    if (isUrgent || queuedBytes >= BATCH_BYTES || this.#isIdle) this.#pump();
    else this.#schedule(FLUSH_DELAY_MS, Wait.Company);
  }

  /** A full pipe keeps the batch; any other trouble (ENOSPC, EIO, EPIPE) gives it up. */
  #failed(error: NodeJS.ErrnoException): void {
    if (error.code !== 'EAGAIN') {
      if (!this.#troubled) this.#onTrouble(this.path, error);
      this.#troubled = true;
      this.#stats.droppedFailed.add(this.#queue.batchLines);
      this.#queue.release();
    }
    if (this.#isIdle) this.#pump();
    else this.#schedule(RETRY_DELAY_MS, Wait.Retry);
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

  #schedule(delayMs: number, waitsFor: Wait): void {
    this.#cancelTimer();
    this.#waitsFor = waitsFor;
    this.#timer = setTimeout(this.#onTimer, delayMs);
    this.#timer.unref();
  }

  readonly #onTimer = (): void => {
    const waitedFor = this.#waitsFor;
    this.#timer = null;
    this.#waitsFor = Wait.None;
    if (waitedFor === Wait.Idle) this.#queue.trim();
    else this.#pump();
  };

  #cancelTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#waitsFor = Wait.None;
  }
}

/** What a file waits for: more lines, a pipe or disk with room, or that nothing comes for long. */
const Wait = { None: 0, Company: 1, Retry: 2, Idle: 3 } as const;
type Wait = (typeof Wait)[keyof typeof Wait];

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
