/**
 * A unified diff of two texts with three lines of context, '' where they are equal. Longest common subsequence over
 * lines; texts of more than `LINES_MAX` lines are shown as removed and added whole.
 */
export function unifiedDiff(before: string, after: string, from: string, to: string): string {
  if (before === after) return '';
  const a = linesOf(before);
  const b = linesOf(after);
  const edits = a.length > LINES_MAX || b.length > LINES_MAX ? wholeEdits(a, b) : lcsEdits(a, b);
  return `--- ${from}\n+++ ${to}\n${hunks(edits)}`;
}

interface Edit {
  readonly sign: ' ' | '-' | '+';
  readonly line: string;
}

const LINES_MAX = 4000;
const CONTEXT = 3;

function linesOf(text: string): string[] {
  return text === '' ? [] : text.replace(/\n$/, '').split('\n');
}

function wholeEdits(a: readonly string[], b: readonly string[]): Edit[] {
  return [
    ...a.map((line): Edit => ({ sign: '-', line })),
    ...b.map((line): Edit => ({ sign: '+', line })),
  ];
}

function lcsEdits(a: readonly string[], b: readonly string[]): Edit[] {
  const columns = b.length + 1;
  // common[i][j]: length of the longest common subsequence of a from i and b from j.
  const common = new Uint16Array((a.length + 1) * columns);
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      common[i * columns + j] =
        a[i] === b[j]
          ? common[(i + 1) * columns + j + 1]! + 1
          : Math.max(common[(i + 1) * columns + j]!, common[i * columns + j + 1]!);
    }
  }
  const edits: Edit[] = [];
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      edits.push({ sign: ' ', line: a[i]! });
      i += 1;
      j += 1;
    } else if (
      j >= b.length ||
      (i < a.length && common[(i + 1) * columns + j]! >= common[i * columns + j + 1]!)
    ) {
      edits.push({ sign: '-', line: a[i]! });
      i += 1;
    } else {
      edits.push({ sign: '+', line: b[j]! });
      j += 1;
    }
  }
  return edits;
}

function hunks(edits: readonly Edit[]): string {
  let text = '';
  let oldLine = 1;
  let newLine = 1;
  for (let at = 0; at < edits.length; ) {
    if (edits[at]!.sign === ' ') {
      const nextChange = edits.findIndex((edit, index) => index > at && edit.sign !== ' ');
      if (nextChange < 0) break;
      const skip = Math.max(0, nextChange - CONTEXT - at);
      at += skip;
      oldLine += skip;
      newLine += skip;
    }
    let end = at;
    for (let quiet = 0; end < edits.length && quiet <= 2 * CONTEXT; end += 1) {
      quiet = edits[end]!.sign === ' ' ? quiet + 1 : 0;
    }
    while (end > at && trailingContext(edits, at, end) > CONTEXT) end -= 1;
    const hunk = edits.slice(at, end);
    const oldCount = hunk.filter(({ sign }) => sign !== '+').length;
    const newCount = hunk.filter(({ sign }) => sign !== '-').length;
    const oldStart = oldCount === 0 ? oldLine - 1 : oldLine;
    const newStart = newCount === 0 ? newLine - 1 : newLine;
    text += `@@ -${oldStart},${oldCount} +${newStart},${newCount} @@\n`;
    text += hunk.map(({ sign, line }) => `${sign}${line}\n`).join('');
    oldLine += oldCount;
    newLine += newCount;
    at = end;
  }
  return text;
}

function trailingContext(edits: readonly Edit[], from: number, end: number): number {
  let count = 0;
  while (end - 1 - count >= from && edits[end - 1 - count]!.sign === ' ') count += 1;
  return count;
}
