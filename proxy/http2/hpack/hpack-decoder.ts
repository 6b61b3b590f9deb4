import { fieldNameAt } from '../../http/field-name.ts';
import { latin1 } from '../../http/latin1.ts';
import { shorten } from '../../http/shorten.ts';
import { DynamicTable, ENTRY_OVERHEAD_BYTES } from './dynamic-table.ts';
import {
  FieldKind,
  fieldKind,
  isFieldNameBytes,
  isFieldValueBytes,
  isPseudo,
  knownName,
} from './field-kind.ts';
import { NEVER_INDEXED } from './hpack-encoder.ts';
import { decodedBytesMax, huffmanDecode } from './huffman-decoder.ts';
import { IntegerReader } from './integer.ts';
import { LiteralStrings } from './literal-strings.ts';
import { STATIC_COUNT, STATIC_NAMES, STATIC_VALUES } from './static-table.ts';

/** Table size updates in front of a block: the least since the last one, and the size now (RFC 7541 §4.2). */
const SIZE_UPDATES_MAX = 2;
/** Pseudo-header fields that may stand in a block besides `countMax` ordinary ones. */
const PSEUDO_COUNT_MAX = 8;

/**
 * Decodes header blocks (RFC 7541). Whatever a block holds, the dynamic table follows it, so that a
 * message can be refused and the connection lives; only a coding error (`decode` false) ends it.
 *
 * A field list beyond its limits is not stored: what goes over is decoded into scratch space and
 * forgotten (`tooLarge`, `tooMany`), however often a block refers to a large table entry.
 *
 * One scratch object per connection; `fields` and `kinds` tell about the latest block.
 */
export class HpackDecoder {
  /** Name, value, name, value, in the order received. */
  readonly fields: string[] = [];
  /** The `FieldKind` of each pair. */
  readonly kinds: Uint8Array;
  count = 0;
  /** The list is larger than `listBytesMax` (RFC 9113 §10.5.1). */
  tooLarge = false;
  /** It has more than `countMax` fields, cookie crumbs counted one by one. */
  tooMany = false;
  /**
   * Names that came as a literal that nobody may index (§6.2.3), beside those that our encoder never indexes
   * anyway; null = none. The set is new for each block and may be kept.
   */
  neverIndexed: Set<string> | null = null;

  readonly #listBytesMax: number;
  readonly #countMax: number;
  readonly #tableBytesLimit: number;
  readonly #table: DynamicTable;
  readonly #integer = new IntegerReader();
  #listBytes = 0;
  #regularCount = 0;

  /** What a literal's string was found to be, by `#readString`. */
  #text: Uint8Array = EMPTY;
  #textStart = 0;
  #textEnd = 0;

  /** `tableBytes`: our SETTINGS_HEADER_TABLE_SIZE. Lists are counted as RFC 9113 §6.5.2 says. */
  constructor(tableBytes: number, listBytesMax: number, countMax: number) {
    this.#tableBytesLimit = tableBytes;
    this.#table = new DynamicTable(tableBytes);
    this.#listBytesMax = listBytesMax;
    this.#countMax = countMax;
    this.kinds = new Uint8Array(countMax + PSEUDO_COUNT_MAX);
  }

  /** Size of the latest field list (RFC 9113 §6.5.2), whether it was kept or not. */
  get listBytes(): number {
    return this.#listBytes;
  }

  /** Bytes that the dynamic table counts now (RFC 7541 §4.1). */
  get tableSizeBytes(): number {
    return this.#table.sizeBytes;
  }

  /** Forgets the latest block, so that an idle connection holds no strings of it. */
  clear(): void {
    shorten(this.fields, 0);
    this.count = 0;
  }

  /** Decodes one whole header block. False: a coding error, COMPRESSION_ERROR for the connection. */
  decode(bytes: Uint8Array, start: number, end: number): boolean {
    this.clear();
    this.tooLarge = false;
    this.tooMany = false;
    this.neverIndexed = null;
    this.#listBytes = 0;
    this.#regularCount = 0;
    const integer = this.#integer;
    let updatesAllowed = SIZE_UPDATES_MAX;
    let at = start;
    while (at < end) {
      const first = bytes[at]!;
      if (first >= 0x80) {
        // 1xxxxxxx: indexed field (§6.1)
        const index = integer.read(bytes, at, end, 7);
        if (index <= 0 || !this.#takeIndexed(index)) return false;
        at = integer.at;
        updatesAllowed = 0;
      } else if (first >= 0x40) {
        // 01xxxxxx: literal with incremental indexing (§6.2.1)
        at = this.#takeLiteral(bytes, at, end, 6, true);
        if (at < 0) return false;
        updatesAllowed = 0;
      } else if (first >= 0x20) {
        // 001xxxxx: table size update (§6.3), only in front (§4.2)
        const maxBytes = integer.read(bytes, at, end, 5);
        if (updatesAllowed-- === 0 || maxBytes < 0 || maxBytes > this.#tableBytesLimit)
          return false;
        this.#table.resize(maxBytes);
        at = integer.at;
      } else {
        // 0000xxxx, 0001xxxx: literal without indexing, never indexed (§6.2.2, §6.2.3)
        at = this.#takeLiteral(bytes, at, end, 4, false);
        if (at < 0) return false;
        updatesAllowed = 0;
      }
    }
    return true;
  }

  #takeIndexed(index: number): boolean {
    if (index <= STATIC_COUNT) {
      this.#push(STATIC_NAMES[index]!, STATIC_VALUES[index]!, STATIC_KINDS[index]! as FieldKind);
      return true;
    }
    const age = index - STATIC_COUNT - 1;
    const table = this.#table;
    if (age >= table.count) return false;
    this.#push(table.name(age), table.value(age), table.kind(age));
    return true;
  }

  /** The offset behind the literal, or -1. */
  #takeLiteral(
    bytes: Uint8Array,
    start: number,
    end: number,
    prefixBits: number,
    indexed: boolean,
  ): number {
    const integer = this.#integer;
    const nameIndex = integer.read(bytes, start, end, prefixBits);
    if (nameIndex < 0) return -1;
    let at = integer.at;
    let name: string;
    let kind: FieldKind;
    if (nameIndex === 0) {
      at = this.#readString(bytes, at, end);
      if (at < 0) return -1;
      if (this.#textEnd - this.#textStart > this.#listBytesMax) {
        // A name that cannot be kept: the field goes over the limit whatever its value is.
        this.tooLarge = true;
        name = '';
        kind = FieldKind.Invalid;
        if (indexed) this.#table.clear();
        indexed = false;
      } else {
        name = this.#name();
        kind = this.#nameKind(name);
      }
    } else if (nameIndex <= STATIC_COUNT) {
      name = STATIC_NAMES[nameIndex]!;
      kind = STATIC_NAME_KINDS[nameIndex]! as FieldKind;
    } else {
      const age = nameIndex - STATIC_COUNT - 1;
      if (age >= this.#table.count) return -1;
      name = this.#table.name(age);
      // The entry may be invalid for its value only; the name is judged by itself.
      kind = this.#table.kind(age);
      if (kind === FieldKind.Invalid) kind = kindOfKeptName(name);
    }
    at = this.#readString(bytes, at, end);
    if (at < 0) return -1;
    const text = this.#text;
    const valueStart = this.#textStart;
    const valueEnd = this.#textEnd;
    // Credentials are marked as never indexed (§7.1.3): they are not kept here either.
    const neverIndexed = bytes[start]! >> 4 === 1;
    const known = neverIndexed ? null : literals.find(text, valueStart, valueEnd);
    if (known === null && !isFieldValueBytes(text, valueStart, valueEnd)) kind = FieldKind.Invalid;

    const entryBytes = name.length + valueEnd - valueStart + ENTRY_OVERHEAD_BYTES;
    const kept = this.#listBytes + entryBytes <= this.#listBytesMax;
    if (indexed && entryBytes > this.#table.maxBytes) {
      this.#table.clear();
      indexed = false;
    }
    if (!kept && !indexed) {
      this.tooLarge = true;
      this.#listBytes += entryBytes;
      return at;
    }
    const value = known ?? latin1(text, valueStart, valueEnd);
    if (neverIndexed && !NEVER_INDEXED.has(name)) {
      this.neverIndexed ??= new Set();
      this.neverIndexed.add(name);
    }
    if (indexed) this.#table.insert(name, value, kind);
    this.#push(name, value, kind);
    return at;
  }

  #push(name: string, value: string, kind: FieldKind): void {
    this.#listBytes += name.length + value.length + ENTRY_OVERHEAD_BYTES;
    if (this.#listBytes > this.#listBytesMax) this.tooLarge = true;
    if (!isPseudo(kind)) this.#regularCount++;
    if (this.#regularCount > this.#countMax) this.tooMany = true;
    if (this.tooLarge || this.tooMany) return;
    if (this.count === this.kinds.length) {
      // More pseudo-header fields than exist: one of them is a repetition, and that is malformed.
      this.kinds[this.count - 1] = FieldKind.Invalid;
      return;
    }
    this.kinds[this.count++] = kind;
    this.fields.push(name, value);
  }

  /** Reads a string literal (§5.2) into `#text`; the offset behind it, or -1. */
  #readString(bytes: Uint8Array, start: number, end: number): number {
    if (start >= end) return -1;
    const integer = this.#integer;
    const length = integer.read(bytes, start, end, 7);
    const at = integer.at;
    if (length < 0 || length > end - at) return -1;
    if (bytes[start]! < 0x80) {
      this.#text = bytes;
      this.#textStart = at;
      this.#textEnd = at + length;
      return at + length;
    }
    const needed = decodedBytesMax(length);
    if (scratch.length < needed) scratch = Buffer.allocUnsafeSlow(needed);
    const decoded = huffmanDecode(bytes, at, at + length, scratch);
    if (decoded < 0) return -1;
    this.#text = scratch;
    this.#textStart = 0;
    this.#textEnd = decoded;
    return at + length;
  }

  #name(): string {
    const start = this.#textStart;
    const end = this.#textEnd;
    if (!isFieldNameBytes(this.#text, start, end)) return latin1(this.#text, start, end);
    const known = knownName(this.#text, start, end);
    return known < 0 ? latin1(this.#text, start, end) : fieldNameAt(known);
  }

  #nameKind(name: string): FieldKind {
    return isFieldNameBytes(this.#text, this.#textStart, this.#textEnd)
      ? fieldKind(name)
      : FieldKind.Invalid;
  }
}

const EMPTY = new Uint8Array(0);

const literals = new LiteralStrings();

/** Where strings are decoded to; used within one call only, so all connections share it. */
let scratch: Buffer = Buffer.allocUnsafeSlow(4096);

/** The kind of a name taken from an entry that is malformed for its name or its value. */
function kindOfKeptName(name: string): FieldKind {
  const bytes = Buffer.from(name, 'latin1');
  return isFieldNameBytes(bytes, 0, bytes.length) ? fieldKind(name) : FieldKind.Invalid;
}

const STATIC_NAME_KINDS: Uint8Array = Uint8Array.from(STATIC_NAMES, (name) =>
  name === '' ? FieldKind.Invalid : fieldKind(name),
);
/** Static values are all valid, some empty. */
const STATIC_KINDS = STATIC_NAME_KINDS;
