import { type Document, isMap, isNode, isScalar, isSeq, type Node, type Pair, visit } from 'yaml';
import type { BlockStyle } from './block-text.ts';

/** Where things of a YAML text end and how it is laid out; offsets are those of the parser's nodes. */

/** The text of a key, as the reader of documents has it. */
export function keyText({ key }: Pair): string {
  if (!isScalar(key)) return '';
  return typeof key.value === 'string' ? key.value : (key.source ?? String(key.value));
}

/** Just after the last character of a value, without the comments behind it; a block scalar ends at a line start. */
export function endOfValue(node: unknown): number {
  if (!isNode(node)) return 0;
  if (isMap(node) && node.flow !== true && node.items.length > 0) {
    return endOfPair(node.items.at(-1) as Pair);
  }
  if (isSeq(node) && node.flow !== true && node.items.length > 0) {
    const end = endOfValue(node.items.at(-1));
    const token = node.srcToken;
    const dashes = token?.type === 'block-seq' ? token.items.flatMap(({ start }) => start) : [];
    const dash = dashes.findLast(({ type }) => type === 'seq-item-ind');
    return Math.max(end, dash === undefined ? 0 : dash.offset + 1);
  }
  // The place of an absent value is a guess of the parser.
  if (isScalar(node) && node.range?.[0] === node.range?.[1]) return 0;
  return node.range?.[1] ?? 0;
}

/** Of a pair without a value: just after the colon. */
export function endOfPair(pair: Pair): number {
  const key = isNode(pair.key) ? (pair.key.range?.[1] ?? 0) : 0;
  const tokens = (pair as Pair & { srcToken?: { sep?: { type: string; offset: number }[] } })
    .srcToken?.sep;
  const colon = tokens?.find(({ type }) => type === 'map-value-ind');
  return Math.max(key, colon === undefined ? 0 : colon.offset + 1, endOfValue(pair.value));
}

export function lineStart(source: string, offset: number): number {
  return source.lastIndexOf('\n', offset - 1) + 1;
}

/** How the file indents, by the first examples in it; kubectl's way where there is none. */
export function blockStyleOf(document: Document<Node>, source: string): BlockStyle {
  let mapStep: number | undefined;
  let listStep: number | undefined;
  const column = (offset: number) => offset - lineStart(source, offset);
  visit(document, {
    Pair: (_, pair) => {
      const { key, value } = pair;
      if (!isNode(key) || key.range == null) return undefined;
      const at = column(key.range[0]);
      if (isMap(value) && value.flow !== true && value.range != null) {
        mapStep ??= column(value.range[0]) - at;
      } else if (isSeq(value) && value.flow !== true && value.range != null) {
        listStep ??= column(value.range[0]) - at;
      }
      return mapStep !== undefined && listStep !== undefined ? visit.BREAK : undefined;
    },
  });
  const right = (step: number | undefined, min: number, fallback: number) =>
    step !== undefined && step >= min && step <= 8 ? step : fallback;
  return { mapStep: right(mapStep, 1, 2), listStep: right(listStep, 0, 0) };
}
