import { describe, expect, test } from 'vitest';
import {
  addHeader,
  type HeaderBlock,
  hasHeader,
  headerValue,
  headerValues,
  removeHeader,
  setHeader,
} from './header-block.ts';

const block = (): HeaderBlock => ['a', '1', 'b', '2', 'a', '3'];

describe('header block', () => {
  test('reading', () => {
    expect(headerValue(block(), 'a')).toBe('1');
    expect(headerValue(block(), '1')).toBe('');
    expect(hasHeader(block(), '2')).toBe(false);
    expect(hasHeader(['a', ''], 'a')).toBe(true);
  });

  test('[A2.4] all values of a name are seen', () => {
    expect(headerValues(block(), 'a')).toBe('1,3');
    expect(headerValues(block(), 'c')).toBe(null);
  });

  test('set replaces every entry in the place of the first, or appends', () => {
    const headers = block();
    setHeader(headers, 'a', 'x');
    expect(headers).toEqual(['a', 'x', 'b', '2']);
    setHeader(headers, 'c', 'y');
    expect(headers).toEqual(['a', 'x', 'b', '2', 'c', 'y']);
  });

  test('add keeps, remove takes all', () => {
    const headers = block();
    addHeader(headers, 'a', '4');
    expect(removeHeader(headers, 'a')).toBe(true);
    expect(headers).toEqual(['b', '2']);
    expect(removeHeader(headers, 'a')).toBe(false);
  });

  test('[A3.1] a value cannot end its line', () => {
    const headers: HeaderBlock = [];
    setHeader(headers, 'a', '1\r\nb: 2');
    addHeader(headers, 'c', '\u010a');
    expect(headers).toEqual(['a', '1??b: 2', 'c', '?']);
  });
});
