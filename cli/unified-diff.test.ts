import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { unifiedDiff } from './unified-diff.ts';

test('equal texts have no diff', () => {
  expect(unifiedDiff('a\n', 'a\n', 'x', 'y')).toBe('');
});

test('a changed line stands between three lines of context', () => {
  const lines = (middle: string) => `1\n2\n3\n4\n${middle}\n6\n7\n8\n9\n`;
  expect(unifiedDiff(lines('5'), lines('five'), 'old', 'new')).toBe(
    '--- old\n+++ new\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n',
  );
});

test('a new object is all additions', () => {
  expect(unifiedDiff('', 'a\nb\n', 'old', 'new')).toBe(
    '--- old\n+++ new\n@@ -0,0 +1,2 @@\n+a\n+b\n',
  );
});

test('fuzz: patch(1) makes the second text of the first', () => {
  const text = fc.array(fc.constantFrom('a', 'b', 'c', 'd'), { maxLength: 30 });
  const directory = mkdtempSync(join(tmpdir(), 'weft-diff-'));
  try {
    fc.assert(
      fc.property(text, text, (before, after) => {
        const [from, to] = [before, after].map((lines) =>
          lines.map((line) => `${line}\n`).join(''),
        );
        const diff = unifiedDiff(from!, to!, 'f', 'f');
        if (diff === '') {
          expect(from).toBe(to);
          return;
        }
        expect(apply(from!, diff)).toBe(to);
      }),
      { numRuns: Number(process.env['WEFT_FUZZ_RUNS'] ?? 300) },
    );
    const [from, to] = ['1\n2\n3\n', '1\nzwei\n3\n4\n'];
    writeFileSync(join(directory, 'f'), from);
    writeFileSync(join(directory, 'p'), unifiedDiff(from, to, 'f', 'f'));
    if (hasPatch()) {
      execFileSync('patch', ['-s', 'f', 'p'], { cwd: directory });
      expect(readFileSync(join(directory, 'f'), 'utf8')).toBe(to);
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

function hasPatch(): boolean {
  try {
    execFileSync('patch', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** A strict reader of unified diffs: positions, counts and context must fit. */
function apply(text: string, diff: string): string {
  const source = text === '' ? [] : text.replace(/\n$/, '').split('\n');
  const result: string[] = [];
  let at = 0;
  for (const line of diff.split('\n').slice(2)) {
    const head = /^@@ -(\d+),(\d+) \+(\d+),(\d+) @@$/.exec(line);
    if (head !== null) {
      const start = Number(head[1]) - (head[2] === '0' ? 0 : 1);
      while (at < start) result.push(source[at++]!);
      expect(result.length).toBe(Number(head[3]) - (head[4] === '0' ? 0 : 1));
    } else if (line.startsWith('+')) result.push(line.slice(1));
    else if (line !== '') {
      expect(source[at]).toBe(line.slice(1));
      if (line.startsWith(' ')) result.push(source[at]!);
      at += 1;
    }
  }
  result.push(...source.slice(at));
  return result.map((line) => `${line}\n`).join('');
}
