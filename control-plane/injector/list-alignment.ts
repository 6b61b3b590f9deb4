import { isMap, mapOf } from './pod.ts';

/** How a list became another: items kept (perhaps changed inside), removed, added, in the order of the new list. */
export type ListStep =
  | { readonly kind: 'keep'; readonly from: number; readonly to: number }
  | { readonly kind: 'remove'; readonly from: number }
  | { readonly kind: 'add'; readonly to: number };

/** Beyond this many comparisons a list counts as wholly replaced: quadratic work for a hostile pod. */
const COMPARISONS_MAX = 1_000_000;

/** Longest common subsequence of the items' names, or of their values where they have none. */
export function alignLists(from: readonly unknown[], to: readonly unknown[]): ListStep[] {
  const a = from.map(identity);
  const b = to.map(identity);
  const steps: ListStep[] = [];
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) {
    steps.push({ kind: 'keep', from: start, to: start });
    start++;
  }
  let endA = a.length;
  let endB = b.length;
  while (endA > start && endB > start && a[endA - 1] === b[endB - 1]) {
    endA--;
    endB--;
  }
  steps.push(...middle(a, b, start, endA, endB));
  for (; endA < a.length; endA++, endB++) steps.push({ kind: 'keep', from: endA, to: endB });
  return steps;
}

function middle(
  a: readonly string[],
  b: readonly string[],
  start: number,
  endA: number,
  endB: number,
): ListStep[] {
  const rows = endA - start;
  const columns = endB - start;
  const steps: ListStep[] = [];
  // Nothing in common but the number: the items have changed, each for itself.
  if (rows === columns && !hasCommon(a.slice(start, endA), b.slice(start, endB))) {
    for (let i = 0; i < rows; i++) steps.push({ kind: 'keep', from: start + i, to: start + i });
    return steps;
  }
  const longest =
    rows * columns > COMPARISONS_MAX ? undefined : lengths(a, b, start, rows, columns);
  let i = 0;
  let j = 0;
  while (longest !== undefined && i < rows && j < columns) {
    if (a[start + i] === b[start + j]) {
      steps.push({ kind: 'keep', from: start + i++, to: start + j++ });
    } else if (longest[(i + 1) * (columns + 1) + j]! >= longest[i * (columns + 1) + j + 1]!) {
      steps.push({ kind: 'remove', from: start + i++ });
    } else {
      steps.push({ kind: 'add', to: start + j++ });
    }
  }
  for (; i < rows; i++) steps.push({ kind: 'remove', from: start + i });
  for (; j < columns; j++) steps.push({ kind: 'add', to: start + j });
  return steps;
}

function hasCommon(a: readonly string[], b: readonly string[]): boolean {
  const known = new Set(a);
  return b.some((item) => known.has(item));
}

/** `[i, j]`: the longest common subsequence of what stands from i and from j on. */
function lengths(
  a: readonly string[],
  b: readonly string[],
  start: number,
  rows: number,
  columns: number,
): Uint32Array {
  const table = new Uint32Array((rows + 1) * (columns + 1));
  for (let i = rows - 1; i >= 0; i--) {
    for (let j = columns - 1; j >= 0; j--) {
      const at = i * (columns + 1) + j;
      table[at] =
        a[start + i] === b[start + j]
          ? table[at + columns + 2]! + 1
          : Math.max(table[at + columns + 1]!, table[at + 1]!);
    }
  }
  return table;
}

/** As in a strategic merge: items with a name are known by it; objects of a List by kind and name. */
function identity(item: unknown): string {
  if (isMap(item)) {
    if (typeof item['name'] === 'string') return `name ${item['name']}`;
    const { name, generateName, namespace } = mapOf(item['metadata']);
    if (name !== undefined || generateName !== undefined) {
      return `object ${JSON.stringify([item['apiVersion'], item['kind'], namespace, name, generateName])}`;
    }
  }
  return `value ${JSON.stringify(item)}`;
}
