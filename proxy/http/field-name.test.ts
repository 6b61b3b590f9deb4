import { describe, expect, test } from 'vitest';
import {
  FieldRole,
  fieldNameAt,
  fieldRoleAt,
  fieldValueOf,
  forbiddenInTrailers,
  isFieldName,
  isFieldValue,
  isForbiddenTrailerName,
  knownFieldName,
} from './field-name.ts';

const lookUp = (name: string) => knownFieldName(Buffer.from(name), 0, name.length);

describe('field names', () => {
  test('a known name is found in any case and interned', () => {
    for (const spelling of ['content-type', 'Content-Type', 'CONTENT-TYPE']) {
      expect(fieldNameAt(lookUp(spelling))).toBe('content-type');
    }
  });

  test('what is not known is not found', () => {
    for (const name of ['x', 'content-typ', 'content-typf', 'xontent-type', 'x-unheard-of']) {
      expect(lookUp(name)).toBe(-1);
    }
    expect(fieldRoleAt(-1)).toBe(FieldRole.EndToEnd);
    expect(forbiddenInTrailers(-1)).toBe(false);
  });

  test('roles', () => {
    expect(fieldRoleAt(lookUp('Host'))).toBe(FieldRole.Host);
    expect(fieldRoleAt(lookUp('TE'))).toBe(FieldRole.Te);
    expect(fieldRoleAt(lookUp('keep-alive'))).toBe(FieldRole.HopByHop);
    expect(fieldRoleAt(lookUp('accept'))).toBe(FieldRole.EndToEnd);
  });

  test('RFC 9110 §6.5.1 framing, routing and authentication stay out of trailers', () => {
    for (const name of ['content-length', 'host', 'authorization', 'set-cookie', 'te']) {
      expect(forbiddenInTrailers(lookUp(name))).toBe(true);
      expect(isForbiddenTrailerName(name)).toBe(true);
    }
    expect(forbiddenInTrailers(lookUp('grpc-status'))).toBe(false);
  });

  test('names and values that configuration may use', () => {
    expect(['X-a', 'a_b', '!'].every(isFieldName)).toBe(true);
    expect(['', 'a b', 'a:', 'é', 'a\n'].some(isFieldName)).toBe(false);
    expect(['', 'a\tb', 'é'].every(isFieldValue)).toBe(true);
    expect(['\n', '\r', '\0', '\x7f', '\u010a'].some(isFieldValue)).toBe(false);
  });

  test('a value that would end the line is made harmless', () => {
    expect(fieldValueOf('plain')).toBe('plain');
    expect(fieldValueOf('a\r\nx: 1\u010a\0')).toBe('a??x: 1??');
    // RFC 9113 §8.2.1: blanks at the ends would make an HTTP/2 message malformed.
    expect(fieldValueOf(' \ta b\t')).toBe('a b');
    expect(fieldValueOf(' ')).toBe('');
    expect(fieldValueOf('\n a')).toBe('? a');
  });
});
