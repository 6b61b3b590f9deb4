import {
  type Document,
  isAlias,
  isCollection,
  isMap as isMapNode,
  isNode,
  isScalar,
  isSeq,
  type Node,
  type Pair,
  visit,
  type YAMLMap,
  type YAMLSeq,
} from 'yaml';
import { alignLists } from '../../control-plane/injector/list-alignment.ts';
import { isMap } from '../../control-plane/injector/pod.ts';
import type { Fields } from '../../control-plane/kinds/schema.ts';
import {
  type BlockStyle,
  blockLines,
  inlineText,
  itemLines,
  jsonText,
  pairLines,
} from './block-text.ts';
import { sameValue } from './same-value.ts';
import type { TextEdit } from './text-edit.ts';
import { blockStyleOf, endOfPair, endOfValue, keyText, lineStart } from './yaml-layout.ts';

/**
 * The fewest changes of a text that make its document's value `from` into `to`: what is not touched keeps its comments,
 * order, quoting and indentation; what is new is written in the file's own style (block or flow, its indentation, its
 * line ends). A best effort by layout: the caller reads the outcome and compares.
 */
export function editYaml(
  source: string,
  document: Document<Node>,
  from: unknown,
  to: unknown,
): TextEdit[] {
  return new Editor(source, document).run(from, to);
}

/** Where a value stands: how a new one may be written there. */
interface Place {
  /** Inside of `{}` or `[]`: everything below is flow. */
  readonly flow: boolean;
  /** Column of the key or dash that the value belongs to; -1 at the root. */
  readonly column: number;
  /** Just after the colon or dash; the root's is where it starts. */
  readonly gap: number;
}

class Editor {
  readonly #source: string;
  readonly #document: Document<Node>;
  readonly #newline: string;
  readonly #style: BlockStyle;
  readonly #edits: TextEdit[] = [];

  constructor(source: string, document: Document<Node>) {
    this.#source = source;
    this.#document = document;
    const [start, , end] = document.range ?? [0, 0, source.length];
    this.#newline = source.slice(start, end).includes('\r\n') ? '\r\n' : '\n';
    this.#style = blockStyleOf(document, source);
  }

  run(from: unknown, to: unknown): TextEdit[] {
    const root = this.#document.contents;
    const gap = root?.range?.[0] ?? 0;
    this.#value(root, from, to, { flow: false, column: -1, gap });
    this.#expandAliases();
    return this.#edits;
  }

  #value(node: unknown, from: unknown, to: unknown, place: Place): void {
    if (sameValue(from, to)) return;
    if (isMapNode(node) && isMap(from) && isMap(to)) this.#map(node, from, to, place);
    else if (isSeq(node) && Array.isArray(from) && Array.isArray(to)) {
      this.#list(node, from, to, place);
    } else this.#replace(node, to, place);
  }

  #map(node: YAMLMap, from: Fields, to: Fields, place: Place): void {
    const pairs = node.items as Pair[];
    const kept = pairs.filter((pair) => Object.hasOwn(to, keyText(pair)));
    const added = Object.keys(to).filter((key) => !Object.hasOwn(from, key));
    const flow = place.flow || node.flow === true;
    if (kept.length === 0 || (flow && kept.length < pairs.length)) {
      this.#replace(node, to, place);
      return;
    }
    for (const [index, pair] of pairs.entries()) {
      const key = keyText(pair);
      const start = startOf(pair.key);
      if (!Object.hasOwn(to, key)) this.#removePair(pairs, index, to);
      else {
        const gap = endOfPair({ ...pair, value: null } as Pair);
        const column = start - lineStart(this.#source, start);
        this.#value(pair.value, from[key], to[key], { flow, column, gap });
      }
    }
    if (added.length === 0) return;
    if (flow) {
      const items = added.map((key) => ({ head: `${jsonText(key)}: `, value: to[key] }));
      this.#insertFlow(endOfPair(pairs.at(-1)!), startOf(pairs.at(-1)!.key), items);
    } else {
      const first = startOf(pairs[0]!.key);
      const column = first - lineStart(this.#source, first);
      const lines = added.flatMap((key) => pairLines(key, to[key], column, this.#style));
      this.#insertLines(endOfPair(pairs.at(-1)!), lines);
    }
  }

  #list(node: YAMLSeq, from: readonly unknown[], to: readonly unknown[], place: Place): void {
    const steps = alignLists(from, to);
    const removes = steps.some(({ kind }) => kind === 'remove');
    const keeps = steps.some(({ kind }) => kind === 'keep');
    const flow = place.flow || node.flow === true;
    if (!keeps || (flow && removes)) {
      this.#replace(node, to, place);
      return;
    }
    let before = -1; // index of the item in the text that stands before
    for (const step of steps) {
      if (step.kind === 'add') {
        this.#insertItem(node, before, to[step.to], place, flow);
        continue;
      }
      before = step.from;
      const dash = dashOf(node, step.from);
      if (step.kind === 'remove') this.#removeLines(dash, this.#endOfItem(node, step.from));
      else {
        const column = dash - lineStart(this.#source, dash);
        const at = { flow, column, gap: dash + 1 };
        this.#value(node.items[step.from], from[step.from], to[step.to], at);
      }
    }
  }

  #insertItem(node: YAMLSeq, before: number, item: unknown, place: Place, flow: boolean): void {
    if (flow) {
      const value = { head: '', value: item };
      if (before >= 0) {
        this.#insertFlow(this.#endOfItem(node, before), startOf(node.items[before]), [value]);
      } else {
        const first = startOf(node.items[0]);
        this.#insert(first, `${jsonText(item)}, `);
      }
      return;
    }
    const dash = dashOf(node, Math.max(before, 0));
    const column = dash - lineStart(this.#source, dash);
    const lines = itemLines(item, column, this.#style);
    if (before >= 0) {
      this.#insertLines(this.#endOfItem(node, before), lines);
      return;
    }
    // Above the comments of the first item: just below the key.
    const below = this.#source.indexOf('\n', place.gap) + 1;
    const own = lineStart(this.#source, dash);
    const at = place.column >= 0 && below > 0 && below <= own ? below : own;
    this.#insert(at, lines.map((line) => `${line}${this.#newline}`).join(''));
  }

  #endOfItem(node: YAMLSeq, index: number): number {
    return Math.max(endOfValue(node.items[index]), dashOf(node, index) + (node.flow ? 0 : 1));
  }

  /** Writes a value in the place of another, or where none stands (`key:`). */
  #replace(node: unknown, to: unknown, place: Place): void {
    const absent = !isNode(node) || (isScalar(node) && node.range?.[0] === node.range?.[1]);
    const block = isCollection(node) && node.flow !== true;
    const isFull = typeof to === 'object' && to !== null && Object.keys(to).length > 0;
    const end = absent ? place.gap : this.#withoutLineEnd(endOfValue(node));
    if (place.column < 0 || place.flow || !isFull) {
      const start = absent || (block && place.column >= 0) ? place.gap : startOf(node);
      const space = start === place.gap && place.column >= 0 ? ' ' : '';
      const text = place.flow || place.column < 0 ? jsonText(to) : inlineText(to);
      this.#edits.push({ offset: start, removed: end - start, inserted: `${space}${text}` });
      return;
    }
    const isItem = this.#source[place.gap - 1] === '-';
    const step = Array.isArray(to) ? this.#style.listStep : this.#style.mapStep;
    const column = place.column + (isItem ? 2 : step);
    const lines = blockLines(to, column, this.#style);
    if (isItem) lines[0] = ` ${lines[0]!.trimStart()}`;
    const start = absent || block || isItem ? place.gap : this.#gapBefore(startOf(node), place);
    const text = lines.join(this.#newline);
    const inserted = isItem ? text : `${this.#newline}${text}`;
    this.#edits.push({ offset: start, removed: end - start, inserted });
  }

  /** After an anchor, which stays. */
  #gapBefore(start: number, { gap }: Place): number {
    let at = start;
    while (at > gap && /[ \t]/.test(this.#source[at - 1]!)) at--;
    return at;
  }

  #withoutLineEnd(end: number): number {
    let at = end;
    while (at > 0 && /[\r\n]/.test(this.#source[at - 1]!)) at--;
    return at;
  }

  /** New lines below the line in which `end` stands. */
  #insertLines(end: number, lines: readonly string[]): void {
    if (end > 0 && this.#source[end - 1] === '\n') {
      this.#insert(end, lines.map((line) => `${line}${this.#newline}`).join(''));
      return;
    }
    const newline = this.#source.indexOf('\n', end);
    if (newline >= 0) {
      this.#insert(newline + 1, lines.map((line) => `${line}${this.#newline}`).join(''));
    } else {
      this.#insert(this.#source.length, lines.map((line) => `${this.#newline}${line}`).join(''));
    }
  }

  /** After the last item of `{}` or `[]`: on lines of their own where that item has one. */
  #insertFlow(
    end: number,
    lastStart: number,
    items: readonly { readonly head: string; readonly value: unknown }[],
  ): void {
    const margin = this.#source.slice(lineStart(this.#source, lastStart), lastStart);
    const ownLines = /^[ \t]*$/.test(margin) && lastStart > margin.length;
    for (const { head, value } of items) {
      if (!ownLines) {
        this.#insert(end, `, ${head}${jsonText(value)}`);
        continue;
      }
      const text = jsonText(value, 2).replaceAll('\n', `${this.#newline}${margin}`);
      this.#insert(end, `,${this.#newline}${margin}${head}${text}`);
    }
  }

  #removePair(pairs: readonly Pair[], index: number, to: Fields): void {
    const start = startOf(pairs[index]!.key);
    const margin = this.#source.slice(lineStart(this.#source, start), start);
    if (/^ *$/.test(margin)) {
      this.#removeLines(start, endOfPair(pairs[index]!));
      return;
    }
    // The first key of a list item stands behind the dash: the next one that stays moves there.
    const next = pairs.findIndex((pair, at) => at > index && Object.hasOwn(to, keyText(pair)));
    const end = startOf(pairs[next]!.key);
    this.#edits.push({ offset: start, removed: end - start, inserted: '' });
  }

  #removeLines(start: number, end: number): void {
    const from = lineStart(this.#source, start);
    const newline = this.#source[end - 1] === '\n' ? end - 1 : this.#source.indexOf('\n', end);
    const to = newline < 0 ? this.#source.length : newline + 1;
    if (this.#edits.some(({ offset, removed }) => from >= offset && to <= offset + removed)) return;
    this.#edits.push({ offset: from, removed: to - from, inserted: '' });
  }

  #insert(offset: number, inserted: string): void {
    this.#edits.push({ offset, removed: 0, inserted });
  }

  /** An alias of something that changes must go on meaning what it meant: its value is written out. */
  #expandAliases(): void {
    const anchors = new Map<string, Node>();
    const changed = (node: Node) => {
      const start = startOf(node);
      const end = endOfValue(node);
      if (isCollection(node)) {
        // What is added at the end of a collection stands on the line below it.
        const below = this.#lineAfter(end);
        return this.#edits.some(
          (edit) => edit.offset + edit.removed >= start && edit.offset <= below,
        );
      }
      return this.#edits.some((edit) => edit.offset + edit.removed > start && edit.offset < end);
    };
    const wholly = (at: number) =>
      this.#edits.some(({ offset, removed }) => offset <= at && at < offset + removed);
    const found: TextEdit[] = [];
    visit(this.#document, {
      Node: (_, node) => {
        if (isAlias(node)) {
          const start = startOf(node);
          const target = anchors.get(node.source);
          if (target === undefined || wholly(start) || !changed(target)) return;
          const value = target.toJS(this.#document, { maxAliasCount: 100 }) as unknown;
          const removed = endOfValue(node) - start;
          found.push({ offset: start, removed, inserted: jsonText(value) });
        } else if ('anchor' in node && typeof node.anchor === 'string') {
          anchors.set(node.anchor, node as Node);
        }
      },
    });
    this.#edits.push(...found);
  }

  #lineAfter(end: number): number {
    const newline = this.#source.indexOf('\n', end);
    return newline < 0 ? this.#source.length : newline + 1;
  }
}

function startOf(node: unknown): number {
  return isNode(node) ? (node.range?.[0] ?? 0) : 0;
}

const dashes = new WeakMap<YAMLSeq, readonly number[]>();

/** Offset of the dash of an item, or of the item itself inside of `[]`. */
function dashOf(node: YAMLSeq, index: number): number {
  let offsets = dashes.get(node);
  if (offsets === undefined) {
    offsets = dashOffsets(node);
    dashes.set(node, offsets);
  }
  return offsets[index] ?? startOf(node.items[index]);
}

function dashOffsets({ srcToken: token }: YAMLSeq): number[] {
  if (token?.type !== 'block-seq') return [];
  // Comments before an item make tokens of their own.
  return token.items.flatMap(({ start }) =>
    start.filter(({ type }) => type === 'seq-item-ind').map(({ offset }) => offset),
  );
}
