import type { JsonMember, JsonNode, JsonObject } from './json-template.ts';
import { PackedText } from './line-bytes.ts';
import { LineBuilder, type LineFormat, type LineParts } from './line-format.ts';
import { LinePart } from './line-part.ts';
import type { LineQueue } from './line-queue.ts';
import type { RequestRecord } from './request-record.ts';

/** JSON lines where what is absent is null: all but the values is literal. */
export function jsonLine(root: JsonObject): LineParts {
  const line = new LineBuilder('json');
  addNode(line, root);
  line.literal('\n');
  return line.finish();
}

function addNode(line: LineBuilder, node: JsonNode): void {
  switch (node.kind) {
    case 'literal':
      line.literal(node.text);
      return;
    case 'value':
      line.value(node.operator, node.lengthMax, 'null', true);
      return;
    case 'text':
      line.literal('"');
      line.pieces(node.pieces, '-');
      line.literal('"');
      return;
    case 'list':
      line.literal('[');
      for (const [at, item] of node.items.entries()) {
        if (at > 0) line.literal(',');
        addNode(line, item);
      }
      line.literal(']');
      return;
    case 'object':
      line.literal('{');
      for (const [at, { key, value }] of node.members.entries()) {
        line.literal(at > 0 ? `,${key}` : key);
        addNode(line, value);
      }
      line.literal('}');
  }
}

/** JSON lines with `omit_empty_values`: what is absent is left out with its key, and objects of nothing else. */
export class OmittingJsonLine implements LineFormat {
  readonly #root: NodeWriter;

  constructor(root: JsonObject) {
    this.#root = new ObjectWriter(root.members);
  }

  write(record: RequestRecord, line: LineQueue): void {
    if (!this.#root.write(record, line)) NOTHING.write(line);
    LINE_FEED.write(line);
  }
}

/** Writes one value; false where it is to be left out, with nothing written that stays. */
interface NodeWriter {
  write(record: RequestRecord, line: LineQueue): boolean;
}

function writerOf(node: JsonNode): NodeWriter {
  switch (node.kind) {
    case 'literal':
      return new LiteralWriter(node.text);
    case 'value':
      return new ValueWriter(
        new LinePart({ ...node, literal: '', absent: '', isQuoted: true, escaping: 'json' }),
      );
    case 'text': {
      const line = new LineBuilder('json');
      line.literal('"');
      line.pieces(node.pieces, '');
      line.literal('"');
      return new TextWriter(line.finish());
    }
    case 'list':
      return new ListWriter(node.items.map(writerOf));
    case 'object':
      return new ObjectWriter(node.members);
  }
}

class LiteralWriter implements NodeWriter {
  readonly #text: PackedText;

  constructor(text: string) {
    this.#text = new PackedText(text);
  }

  write(_: RequestRecord, line: LineQueue): boolean {
    this.#text.write(line);
    return true;
  }
}

class ValueWriter implements NodeWriter {
  readonly #part: LinePart;

  constructor(part: LinePart) {
    this.#part = part;
  }

  write(record: RequestRecord, line: LineQueue): boolean {
    this.#part.read(record);
    if (this.#part.isAbsent) return false;
    this.#part.write(line);
    return true;
  }
}

class TextWriter implements NodeWriter {
  readonly #parts: LineParts;

  constructor(parts: LineParts) {
    this.#parts = parts;
  }

  write(record: RequestRecord, line: LineQueue): boolean {
    this.#parts.write(record, line);
    return true;
  }
}

class ListWriter implements NodeWriter {
  readonly #items: readonly NodeWriter[];

  constructor(items: readonly NodeWriter[]) {
    this.#items = items;
  }

  /** A place in a list is never left out: the others would move. */
  write(record: RequestRecord, line: LineQueue): boolean {
    OPEN_LIST.write(line);
    for (let at = 0; at < this.#items.length; at += 1) {
      if (at > 0) COMMA.write(line);
      if (!this.#items[at]!.write(record, line)) NULL.write(line);
    }
    CLOSE_LIST.write(line);
    return true;
  }
}

class ObjectWriter implements NodeWriter {
  /** `{"key":` where nothing stands before, else `,"key":`. */
  readonly #firstKeys: readonly PackedText[];
  readonly #nextKeys: readonly PackedText[];
  readonly #values: readonly NodeWriter[];

  constructor(members: readonly JsonMember[]) {
    this.#firstKeys = members.map(({ key }) => new PackedText(`{${key}`));
    this.#nextKeys = members.map(({ key }) => new PackedText(`,${key}`));
    this.#values = members.map(({ value }) => writerOf(value));
  }

  write(record: RequestRecord, line: LineQueue): boolean {
    let keys = this.#firstKeys;
    for (let at = 0; at < this.#values.length; at += 1) {
      const before = line.at - line.from;
      keys[at]!.write(line);
      if (this.#values[at]!.write(record, line)) keys = this.#nextKeys;
      else line.rewind(before);
    }
    if (keys === this.#firstKeys) return false;
    CLOSE_OBJECT.write(line);
    return true;
  }
}

const CLOSE_OBJECT = new PackedText('}');
const OPEN_LIST = new PackedText('[');
const CLOSE_LIST = new PackedText(']');
const COMMA = new PackedText(',');
const NULL = new PackedText('null');
const NOTHING = new PackedText('{}');
const LINE_FEED = new PackedText('\n');
