import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseAllDocuments,
} from 'yaml';
import type { FieldPath } from '../../../proto/field-path.ts';

/** Characters of a bootstrap file; a real one has some thousands. */
const LENGTH_MAX = 16 * 1024 * 1024;
/** Uses of anchors: stops a few lines from unfolding into billions of nodes. */
const ALIASES_MAX = 100;

/** A parsed YAML or JSON document that knows where each value was written. */
export interface YamlFile {
  readonly value: unknown;
  /** `file:line:column` of the value at a path, or of its nearest ancestor that was written. */
  locate(path: FieldPath): string;
}

/** Reads one YAML document (JSON is YAML); the problems are complete lines, each with its place. */
export function parseYamlFile(
  text: string,
  fileName: string,
): YamlFile | { readonly problems: readonly string[] } {
  if (text.length > LENGTH_MAX) {
    return { problems: [`${fileName}: longer than ${LENGTH_MAX} characters`] };
  }
  const lines = new LineCounter();
  const at = (offset: number): string => {
    const { line, col } = lines.linePos(offset);
    return `${fileName}:${line}:${col}`;
  };
  const documents = parseAllDocuments(text, { lineCounter: lines, uniqueKeys: true });
  if (!Array.isArray(documents) || documents.length === 0 || documents[0]?.contents === null) {
    return { problems: [`${fileName}: holds no document`] };
  }
  const problems: string[] = [];
  for (const document of documents) {
    for (const error of document.errors) {
      const message = error.message.split(/ at line \d+, column \d+/)[0]!;
      problems.push(`${at(error.pos[0])}: ${message}`);
    }
  }
  const second = documents[1];
  if (second !== undefined) {
    const place = at((second.contents as Node | null)?.range?.[0] ?? 0);
    problems.push(`${place}: a bootstrap is one document; remove what follows "---"`);
  }
  if (problems.length > 0) return { problems };
  const document = documents[0] as Document;
  try {
    const value: unknown = document.toJS({ maxAliasCount: ALIASES_MAX });
    return { value, locate: (path) => at(offsetOf(document, path)) };
  } catch (error) {
    return { problems: [`${fileName}: ${error instanceof Error ? error.message : error}`] };
  }
}

/** Walks the path as far as it was written; a field is found by either spelling of its name. */
function offsetOf(document: Document, path: FieldPath): number {
  let node: unknown = document.contents;
  let offset = (document.contents as Node | null)?.range?.[0] ?? 0;
  for (const step of path) {
    if (isAlias(node)) node = node.resolve(document);
    if (isMap(node)) {
      const pair = findPair(node.items, String(step));
      if (pair === undefined) break;
      offset = (pair.key as Node).range?.[0] ?? offset;
      node = pair.value;
    } else if (isSeq(node) && typeof step === 'number') {
      node = node.items[step];
      offset = (node as Node | undefined)?.range?.[0] ?? offset;
    } else break;
  }
  return offset;
}

function findPair(items: readonly Pair[], name: string): Pair | undefined {
  const camel = name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
  return items.find(({ key }) => isScalar(key) && (key.value === name || key.value === camel));
}
