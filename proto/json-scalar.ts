import type { ScalarType } from './fields.ts';

/** A scalar read from JSON, or what is wrong with it. */
export type Scalar =
  | { readonly ok: true; readonly value: string | number | boolean | Uint8Array }
  | { readonly ok: false; readonly problem: string };

const FLOAT_MAX = 3.4028234663852886e38;

/**
 * Inclusive bounds of the integer types. Past ±(2^53 − 1) a 64-bit value would be rounded in JavaScript,
 * so it is refused.
 */
const INTEGER_RANGE: Partial<Record<ScalarType, readonly [min: number, max: number]>> = {
  int32: [-(2 ** 31), 2 ** 31 - 1],
  sint32: [-(2 ** 31), 2 ** 31 - 1],
  sfixed32: [-(2 ** 31), 2 ** 31 - 1],
  uint32: [0, 2 ** 32 - 1],
  fixed32: [0, 2 ** 32 - 1],
  int64: [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
  sint64: [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
  sfixed64: [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
  uint64: [0, Number.MAX_SAFE_INTEGER],
  fixed64: [0, Number.MAX_SAFE_INTEGER],
};

/** proto3 JSON mapping: integers and floats as numbers or decimal strings, bytes as base64 of either alphabet. */
export function readScalar(type: ScalarType, value: unknown): Scalar {
  switch (type) {
    case 'string':
      if (typeof value !== 'string') return wrong('a string', value, ' (put it in quotes)');
      return value.isWellFormed()
        ? { ok: true, value }
        : bad('the string holds half of a surrogate pair');
    case 'bool':
      return typeof value === 'boolean' ? { ok: true, value } : wrong('true or false', value);
    case 'bytes':
      return readBytes(value);
    case 'double':
    case 'float':
      return readFloat(type, value);
    default:
      return readInteger(type, value);
  }
}

/** For messages: what kind of value stands there, and the value itself if it is short. */
export function describeValue(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  switch (typeof value) {
    case 'string':
      return value.length <= 40 ? JSON.stringify(value) : `a string of ${value.length} characters`;
    case 'object':
      return 'an object';
    case 'number':
    case 'boolean':
      return String(value);
    default:
      return `a ${typeof value}`;
  }
}

function readInteger(type: ScalarType, value: unknown): Scalar {
  const number = typeof value === 'string' && /^-?\d{1,20}$/.test(value) ? Number(value) : value;
  if (typeof number !== 'number' || !Number.isInteger(number))
    return wrong('a whole number', value);
  const [min, max] = INTEGER_RANGE[type]!;
  if (number < min || number > max)
    return bad(`${String(value)} is out of range: ${min} to ${max}`);
  return { ok: true, value: number + 0 }; // + 0: never -0
}

function readFloat(type: 'double' | 'float', value: unknown): Scalar {
  if (value === 'NaN') return { ok: true, value: Number.NaN };
  if (value === 'Infinity') return { ok: true, value: Number.POSITIVE_INFINITY };
  if (value === '-Infinity') return { ok: true, value: Number.NEGATIVE_INFINITY };
  const decimal = /^-?\d{1,400}(?:\.\d{1,400})?(?:[eE][+-]?\d{1,3})?$/;
  const number = typeof value === 'string' && decimal.test(value) ? Number(value) : value;
  if (typeof number !== 'number' || Number.isNaN(number)) return wrong('a number', value);
  if (!Number.isFinite(number) || (type === 'float' && Math.abs(number) > FLOAT_MAX)) {
    return bad(`${describeValue(value)} is out of range of a ${type}`);
  }
  return { ok: true, value: type === 'float' ? Math.fround(number) : number };
}

function readBytes(value: unknown): Scalar {
  if (typeof value !== 'string') return wrong('base64 text', value);
  const digits = value.replace(/={1,2}$/, '');
  const padded = digits.length !== value.length;
  const rightLength = padded ? value.length % 4 === 0 : digits.length % 4 !== 1;
  if (!rightLength || !/^[A-Za-z0-9+/_-]*$/.test(digits)) return bad('the text is not base64');
  return { ok: true, value: new Uint8Array(Buffer.from(digits, 'base64')) };
}

function wrong(expected: string, value: unknown, hint = ''): Scalar {
  return bad(`expected ${expected}, got ${describeValue(value)}${hint}`);
}

function bad(problem: string): Scalar {
  return { ok: false, problem };
}
