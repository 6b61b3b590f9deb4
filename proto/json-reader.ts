import { type MessageName, unknownType } from './any.ts';
import { parseDuration } from './duration.ts';
import { type FieldPath, formatPath } from './field-path.ts';
import type { ScalarType, ValueType } from './fields.ts';
import { enumInfo, type FieldInfo, type MessageInfo, messageInfo } from './fields.ts';
import type { MessageTypes } from './gen/registry.ts';
import { describeValue, readScalar } from './json-scalar.ts';
import { codecOf } from './message-codec.ts';
import { nearest } from './nearest.ts';
import { parseTimestamp } from './timestamp.ts';
import { messageNameOf, TYPE_OF_EXTENSION_NAME, TYPE_URL_PREFIX } from './type-urls.ts';
import { hasOwnJsonForm, WRAPPED_SCALAR, wrapWellKnown } from './well-known.ts';

/** Levels of messages in one another; decoders of the wire format stop there as well. */
export const DEPTH_MAX = 100;
/** Values in one document: stops YAML aliases that unfold into billions. */
export const VALUES_MAX = 2_000_000;
/** Problems reported of one document; more help nobody. */
export const PROBLEMS_MAX = 200;

export interface JsonProblem {
  readonly path: FieldPath;
  /** What is wrong and what to do; does not repeat the path. */
  readonly message: string;
}

export interface JsonRead<T> {
  /** The whole message if `problems` is empty; else what could be read, for further checks only. */
  readonly message: T;
  readonly problems: readonly JsonProblem[];
}

/**
 * Reads a parsed JSON or YAML value as the message called `name`: proto3 JSON mapping, strictly. Field names
 * may be snake_case or camelCase. Reports every problem with its path; never throws, whatever the input.
 */
export function readJson<N extends MessageName>(
  name: N,
  value: unknown,
): JsonRead<MessageTypes[N]> {
  const reader = new JsonReader();
  const read = reader.payload(name, value);
  const message = (read === UNREADABLE ? codecOf(name)!.create() : read) as MessageTypes[N];
  return { message, problems: reader.problems };
}

/** One line: `static_resources.listeners[0].adress: unknown field; did you mean "address"?` */
export function formatProblem({ path, message }: JsonProblem): string {
  const where = formatPath(path);
  return where === '' ? message : `${where}: ${message}`;
}

/** Stands for a value with a problem, which has been reported. */
const UNREADABLE = Symbol('unreadable');

class JsonReader {
  readonly problems: JsonProblem[] = [];
  readonly #path: (string | number)[] = [];
  #depth = 0;
  #values = 0;
  #stopped = false;

  /** A message that is no field: the document itself or what an Any holds. */
  payload(name: string, value: unknown): unknown {
    const read = this.#message(name, value, '');
    return read === UNREADABLE ? read : wrapWellKnown(name, read);
  }

  /** A value of message type, as a field holds it. `extensionName` is the `name` beside an Any. */
  #message(name: string, value: unknown, extensionName: string): unknown {
    const levels = NESTING.get(name) ?? 1;
    if (this.#depth + levels > DEPTH_MAX)
      return this.#bad(`nested more than ${DEPTH_MAX} levels deep`);
    this.#depth += levels;
    const read = this.#messageOf(name, value, extensionName);
    this.#depth -= levels;
    return read;
  }

  #messageOf(name: string, value: unknown, extensionName: string): unknown {
    switch (name) {
      case 'google.protobuf.Any':
        return this.#any(value, extensionName);
      case 'google.protobuf.Duration':
        return this.#duration(value);
      case 'google.protobuf.Timestamp':
        return this.#timestamp(value);
      case 'google.protobuf.Struct':
        return isObject(value) ? this.#struct(value) : this.#expected('an object', value);
      case 'google.protobuf.ListValue':
        return Array.isArray(value) ? this.#listValue(value) : this.#expected('a list', value);
      case 'google.protobuf.Value':
        return this.#value(value);
      default: {
        const scalar = WRAPPED_SCALAR.get(name);
        if (scalar !== undefined) return this.#scalar(scalar, value);
        return this.#fields(messageInfo(name)!, value, '');
      }
    }
  }

  /** `passedOver` is a key that is no field: the `@type` of the Any that is spread here. */
  #fields(info: MessageInfo, value: unknown, passedOver: string): unknown {
    if (!isObject(value)) return this.#expected('an object', value);
    const message = codecOf(info.fullName)!.create();
    const setBy = new Map<string, string>(); // key or oneof → the name that set it
    const extensionName = typeof value['name'] === 'string' ? value['name'] : '';
    for (const name of Object.keys(value)) {
      if (name === passedOver || value[name] === undefined) continue;
      this.#path.push(name);
      const field = this.#admit(info, name, value[name], setBy);
      if (field !== undefined) {
        const read = this.#fieldValue(field, value[name], extensionName);
        if (read !== UNREADABLE) assign(message, field, read);
      }
      this.#path.pop();
      if (this.#stopped) break;
    }
    return message;
  }

  /** The field called `name` if it may be set here. */
  #admit(
    info: MessageInfo,
    name: string,
    value: unknown,
    setBy: Map<string, string>,
  ): FieldInfo | undefined {
    const field = info.byName.get(name);
    if (field === undefined) {
      this.#bad(unknownField(info, name));
      return undefined;
    }
    if (setBy.has(field.key)) {
      this.#bad(`the same field as "${setBy.get(field.key)}", which is set too`);
      return undefined;
    }
    setBy.set(field.key, name);
    if (value === null && !takesNull(field.type)) return undefined; // proto3 JSON: null is "not set"
    if (field.oneof === '') return field;
    const oneof = `oneof ${field.oneof}`;
    if (setBy.has(oneof)) {
      this.#bad(`only one of "${setBy.get(oneof)}" and "${name}" may be set`);
      return undefined;
    }
    setBy.set(oneof, name);
    return field;
  }

  #fieldValue(field: FieldInfo, value: unknown, extensionName: string): unknown {
    if (field.mapKey !== '') {
      return isObject(value)
        ? this.#map(field.mapKey, field.type, value)
        : this.#expected('an object', value);
    }
    if (!field.repeated) return this.#single(field.type, value, extensionName);
    if (!Array.isArray(value)) return this.#expected('a list', value);
    return this.#list(value, (item) => this.#single(field.type, item, ''));
  }

  #list(items: readonly unknown[], read: (item: unknown) => unknown): unknown[] {
    const list: unknown[] = [];
    for (let i = 0; i < items.length && !this.#stopped; i++) {
      this.#path.push(i);
      const item = read(items[i]);
      if (item !== UNREADABLE) list.push(item);
      this.#path.pop();
    }
    return list;
  }

  #map(keyType: ScalarType, type: ValueType, value: JsonObject): unknown {
    const entries = new Map<unknown, unknown>();
    this.#depth++; // on the wire an entry is a message of its own
    for (const text of Object.keys(value)) {
      this.#path.push(text);
      const bool = keyType === 'bool' && (text === 'true' || text === 'false');
      const key = this.#scalar(keyType, bool ? text === 'true' : text);
      const entry = this.#single(type, value[text], text);
      if (key !== UNREADABLE && entry !== UNREADABLE) entries.set(key, entry);
      this.#path.pop();
      if (this.#stopped) break;
    }
    this.#depth--;
    return entries;
  }

  #single(type: ValueType, value: unknown, extensionName: string): unknown {
    if (this.#isTooMany()) return UNREADABLE;
    if (type.kind === 'message') return this.#message(type.name, value, extensionName);
    return type.kind === 'enum' ? this.#enum(type.name, value) : this.#scalar(type.scalar, value);
  }

  #scalar(type: ScalarType, value: unknown): unknown {
    const scalar = readScalar(type, value);
    return scalar.ok ? scalar.value : this.#bad(scalar.problem);
  }

  #enum(name: string, value: unknown): unknown {
    const { numberOf, nameOf } = enumInfo(name)!;
    if (value === null && name === 'google.protobuf.NullValue') return 0;
    if (typeof value === 'string' && numberOf.has(value)) return numberOf.get(value);
    if (typeof value === 'number' && nameOf.has(value)) return value;
    const near =
      typeof value === 'string' ? nearest(value.toUpperCase(), numberOf.keys()) : undefined;
    const hint =
      near === undefined ? `expected one of ${listed(numberOf.keys())}` : `did you mean ${near}?`;
    return this.#bad(`unknown value ${describeValue(value)}; ${hint}`);
  }

  #any(value: unknown, extensionName: string): unknown {
    if (!isObject(value)) return this.#expected('an object with "@type"', value);
    const typeUrl = Object.hasOwn(value, '@type') ? value['@type'] : undefined;
    if (typeUrl === undefined) return this.#bad(missingType(extensionName));
    this.#path.push('@type');
    const name = this.#typeName(typeUrl);
    this.#path.pop();
    if (name === '') return UNREADABLE;
    const message = hasOwnJsonForm(name)
      ? this.#underValue(name, value)
      : this.#fields(messageInfo(name)!, value, '@type');
    if (message === UNREADABLE) return UNREADABLE;
    return { typeUrl, value: codecOf(name)!.encode(message) };
  }

  /** The message that `@type` names; '' with a problem where there is none. */
  #typeName(typeUrl: unknown): string {
    if (typeof typeUrl !== 'string') {
      this.#expected('a type URL', typeUrl);
      return '';
    }
    const name = messageNameOf(typeUrl);
    if (messageInfo(name) === undefined) this.#bad(unknownType(typeUrl));
    else if (!typeUrl.includes('/')) this.#bad(`write the type as "${TYPE_URL_PREFIX}${name}"`);
    else return name;
    return '';
  }

  /** `{"@type": "…Duration", "value": "1s"}`: a type with a JSON form of its own stands under `value`. */
  #underValue(name: string, value: JsonObject): unknown {
    for (const key of Object.keys(value)) {
      if (key === '@type' || key === 'value') continue;
      this.#path.push(key);
      this.#bad(`unknown field; a ${name} stands under "value"`);
      this.#path.pop();
    }
    this.#path.push('value');
    const read = this.payload(name, value['value']);
    this.#path.pop();
    return read;
  }

  #duration(value: unknown): unknown {
    const duration = typeof value === 'string' ? parseDuration(value) : undefined;
    if (duration !== undefined) return duration;
    return this.#bad(`expected a duration in seconds such as "1.5s", got ${describeValue(value)}`);
  }

  #timestamp(value: unknown): unknown {
    const timestamp = typeof value === 'string' ? parseTimestamp(value) : undefined;
    if (timestamp !== undefined) return timestamp;
    return this.#bad(`expected a time such as "2030-01-31T12:00:00Z", got ${describeValue(value)}`);
  }

  #value(value: unknown): unknown {
    if (this.#isTooMany()) return UNREADABLE;
    if (Array.isArray(value)) return this.#message('google.protobuf.ListValue', value, '');
    if (isObject(value)) return this.#message('google.protobuf.Struct', value, '');
    if (typeof value === 'string') return this.#scalar('string', value);
    if (typeof value === 'number') return this.#scalar('double', value);
    return value === null || typeof value === 'boolean'
      ? value
      : this.#expected('a JSON value', value);
  }

  #listValue(items: readonly unknown[]): unknown {
    return this.#list(items, (item) => this.#message('google.protobuf.Value', item, ''));
  }

  #struct(value: JsonObject): unknown {
    const struct: Record<string, unknown> = Object.create(null); // keys are foreign
    for (const key of Object.keys(value)) {
      this.#path.push(key);
      const read = this.#message('google.protobuf.Value', value[key], '');
      if (read !== UNREADABLE && this.#scalar('string', key) !== UNREADABLE) struct[key] = read;
      this.#path.pop();
      if (this.#stopped) break;
    }
    return struct;
  }

  #isTooMany(): boolean {
    if (++this.#values <= VALUES_MAX) return false;
    this.#bad(`more than ${VALUES_MAX} values in one document`);
    this.#stopped = true;
    return true;
  }

  #expected(what: string, value: unknown): typeof UNREADABLE {
    return this.#bad(`expected ${what}, got ${describeValue(value)}`);
  }

  #bad(message: string): typeof UNREADABLE {
    if (this.#stopped) return UNREADABLE;
    this.#stopped = this.problems.length === PROBLEMS_MAX;
    const last = `${PROBLEMS_MAX} problems so far; the rest is left unread`;
    this.problems.push({ path: [...this.#path], message: this.#stopped ? last : message });
    return UNREADABLE;
  }
}

type JsonObject = Readonly<Record<string, unknown>>;

/** A JSON object as `JSON.parse` and YAML parsers make it; not a Date, a Map or a Buffer. */
function isObject(value: unknown): value is JsonObject {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** Levels that one value adds on the wire where it is not 1: each key of a Struct is a message too. */
const NESTING: ReadonlyMap<string, number> = new Map([['google.protobuf.Struct', 2]]);

function takesNull(type: ValueType): boolean {
  return type.kind !== 'scalar' && TAKES_NULL.has(type.name);
}

const TAKES_NULL: ReadonlySet<string> = new Set([
  'google.protobuf.Value',
  'google.protobuf.NullValue',
]);

function assign(message: Record<string, unknown>, field: FieldInfo, value: unknown): void {
  if (field.oneof === '') message[field.key] = value;
  else message[field.oneof] = { $case: field.key, value };
}

function unknownField(info: MessageInfo, name: string): string {
  if (info.notCarried.has(name) || info.notCarried.has(snake(name))) {
    return 'this field of the Envoy API is not supported by Weft';
  }
  const isCamel = /[A-Z]/.test(name);
  const near = nearest(
    name,
    info.fields.map((field) => (isCamel ? field.key : field.name)),
  );
  if (near !== undefined) return `unknown field; did you mean "${near}"?`;
  if (info.fields.length === 0) return `unknown field; ${info.fullName} has no fields`;
  return `unknown field; ${info.fullName} has ${listed(info.fields.map((field) => field.name))}`;
}

function missingType(extensionName: string): string {
  const likely = TYPE_OF_EXTENSION_NAME.get(extensionName);
  if (likely !== undefined) return `missing "@type"; for ${extensionName} it is "${likely}"`;
  return `missing "@type", which says what this is: "${TYPE_URL_PREFIX}<package>.<Message>"`;
}

/** At most twelve names, so that a message stays one line. */
function listed(names: Iterable<string>): string {
  const all = [...names];
  return all.length <= 12 ? all.join(', ') : `${all.slice(0, 12).join(', ')}, …`;
}

function snake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
