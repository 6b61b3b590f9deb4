/** Characters; a longer name gets no suggestion, so that a hostile one costs nothing. */
const NAME_CHARS_MAX = 200;

/** More edits than this are another word, however long the name. */
const EDITS_MAX = 5;

/**
 * The candidate closest in spelling to `name`, for "did you mean": within `editsMax` insertions, deletions,
 * replacements or swaps of neighbours, by default a third of the name. `undefined` where none is near.
 */
export function nearest(
  name: string,
  candidates: Iterable<string>,
  editsMax = Math.min(EDITS_MAX, Math.max(1, Math.floor(name.length / 3))),
): string | undefined {
  if (name.length > NAME_CHARS_MAX) return undefined;
  let best: string | undefined;
  let bestEdits = editsMax + 1;
  for (const candidate of candidates) {
    if (Math.abs(candidate.length - name.length) >= bestEdits) continue;
    const edits = editDistance(name, candidate);
    if (edits < bestEdits) {
      best = candidate;
      bestEdits = edits;
    }
  }
  return best;
}

/** Optimal string alignment distance, three rows at a time. */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let cost = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        cost = Math.min(cost, beforeLast[j - 2]! + 1);
      }
      row.push(cost);
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length]!;
}
