import { type Kind, storedApiVersion, validateSpec } from './kind.ts';
import { findKind } from './kind-registry.ts';
import { readMetadata } from './metadata.ts';
import { formatPath, type Problem, type ProblemCode, printable } from './problem.ts';
import type { Manifest } from './resource.ts';
import type { FieldPath, Fields } from './schema.ts';
import type { SourceDocument, SourceText } from './source-document.ts';
import { readSource, SOURCE_CHARS_MAX } from './source-text.ts';
import { type Finding, Findings, nearestField } from './validate.ts';

/** UTF-16 units of one object written as JSON: what Kubernetes' own store takes is about this. */
export const OBJECT_CHARS_MAX = 1024 * 1024;

/** What a text holds. Objects are given only where nothing is wrong with them; problems are in the order of the text. */
export interface Documents {
  readonly objects: readonly ReadObject[];
  readonly problems: readonly Problem[];
}

export interface ReadObject {
  readonly kind: Kind;
  readonly manifest: Manifest;
  readonly file: string;
  readonly line: number;
}

const TOP_LEVEL = ['apiVersion', 'kind', 'metadata', 'spec'];

/**
 * Reads every object of `text`, YAML or JSON, one or many documents, `List`s taken apart, and checks each against its
 * kind. `file` is how problems name the text; a server bounds `yamlCharsMax`. Never throws for what the text holds.
 */
export function readDocuments(
  text: string,
  file: string,
  yamlCharsMax = SOURCE_CHARS_MAX,
): Documents {
  const source = readSource(text, yamlCharsMax);
  const objects: ReadObject[] = [];
  const problems: Problem[] = [];
  for (const { offset, message } of source.problems) {
    problems.push({ file, ...source.position(offset), path: '', message, code: 'syntax' });
  }
  for (const document of source.documents) {
    const reader = new DocumentReader(source, document, file, objects, problems);
    if (document.problems.length > 0) reader.syntax();
    else reader.object(document.value, []);
  }
  problems.sort((a, b) => a.line - b.line || a.column - b.column);
  return { objects, problems };
}

class DocumentReader {
  readonly #source: SourceText;
  readonly #document: SourceDocument;
  readonly #file: string;
  readonly #objects: ReadObject[];
  readonly #problems: Problem[];

  constructor(
    source: SourceText,
    document: SourceDocument,
    file: string,
    objects: ReadObject[],
    problems: Problem[],
  ) {
    this.#source = source;
    this.#document = document;
    this.#file = file;
    this.#objects = objects;
    this.#problems = problems;
  }

  syntax(): void {
    for (const { offset, message } of this.#document.problems) {
      const place = this.#source.position(offset);
      this.#problems.push({ file: this.#file, ...place, path: '', message, code: 'syntax' });
    }
  }

  object(value: unknown, path: FieldPath): void {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      this.#problem(
        path,
        'value',
        'invalid',
        'is not an object with apiVersion, kind, metadata and spec',
      );
      return;
    }
    const { apiVersion, kind: kindName } = value as Fields;
    if (typeof apiVersion !== 'string' || typeof kindName !== 'string') {
      for (const name of ['apiVersion', 'kind']) this.#needText(value as Fields, name, path);
      return;
    }
    if (kindName === 'List' || (kindName.endsWith('List') && 'items' in value)) {
      this.#list(value as Fields, path);
      return;
    }
    const lookup = findKind(printable(apiVersion), printable(kindName));
    if (lookup.kind === 'unsupported') {
      this.#problem(
        [...path, 'kind'],
        'value',
        'unsupportedKind',
        lookup.message,
        lookup.suggestion,
      );
      return;
    }
    this.#known(lookup.found, value as Fields, path);
  }

  #known(kind: Kind, value: Fields, path: FieldPath): void {
    const findings = new Findings();
    const chars = JSON.stringify(value).length;
    if (chars > OBJECT_CHARS_MAX) {
      const message = `is ${chars} characters long as JSON; at most ${OBJECT_CHARS_MAX} are allowed`;
      this.#problem(path, 'value', 'tooLarge', message);
      return;
    }
    for (const name of Object.keys(value)) {
      if (TOP_LEVEL.includes(name) || name === 'status') continue; // status belongs to the server
      const suggestion = nearestField(name, TOP_LEVEL);
      const found = {
        path: [name],
        at: 'name',
        code: 'unknownField',
        message: 'unknown field',
      } as const;
      findings.push(suggestion === undefined ? found : { ...found, suggestion });
    }
    const metadata = readMetadata(value['metadata'], findings);
    let spec: unknown;
    if (value['spec'] == null && !kind.specOptional) {
      findings.push({ path: [], at: 'value', code: 'required', message: 'spec is required' });
    } else {
      spec = validateSpec(kind, value['spec'], ['spec'], findings);
    }
    for (const finding of findings.list) this.#finding(finding, path);
    if (findings.list.length > 0 || metadata === undefined) return;
    this.#objects.push({
      kind,
      manifest: { apiVersion: storedApiVersion(kind), kind: kind.kind, metadata, spec },
      file: this.#file,
      line: this.#source.position(this.#document.locate(path, 'value')).line,
    });
  }

  #list({ items }: Fields, path: FieldPath): void {
    if (!Array.isArray(items)) {
      this.#problem(path, 'value', 'required', 'items is required, a list of objects');
      return;
    }
    if (path.length > 0) {
      this.#problem(path, 'value', 'invalid', 'a List inside of a List is not supported');
      return;
    }
    items.forEach((item, index) => {
      this.object(item, [...path, 'items', index]);
    });
  }

  #needText(value: Fields, name: string, path: FieldPath): void {
    if (typeof value[name] === 'string') return;
    if (Object.hasOwn(value, name)) {
      this.#problem([...path, name], 'value', 'invalid', 'must be a string');
    } else {
      this.#problem(path, 'value', 'required', `${name} is required`);
    }
  }

  #finding({ path, at, code, message, suggestion }: Finding, above: FieldPath): void {
    this.#problem([...above, ...path], at, code, message, suggestion);
  }

  #problem(
    path: FieldPath,
    at: 'name' | 'value',
    code: ProblemCode,
    message: string,
    suggestion?: string,
  ): void {
    const place = this.#source.position(this.#document.locate(path, at));
    const problem = { file: this.#file, ...place, path: formatPath(path), message, code };
    this.#problems.push(suggestion === undefined ? problem : { ...problem, suggestion });
  }
}
