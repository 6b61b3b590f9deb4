import type { ProblemCode } from './problem.ts';

/**
 * The declarative schema that every policy kind is written in. One description serves validation (`validate.ts`),
 * defaults (`defaults.ts`), and later the CRDs, the reference pages and completion: so each node carries its words.
 *
 * A schema is made for a TypeScript type: `object<HTTPRetry>({…})` does not compile while a field is missing, has the
 * wrong kind of value, or is optional on one side and not on the other.
 */
export type SchemaNode = TextNode | NumberNode | BooleanNode | ListNode | MapNode | ObjectNode;

declare const VALUE: unique symbol;

/** A node that describes values of type `T`. */
export type Schema<T> = SchemaNode & { readonly [VALUE]?: T };

export interface TextNode {
  readonly type: 'string';
  /** The only values allowed. */
  readonly values?: readonly string[];
  /** Spellings taken for a value of `values`: deprecated names. */
  readonly aliases?: Readonly<Record<string, string>>;
  /** Values that Istio knows and Weft does not support, each with the reason. */
  readonly unsupportedValues?: Readonly<Record<string, string>>;
  readonly format?: TextFormat;
  /** UTF-16 units; default `TEXT_CHARS_MAX`. */
  readonly charsMax?: number;
  readonly mayBeEmpty?: boolean;
}

/** A named grammar. `check` gives what is wrong, as the end of a sentence (`must be …`), or undefined. */
export interface TextFormat {
  readonly name: string;
  readonly check: (text: string) => string | undefined;
  /** A right value, for messages. */
  readonly example?: string;
  /** Where checking is dear: units of `VALIDATION_COST_MAX`, which bounds one document. */
  readonly cost?: (text: string) => number;
}

export interface NumberNode {
  readonly type: 'integer' | 'number';
  readonly min: number;
  readonly max: number;
  /** The only values allowed. */
  readonly values?: readonly number[];
}

export interface BooleanNode {
  readonly type: 'boolean';
}

export interface ListNode {
  readonly type: 'list';
  readonly items: SchemaNode;
  readonly itemsMin: number;
  readonly itemsMax: number;
  /** Two equal items are an error. */
  readonly distinct: boolean;
}

export interface MapNode {
  readonly type: 'map';
  readonly keys: TextFormat;
  readonly values: SchemaNode;
  readonly entriesMax: number;
}

export interface ObjectNode {
  readonly type: 'object';
  readonly fields: ReadonlyMap<string, FieldNode>;
  /** Fields of Istio's API that Weft does not implement yet, with what to say about them. */
  readonly unsupported: ReadonlyMap<string, string>;
  /** What no single field can say; each is called once the fields themselves are right. */
  readonly rules: readonly Rule[];
  /** Applied after defaults, before freezing. */
  readonly complete: (value: Fields) => Fields;
}

export interface FieldNode {
  readonly schema: SchemaNode;
  readonly doc: string;
  readonly presence: 'required' | 'optional' | 'default';
  /** For `default`. */
  readonly value: unknown;
}

/** A checked object whose field types are known only to its schema. */
export type Fields = Record<string, unknown>;

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** `report` takes a path below the object. */
export type Rule = (value: never, report: Report) => void;
export type Report = (path: FieldPath, message: string, code?: ProblemCode) => void;
export type FieldPath = readonly (string | number)[];

interface RequiredField<T> {
  readonly schema: Schema<T>;
  readonly doc: string;
  readonly presence: 'required' | 'default';
  readonly value: unknown;
}
interface OptionalField<T> {
  readonly schema: Schema<T>;
  readonly doc: string;
  readonly presence: 'optional';
  readonly value: undefined;
}

/** One entry for each field of `T`, optional where it is optional there. */
export type FieldsOf<T> = {
  readonly [K in keyof T]-?: Record<never, never> extends Pick<T, K>
    ? OptionalField<NonNullable<T[K]>>
    : RequiredField<T[K]>;
};

export function required<T>(schema: Schema<T>, doc: string): RequiredField<T> {
  return { schema, doc, presence: 'required', value: undefined };
}

export function optional<T>(schema: Schema<T>, doc: string): OptionalField<T> {
  return { schema, doc, presence: 'optional', value: undefined };
}

export function withDefault<T>(
  schema: Schema<T>,
  value: NoInfer<T>,
  doc: string,
): RequiredField<T> {
  return { schema, doc, presence: 'default', value };
}

/** Characters of one string, unless its schema says otherwise. */
export const TEXT_CHARS_MAX = 4096;
/** Items of one list: routes, hosts, endpoints, subsets. */
export const ITEMS_MAX = 4096;
/** Entries of one map. */
export const ENTRIES_MAX = 256;

export function text(options: Omit<TextNode, 'type'> = {}): Schema<string> {
  return { type: 'string', ...options };
}

/** One of `values`. */
export function choice<T extends string>(
  values: readonly T[],
  options: Pick<TextNode, 'aliases' | 'unsupportedValues'> = {},
): Schema<T> {
  return { type: 'string', values, ...options };
}

export function integer(min: number, max: number): Schema<number> {
  return { type: 'integer', min, max };
}

export function integerChoice(values: readonly number[]): Schema<number> {
  return { type: 'integer', min: Math.min(...values), max: Math.max(...values), values };
}

export function decimal(min: number, max: number): Schema<number> {
  return { type: 'number', min, max };
}

export function flag(): Schema<boolean> {
  return { type: 'boolean' };
}

export function list<T>(
  items: Schema<T>,
  options: { itemsMin?: number; itemsMax?: number; distinct?: boolean } = {},
): Schema<readonly T[]> {
  const { itemsMin = 0, itemsMax = ITEMS_MAX, distinct = false } = options;
  return { type: 'list', items, itemsMin, itemsMax, distinct };
}

export function map<T>(
  keys: TextFormat,
  values: Schema<T>,
  entriesMax = ENTRIES_MAX,
): Schema<Readonly<Record<string, T>>> {
  return { type: 'map', keys, values, entriesMax };
}

export interface ObjectOptions<T> {
  readonly unsupported?: Readonly<Record<string, string>>;
  /** Fields that authors may write and that `complete` folds into others. */
  readonly inputOnly?: Readonly<Record<string, OptionalField<never>>>;
  /** Optional fields of `T` are there only if written; those with a default may be missing too (hence Partial). */
  readonly rules?: readonly ((value: Partial<T>, report: Report) => void)[];
  readonly complete?: (value: Fields) => Fields;
}

export function object<T extends object>(
  fields: NoInfer<FieldsOf<T>>,
  options: ObjectOptions<NoInfer<T>> = {},
): Schema<T> {
  const all = new Map<string, FieldNode>(Object.entries<FieldNode>(fields));
  for (const [name, field] of Object.entries<FieldNode>(options.inputOnly ?? {}))
    all.set(name, field);
  return {
    type: 'object',
    fields: all,
    unsupported: new Map(Object.entries(options.unsupported ?? {})),
    rules: options.rules ?? [],
    complete: options.complete ?? ((value) => value),
  };
}
