import { ENUM_ROWS, MESSAGE_ROWS } from './gen/fields.ts';

export type ScalarType =
  | 'string'
  | 'bytes'
  | 'bool'
  | 'double'
  | 'float'
  | 'int32'
  | 'sint32'
  | 'sfixed32'
  | 'uint32'
  | 'fixed32'
  | 'int64'
  | 'sint64'
  | 'sfixed64'
  | 'uint64'
  | 'fixed64';

/** Type of one value: a scalar, an enum or a message, the latter two by full name. */
export type ValueType =
  | { readonly kind: 'scalar'; readonly scalar: ScalarType }
  | { readonly kind: 'enum'; readonly name: string }
  | { readonly kind: 'message'; readonly name: string };

export interface FieldInfo {
  readonly number: number;
  /** As in the `.proto` file: `connect_timeout`. */
  readonly name: string;
  /** As in TypeScript and in camel-case JSON: `connectTimeout`. */
  readonly key: string;
  readonly type: ValueType;
  readonly repeated: boolean;
  /** `optional` in the `.proto` file: `undefined` differs from the default. */
  readonly optional: boolean;
  /** Key type of a `map`, whose values are `type`; else ''. */
  readonly mapKey: ScalarType | '';
  /** TypeScript name of the oneof it belongs to; else ''. */
  readonly oneof: string;
}

export interface MessageInfo {
  readonly fullName: string;
  readonly fields: readonly FieldInfo[];
  /** By `name` and by `key`. */
  readonly byName: ReadonlyMap<string, FieldInfo>;
  /** Names of official fields that Weft does not carry. */
  readonly notCarried: ReadonlySet<string>;
}

export interface EnumInfo {
  readonly fullName: string;
  readonly numberOf: ReadonlyMap<string, number>;
  /** The first name of each number (an alias comes later). */
  readonly nameOf: ReadonlyMap<number, string>;
}

/** The fields of a message of the subset by its full name; `undefined` where there is no such message. */
export function messageInfo(fullName: string): MessageInfo | undefined {
  let info = messages.get(fullName);
  const row = info === undefined ? rows.get(fullName) : undefined;
  if (row !== undefined) {
    info = parseMessage(row);
    messages.set(fullName, info);
  }
  return info;
}

/** The values of an enum of the subset by its full name. */
export function enumInfo(fullName: string): EnumInfo | undefined {
  return enums.get(fullName);
}

/** Full names of every message of the subset. */
export function messageNames(): IterableIterator<string> {
  return rows.keys();
}

const rows = new Map(MESSAGE_ROWS.map((row) => [row[0], row]));
const messages = new Map<string, MessageInfo>(); // parsed when first asked for

const enums: ReadonlyMap<string, EnumInfo> = new Map(
  ENUM_ROWS.map(([fullName, values]) => [
    fullName,
    {
      fullName,
      numberOf: new Map(values),
      nameOf: new Map(values.toReversed().map(([name, number]) => [number, name])),
    },
  ]),
);

function parseMessage([fullName, texts, reserved]: (typeof MESSAGE_ROWS)[number]): MessageInfo {
  const fields = texts.map(parseField);
  const byName = new Map<string, FieldInfo>();
  for (const field of fields) {
    byName.set(field.key, field);
    byName.set(field.name, field);
  }
  return { fullName, fields, byName, notCarried: new Set(reserved) };
}

/** `[repeated|optional] type name=number [in oneof]` or `map<key,value> name=number`, see emit-fields.ts. */
function parseField(text: string): FieldInfo {
  const words = text.split(' ');
  const label = words[0] === 'repeated' || words[0] === 'optional' ? words.shift() : '';
  const map = /^map<(\w+),(.+)>$/.exec(words[0]!);
  const [name = '', number] = words[1]!.split('=');
  return {
    number: Number(number),
    name,
    key: camel(name),
    type: parseType(map?.[2] ?? words[0]!),
    repeated: label === 'repeated',
    optional: label === 'optional',
    mapKey: (map?.[1] ?? '') as ScalarType | '',
    oneof: words[2] === 'in' ? camel(words[3]!) : '',
  };
}

function parseType(text: string): ValueType {
  if (text.startsWith('.')) return { kind: 'message', name: text.slice(1) };
  if (text.startsWith('#')) return { kind: 'enum', name: text.slice(1) };
  return { kind: 'scalar', scalar: text as ScalarType };
}

function camel(name: string): string {
  return name.replace(/_+([a-zA-Z0-9])/g, (_, letter: string) => letter.toUpperCase());
}
