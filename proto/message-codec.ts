import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import {
  type FieldInfo,
  type MessageInfo,
  messageInfo,
  type ScalarType,
  type ValueType,
} from './fields.ts';
import type { MessageTypes } from './gen/registry.ts';
import type { Steps } from './steps.ts';
import { hasOwnJsonForm, unwrapWellKnown, wrapWellKnown } from './well-known.ts';

/**
 * The protobuf wire format by the field table instead of by generated code. It reads and writes the same messages as
 * the codecs in `gen/`, byte for byte (a test holds both against each other over every message); what it saves is the
 * loading of two megabytes of source, which every sidecar would pay for in start-up time and memory.
 */

/** Levels of messages in one another, as in the generated decoders. */
const DEPTH_MAX = 100;

/** A message of so many bytes takes some 0.3 ms to read. */
const LARGE_BYTES = 16 * 1024;

type Message = Record<string, unknown>;

/** Most lists and maps of a message are empty; they share these, which nobody can fill by mistake. */
const EMPTY_LIST: readonly unknown[] = Object.freeze([]);

const EMPTY_MAP: ReadonlyMap<unknown, unknown> = Object.defineProperty(new Map(), 'set', {
  value: () => {
    throw new TypeError('the empty map of a message is shared: put a new one in its place');
  },
});

/** The codec of a message of the subset by its full name; `undefined` where there is no such message. */
export function codecOf(fullName: string): MessageCodec | undefined {
  let codec = codecs.get(fullName);
  const info = codec === undefined ? messageInfo(fullName) : undefined;
  if (info !== undefined) {
    codec = new MessageCodec(info);
    codecs.set(fullName, codec);
  }
  return codec;
}

/** A message with these fields and every other at its default. */
export function createMessage<N extends keyof MessageTypes>(
  name: N,
  fields: Partial<MessageTypes[N]>,
): MessageTypes[N] {
  return Object.assign(codecOf(name)!.create(), fields) as unknown as MessageTypes[N];
}

const codecs = new Map<string, MessageCodec>(); // made when first asked for

/** Encodes and decodes one type of message. */
export class MessageCodec {
  readonly #template: Readonly<Message>;
  readonly #inOrder: (FieldCodec | OneofCodec)[] = [];
  /** By tag: the number and the wire type. A repeated number has two, one by one and packed. */
  readonly #byTag = new Map<number, FieldCodec>();

  constructor(info: MessageInfo) {
    const template: Message = {};
    const oneofs = new Map<string, OneofCodec>();
    for (const field of info.fields) {
      const codec = new FieldCodec(field);
      this.#byTag.set(codec.tag, codec);
      if (codec.isPackable) this.#byTag.set(codec.packedTag, codec);
      if (field.oneof === '') {
        template[field.key] = codec.unset;
        this.#inOrder.push(codec);
        continue;
      }
      template[field.oneof] = undefined;
      let oneof = oneofs.get(field.oneof);
      if (oneof === undefined) {
        oneof = new OneofCodec(field.oneof);
        oneofs.set(field.oneof, oneof);
        this.#inOrder.push(oneof);
      }
      oneof.cases.set(field.key, codec);
    }
    this.#template = withFastShape(template);
  }

  /** A message with every field at its default. Its empty lists and maps are shared and frozen: replace, never fill. */
  create(): Message {
    return { ...this.#template };
  }

  /** The bytes of a whole message, as `create` or a generated codec makes them. */
  encode(message: unknown): Uint8Array {
    const writer = new BinaryWriter();
    this.write(message as Message, writer);
    return writer.finish();
  }

  /** Throws on malformed bytes. Fields of type bytes are views of `bytes`. */
  decode(bytes: Uint8Array): unknown {
    const reader = new BinaryReader(bytes);
    return this.read(reader, reader.len, 0);
  }

  /** As `decode`, with a pause after each field of the message itself, and of each in it of at least `largeBytes`. */
  decodeSteps(bytes: Uint8Array, largeBytes = LARGE_BYTES): Steps<unknown> {
    const reader = new BinaryReader(bytes);
    return this.readSteps(reader, reader.len, 0, largeBytes);
  }

  write(message: Message, writer: BinaryWriter): void {
    for (const each of this.#inOrder) each.write(message, writer);
  }

  /** Unknown numbers and wire types are skipped; `depth` is the messages around this one. */
  read(reader: BinaryReader, end: number, depth: number): Message {
    if (depth >= DEPTH_MAX) throw new Error('protobuf decode recursion limit exceeded');
    const message = this.create();
    while (reader.pos < end && this.#readField(message, reader, depth));
    return message;
  }

  /** As `read`, with the pauses of `decodeSteps`. */
  *readSteps(reader: BinaryReader, end: number, depth: number, largeBytes: number): Steps<Message> {
    if (depth >= DEPTH_MAX) throw new Error('protobuf decode recursion limit exceeded');
    const message = this.create();
    while (reader.pos < end) {
      const start = reader.pos;
      const field = this.#byTag.get(reader.uint32());
      const inner = field === undefined ? null : field.inner;
      const length = inner === null ? 0 : reader.uint32();
      if (inner !== null && length >= largeBytes) {
        const innerEnd = reader.pos + length;
        field!.put(message, yield* inner.readSteps(reader, innerEnd, depth + 1, largeBytes));
      } else {
        reader.pos = start;
        if (!this.#readField(message, reader, depth)) break;
      }
      yield;
    }
    return message;
  }

  /** False where the message ends before its bytes do. */
  #readField(message: Message, reader: BinaryReader, depth: number): boolean {
    const tag = reader.uint32();
    const field = this.#byTag.get(tag);
    if (field !== undefined) {
      field.read(message, reader, tag, depth);
      return true;
    }
    if ((tag & 7) === WireType.EndGroup || tag === 0) return false;
    reader.skip(tag & 7);
    return true;
  }
}

/**
 * The same object in the shape of a literal. V8 turns an object that gets more than a dozen fields by computed names
 * into a dictionary, and copies of that cost twenty times as much; what JSON.parse makes has a shape. The fields are
 * parsed as what they will hold, a number or something else, so that filling them does not change the shape.
 */
function withFastShape(template: Message): Message {
  const names = Object.keys(template);
  const fields = names.map((name) => `"${name}":${template[name] === 0 ? 0 : null}`);
  const shaped = JSON.parse(`{${fields.join()}}`) as Message;
  for (const name of names) shaped[name] = template[name];
  return shaped;
}

/** One of several fields: written where the first of them stands. */
class OneofCodec {
  readonly cases = new Map<string, FieldCodec>();
  readonly #key: string;

  constructor(key: string) {
    this.#key = key;
  }

  write(message: Message, writer: BinaryWriter): void {
    const chosen = message[this.#key] as { $case: string; value: unknown } | undefined;
    if (chosen === undefined) return;
    this.cases.get(chosen.$case)?.writeValue(chosen.value, writer);
  }
}

class FieldCodec {
  readonly key: string;
  readonly tag: number;
  readonly packedTag: number;
  readonly isPackable: boolean;
  readonly isMap: boolean;
  /** What a message holds where the field is not set. */
  readonly unset: unknown;
  readonly #field: FieldInfo;
  readonly #value: ValueCodec;

  constructor(field: FieldInfo) {
    this.#field = field;
    this.key = field.key;
    this.isMap = field.mapKey !== '';
    this.#value = valueCodec(field.type);
    const { wireType } = this.#value;
    this.tag = tagOf(field.number, this.isMap ? WireType.LengthDelimited : wireType);
    this.packedTag = tagOf(field.number, WireType.LengthDelimited);
    this.isPackable = field.repeated && wireType !== WireType.LengthDelimited;
    if (this.isMap) this.unset = EMPTY_MAP;
    else if (field.repeated) this.unset = EMPTY_LIST;
    else this.unset = field.optional ? undefined : this.#value.zero;
  }

  write(message: Message, writer: BinaryWriter): void {
    const value = message[this.key];
    if (this.isMap) this.#writeMap(value as ReadonlyMap<unknown, unknown>, writer);
    else if (this.#field.repeated) this.#writeList(value as readonly unknown[], writer);
    else if (this.#field.optional ? value !== undefined : !this.#value.isZero(value)) {
      this.writeValue(value, writer);
    }
  }

  /** Whatever the value: in a oneof a default is a choice too. */
  writeValue(value: unknown, writer: BinaryWriter): void {
    this.#value.write(value, writer.uint32(this.tag));
  }

  #writeList(list: readonly unknown[], writer: BinaryWriter): void {
    if (!this.isPackable) {
      for (const each of list) this.writeValue(each, writer);
      return;
    }
    if (list.length === 0) return;
    writer.uint32(this.packedTag).fork();
    for (const each of list) this.#value.write(each, writer);
    writer.join();
  }

  /** An entry is a message of a key, 1, and a value, 2. */
  #writeMap(map: ReadonlyMap<unknown, unknown>, writer: BinaryWriter): void {
    for (const [key, value] of map) {
      if (value === undefined) continue;
      writer.uint32(this.tag).fork();
      if (key !== '') writer.uint32(MAP_KEY_TAG).string(key as string);
      if (!this.#value.isZero(value)) {
        this.#value.write(value, writer.uint32(tagOf(2, this.#value.wireType)));
      }
      writer.join();
    }
  }

  read(message: Message, reader: BinaryReader, tag: number, depth: number): void {
    const { key } = this;
    if (this.isMap) {
      if (message[key] === EMPTY_MAP) message[key] = new Map<unknown, unknown>();
      this.#readEntry(message[key] as Map<unknown, unknown>, reader, depth);
    } else if (this.#field.repeated && tag !== this.tag) {
      this.#readPacked(this.#listOf(message), reader, depth);
    } else {
      this.put(message, this.#value.read(reader, depth));
    }
  }

  /** Adds the value to the list, or sets it in place of another one. */
  put(message: Message, value: unknown): void {
    if (this.#field.repeated) this.#listOf(message).push(value);
    else if (this.#field.oneof === '') message[this.key] = value;
    else message[this.#field.oneof] = { $case: this.key, value };
  }

  #listOf(message: Message): unknown[] {
    if (message[this.key] === EMPTY_LIST) message[this.key] = [];
    return message[this.key] as unknown[];
  }

  /** The codec of the messages that the field holds as they are; null where it holds something else. */
  get inner(): MessageCodec | null {
    return !this.isMap && this.#value instanceof MessageValueCodec ? this.#value.plain : null;
  }

  #readPacked(list: unknown[], reader: BinaryReader, depth: number): void {
    const length = reader.uint32();
    const end = reader.pos + length;
    while (reader.pos < end) list.push(this.#value.read(reader, depth));
  }

  #readEntry(map: Map<unknown, unknown>, reader: BinaryReader, depth: number): void {
    if (depth + 1 >= DEPTH_MAX) throw new Error('protobuf decode recursion limit exceeded');
    const length = reader.uint32();
    const end = reader.pos + length;
    const valueTag = tagOf(2, this.#value.wireType);
    let key = '';
    let value = this.#value.zero;
    while (reader.pos < end) {
      const tag = reader.uint32();
      if (tag === MAP_KEY_TAG) key = reader.string();
      else if (tag === valueTag) value = this.#value.read(reader, depth + 1);
      else if ((tag & 7) === WireType.EndGroup || tag === 0) break;
      else reader.skip(tag & 7);
    }
    if (value !== undefined) map.set(key, value);
  }
}

/** How one value is written after its tag. */
interface ValueCodec {
  readonly wireType: WireType;
  /** The default of a field that is not `optional`. */
  readonly zero: unknown;
  isZero(value: unknown): boolean;
  write(value: unknown, writer: BinaryWriter): void;
  read(reader: BinaryReader, depth: number): unknown;
}

function valueCodec(type: ValueType): ValueCodec {
  if (type.kind === 'scalar') return SCALARS[type.scalar];
  return type.kind === 'enum' ? SCALARS.int32 : new MessageValueCodec(type.name);
}

/** A message in a message; a wrapper or a Struct stands there as the plain value. */
class MessageValueCodec implements ValueCodec {
  readonly wireType = WireType.LengthDelimited;
  readonly zero = undefined;
  readonly #name: string;
  readonly #isWrapped: boolean;
  #codec: MessageCodec | null = null; // found when first used: messages may hold themselves

  constructor(name: string) {
    this.#name = name;
    this.#isWrapped = hasOwnJsonForm(name);
  }

  isZero(value: unknown): boolean {
    return value === undefined;
  }

  write(value: unknown, writer: BinaryWriter): void {
    const message = this.#isWrapped ? wrapWellKnown(this.#name, value) : value;
    this.#found().write(message as Message, writer.fork());
    writer.join();
  }

  read(reader: BinaryReader, depth: number): unknown {
    const length = reader.uint32();
    const message = this.#found().read(reader, reader.pos + length, depth + 1);
    return this.#isWrapped ? unwrapWellKnown(this.#name, message) : message;
  }

  /** The codec where messages stand as they are, else null. */
  get plain(): MessageCodec | null {
    return this.#isWrapped ? null : this.#found();
  }

  #found(): MessageCodec {
    this.#codec ??= codecOf(this.#name)!;
    return this.#codec;
  }
}

function scalar<T>(
  wireType: WireType,
  zero: T,
  write: (value: T, writer: BinaryWriter) => void,
  read: (reader: BinaryReader) => T,
): ValueCodec {
  const isZero = (value: unknown): boolean => value === zero;
  return { wireType, zero, isZero, write: write as ValueCodec['write'], read };
}

const { Varint, Bit32, Bit64, LengthDelimited } = WireType;
const NO_BYTES: Uint8Array = new Uint8Array(0);

const SCALARS: Readonly<Record<ScalarType, ValueCodec>> = {
  string: scalar(
    LengthDelimited,
    '',
    (v, to) => to.string(v),
    (from) => from.string(),
  ),
  bytes: {
    ...scalar(
      LengthDelimited,
      NO_BYTES,
      (v, to) => to.bytes(v),
      (from) => from.bytes(),
    ),
    isZero: (value) => (value as Uint8Array).length === 0,
  },
  bool: scalar(
    Varint,
    false,
    (v, to) => to.bool(v),
    (from) => from.bool(),
  ),
  double: scalar(
    Bit64,
    0,
    (v, to) => to.double(v),
    (from) => from.double(),
  ),
  float: scalar(
    Bit32,
    0,
    (v, to) => to.float(v),
    (from) => from.float(),
  ),
  int32: scalar(
    Varint,
    0,
    (v, to) => to.int32(v),
    (from) => from.int32(),
  ),
  sint32: scalar(
    Varint,
    0,
    (v, to) => to.sint32(v),
    (from) => from.sint32(),
  ),
  sfixed32: scalar(
    Bit32,
    0,
    (v, to) => to.sfixed32(v),
    (from) => from.sfixed32(),
  ),
  uint32: scalar(
    Varint,
    0,
    (v, to) => to.uint32(v),
    (from) => from.uint32(),
  ),
  fixed32: scalar(
    Bit32,
    0,
    (v, to) => to.fixed32(v),
    (from) => from.fixed32(),
  ),
  int64: scalar(
    Varint,
    0,
    (v, to) => to.int64(v),
    (from) => safe(from.int64()),
  ),
  sint64: scalar(
    Varint,
    0,
    (v, to) => to.sint64(v),
    (from) => safe(from.sint64()),
  ),
  sfixed64: scalar(
    Bit64,
    0,
    (v, to) => to.sfixed64(v),
    (from) => safe(from.sfixed64()),
  ),
  uint64: scalar(
    Varint,
    0,
    (v, to) => to.uint64(v),
    (from) => safe(from.uint64()),
  ),
  fixed64: scalar(
    Bit64,
    0,
    (v, to) => to.fixed64(v),
    (from) => safe(from.fixed64()),
  ),
};

/** 64 bits as a number; nothing in the subset reaches 2^53, so what does is malformed. */
function safe(value: bigint | string): number {
  const number = Number(value);
  if (number > Number.MAX_SAFE_INTEGER) {
    throw new Error('Value is larger than Number.MAX_SAFE_INTEGER');
  }
  if (number < Number.MIN_SAFE_INTEGER) {
    throw new Error('Value is smaller than Number.MIN_SAFE_INTEGER');
  }
  return number;
}

function tagOf(number: number, wireType: WireType): number {
  return ((number << 3) | wireType) >>> 0;
}

const MAP_KEY_TAG = tagOf(1, WireType.LengthDelimited);
