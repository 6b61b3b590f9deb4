import { expect, test } from 'vitest';
import { renderWrappedTable } from './wrapped-table.ts';

test('cells break at blanks, long words are cut, and columns stay aligned', () => {
  const text = renderWrappedTable(
    ['step', 'ok'],
    [['one two three abcdefghij', 'ok']],
    [9, 2],
    (cell) => cell,
  );
  expect(text).toBe('STEP       OK\n─────────  ──\none two    ok\nthree\nabcdefghi\nj\n');
});
