import { unknownType, unpackAny } from '../../../proto/any.ts';
import { durationMs as toMs } from '../../../proto/duration.ts';
import type { FieldPath } from '../../../proto/field-path.ts';
import { type FieldInfo, type MessageInfo, messageInfo } from '../../../proto/fields.ts';
import type { Any } from '../../../proto/gen/google/protobuf/any.ts';
import type { Duration } from '../../../proto/gen/google/protobuf/duration.ts';
import type { MessageTypes } from '../../../proto/gen/registry.ts';
import { messageNameOf } from '../../../proto/type-urls.ts';
import { ignoredFields } from './ignored-fields.ts';
import type { Problems } from './problems.ts';

type Name = keyof MessageTypes;
type Key<T> = keyof T & string;
type ElementOf<T> = T extends readonly (infer E)[] ? E : never;
type MapValueOf<T> = T extends ReadonlyMap<string, infer V> ? V : never;
type CaseOf<T> = T extends { $case: string; value: unknown } ? T : never;

/** Integer fields: bounds are inclusive. */
export interface IntegerRule {
  readonly min?: number;
  readonly max?: number;
  /** Where the field is not set. */
  readonly fallback: number;
}

/**
 * Reads one decoded message field by field and remembers which fields were read. What is set but was not
 * asked for is a feature that Weft does not have: `finish` reports each such field, because a field must
 * never be ignored in silence. `ignored-fields.ts` lists those that change nothing and may be passed over.
 */
export class MessageReader<T extends object> {
  readonly problems: Problems;
  readonly fullName: string;
  readonly message: T;
  readonly path: FieldPath;
  readonly #info: MessageInfo;
  readonly #taken = new Set<string>();
  readonly #children: MessageReader<object>[] = [];

  constructor(problems: Problems, fullName: string, message: T, path: FieldPath = []) {
    const info = messageInfo(fullName);
    if (info === undefined) throw new Error(`no message of the subset is called ${fullName}`);
    this.problems = problems;
    this.fullName = fullName;
    this.message = message;
    this.path = path;
    this.#info = info;
  }

  /** The field's value; the caller judges all of it. */
  take<K extends Key<T>>(key: K): T[K] {
    this.#taken.add(key);
    return this.message[key];
  }

  /** Path of a field of this message, for `problem`. */
  at(key: Key<T>, ...rest: readonly (string | number)[]): FieldPath {
    return [...this.path, this.#fieldName(key), ...rest];
  }

  problem(key: Key<T>, message: string): void {
    this.problems.add(this.at(key), message);
  }

  string(key: Key<T>): string {
    return this.take(key) as string;
  }

  /** A string that must not be empty. */
  required(key: Key<T>): string {
    const value = this.take(key) as string;
    if (value === '') this.problem(key, 'must be set');
    return value;
  }

  bool(key: Key<T>, fallback = false): boolean {
    return (this.take(key) as boolean | undefined) ?? fallback;
  }

  integer(key: Key<T>, rule: IntegerRule): number {
    const value = this.take(key) as number | undefined;
    if (value === undefined) return rule.fallback;
    const min = rule.min ?? 0;
    const max = rule.max ?? 0xffffffff;
    if (value < min || value > max) {
      this.problem(key, `must lie between ${min} and ${max}, is ${value}`);
      return rule.fallback;
    }
    return value;
  }

  /** Milliseconds of a Duration field. Less than `minMs` or more than 10 years is a problem. */
  durationMs(key: Key<T>, fallbackMs: number, minMs = 0): number {
    const value = this.take(key) as Duration | undefined;
    if (value === undefined) return fallbackMs;
    return this.checkDuration(value, this.at(key), fallbackMs, minMs);
  }

  checkDuration(value: Duration, path: FieldPath, fallbackMs: number, minMs = 0): number {
    const ms = toMs(value);
    if (ms < minMs || ms > DURATION_MS_MAX) {
      this.problems.add(path, `must lie between ${minMs} ms and 10 years, is ${ms} ms`);
      return fallbackMs;
    }
    return ms;
  }

  /** An enum by the names that Weft implements; another value is a problem that lists them. */
  choice<V>(key: Key<T>, table: readonly (readonly [number, string, V])[], fallback: V): V {
    const value = this.take(key) as number;
    for (const [number, , result] of table) if (number === value) return result;
    const names = table.map(([, name]) => name).join(', ');
    this.problem(key, `${value} is not supported; use one of ${names}`);
    return fallback;
  }

  /** A message field; undefined where it is not set. */
  child<K extends Key<T>>(key: K): MessageReader<NonNullable<T[K]> & object> | undefined {
    const value = this.take(key);
    if (value === undefined || value === null) return undefined;
    return this.#sub(this.#typeOf(key), value as NonNullable<T[K]> & object, this.at(key));
  }

  /** A repeated message field. */
  children<K extends Key<T>>(key: K): MessageReader<ElementOf<T[K]> & object>[] {
    const type = this.#typeOf(key);
    return (this.take(key) as (ElementOf<T[K]> & object)[]).map((value, index) =>
      this.#sub(type, value, this.at(key, index)),
    );
  }

  /**
   * The same one by one, for lists of thousands: what of a value was not read is reported when the next one is asked
   * for, and its reader is let go.
   */
  *eachChild<K extends Key<T>>(key: K): Generator<MessageReader<ElementOf<T[K]> & object>> {
    type Element = ElementOf<T[K]> & object;
    const type = this.#typeOf(key);
    for (const [index, value] of (this.take(key) as Element[]).entries()) {
      const child = new MessageReader(this.problems, type, value, this.at(key, index));
      yield child;
      child.finish();
    }
  }

  /** A map of messages: key and reader of each. */
  entries<K extends Key<T>>(key: K): [string, MessageReader<MapValueOf<T[K]> & object>][] {
    const type = this.#typeOf(key);
    const map = this.take(key) as Map<string, MapValueOf<T[K]> & object>;
    return [...map].map(([name, value]) => [name, this.#sub(type, value, this.at(key, name))]);
  }

  /** The set member of a oneof, to be narrowed by `$case`. */
  oneof<K extends Key<T>>(key: K): T[K] {
    return this.take(key);
  }

  /** Path of a oneof's member. */
  caseAt(name: string, ...rest: readonly (string | number)[]): FieldPath {
    return [...this.path, this.#info.byName.get(name)?.name ?? name, ...rest];
  }

  /** Reader of a oneof's member that is a message. */
  caseReader<V extends object>(set: { $case: string; value: V }): MessageReader<V> {
    return this.#sub(this.#typeOf(set.$case), set.value, this.caseAt(set.$case));
  }

  caseProblem(set: { $case: string }, message: string): void {
    this.problems.add(this.caseAt(set.$case), message);
  }

  /** Reports a oneof member that Weft does not implement. */
  unsupportedCase(set: { $case: string } | undefined, supported: string): void {
    if (set === undefined) this.problems.add(this.path, `one of ${supported} must be set`);
    else this.caseProblem(set, `not supported; use ${supported}`);
  }

  /**
   * Unpacks an Any that must hold one of the named types. Undefined after a problem that lists them.
   * The reader's `fullName` tells which one it is.
   */
  unpack<N extends Name>(
    any: Any | undefined,
    path: FieldPath,
    names: readonly N[],
  ): Unpacked<N> | undefined {
    if (any === undefined) {
      this.problems.add(path, `must be set; supported types: ${names.join(', ')}`);
      return undefined;
    }
    const name = messageNameOf(any.typeUrl) as N;
    if (!names.includes(name)) {
      const known = messageInfo(name) !== undefined;
      const reason = known ? `"${any.typeUrl}" is not supported here` : unknownType(any.typeUrl);
      this.problems.add(path, `${reason}; supported types: ${names.join(', ')}`);
      return undefined;
    }
    const unpacked = unpackAny(any);
    if (!unpacked.ok) {
      this.problems.add(path, unpacked.problem);
      return undefined;
    }
    const reader = this.#sub(name, unpacked.message as MessageTypes[N] & object, path);
    return { name, reader } as unknown as Unpacked<N>;
  }

  /** Reports every field that is set and was not read, in this message and in those read through it. */
  finish(): void {
    const ignored = ignoredFields(this.fullName);
    for (const key in this.message) {
      const value: unknown = this.message[key];
      if (isDefault(value) || this.#taken.has(key)) continue;
      const name = setName(key, value);
      const field = this.#info.byName.get(name);
      if (ignored?.has(field?.name ?? name) === true) continue;
      this.problems.add([...this.path, field?.name ?? name], 'is not supported by Weft; remove it');
    }
    for (const child of this.#children) child.finish();
  }

  #sub<V extends object>(fullName: string, value: V, path: FieldPath): MessageReader<V> {
    const reader = new MessageReader<V>(this.problems, fullName, value, path);
    this.#children.push(reader as unknown as MessageReader<object>);
    return reader;
  }

  #field(key: string): FieldInfo | undefined {
    return this.#info.byName.get(key);
  }

  #fieldName(key: string): string {
    return this.#field(key)?.name ?? key;
  }

  #typeOf(key: string): string {
    const type = this.#field(key)?.type;
    if (type?.kind !== 'message') throw new Error(`${this.fullName}.${key} is not a message field`);
    return type.name;
  }
}

/** What `unpack` found, narrowed by `name`. */
export type Unpacked<N extends Name> = {
  [M in N]: { readonly name: M; readonly reader: MessageReader<MessageTypes[M] & object> };
}[N];

/** Narrowing aid for readers of a oneof's member. */
export type SetCase<T, C extends string> = Extract<CaseOf<NonNullable<T>>, { $case: C }>;

const DURATION_MS_MAX = 315_360_000_000;

function isDefault(value: unknown): boolean {
  if (value === undefined || value === null || value === '' || value === 0 || value === false) {
    return true;
  }
  if (Array.isArray(value) || value instanceof Uint8Array) return value.length === 0;
  if (value instanceof Map) return value.size === 0;
  return false;
}

/** A oneof is told by the name of its set member. */
function setName(key: string, value: unknown): string {
  if (typeof value === 'object' && value !== null && '$case' in value) return String(value.$case);
  return key;
}
