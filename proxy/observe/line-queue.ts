/**
 * Lines on their way to a file, as bytes in a few chunks of memory that are used again and again: a
 * line is written where it leaves from, and costs no object.
 *
 * ```
 * chunk:    | batch that is out | lines that wait … | line in work | free | slack |
 *                             start                from           at    limit
 * ```
 *
 * One line at a time: `begin`, bytes from `at` on, `end`. Without `end` it never was: the next `begin`
 * starts at the same place.
 */

/** Bytes of a chunk; a longer line gets one for itself. A batch is what waits in one chunk. */
export const CHUNK_BYTES = 64 * 1024;
/** Behind `limit`: copies may go in words, past the end of what they copy. */
const SLACK_BYTES = 8;
/** In front of the first line, for the line feed that ends a torn line. */
const HEAD_BYTES = 1;
/** Chunks without lines that are kept for later. */
const SPARES_MAX = 2;
/** Lines a chunk can hold at first, of 128 bytes on average. */
const LINES_AT_FIRST = 512;
/** From here on the bytes that a text needs are counted, not estimated. */
const LONG_TEXT_CHARACTERS = 1024;
const LINE_FEED = 10;

/** `Buffer` with the method that Node's types leave out; `write` looks for its encoding first. */
export type LineBytes = Buffer & { utf8Write(text: string, at: number, length: number): number };

/** One piece of memory, the ends of the waiting lines beside it. */
class Chunk {
  readonly bytes: LineBytes;
  readonly view: DataView;
  readonly limit: number;
  /** Where the lines that wait begin and end. */
  start = HEAD_BYTES;
  end = HEAD_BYTES;
  lines = 0;
  #ends = new Uint32Array(LINES_AT_FIRST);
  #first = 0;

  constructor(size: number) {
    this.bytes = Buffer.allocUnsafeSlow(size) as LineBytes;
    this.view = new DataView(this.bytes.buffer);
    this.limit = size - SLACK_BYTES;
  }

  add(end: number): void {
    const at = this.#first + this.lines;
    if (at === this.#ends.length) this.#growEnds();
    this.#ends[at] = end;
    this.lines += 1;
    this.end = end;
  }

  /** Returns the bytes of the oldest line, which is gone. */
  dropFirst(): number {
    const end = this.#ends[this.#first]!;
    const length = end - this.start;
    this.start = end;
    this.#first += 1;
    this.lines -= 1;
    return length;
  }

  dropAll(): void {
    this.start = this.end;
    this.#first = 0;
    this.lines = 0;
  }

  /** Empty, to be filled from the front. */
  reset(): void {
    this.end = HEAD_BYTES;
    this.dropAll();
  }

  #growEnds(): void {
    const ends = new Uint32Array(this.#ends.length * 2);
    ends.set(this.#ends);
    this.#ends = ends;
  }
}

const NO_BYTES = Buffer.alloc(0) as LineBytes;
const NO_VIEW = new DataView(new ArrayBuffer(0));

let epochs = 0;
function newEpoch(): number {
  epochs += 1;
  return epochs;
}

export class LineQueue {
  /** The memory of the line in work, as two views; other ones after a `reserve` that moved it. */
  bytes: LineBytes = NO_BYTES;
  view: DataView = NO_VIEW;
  /** Where the line in work began, and its next byte. */
  from = 0;
  at = 0;
  /** `at` must not pass it. */
  limit = 0;
  /**
   * Names the present use of this memory, among those of all queues. Where it is that of a line
   * before, that line still stands where it was written, to be copied from. Never 0.
   */
  epoch = newEpoch();
  /** Lines that wait and their bytes; the batch that is out is not counted. */
  queuedLines = 0;
  queuedBytes = 0;
  /** The batch that is out, its first byte and the one behind its last; null where there is none. */
  batch: Buffer | null = null;
  batchFrom = 0;
  batchTo = 0;
  batchLines = 0;
  readonly #bytesMax: number;
  /** The oldest first. Lines are added to the last one, a batch is of the first one. */
  #chunks: Chunk[] = [];
  #spares: Chunk[] = [];
  #isTooLong = false;

  /** `bytesMax`: of lines that wait. The oldest ones give way to new ones. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  begin(): void {
    this.#isTooLong = false;
    const chunks = this.#chunks;
    const last = chunks.length === 0 ? null : chunks[chunks.length - 1]!;
    if (last === null || last.end >= CHUNK_BYTES) {
      this.#open(1);
      return;
    }
    // The line in work was left unfinished: what was written meanwhile does not stay.
    if (this.at !== last.end) this.epoch = newEpoch();
    this.from = last.end;
    this.at = last.end;
  }

  /** Room for `count` bytes from `at` on; the line may move: `bytes`, `view`, `from` and `at` change. */
  reserve(count: number): void {
    if (this.at + count > this.limit) this.#move(count);
  }

  /** Any text, as UTF-8. */
  text(text: string): void {
    const { length } = text;
    const count = length < LONG_TEXT_CHARACTERS ? length * 3 : Buffer.byteLength(text);
    this.reserve(count);
    this.at += this.bytes.utf8Write(text, this.at, count);
  }

  /** Back to `offset` bytes from the beginning of the line. */
  rewind(offset: number): void {
    if (!this.#isTooLong) this.at = this.from + offset;
  }

  /**
   * Queues the line in work; one without a byte is none. Returns how many lines were given up for
   * want of room: the oldest ones, or this one where it is longer than all room.
   */
  end(): number {
    if (this.#isTooLong) {
      this.#isTooLong = false;
      this.#leaveLast();
      return 1;
    }
    const length = this.at - this.from;
    if (length === 0) return 0;
    this.#chunks[this.#chunks.length - 1]!.add(this.at);
    this.from = this.at;
    this.queuedLines += 1;
    this.queuedBytes += length;
    return this.queuedBytes > this.#bytesMax ? this.#dropOldest() : 0;
  }

  /**
   * The oldest lines become the batch, and stay in place until `release`; false where none waits. No
   * batch may be out. `torn`: a line feed goes before them.
   */
  take(torn: boolean): boolean {
    if (this.queuedLines === 0) return false;
    const chunk = this.#chunks[0]!;
    this.batch = chunk.bytes;
    this.batchFrom = chunk.start;
    this.batchTo = chunk.end;
    this.batchLines = chunk.lines;
    this.queuedLines -= chunk.lines;
    this.queuedBytes -= chunk.end - chunk.start;
    chunk.dropAll();
    if (torn) {
      this.batchFrom -= 1;
      chunk.bytes[this.batchFrom] = LINE_FEED;
      // That was the last byte of a line before.
      if (chunk.bytes === this.bytes) this.epoch = newEpoch();
    }
    return true;
  }

  /** The batch has left or is given up; its memory is used again. */
  release(): void {
    this.batch = null;
    this.batchLines = 0;
    const chunk = this.#chunks[0]!;
    if (chunk.lines > 0) return;
    if (this.#chunks.length > 1) {
      this.#chunks.shift();
      this.#keep(chunk);
    } else if (chunk.bytes.length > CHUNK_BYTES) {
      this.#letGo();
    } else {
      chunk.reset();
      this.#use(chunk);
    }
  }

  /** Gives up the lines that wait. A batch stays out. */
  clear(): void {
    this.queuedLines = 0;
    this.queuedBytes = 0;
    for (const chunk of this.#chunks) chunk.dropAll();
    if (this.batch !== null) this.#chunks.length = 1;
    this.trim();
  }

  /** Gives back the memory that holds neither lines nor a batch. */
  trim(): void {
    this.#spares = [];
    if (this.queuedLines === 0 && this.batch === null) this.#letGo();
  }

  /** Bytes of memory held. */
  get heldBytes(): number {
    return [...this.#chunks, ...this.#spares].reduce((sum, { bytes }) => sum + bytes.length, 0);
  }

  /** None of the chunks holds anything. */
  #letGo(): void {
    this.#chunks = [];
    this.bytes = NO_BYTES;
    this.view = NO_VIEW;
    this.from = 0;
    this.at = 0;
    this.limit = 0;
  }

  #dropOldest(): number {
    const chunks = this.#chunks;
    let dropped = 0;
    while (this.queuedBytes > this.#bytesMax) {
      // A first chunk without lines is there for the batch.
      const at = chunks[0]!.lines > 0 ? 0 : 1;
      const chunk = chunks[at]!;
      this.queuedBytes -= chunk.dropFirst();
      this.queuedLines -= 1;
      dropped += 1;
      const isOut = at === 0 && this.batch !== null;
      if (chunk.lines === 0 && !isOut && at < chunks.length - 1) {
        chunks.splice(at, 1);
        this.#keep(chunk);
      }
    }
    return dropped;
  }

  #keep(chunk: Chunk): void {
    if (chunk.bytes.length > CHUNK_BYTES || this.#spares.length >= SPARES_MAX) return;
    chunk.reset();
    this.#spares.push(chunk);
  }

  /** The line in work goes on where there is room for `count` bytes more. */
  #move(count: number): void {
    const { bytes, from, at } = this;
    const length = at - from;
    if (length + count > this.#bytesMax + CHUNK_BYTES) {
      // Dropped at its end; until then it is written over itself.
      this.#isTooLong = true;
      this.at = from;
      if (from + count > this.limit) this.#open(count);
      return;
    }
    this.#open(length + count);
    bytes.copy(this.bytes, this.from, from, at);
    this.at += length;
  }

  /** A new last chunk with room for `count` bytes. */
  #open(count: number): void {
    const chunks = this.#chunks;
    this.#popEmpty();
    const size = HEAD_BYTES + count + SLACK_BYTES;
    const spare = size <= CHUNK_BYTES ? this.#spares.pop() : undefined;
    const chunk = spare ?? new Chunk(size <= CHUNK_BYTES ? CHUNK_BYTES : size * 2);
    chunks.push(chunk);
    this.#use(chunk);
  }

  /** Forgets what the line in work has written, and the memory it grew into. */
  #leaveLast(): void {
    this.#popEmpty();
    const chunks = this.#chunks;
    if (chunks.length === 0) this.#letGo();
    else this.#use(chunks[chunks.length - 1]!);
  }

  /** Not to be kept as a spare: the line that moves may be copied from lines that stood there before. */
  #popEmpty(): void {
    const chunks = this.#chunks;
    const last = chunks[chunks.length - 1];
    const isOut = chunks.length === 1 && this.batch !== null;
    if (last !== undefined && last.lines === 0 && !isOut) chunks.pop();
  }

  #use(chunk: Chunk): void {
    this.bytes = chunk.bytes;
    this.view = chunk.view;
    this.limit = chunk.limit;
    this.from = chunk.end;
    this.at = chunk.end;
    this.epoch = newEpoch();
  }
}
