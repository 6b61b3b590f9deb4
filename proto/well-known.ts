/**
 * The well-known types: those with a JSON form of their own, and the shapes ts-proto gives them. As a field a
 * `UInt32Value` is a number and a `Struct` an object; alone (in an Any) they are messages.
 */
import type { ScalarType } from './fields.ts';
import { ListValue, Struct, Value } from './gen/google/protobuf/struct.ts';

/** Wrapper message → the scalar it wraps. */
export const WRAPPED_SCALAR: ReadonlyMap<string, ScalarType> = new Map<string, ScalarType>([
  ['google.protobuf.DoubleValue', 'double'],
  ['google.protobuf.FloatValue', 'float'],
  ['google.protobuf.Int64Value', 'int64'],
  ['google.protobuf.UInt64Value', 'uint64'],
  ['google.protobuf.Int32Value', 'int32'],
  ['google.protobuf.UInt32Value', 'uint32'],
  ['google.protobuf.BoolValue', 'bool'],
  ['google.protobuf.StringValue', 'string'],
  ['google.protobuf.BytesValue', 'bytes'],
]);

const OWN_JSON_FORM: ReadonlySet<string> = new Set([
  ...WRAPPED_SCALAR.keys(),
  'google.protobuf.Any',
  'google.protobuf.Duration',
  'google.protobuf.ListValue',
  'google.protobuf.Struct',
  'google.protobuf.Timestamp',
  'google.protobuf.Value',
]);

/** Whether it stands under `value` beside the `@type` of an Any, instead of being spread there. */
export function hasOwnJsonForm(name: string): boolean {
  return OWN_JSON_FORM.has(name);
}

/** A value as a field holds it → the message to encode. */
export function wrapWellKnown(name: string, value: unknown): unknown {
  if (WRAPPED_SCALAR.has(name)) return { value };
  if (name === 'google.protobuf.Struct') return Struct.wrap(value as Record<string, unknown>);
  if (name === 'google.protobuf.ListValue') return ListValue.wrap(value as unknown[]);
  return name === 'google.protobuf.Value' ? Value.wrap(value) : value;
}

/** A decoded message → the value as a field would hold it. */
export function unwrapWellKnown(name: string, message: unknown): unknown {
  if (WRAPPED_SCALAR.has(name)) return (message as { value: unknown }).value;
  if (name === 'google.protobuf.Struct') return Struct.unwrap(message as Struct);
  if (name === 'google.protobuf.ListValue') return ListValue.unwrap(message as ListValue);
  return name === 'google.protobuf.Value' ? Value.unwrap(message as Value) : message;
}
