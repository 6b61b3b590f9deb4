import { compileOperator, type Operator } from './format-operators.ts';
import { type FormatProblem, parseFormat } from './format-parser.ts';
import { compilePieces, type LinePiece } from './line-format.ts';

/** `json_format`, as google.protobuf.Struct decodes: strings are formats, the rest is literal. */
export type JsonFormatTemplate =
  | string
  | number
  | boolean
  | null
  | readonly JsonFormatTemplate[]
  | { readonly [key: string]: JsonFormatTemplate };

/** A template with its commands compiled and its literals as JSON text. */
export type JsonNode =
  | { readonly kind: 'literal'; readonly text: string }
  /** A string that is one command. */
  | { readonly kind: 'value'; readonly operator: Operator; readonly lengthMax: number }
  /** Any other string, the inside of its quotes. */
  | { readonly kind: 'text'; readonly pieces: readonly LinePiece[] }
  | { readonly kind: 'list'; readonly items: readonly JsonNode[] }
  | JsonObject;

export interface JsonObject {
  readonly kind: 'object';
  readonly members: readonly JsonMember[];
}

export interface JsonMember {
  /** `"key":` */
  readonly key: string;
  readonly value: JsonNode;
}

/** Nesting of a template; Envoy has none, a real log two or three. */
const DEPTH_MAX = 16;

/** The problem names the key. */
export function compileJsonTemplate(template: {
  readonly [key: string]: JsonFormatTemplate;
}): JsonObject | FormatProblem {
  return compileObject(template, '', 0);
}

function compileNode(
  template: JsonFormatTemplate,
  path: string,
  depth: number,
): JsonNode | FormatProblem {
  if (depth > DEPTH_MAX) return { problem: `${path}: nested deeper than ${DEPTH_MAX}` };
  if (typeof template === 'string') {
    const node = compileString(template);
    return 'problem' in node ? { problem: `${path}: ${node.problem}` } : node;
  }
  if (template === null || typeof template !== 'object') {
    return { kind: 'literal', text: JSON.stringify(template) };
  }
  return Array.isArray(template)
    ? compileList(template, path, depth)
    : compileObject(template as Record<string, JsonFormatTemplate>, path, depth);
}

function compileString(source: string): JsonNode | FormatProblem {
  const parts = parseFormat(source);
  if ('problem' in parts) return parts;
  const only = parts.length === 1 ? parts[0]! : null;
  if (only?.kind === 'command') {
    const operator = compileOperator(only);
    if ('problem' in operator) return operator;
    // A number stays one: it is not cut.
    const lengthMax = operator.kind === 'text' ? only.lengthMax : -1;
    return { kind: 'value', operator, lengthMax };
  }
  const escaped = parts.map((part) =>
    part.kind === 'text' ? { ...part, text: JSON.stringify(part.text).slice(1, -1) } : part,
  );
  const pieces = compilePieces(escaped);
  return 'problem' in pieces ? pieces : { kind: 'text', pieces };
}

function compileList(
  template: readonly JsonFormatTemplate[],
  path: string,
  depth: number,
): JsonNode | FormatProblem {
  const items: JsonNode[] = [];
  for (const [index, item] of template.entries()) {
    const node = compileNode(item, `${path}[${index}]`, depth + 1);
    if ('problem' in node) return node;
    items.push(node);
  }
  return { kind: 'list', items };
}

function compileObject(
  template: Readonly<Record<string, JsonFormatTemplate>>,
  path: string,
  depth: number,
): JsonObject | FormatProblem {
  const members: JsonMember[] = [];
  for (const [key, item] of Object.entries(template)) {
    const value = compileNode(item, path === '' ? key : `${path}.${key}`, depth + 1);
    if ('problem' in value) return value;
    members.push({ key: `${JSON.stringify(key)}:`, value });
  }
  return { kind: 'object', members };
}
