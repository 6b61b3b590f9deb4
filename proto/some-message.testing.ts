import fc from 'fast-check';
import {
  enumInfo,
  type FieldInfo,
  messageInfo,
  messageNames,
  type ScalarType,
  type ValueType,
} from './fields.ts';
import { codecOf } from './message-codec.ts';

/** Random messages of every type of the subset, for property tests. */

/** Types that may stand in a generated Any. */
const IN_ANY = [...messageNames()].filter((name) => name.startsWith('envoy.'));

/** A message as a field of that type holds it; deep ones have few fields set. */
export function someMessage(g: fc.GeneratorValue, name: string, depth: number): unknown {
  switch (name) {
    case 'google.protobuf.Any': {
      const inner =
        depth > 3 ? 'envoy.config.core.v3.Locality' : g(fc.constantFrom<string[]>, ...IN_ANY);
      const value = codecOf(inner)!.encode(someMessage(g, inner, depth + 1));
      return { typeUrl: `type.googleapis.com/${inner}`, value };
    }
    case 'google.protobuf.Duration': {
      const sign = g(fc.constantFrom<number[]>, 1, -1);
      const seconds = g(fc.nat, { max: 315_576_000_000 - 1 });
      return { seconds: sign * seconds + 0, nanos: sign * g(fc.nat, { max: 999_999_999 }) + 0 };
    }
    case 'google.protobuf.Timestamp':
      return {
        seconds: g(fc.integer, { min: -62_135_596_800, max: 253_402_300_799 }),
        nanos: g(fc.nat, { max: 999_999_999 }),
      };
    case 'google.protobuf.Struct':
      return g(() => fc.dictionary(someKey(), jsonValue(), { maxKeys: 3 }));
    case 'google.protobuf.ListValue':
      return g(() => fc.array(jsonValue(), { maxLength: 3 }));
    case 'google.protobuf.Value':
      return g(jsonValue);
    default: {
      const info = messageInfo(name)!;
      const message = codecOf(name)!.create();
      if (name.startsWith('google.protobuf.') && info.fields.length === 1) {
        return someValue(g, info.fields[0]!.type, depth); // a wrapper
      }
      for (const field of info.fields) {
        if (depth > 8 || g(fc.nat, { max: 2 + 2 * depth }) > (depth < 2 ? 1 : 0)) continue;
        const value = someField(g, field, depth);
        if (field.oneof === '') message[field.key] = value;
        else message[field.oneof] = { $case: field.key, value };
      }
      return message;
    }
  }
}

function someField(g: fc.GeneratorValue, field: FieldInfo, depth: number): unknown {
  if (field.mapKey !== '') {
    const mapKey = field.mapKey === 'string' ? g(someKey) : someScalar(g, field.mapKey);
    return new Map([[mapKey, someValue(g, field.type, depth)]]);
  }
  if (!field.repeated) return someValue(g, field.type, depth);
  return Array.from({ length: g(fc.nat, { max: 2 }) }, () => someValue(g, field.type, depth));
}

function someValue(g: fc.GeneratorValue, type: ValueType, depth: number): unknown {
  if (type.kind === 'message') return someMessage(g, type.name, depth + 1);
  if (type.kind === 'scalar') return someScalar(g, type.scalar);
  return g(fc.constantFrom<number[]>, ...enumInfo(type.name)!.nameOf.keys());
}

function someScalar(g: fc.GeneratorValue, type: ScalarType): unknown {
  switch (type) {
    case 'string':
      return g(fc.string, { unit: 'binary', maxLength: 8 });
    case 'bytes':
      return g(fc.uint8Array, { maxLength: 8 });
    case 'bool':
      return g(fc.boolean);
    case 'double':
      return g(fc.double, {}) + 0; // never -0, which JSON.stringify drops
    case 'float':
      return g(fc.float, {}) + 0;
    case 'int32':
    case 'sint32':
    case 'sfixed32':
      return g(fc.integer, {});
    case 'uint32':
    case 'fixed32':
      return g(fc.nat, { max: 2 ** 32 - 1 });
    case 'uint64':
    case 'fixed64':
      return g(fc.maxSafeNat);
    default:
      return g(fc.maxSafeInteger);
  }
}

/** Not a number: JavaScript objects put those keys first. */
function someKey(): fc.Arbitrary<string> {
  return fc.oneof(
    fc.constantFrom('__proto__', 'constructor', 'a.b', ''),
    fc.string({ maxLength: 5 }).map((text) => `k${text}`),
  );
}

function jsonValue(): fc.Arbitrary<unknown> {
  return fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 3 },
      fc.constantFrom(null, true, false, 0, -1.5, '', 'text', 1e300),
      fc.array(tie('value'), { maxLength: 2 }),
      fc.dictionary(someKey(), tie('value'), { maxKeys: 2, noNullPrototype: true }),
    ),
  })).value;
}
