import { isFieldValue } from '../http/field-name.ts';
import {
  addHeader,
  type HeaderBlock,
  hasHeader,
  removeHeader,
  setHeader,
} from '../http/header-block.ts';
import { compileFormat, type Format } from '../observe/format.ts';
import type { RequestRecord } from '../observe/request-record.ts';
import type { HeaderAddition, HeaderMutations } from './route-config.ts';

/** What one level (weighted cluster, route, virtual host, table) changes in a header block. */
export class CompiledMutations {
  readonly isEmpty: boolean;
  readonly #remove: readonly string[];
  readonly #add: readonly CompiledAddition[];
  readonly #rendersBefore: boolean;

  /** The formats have been checked by the configuration compiler; one that is bad all the same throws. */
  constructor(mutations: HeaderMutations) {
    this.#remove = mutations.remove.filter(isMutable);
    this.#add = mutations.add
      .filter((addition) => isMutable(addition.name))
      .map((addition) => new CompiledAddition(addition));
    this.#rendersBefore = this.#add.length > 1 && this.#add.some((addition) => addition.isFormat);
    this.isEmpty = this.#remove.length === 0 && this.#add.length === 0;
  }

  /** Removal first, then additions in order (TM-13). */
  apply(headers: HeaderBlock, record: RequestRecord): void {
    for (let at = 0; at < this.#remove.length; at++) removeHeader(headers, this.#remove[at]!);
    // What one addition writes is not what the next one reads: formats see the fields as received.
    const rendered = this.#rendersBefore
      ? this.#add.map((one) => one.render(record))
      : NOT_RENDERED;
    for (let at = 0; at < this.#add.length; at++) {
      const addition = this.#add[at]!;
      addition.apply(headers, rendered === NOT_RENDERED ? addition.render(record) : rendered[at]!);
    }
  }
}

/** Every level's mutations, most specific level first (Envoy's default order). */
export function applyMutations(
  levels: readonly CompiledMutations[],
  headers: HeaderBlock,
  record: RequestRecord,
): void {
  for (let at = 0; at < levels.length; at++) levels[at]!.apply(headers, record);
}

class CompiledAddition {
  readonly #addition: HeaderAddition;
  readonly #format: Format | null;

  constructor(addition: HeaderAddition) {
    this.#addition = addition;
    this.#format = addition.format ? mustCompile(addition) : null;
  }

  get isFormat(): boolean {
    return this.#format !== null;
  }

  render(record: RequestRecord): string {
    return this.#format === null ? this.#addition.value : this.#format.render(record);
  }

  apply(headers: HeaderBlock, value: string): void {
    const { name, action, keepEmpty } = this.#addition;
    if (value === '' && !keepEmpty) return;
    // A rendered value comes from the request: what cannot stand in a field line is left out.
    if (this.#format !== null && !isFieldValue(value)) return;
    switch (action) {
      case 'append':
        addHeader(headers, name, value);
        return;
      case 'overwrite':
        setHeader(headers, name, value);
        return;
      case 'addIfAbsent':
        if (!hasHeader(headers, name)) addHeader(headers, name, value);
        return;
      case 'overwriteIfExists':
        if (hasHeader(headers, name)) setHeader(headers, name, value);
    }
  }
}

const NOT_RENDERED: readonly string[] = [];

function mustCompile(addition: HeaderAddition): Format {
  const format = compileFormat(addition.value, { absent: '' });
  if ('problem' in format) throw new Error(`header ${addition.name}: ${format.problem}`);
  return format;
}

/** Pseudo-header fields and `host` are changed by rewrites only, framing by the codec only (TM-13). */
function isMutable(name: string): boolean {
  return !name.startsWith(':') && !IMMUTABLE.has(name);
}

const IMMUTABLE: ReadonlySet<string> = new Set(['host', 'content-length', 'transfer-encoding']);
