import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { normalisePath, type PathNormalisation } from './path-normalisation.ts';

describe('[TM-28] path normalisation', () => {
  const rows: readonly (readonly [PathNormalisation, string, string | null])[] = [
    ['NONE', '/a/../b//%2e', '/a/../b//%2e'],
    ['BASE', '/', '/'],
    ['BASE', '*', '*'],
    ['BASE', '', ''],
    ['BASE', '/a/b?x=/../y', '/a/b?x=/../y'],
    ['BASE', '/a/./b/../c', '/a/c'],
    ['BASE', '/a/..', '/'],
    ['BASE', '/a/.', '/a/'],
    ['BASE', '/..', '/'],
    ['BASE', '/../../a', '/a'],
    ['BASE', '/a/...', '/a/...'],
    ['BASE', '/.well-known/x', '/.well-known/x'],
    ['BASE', '/a\\..\\b', '/b'],
    ['BASE', '/a/%2e%2E/b', '/b'],
    ['BASE', '/a/.%2e/b?q', '/b?q'],
    ['BASE', '/%61dmin%7e', '/admin~'],
    ['BASE', '/a%2fb%5c', '/a%2fb%5c'],
    ['BASE', '/a//b', '/a//b'],
    ['BASE', '/%252e%252e/', '/%252e%252e/'],
    ['BASE', '/a%20b', '/a%20b'],
    ['BASE', '/a%', null],
    ['BASE', '/a%2', null],
    ['BASE', '/a%2?x', null],
    ['BASE', '/a%zz', null],
    ['BASE', '/a%00', null],
    ['BASE', 'a', null],
    ['MERGE_SLASHES', '//a///b//', '/a/b/'],
    ['MERGE_SLASHES', '/a//../b', '/b'],
    ['MERGE_SLASHES', '/a%2f%2fb', '/a%2f%2fb'],
    ['MERGE_SLASHES', '/a?x=//', '/a?x=//'],
    ['DECODE_AND_MERGE_SLASHES', '/a%2f%2Fb%5c%5Cc', '/a/b/c'],
    ['DECODE_AND_MERGE_SLASHES', '/a/b%2f..%2f..', '/'],
    ['DECODE_AND_MERGE_SLASHES', '/%252f', '/%252f'],
  ];
  for (const [mode, path, expected] of rows) {
    test(`${mode}: ${path} is ${expected}`, () => expect(normalisePath(path, mode)).toBe(expected));
  }

  const modes: PathNormalisation[] = ['NONE', 'BASE', 'MERGE_SLASHES', 'DECODE_AND_MERGE_SLASHES'];
  const path = fc
    .array(fc.constantFrom('/', '.', '..', '%2e', '%2F', '%5c', '\\', 'a', '%61', '%', '?', '%25'))
    .map((parts) => `/${parts.join('')}`);

  test('[A2.3] fuzz: a normalised path normalises to itself and holds no dot segment', () => {
    fc.assert(
      fc.property(path, fc.constantFrom(...modes), (given, mode) => {
        const once = normalisePath(given, mode);
        if (once === null || mode === 'NONE') return;
        expect(normalisePath(once, mode)).toBe(once);
        const pathOnly = once.split('?', 1)[0]!;
        expect(pathOnly.split('/')).not.toContain('..');
        expect(pathOnly.split('/')).not.toContain('.');
        expect(pathOnly).not.toMatch(/\\|%2e|%61/i);
        if (mode !== 'BASE') expect(pathOnly).not.toContain('//');
        if (mode === 'DECODE_AND_MERGE_SLASHES') expect(pathOnly).not.toMatch(/%2f|%5c/i);
      }),
      { numRuns: Number(process.env['WEFT_FUZZ_RUNS'] ?? 300) },
    );
  });
});
