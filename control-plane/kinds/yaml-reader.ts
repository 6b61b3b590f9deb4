import {
  type Document,
  isAlias,
  isCollection,
  isMap,
  isNode,
  isScalar,
  isSeq,
  type Node,
  type Pair,
  parseAllDocuments,
  type YAMLMap,
} from 'yaml';
import { printable } from './problem.ts';
import type { FieldPath, Fields } from './schema.ts';
import {
  DEPTH_MAX,
  Places,
  type SourceDocument,
  type SourceProblem,
  type SourceText,
  VALUES_MAX,
} from './source-document.ts';

/** Documents of one text. */
export const DOCUMENTS_MAX = 1000;
const ALIASES_MAX = 100;

/**
 * Reads YAML 1.2 as policy files use it: plain maps, lists, strings, numbers, booleans. What could make two readers
 * disagree, or cost more than it weighs, is refused with its place: tags, merge keys, duplicate keys, non-numbers, deep
 * nesting, many aliases. Documents without content are left out.
 */
export function readYaml(source: string): Pick<SourceText, 'documents' | 'problems'> {
  const parsed = parseYaml(source);
  if (parsed.length > DOCUMENTS_MAX) {
    const message = `has ${parsed.length} documents; at most ${DOCUMENTS_MAX} are allowed`;
    return { documents: [], problems: [{ offset: 0, message }] };
  }
  const documents = parsed.map(readYamlDocument).filter((document) => document.value !== null);
  return { documents, problems: [] };
}

/** The nodes of each document, errors among them: nothing is judged yet. `tokens`: keep what the nodes were made of. */
export function parseYaml(source: string, tokens = false): Document<Node>[] {
  const parsed = parseAllDocuments(source, {
    prettyErrors: false,
    uniqueKeys: false, // quadratic; the Reader below looks itself
    merge: false,
    schema: 'core',
    logLevel: 'silent',
    keepSourceTokens: tokens,
  });
  return Array.isArray(parsed) ? (parsed as Document<Node>[]) : [];
}

/** One document, judged as `readYaml` does. */
export function readYamlDocument(document: Document<Node>): SourceDocument {
  return new Reader(document).read();
}

class Reader implements SourceDocument {
  value: unknown = undefined;
  readonly problems: SourceProblem[] = [];
  readonly #document: Document<Node>;
  readonly #places = new Places();
  #anchorsFound: ReadonlyMap<string, readonly Node[]> | undefined;
  #aliases = 0;
  #values = 0;

  constructor(document: Document<Node>) {
    this.#document = document;
  }

  read(): this {
    const { errors, warnings, contents } = this.#document;
    const deep = errors.find(({ code }) => code === 'RESOURCE_EXHAUSTION');
    if (deep !== undefined) {
      this.#problem(deep.pos[0], `is nested more than ${DEPTH_MAX} deep`);
      return this; // what else was found comes from stopping there
    }
    for (const { pos, message } of errors.slice(0, 10)) {
      this.#problem(pos[0], message.split('\n')[0]!);
    }
    for (const { pos, message } of warnings.slice(0, 10)) this.#problem(pos[0], message);
    if (this.problems.length > 0) return this;
    const value = contents === null ? null : this.#node(contents, 0);
    this.value = this.problems.length > 0 ? undefined : value;
    return this;
  }

  locate(path: FieldPath, at: 'name' | 'value'): number {
    return this.#places.locate(this.value, startOf(this.#document.contents), path, at);
  }

  #problem(offset: number, message: string): undefined {
    if (this.problems.length < 100) this.problems.push({ offset, message });
    return undefined;
  }

  #node(node: unknown, depth: number): unknown {
    if (!isNode(node)) return null; // an absent value: `key:`
    const offset = startOf(node);
    if (++this.#values > VALUES_MAX) {
      if (this.#values > VALUES_MAX + 1) return undefined;
      return this.#problem(offset, `holds more than ${VALUES_MAX} values`);
    }
    if (depth > DEPTH_MAX) return this.#problem(offset, `is nested more than ${DEPTH_MAX} deep`);
    if (isAlias(node)) return this.#alias(node.source, offset, depth);
    if (node.tag !== undefined && (isCollection(node) || isScalar(node)) && isExplicit(node)) {
      return this.#problem(
        offset,
        `the tag ${printable(node.tag)} is not supported; write plain values`,
      );
    }
    if (isMap(node)) return this.#map(node, depth);
    if (isSeq(node)) {
      const items: unknown[] = [];
      for (const [index, item] of node.items.entries()) {
        const at = isNode(item) ? startOf(item) : offset;
        this.#places.set(items, index, at, at);
        items.push(this.#node(item, depth + 1));
      }
      return items;
    }
    return isScalar(node) ? this.#scalar(node.value, offset) : null;
  }

  #scalar(value: unknown, offset: number): unknown {
    if (typeof value === 'number' && !Number.isFinite(value)) {
      return this.#problem(offset, 'is not a finite number');
    }
    if (value === null || ['string', 'number', 'boolean'].includes(typeof value)) return value;
    return this.#problem(offset, 'is neither text, number nor true/false');
  }

  #map(node: YAMLMap, depth: number): Fields {
    const fields: Fields = Object.create(null);
    for (const pair of node.items as Pair[]) {
      const at = isNode(pair.key) ? startOf(pair.key) : startOf(node);
      const key = this.#key(pair.key, at);
      if (key === undefined) continue;
      if (Object.hasOwn(fields, key)) {
        this.#problem(at, `the key "${printable(key)}" stands twice in one map`);
        continue;
      }
      this.#places.set(fields, key, at, isNode(pair.value) ? startOf(pair.value) : at);
      fields[key] = this.#node(pair.value, depth + 1);
    }
    return fields;
  }

  /** Numbers and booleans as keys (`15001: …`) are the text that was written, as in JSON. */
  #key(key: unknown, offset: number): string | undefined {
    if (!isScalar(key) || isExplicit(key)) return this.#problem(offset, 'a key must be plain text');
    const text = typeof key.value === 'string' ? key.value : (key.source ?? String(key.value));
    if (text === '<<')
      return this.#problem(offset, 'merge keys (<<) are not supported; write the fields out');
    if (text === '__proto__') return this.#problem(offset, 'the key "__proto__" is not allowed');
    return text;
  }

  #alias(name: string, offset: number, depth: number): unknown {
    if (++this.#aliases > ALIASES_MAX) {
      if (this.#aliases > ALIASES_MAX + 1) return undefined;
      return this.#problem(offset, `uses more than ${ALIASES_MAX} aliases`);
    }
    const target = this.#anchors.get(name)?.findLast((node) => startOf(node) < offset);
    if (target === undefined) {
      return this.#problem(offset, `the alias *${printable(name)} refers to no anchor before it`);
    }
    if (target.range != null && target.range[1] > offset) {
      return this.#problem(
        offset,
        `the alias *${printable(name)} stands inside of what it refers to`,
      );
    }
    return this.#node(target, depth);
  }

  /** Nodes by anchor, in the order of the text; made when the first alias is met. */
  get #anchors(): ReadonlyMap<string, readonly Node[]> {
    this.#anchorsFound ??= anchorsOf(this.#document.contents);
    return this.#anchorsFound;
  }
}

function anchorsOf(root: unknown): Map<string, Node[]> {
  const anchors = new Map<string, Node[]>();
  const open: unknown[] = [root];
  const found: Node[] = [];
  while (open.length > 0) {
    const node = open.pop();
    if (isScalar(node) || isCollection(node)) {
      if (node.anchor !== undefined) found.push(node);
    }
    if (isMap(node)) for (const { key, value } of node.items as Pair[]) open.push(key, value);
    else if (isSeq(node)) open.push(...node.items.slice(0, VALUES_MAX));
  }
  for (const node of found.sort((a, b) => startOf(a) - startOf(b))) {
    const anchor = isScalar(node) || isCollection(node) ? node.anchor! : '';
    const nodes = anchors.get(anchor);
    if (nodes === undefined) anchors.set(anchor, [node]);
    else nodes.push(node);
  }
  return anchors;
}

/** The parser sets `tag` for what was tagged in the text, never for what it resolved itself. */
function isExplicit(node: Node): boolean {
  return 'tag' in node && node.tag !== undefined && node.tag !== '';
}

function startOf(node: Node | null): number {
  return node?.range?.[0] ?? 0;
}
