/**
 * The part of google.protobuf.Struct that peer metadata uses: strings, and one level of nested
 * strings. Written out because it reads what another proxy sent: it bounds everything, never
 * recurses and never throws.
 *
 * ```
 * Struct { map<string, Value> fields = 1; }     map entry { string key = 1; Value value = 2; }
 * Value  { … string string_value = 3; Struct struct_value = 5; … }
 * ```
 */

/** A string, or the strings of a nested struct. Other kinds of value are left out. */
export type StructValue = string | ReadonlyMap<string, string>;

/** Fields of one struct; far above what a workload has labels. */
const STRUCT_FIELDS_MAX = 256;

/** Deterministic: fields in the order of the map. */
export function encodeStruct(fields: ReadonlyMap<string, StructValue>): Buffer {
  const out: number[] = [];
  for (const [key, value] of fields) writeBytes(out, FIELDS_TAG, encodeEntry(key, value));
  return Buffer.from(out);
}

function encodeEntry(key: string, value: StructValue): number[] {
  const entry: number[] = [];
  writeBytes(entry, KEY_TAG, Buffer.from(key));
  const encoded: number[] = [];
  if (typeof value === 'string') writeBytes(encoded, STRING_VALUE_TAG, Buffer.from(value));
  else writeBytes(encoded, STRUCT_VALUE_TAG, encodeStruct(value));
  writeBytes(entry, VALUE_TAG, encoded);
  return entry;
}

function writeBytes(out: number[], tag: number, bytes: Iterable<number> & { length: number }) {
  out.push(tag);
  writeVarint(out, bytes.length);
  for (const byte of bytes) out.push(byte);
}

function writeVarint(out: number[], value: number): void {
  let left = value;
  while (left > 0x7f) {
    out.push((left & 0x7f) | 0x80);
    left >>>= 7;
  }
  out.push(left);
}

/** The string and struct fields of an encoded struct, or null where it is malformed. */
export function decodeStruct(bytes: Uint8Array): Map<string, StructValue> | null {
  return readStruct(bytes, 0, bytes.length, true);
}

const FIELDS_TAG = 0x0a;
const KEY_TAG = 0x0a;
const VALUE_TAG = 0x12;
const STRING_VALUE_TAG = 0x1a;
const STRUCT_VALUE_TAG = 0x2a;

const text = new TextDecoder();

function readStruct(
  bytes: Uint8Array,
  start: number,
  end: number,
  nested: boolean,
): Map<string, StructValue> | null {
  const fields = new Map<string, StructValue>();
  const cursor = new Cursor(bytes, start, end);
  while (!cursor.done) {
    const tag = cursor.varint();
    if (tag !== FIELDS_TAG) {
      if (!cursor.skip(tag)) return null;
      continue;
    }
    if (!cursor.enter() || fields.size >= STRUCT_FIELDS_MAX) return null;
    if (!readEntry(bytes, cursor.start, cursor.at, nested, fields)) return null;
  }
  return cursor.failed ? null : fields;
}

function readEntry(
  bytes: Uint8Array,
  start: number,
  end: number,
  nested: boolean,
  fields: Map<string, StructValue>,
): boolean {
  const cursor = new Cursor(bytes, start, end);
  let key = '';
  let value: StructValue | null = null;
  while (!cursor.done) {
    const tag = cursor.varint();
    if (tag === KEY_TAG) {
      if (!cursor.enter()) return false;
      key = text.decode(bytes.subarray(cursor.start, cursor.at));
    } else if (tag === VALUE_TAG) {
      if (!cursor.enter()) return false;
      const inner = new Cursor(bytes, cursor.start, cursor.at);
      while (!inner.done) {
        const kind = inner.varint();
        if (kind === STRING_VALUE_TAG) {
          if (!inner.enter()) return false;
          value = text.decode(bytes.subarray(inner.start, inner.at));
        } else if (kind === STRUCT_VALUE_TAG && nested) {
          if (!inner.enter()) return false;
          const struct = readStruct(bytes, inner.start, inner.at, false);
          if (struct === null) return false;
          value = struct as Map<string, string>;
        } else if (!inner.skip(kind)) {
          return false;
        }
      }
      if (inner.failed) return false;
    } else if (!cursor.skip(tag)) {
      return false;
    }
  }
  if (cursor.failed) return false;
  if (value !== null) fields.set(key, value);
  return true;
}

/** Reads the wire format between two offsets; after a failure it is done and `failed`. */
class Cursor {
  at: number;
  /** Where the length-delimited field entered last begins; it ends at `at`. */
  start = 0;
  failed = false;
  readonly #bytes: Uint8Array;
  readonly #end: number;

  constructor(bytes: Uint8Array, start: number, end: number) {
    this.#bytes = bytes;
    this.at = start;
    this.#end = end;
  }

  get done(): boolean {
    return this.failed || this.at >= this.#end;
  }

  /** Up to 32 bits: no tag or length of ours is longer. */
  varint(): number {
    let value = 0;
    for (let shift = 0; shift <= 28 && this.at < this.#end; shift += 7) {
      const byte = this.#bytes[this.at++]!;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
    this.failed = true;
    return 0;
  }

  /** Goes over a length-delimited field and remembers where it begins. */
  enter(): boolean {
    const length = this.varint();
    this.start = this.at;
    if (this.failed || length > this.#end - this.at) return false;
    this.at += length;
    return true;
  }

  /** Goes over a field of which nothing is wanted. Groups (deprecated) are refused. */
  skip(tag: number): boolean {
    if (this.failed || tag >>> 3 === 0) return false;
    switch (tag & 7) {
      case 0:
        // A value of up to ten bytes: only its end matters.
        while (this.at < this.#end && this.#bytes[this.at++]! >= 0x80);
        return true;
      case 1:
        this.at += 8;
        break;
      case 2:
        return this.enter();
      case 5:
        this.at += 4;
        break;
      default:
        return false;
    }
    return this.at <= this.#end;
  }
}
