import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const root = join(import.meta.dirname, '..');

/** Row ids of a text, with `TM-01, 03–05` and `RS-09 to RS-11` written out. */
function rowIds(text: string): string[] {
  const ids: string[] = [];
  let area = '';
  let last = 0;
  let end = -1;
  for (const match of text.matchAll(/(?:([A-Z]{2})-)?(\d{2})(?!\d)/g)) {
    const between = end < 0 ? '' : text.slice(end, match.index);
    const joined = /^(, | and |–| to )$/.test(between);
    if (match[1] === undefined && !joined) continue;
    const number = Number(match[2]);
    const isRange = joined && (between === '–' || between === ' to ');
    area = match[1] ?? area;
    for (let row = isRange ? last + 1 : number; row <= number; row++) {
      ids.push(`${area}-${String(row).padStart(2, '0')}`);
    }
    last = number;
    end = match.index + match[0].length;
  }
  return ids;
}

test('ranges of rows are written out', () => {
  expect(rowIds('(TM-01, 03–05, 17; RS-09 to RS-11) on port 15090, SC-02')).toEqual(
    'TM-01 TM-03 TM-04 TM-05 TM-17 RS-09 RS-10 RS-11 SC-02'.split(' '),
  );
});

test('every row that the README says is there has a test with its id', () => {
  const readme = readFileSync(join(root, 'README.md'), 'utf8');
  const table = readme.split('\n').filter((line) => line.startsWith('| '));
  const claimed = new Set(table.flatMap((line) => rowIds(line.split('|')[2] ?? '')));
  expect(claimed.size).toBeGreaterThan(40);
  const files = execFileSync('git', ['ls-files', '*.test.ts', '*.tap.ts'], { cwd: root })
    .toString()
    .split('\n')
    .filter(
      (file) => file !== '' && file !== 'test/readme-rows.test.ts' && existsSync(join(root, file)),
    );
  const tested = new Set<string>();
  for (const file of files) {
    const text = readFileSync(join(root, file), 'utf8');
    for (const [, ids] of text.matchAll(/\[([A-Z]{2}-\d{2}[^\]\n]*)\]/g)) {
      for (const id of rowIds(ids!)) tested.add(id);
    }
  }
  expect([...claimed].filter((id) => !tested.has(id))).toEqual([]);
});
