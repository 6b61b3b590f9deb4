import { createHash } from 'node:crypto';
import { mkdir, open, readFile, rename, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import {
  TYPE_CLUSTER,
  TYPE_ENDPOINT,
  TYPE_LISTENER,
  TYPE_NAME_TABLE,
  TYPE_ROUTE,
} from '../../proto/type-urls.ts';
import { TimeSlices } from './time-slices.ts';
import type { Timers } from './timers.ts';

/** Types that are kept, in the order in which they are put to use. Secrets never touch the disk. */
export const KEPT_TYPES = [
  TYPE_CLUSTER,
  TYPE_ENDPOINT,
  TYPE_LISTENER,
  TYPE_ROUTE,
  TYPE_NAME_TABLE,
] as const;

/** Bytes of the file; more is no configuration of ours. */
const FILE_BYTES_MAX = 256 * 1024 * 1024;
/** Milliseconds from a change to its writing: a burst of updates is written once. */
const WRITE_DELAY_MS = 100;
/** Of the time, at most one part in so many goes into writing: a large configuration is written less often. */
const WRITE_TIME_SHARE = 20;
const FORMAT = 'weft-last-known-good/1';

export interface KeptResource {
  readonly typeUrl: string;
  readonly name: string;
  readonly version: string;
  /** The resource's bytes, as they came. */
  readonly value: Uint8Array;
}

export interface LastKnownGoodOptions {
  readonly directory: string;
  /** Whose configuration this is; a copy of another node is not used. */
  readonly nodeId: string;
  readonly timers: Timers;
  /** All that is in use now. */
  readonly snapshot: () => Iterable<KeptResource>;
  readonly onWritten: () => void;
  readonly onError: (message: string) => void;
}

/**
 * The last good configuration on disk, so that a sidecar that starts while the control plane is away serves what
 * it served before (OP-01). Written whole into a new file that then takes the old one's name: a crash leaves the
 * one or the other. A full disk is reported and changes nothing else (D28).
 */
export class LastKnownGood {
  readonly #options: LastKnownGoodOptions;
  readonly #file: string;
  #cancelTimer: (() => void) | null = null;
  #writing: Promise<void> = Promise.resolve();
  /** How long the latest writing took. */
  #writeMs = 0;

  constructor(options: LastKnownGoodOptions) {
    this.#options = options;
    this.#file = join(options.directory, 'last-known-good.json');
  }

  /** The copy, or why there is none; a file that is not there is no problem. */
  async load(): Promise<readonly KeptResource[] | { readonly problem: string } | null> {
    let text: string;
    try {
      const { size } = await stat(this.#file);
      if (size > FILE_BYTES_MAX) return { problem: `${this.#file} is larger than it can be` };
      text = await readFile(this.#file, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      return { problem: `${this.#file} cannot be read: ${(error as Error).message}` };
    }
    return this.#parse(text);
  }

  /** Writes soon. */
  changed(): void {
    if (this.#cancelTimer !== null) return;
    const delayMs = Math.max(WRITE_DELAY_MS, this.#writeMs * WRITE_TIME_SHARE);
    this.#cancelTimer = this.#options.timers.after(delayMs, () => {
      this.#cancelTimer = null;
      this.#writing = this.#writing.then(() => this.#write());
    });
  }

  /** Writes now what still waits. */
  async flush(): Promise<void> {
    if (this.#cancelTimer !== null) {
      this.#cancelTimer();
      this.#cancelTimer = null;
      this.#writing = this.#writing.then(() => this.#write());
    }
    await this.#writing;
  }

  async #write(): Promise<void> {
    const startedMs = this.#options.timers.now();
    const { head, body } = await this.#render();
    const temporary = `${this.#file}.${process.pid}.tmp`;
    try {
      await mkdir(this.#options.directory, { recursive: true, mode: 0o700 });
      const handle = await open(temporary, 'w', 0o600);
      try {
        await handle.writeFile([`${head}\n`, ...body, '\n']);
        await handle.sync();
      } finally {
        await handle.close();
      }
      await rename(temporary, this.#file);
      this.#writeMs = Math.max(0, this.#options.timers.now() - startedMs);
      this.#options.onWritten();
    } catch (error) {
      await unlink(temporary).catch(() => {});
      this.#options.onError(`${this.#file} cannot be written: ${(error as Error).message}`);
    }
  }

  /**
   * The lines of the file, the second in pieces: a mesh has tens of megabytes, which are put together between requests.
   * What changes meanwhile may be in it or not; a further writing follows.
   */
  async #render(): Promise<{ readonly head: string; readonly body: readonly string[] }> {
    const slices = new TimeSlices();
    const hash = createHash('sha256');
    const body: string[] = [];
    let piece = `{"nodeId":${JSON.stringify(this.#options.nodeId)},"resources":[`;
    let separator = '';
    const endPiece = (): void => {
      hash.update(piece);
      body.push(piece);
      piece = '';
    };
    for (const { typeUrl, name, version, value } of this.#options.snapshot()) {
      const base64 = Buffer.from(value.buffer, value.byteOffset, value.length).toString('base64');
      piece += `${separator}${JSON.stringify({ typeUrl, name, version, value: base64 })}`;
      separator = ',';
      if (!slices.isOver) continue;
      endPiece();
      await slices.next();
    }
    piece += ']}';
    endPiece();
    return { head: JSON.stringify({ format: FORMAT, sha256: hash.digest('hex') }), body };
  }

  #parse(text: string): readonly KeptResource[] | { readonly problem: string } {
    const [head = '', body = ''] = text.split('\n');
    try {
      const { format, sha256 } = JSON.parse(head) as { format?: unknown; sha256?: unknown };
      if (format !== FORMAT) return { problem: `${this.#file} has the format ${String(format)}` };
      if (sha256 !== digest(body)) {
        return { problem: `${this.#file} is damaged: its checksum does not fit` };
      }
      const { nodeId, resources } = JSON.parse(body) as {
        nodeId: string;
        resources: readonly { typeUrl: string; name: string; version: string; value: string }[];
      };
      if (nodeId !== this.#options.nodeId) {
        return { problem: `${this.#file} belongs to node "${nodeId}"` };
      }
      return resources.map(({ value, ...rest }) => ({
        ...rest,
        value: Buffer.from(value, 'base64'),
      }));
    } catch (error) {
      return { problem: `${this.#file} is damaged: ${(error as Error).message}` };
    }
  }
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
