import { expect, test } from 'vitest';
import { columnWidths, printableCell, renderTable } from './table.ts';

test('columns stand three blanks apart under upper-case headers, without trailing blanks', () => {
  const text = renderTable(
    ['name', 'hosts', 'age'],
    [
      ['reviews', '["reviews"]', '5s'],
      ['r', '', '10d'],
    ],
  );
  expect(text).toBe(
    'NAME      HOSTS         AGE\nreviews   ["reviews"]   5s\nr                       10d\n',
  );
});

test('a table without rows is its header', () => {
  expect(renderTable(['name'], [])).toBe('NAME\n');
});

test('[A7.3] escape sequences and line breaks of others do not reach the terminal', () => {
  expect(printableCell('a\x1b[31mb\nc\u009bd')).toBe('a\\x1b[31mb\\x0ac\\x9bd');
  expect(renderTable(['n'], [['x\ny']])).toBe('N\nx\\x0ay\n');
});

test('rows that come later stand under the columns of the first ones', () => {
  const widths = columnWidths(['name', 'age'], [['long-name', '1s']]);
  expect(columnWidths(['name', 'age'], [['x', '100d']], widths)).toEqual([9, 4]);
  expect(renderTable(['name', 'age'], [['x', '1s']], { widths })).toContain('\nx           1s\n');
});

test('colour does not change the widths', () => {
  const plain = renderTable(['a', 'b'], [['x', 'y']]);
  const painted = renderTable(['a', 'b'], [['x', 'y']], { paint: (text) => `<${text}>` });
  expect(painted.replace(/[<>]/g, '')).toBe(plain);
});
