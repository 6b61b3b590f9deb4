import type { MessageName } from './any.ts';
import { formatDuration } from './duration.ts';
import {
  enumInfo,
  type FieldInfo,
  messageInfo,
  type ScalarType,
  type ValueType,
} from './fields.ts';
import type { Any } from './gen/google/protobuf/any.ts';
import type { Duration } from './gen/google/protobuf/duration.ts';
import type { Timestamp } from './gen/google/protobuf/timestamp.ts';
import type { MessageTypes } from './gen/registry.ts';
import { codecOf } from './message-codec.ts';
import { formatTimestamp } from './timestamp.ts';
import { messageNameOf } from './type-urls.ts';
import { hasOwnJsonForm, unwrapWellKnown, WRAPPED_SCALAR } from './well-known.ts';

/** Any in Any deeper than this stays base64: an Any costs few bytes a level, and the stack is finite. */
const DEPTH_MAX = 100;

/**
 * A message as proto3 JSON with the names of the `.proto` files, fields in their order, defaults left out; what
 * `/config_dump` prints. Every Any is spread with its `@type`; one that is unknown or malformed keeps its bytes
 * as base64 under `value`. Objects have no prototype. Secrets are the caller's to remove.
 */
export function writeJson<N extends MessageName>(name: N, message: MessageTypes[N]): unknown {
  return writeMessage(name, unwrapWellKnown(name, message), 0);
}

type JsonObject = Record<string, unknown>;

/** A value as a field of message type holds it. */
function writeMessage(name: string, value: unknown, depth: number): unknown {
  switch (name) {
    case 'google.protobuf.Any':
      return writeAny(value as Any, depth + 1);
    case 'google.protobuf.Duration':
      return formatDuration(value as Duration);
    case 'google.protobuf.Timestamp':
      return formatTimestamp(value as Timestamp);
    case 'google.protobuf.Struct':
    case 'google.protobuf.ListValue':
    case 'google.protobuf.Value':
      return value ?? null;
    default: {
      const scalar = WRAPPED_SCALAR.get(name);
      if (scalar !== undefined) return writeScalar(scalar, value);
      return writeFields(emptyObject(), name, value as JsonObject, depth);
    }
  }
}

function writeFields(
  json: JsonObject,
  name: string,
  message: JsonObject,
  depth: number,
): JsonObject {
  for (const field of messageInfo(name)!.fields) {
    const value = fieldValue(field, message);
    if (value !== undefined) json[field.name] = writeField(field, value, depth);
  }
  return json;
}

/** The value of a field that is set; `undefined` if it is not, or is at its default. */
function fieldValue(field: FieldInfo, message: JsonObject): unknown {
  if (field.oneof !== '') {
    const chosen = message[field.oneof] as { $case: string; value: unknown } | undefined;
    return chosen?.$case === field.key ? chosen.value : undefined;
  }
  const value = message[field.key];
  if (value === undefined || field.optional) return value;
  if (field.mapKey !== '')
    return (value as ReadonlyMap<unknown, unknown>).size === 0 ? undefined : value;
  if (field.repeated) return (value as readonly unknown[]).length === 0 ? undefined : value;
  if (field.type.kind === 'message') return value;
  const isDefault =
    value === 0 ||
    value === '' ||
    value === false ||
    (value instanceof Uint8Array && value.length === 0);
  return isDefault ? undefined : value;
}

function writeField(field: FieldInfo, value: unknown, depth: number): unknown {
  if (field.mapKey !== '') {
    const json = emptyObject();
    for (const [key, entry] of value as ReadonlyMap<unknown, unknown>) {
      json[String(key)] = writeValue(field.type, entry, depth);
    }
    return json;
  }
  if (!field.repeated) return writeValue(field.type, value, depth);
  return (value as readonly unknown[]).map((item) => writeValue(field.type, item, depth));
}

function writeValue(type: ValueType, value: unknown, depth: number): unknown {
  switch (type.kind) {
    case 'message':
      return writeMessage(type.name, value, depth);
    case 'enum':
      return type.name === 'google.protobuf.NullValue'
        ? null
        : (enumInfo(type.name)!.nameOf.get(value as number) ?? value);
    case 'scalar':
      return writeScalar(type.scalar, value);
  }
}

/** proto3 JSON: 64-bit integers are strings, and so are the floats that JSON has no numbers for. */
function writeScalar(type: ScalarType, value: unknown): unknown {
  switch (type) {
    case 'bytes':
      return base64(value as Uint8Array);
    case 'int64':
    case 'sint64':
    case 'sfixed64':
    case 'uint64':
    case 'fixed64':
      return String(value);
    case 'double':
    case 'float':
      return Number.isFinite(value) ? value : String(value);
    default:
      return value;
  }
}

function writeAny(any: Any, depth: number): unknown {
  const name = messageNameOf(any.typeUrl);
  const codec = depth <= DEPTH_MAX ? codecOf(name) : undefined;
  const json = emptyObject();
  json['@type'] = any.typeUrl;
  let message: unknown;
  try {
    message = codec?.decode(any.value);
  } catch {
    // Malformed bytes are shown as they are.
  }
  if (message === undefined) {
    if (any.value.length > 0) json['value'] = base64(any.value);
    return json;
  }
  if (!hasOwnJsonForm(name)) return writeFields(json, name, message as JsonObject, depth);
  json['value'] = writeMessage(name, unwrapWellKnown(name, message), depth);
  return json;
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}

/** No prototype: some keys are foreign. */
function emptyObject(): JsonObject {
  return Object.create(null) as JsonObject;
}
