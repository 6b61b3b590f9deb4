/** One change of a text: at `offset`, `removed` characters give way to `inserted`. */
export interface TextEdit {
  readonly offset: number;
  readonly removed: number;
  readonly inserted: string;
}

/** A change that takes another one back: what stood there before, and how much stands there now. */
export interface ReverseEdit {
  readonly offset: number;
  readonly length: number;
  readonly text: string;
}

/**
 * Applies edits given in any order; those at one offset keep their order, insertions before removals. Undefined where two
 * removals overlap.
 */
export function applyEdits(
  text: string,
  edits: readonly TextEdit[],
): { readonly text: string; readonly reverse: readonly ReverseEdit[] } | undefined {
  const sorted = edits
    .filter(({ removed, inserted }) => removed > 0 || inserted !== '')
    .map((edit, order) => ({ edit, order }))
    .sort(
      (a, b) =>
        a.edit.offset - b.edit.offset ||
        Number(a.edit.removed > 0) - Number(b.edit.removed > 0) ||
        a.order - b.order,
    );
  const parts: string[] = [];
  const reverse: ReverseEdit[] = [];
  let at = 0;
  let length = 0;
  const push = (part: string) => {
    parts.push(part);
    length += part.length;
  };
  for (const { edit } of sorted) {
    if (edit.offset < at) return undefined;
    push(text.slice(at, edit.offset));
    const before = text.slice(edit.offset, edit.offset + edit.removed);
    reverse.push({ offset: length, length: edit.inserted.length, text: before });
    push(edit.inserted);
    at = edit.offset + edit.removed;
  }
  push(text.slice(at));
  return { text: parts.join(''), reverse };
}

/** The text before; undefined where the edits do not fit it. */
export function revertEdits(text: string, reverse: readonly ReverseEdit[]): string | undefined {
  const edits = reverse.map(({ offset, length, text: inserted }) => ({
    offset,
    removed: length,
    inserted,
  }));
  const fits = edits.every(({ offset, removed }) => offset + removed <= text.length);
  return fits ? applyEdits(text, edits)?.text : undefined;
}
