import { nearest } from '../../proto/nearest.ts';
import type { ProblemCode } from './problem.ts';
import { printable } from './problem.ts';
import {
  type FieldPath,
  type Fields,
  isFields,
  type ListNode,
  type MapNode,
  type NumberNode,
  type ObjectNode,
  type Report,
  type SchemaNode,
  TEXT_CHARS_MAX,
  type TextNode,
} from './schema.ts';

/** A problem before it is known where in a text it stands. `at`: show the field's name rather than its value. */
export interface Finding {
  readonly path: FieldPath;
  readonly at: 'name' | 'value';
  readonly code: ProblemCode;
  readonly message: string;
  readonly suggestion?: string;
}

/** One document reports no more: beyond that it is another kind of file. */
export const FINDINGS_MAX = 100;
/** Units of `TextFormat.cost` for one document, about a second of compiling regular expressions. */
export const VALIDATION_COST_MAX = 1_000_000;

/** What one document has been found to have wrong, and what checking it may still cost. */
export class Findings {
  readonly list: Finding[] = [];
  #cost = 0;

  get full(): boolean {
    return this.list.length >= FINDINGS_MAX;
  }

  push(finding: Finding): void {
    if (!this.full) this.list.push(finding);
  }

  /** False once the document has used up its share. */
  spend(cost: number): boolean {
    this.#cost += cost;
    return this.#cost <= VALIDATION_COST_MAX;
  }
}

/**
 * Checks JSON `value` against `node`; everything wrong goes to `findings`. Gives a fresh copy in which maps have no
 * prototype; it is meaningful only where nothing was found.
 */
export function validate(
  node: SchemaNode,
  value: unknown,
  path: FieldPath,
  findings: Findings,
): unknown {
  if (findings.full) return undefined;
  if (value === null) {
    const found = 'is empty (null); give it a value or remove it';
    findings.push({ path, at: 'value', code: 'invalid', message: found });
    return undefined;
  }
  switch (node.type) {
    case 'string':
      return validateText(node, value, path, findings);
    case 'integer':
    case 'number':
      return validateNumber(node, value, path, findings);
    case 'boolean':
      if (typeof value === 'boolean') return value;
      return mismatch('true or false', value, path, findings);
    case 'list':
      return validateList(node, value, path, findings);
    case 'map':
      return validateMap(node, value, path, findings);
    case 'object':
      return validateObject(node, value, path, findings);
  }
}

function validateText(
  node: TextNode,
  value: unknown,
  path: FieldPath,
  findings: Findings,
): string | undefined {
  if (typeof value !== 'string') {
    const example = node.format?.example;
    return mismatch(
      example === undefined ? 'a string' : `a string such as ${example}`,
      value,
      path,
      findings,
    );
  }
  const invalid = (message: string, code: ProblemCode = 'invalid', suggestion?: string) => {
    findings.push({
      path,
      at: 'value',
      code,
      message,
      ...(suggestion === undefined ? {} : { suggestion }),
    });
    return undefined;
  };
  if (node.values !== undefined) {
    if (node.values.includes(value)) return value;
    if (own(node.aliases, value) !== undefined) return value;
    const reason = own(node.unsupportedValues, value);
    if (reason !== undefined) return invalid(`${value}: ${reason}`, 'unsupportedValue');
    return invalid(
      `"${printable(value)}" is not one of ${node.values.join(', ')}`,
      'invalid',
      nearest(value.toUpperCase(), node.values),
    );
  }
  if (value === '' && node.mayBeEmpty !== true) return invalid('must not be empty');
  const charsMax = node.charsMax ?? TEXT_CHARS_MAX;
  if (value.length > charsMax) {
    return invalid(`has ${value.length} characters; at most ${charsMax} are allowed`, 'tooLarge');
  }
  if (value === '' || node.format === undefined) return value;
  if (node.format.cost !== undefined && !findings.spend(node.format.cost(value))) {
    return invalid('the document has too many or too large regular expressions', 'tooLarge');
  }
  const wrong = node.format.check(value);
  return wrong === undefined ? value : invalid(`"${printable(value)}" ${wrong}`);
}

function validateNumber(
  node: NumberNode,
  value: unknown,
  path: FieldPath,
  findings: Findings,
): number | undefined {
  const kind = node.type === 'integer' ? 'a whole number' : 'a number';
  if (typeof value !== 'number') return mismatch(kind, value, path, findings);
  const fits = node.type === 'integer' ? Number.isSafeInteger(value) : Number.isFinite(value);
  const allowed = node.values?.includes(value) ?? (value >= node.min && value <= node.max);
  if (fits && allowed) return value;
  const message =
    node.values === undefined
      ? `${value} is not ${kind} from ${node.min} to ${node.max}`
      : `${value} is not one of ${node.values.join(', ')}`;
  findings.push({ path, at: 'value', code: 'invalid', message });
  return undefined;
}

function validateList(
  node: ListNode,
  value: unknown,
  path: FieldPath,
  findings: Findings,
): unknown[] {
  if (!Array.isArray(value)) {
    mismatch('a list', value, path, findings);
    return [];
  }
  if (value.length > node.itemsMax) {
    const message = `has ${value.length} items; at most ${node.itemsMax} are allowed`;
    findings.push({ path, at: 'value', code: 'tooLarge', message });
    return [];
  }
  if (value.length < node.itemsMin) {
    const message = node.itemsMin === 1 ? 'must not be empty' : `needs ${node.itemsMin} items`;
    findings.push({ path, at: 'value', code: 'required', message });
  }
  const items = value.map((item, index) => validate(node.items, item, [...path, index], findings));
  if (node.distinct) {
    const seen = new Set<unknown>();
    items.forEach((item, index) => {
      if (item === undefined) return;
      if (seen.has(item)) {
        const message = `${printable(String(item))} is listed twice`;
        findings.push({ path: [...path, index], at: 'value', code: 'invalid', message });
      }
      seen.add(item);
    });
  }
  return items;
}

function validateMap(node: MapNode, value: unknown, path: FieldPath, findings: Findings): Fields {
  const copy: Fields = Object.create(null);
  if (!isFields(value)) {
    mismatch('a map', value, path, findings);
    return copy;
  }
  const entries = Object.entries(value);
  if (entries.length > node.entriesMax) {
    const message = `has ${entries.length} entries; at most ${node.entriesMax} are allowed`;
    findings.push({ path, at: 'value', code: 'tooLarge', message });
    return copy;
  }
  for (const [key, item] of entries) {
    const wrong = node.keys.check(key);
    if (wrong !== undefined) {
      const message = `the name "${printable(key)}" ${wrong}`;
      findings.push({ path: [...path, key], at: 'name', code: 'invalid', message });
    }
    copy[key] = validate(node.values, item, [...path, key], findings);
  }
  return copy;
}

function validateObject(
  node: ObjectNode,
  value: unknown,
  path: FieldPath,
  findings: Findings,
): Fields {
  const copy: Fields = {};
  if (!isFields(value)) {
    mismatch('an object', value, path, findings);
    return copy;
  }
  const before = findings.list.length;
  const meant = new Set<string>();
  for (const [name, item] of Object.entries(value)) {
    const field = node.fields.get(name);
    if (field !== undefined) {
      copy[name] = validate(field.schema, item, [...path, name], findings);
      continue;
    }
    const unknown = unknownField(node, name, path);
    if (unknown.suggestion !== undefined) meant.add(unknown.suggestion);
    findings.push(unknown);
  }
  for (const [name, field] of node.fields) {
    // A misspelt field is one mistake, not two.
    const missing = !Object.hasOwn(value, name) && !meant.has(name);
    if (field.presence === 'required' && missing) {
      findings.push({ path, at: 'name', code: 'required', message: `${name} is required` });
    }
  }
  if (findings.list.length === before) {
    const report: Report = (below, message, code = 'invalid') => {
      findings.push({ path: [...path, ...below], at: 'value', code, message });
    };
    for (const rule of node.rules) rule(copy as never, report);
  }
  return copy;
}

function unknownField(node: ObjectNode, name: string, path: FieldPath): Finding {
  const reason = node.unsupported.get(name);
  if (reason !== undefined) {
    const message = `known to Istio, not supported by Weft yet: ${reason}`;
    return { path: [...path, name], at: 'name', code: 'unsupportedField', message };
  }
  const known = [...node.fields.keys(), ...node.unsupported.keys()];
  const suggestion = nearestField(name, known);
  const message =
    suggestion === undefined
      ? `unknown field; known here: ${known.sort().join(', ')}`
      : 'unknown field';
  const found = { path: [...path, name], at: 'name', code: 'unknownField', message } as const;
  return suggestion === undefined ? found : { ...found, suggestion };
}

/** Another way to write the same words (`fixed_delay`, `FixedDelay`) comes before a typing error. */
export function nearestField(name: string, known: readonly string[]): string | undefined {
  const plain = name.replace(/[-_]/g, '').toLowerCase();
  return known.find((field) => field.toLowerCase() === plain) ?? nearest(name, known);
}

function mismatch(wanted: string, value: unknown, path: FieldPath, findings: Findings): undefined {
  findings.push({
    path,
    at: 'value',
    code: 'invalid',
    message: `must be ${wanted}, is ${nameOf(value)}`,
  });
}

function nameOf(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'an object';
  if (typeof value === 'string') return `the string "${printable(value, 40)}"`;
  return `${typeof value === 'boolean' ? '' : 'the number '}${String(value)}`;
}

function own(table: Readonly<Record<string, string>> | undefined, key: string): string | undefined {
  return table !== undefined && Object.hasOwn(table, key) ? table[key] : undefined;
}
