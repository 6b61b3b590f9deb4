import { writeLatin1 } from '../../http/latin1.ts';
import { ENTRY_OVERHEAD_BYTES } from './dynamic-table.ts';
import { type FieldKind, fieldKind } from './field-kind.ts';
import { huffmanBytes, huffmanEncode } from './huffman-encoder.ts';
import { INTEGER_BYTES_MAX, writeInteger } from './integer.ts';
import { STATIC_COUNT, STATIC_NAMES, STATIC_VALUES, staticNameIndex } from './static-table.ts';

/** What is kept for the peer at most, whatever it allows: SETTINGS_HEADER_TABLE_SIZE's default. */
const TABLE_BYTES_MAX = 4096;
const ENTRIES_MAX = TABLE_BYTES_MAX / ENTRY_OVERHEAD_BYTES;
/** Names remembered; a proxied peer invents names without end. */
const SLOTS_MAX = 256;
/** A longer name is not remembered. */
const NAME_BYTES_MAX = 256;
/** A longer value is not worth remembering: it would push everything else out of the table. */
const REMEMBERED_BYTES_MAX = 1024;

/** Credentials: never indexed, by anybody on the way (RFC 7541 §7.1.3). */
export const NEVER_INDEXED: ReadonlySet<string> = new Set([
  'authorization',
  'cookie',
  'proxy-authorization',
  'set-cookie',
]);

/** The most bytes that a field of these lengths takes. */
export function fieldBytesMax(name: string, value: string): number {
  return name.length + value.length + 2 * INTEGER_BYTES_MAX + 1;
}

/** The most bytes that stand in front of the fields of a block. */
export const BLOCK_PREFIX_BYTES_MAX = 2 * INTEGER_BYTES_MAX;

/**
 * Encodes header blocks (RFC 7541). A value goes into the dynamic table when it is seen the second
 * time in a row under its name: what differs from request to request (ids, lengths) never gets there and
 * pushes nothing out, what repeats (`:authority`, `user-agent`, `date`) costs one byte from the third
 * time on. Strings that are inserted are Huffman-coded, those sent once are not: on a
 * local network the bytes are cheaper than the coding.
 */
export class HpackEncoder {
  readonly #slots = new Map<string, NameSlot>();
  /** Sizes of the entries in a ring, by entry number. */
  readonly #sizes = new Int32Array(ENTRIES_MAX);
  /** Entries ever inserted, and how many of them have been evicted; an entry's number is its order. */
  #inserted = 0;
  #evicted = 0;
  #sizeBytes = 0;
  #maxBytes = TABLE_BYTES_MAX;
  /** The smallest table size since the last block, where an update is owed; else -1. */
  #owedMinBytes = -1;

  /** The peer's SETTINGS_HEADER_TABLE_SIZE; told to it in front of the next block (RFC 7541 §4.2). */
  setPeerTableBytes(bytes: number): void {
    const maxBytes = Math.min(bytes, TABLE_BYTES_MAX);
    if (maxBytes === this.#maxBytes) return;
    this.#owedMinBytes = this.#owedMinBytes < 0 ? maxBytes : Math.min(this.#owedMinBytes, maxBytes);
    this.#maxBytes = maxBytes;
    this.#evictTo(maxBytes);
  }

  /** Begins a block in `out`; answers the offset behind what was written. */
  begin(out: Buffer, start: number): number {
    const least = this.#owedMinBytes;
    if (least < 0) return start;
    this.#owedMinBytes = -1;
    let at = start;
    if (least < this.#maxBytes) at = writeInteger(out, at, 0x20, 5, least);
    return writeInteger(out, at, 0x20, 5, this.#maxBytes);
  }

  /** What is known about a name; valid for as long as the encoder lives. */
  slot(name: string): NameSlot {
    return this.#slots.get(name) ?? this.#makeSlot(name);
  }

  /** Encodes one field; `out` has `fieldBytesMax` bytes of room at `start`. */
  field(out: Buffer, start: number, slot: NameSlot, value: string): number {
    for (let index = slot.staticFirst; index < slot.staticEnd; index++) {
      if (STATIC_VALUES[index] === value) return writeInteger(out, start, 0x80, 7, index);
    }
    if (slot.neverIndexed) return this.fieldNeverIndexed(out, start, slot, value);
    const evicted = this.#evicted;
    if (slot.entryA >= evicted && slot.valueA === value) {
      return writeInteger(out, start, 0x80, 7, this.#indexOf(slot.entryA));
    }
    if (slot.entryB >= evicted && slot.valueB === value) {
      return writeInteger(out, start, 0x80, 7, this.#indexOf(slot.entryB));
    }
    if (slot.latest === value && slot.remembers) return this.#insert(out, start, slot, value);
    slot.remembers = value.length <= REMEMBERED_BYTES_MAX;
    slot.latest = slot.remembers ? value : '';
    const at = this.#literalName(out, start, 0x00, 4, slot, false);
    return writePlain(out, at, value);
  }

  /** As `field`, as a literal that nobody on the way may index (§6.2.3). */
  fieldNeverIndexed(out: Buffer, start: number, slot: NameSlot, value: string): number {
    const at = this.#literalName(out, start, 0x10, 4, slot, false);
    return writePlain(out, at, value);
  }

  #insert(out: Buffer, start: number, slot: NameSlot, value: string): number {
    const bytes = slot.name.length + value.length + ENTRY_OVERHEAD_BYTES;
    if (bytes > this.#maxBytes) {
      const at = this.#literalName(out, start, 0x00, 4, slot, false);
      return writePlain(out, at, value);
    }
    // The name is referred to as the table is before this entry pushes others out (RFC 7541 §4.4).
    let at = this.#literalName(out, start, 0x40, 6, slot, true);
    at = writeCoded(out, at, value);
    this.#evictTo(this.#maxBytes - bytes);
    const entry = this.#inserted++;
    this.#sizes[entry % ENTRIES_MAX] = bytes;
    this.#sizeBytes += bytes;
    slot.entryB = slot.entryA;
    slot.valueB = slot.valueA;
    slot.entryA = entry;
    slot.valueA = value;
    return at;
  }

  #literalName(
    out: Buffer,
    start: number,
    pattern: number,
    prefixBits: number,
    slot: NameSlot,
    coded: boolean,
  ): number {
    let index = slot.staticFirst;
    if (index === 0) {
      if (slot.entryA >= this.#evicted) index = this.#indexOf(slot.entryA);
      else if (slot.entryB >= this.#evicted) index = this.#indexOf(slot.entryB);
    }
    const at = writeInteger(out, start, pattern, prefixBits, index);
    if (index > 0) return at;
    return coded ? writeCoded(out, at, slot.name) : writePlain(out, at, slot.name);
  }

  #indexOf(entry: number): number {
    return STATIC_COUNT + this.#inserted - entry;
  }

  #evictTo(bytes: number): void {
    while (this.#evicted < this.#inserted && this.#sizeBytes > bytes) {
      this.#sizeBytes -= this.#sizes[this.#evicted % ENTRIES_MAX]!;
      this.#evicted++;
    }
  }

  #makeSlot(name: string): NameSlot {
    const slot = new NameSlot(name);
    if (name.length > NAME_BYTES_MAX) return slot;
    if (this.#slots.size >= SLOTS_MAX) this.#slots.clear();
    this.#slots.set(name, slot);
    return slot;
  }
}

/** What the encoder knows about a name: where it and its latest values stand in the tables. */
export class NameSlot {
  readonly name: string;
  readonly kind: FieldKind;
  /** Entries of the static table with this name: `[staticFirst, staticEnd)`; 0, 0 = none. */
  readonly staticFirst: number;
  readonly staticEnd: number;
  readonly neverIndexed: boolean;
  /** The latest two entries of the dynamic table; live if not below the number evicted. */
  entryA = -1;
  valueA = '';
  entryB = -1;
  valueB = '';
  /** The value sent last as a literal, if `remembers`. */
  latest = '';
  remembers = false;

  constructor(name: string) {
    this.name = name;
    this.kind = fieldKind(name);
    const first = staticNameIndex(name);
    let end = first;
    if (first > 0) while (STATIC_NAMES[end] === name) end++;
    this.staticFirst = first;
    this.staticEnd = end;
    this.neverIndexed = NEVER_INDEXED.has(name);
  }
}

/** A string literal as it is (§5.2, H = 0). Strings are latin1. */
function writePlain(out: Buffer, start: number, text: string): number {
  return writeLatin1(out, writeInteger(out, start, 0x00, 7, text.length), text);
}

/** A string literal in Huffman code where that is shorter. */
function writeCoded(out: Buffer, start: number, text: string): number {
  const coded = huffmanBytes(text);
  if (coded >= text.length) return writePlain(out, start, text);
  return huffmanEncode(text, out, writeInteger(out, start, 0x80, 7, coded));
}
