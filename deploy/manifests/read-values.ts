import { readInjectionSettings } from '../../control-plane/injector/settings.ts';
import { applyDefaults } from '../../control-plane/kinds/defaults.ts';
import { formatPath, formatProblem } from '../../control-plane/kinds/problem.ts';
import type {
  FieldPath,
  Fields,
  ObjectNode,
  SchemaNode,
} from '../../control-plane/kinds/schema.ts';
import { readSource, SOURCE_CHARS_MAX } from '../../control-plane/kinds/source-text.ts';
import { type Finding, Findings, validate } from '../../control-plane/kinds/validate.ts';
import type { InstallValues } from './values.ts';
import { valuesSchema } from './values-schema.ts';

/** What is wrong with values, a line each, for people. */
export class ValuesError extends Error {
  readonly code = 'WEFT_VALUES';
}

/** A file of values as `--values` names it. */
export interface ValuesFile {
  readonly file: string;
  readonly text: string;
}

/**
 * The values of an installation: files in their order, then `path=value` settings over them, as Helm joins them; defaults for the
 * rest. Throws `ValuesError` with every problem, each with its file, line and column, or the setting it came with.
 */
export function readValues(
  settings: readonly string[],
  version: string,
  files: readonly ValuesFile[] = [],
): InstallValues {
  const schema = valuesSchema(version);
  const problems: string[] = [];
  let values: unknown = Object.create(null);
  for (const file of files) values = merge(values, readFile(file, schema, problems), 0);
  for (const setting of settings) {
    const read = readSetting(setting, schema as ObjectNode);
    if ('problem' in read) problems.push(`--set ${setting}: ${read.problem}`);
    else values = merge(values, read.value, 0);
  }
  if (problems.length === 0) {
    // Each part was right by itself; a rule may still look at the whole.
    const findings = new Findings();
    validate(schema, values, [], findings);
    problems.push(...findings.list.map(say));
  }
  if (problems.length > 0) throw new ValuesError(problems.join('\n'));
  const complete = applyDefaults(schema, values) as InstallValues;
  // A control plane would not start with settings that it cannot read.
  const read = readInjectionSettings(complete.injection);
  if ('problems' in read) {
    const lines = read.problems.map(({ path, message }) =>
      say({ path: ['injection', ...path], message }),
    );
    throw new ValuesError(lines.join('\n'));
  }
  return complete;
}

function readFile({ file, text }: ValuesFile, schema: SchemaNode, problems: string[]): unknown {
  const source = readSource(text, SOURCE_CHARS_MAX);
  const add = (offset: number, path: FieldPath, message: string, suggestion?: string) => {
    const problem = { file, ...source.position(offset), path: formatPath(path), message } as const;
    problems.push(
      formatProblem({
        ...problem,
        code: 'invalid',
        ...(suggestion === undefined ? {} : { suggestion }),
      }),
    );
  };
  for (const { offset, message } of source.problems) add(offset, [], message);
  let values: unknown = Object.create(null);
  for (const document of source.documents) {
    for (const { offset, message } of document.problems) add(offset, [], message);
    if (document.problems.length > 0) continue;
    const findings = new Findings();
    validate(schema, document.value, [], findings);
    for (const { path, at, message, suggestion } of findings.list) {
      add(document.locate(path, at), path, message, suggestion);
    }
    values = merge(values, document.value, 0);
  }
  return values;
}

/** `controlPlane.replicas=3`; the schema says how the text is read. Lists are comma-separated. */
function readSetting(
  setting: string,
  schema: ObjectNode,
): { readonly value: unknown } | { readonly problem: string } {
  const equals = setting.indexOf('=');
  if (equals <= 0) return { problem: 'must read path=value, e.g. controlPlane.replicas=3' };
  const path = splitPath(setting.slice(0, equals));
  const text = setting.slice(equals + 1);
  let node: SchemaNode = schema;
  for (const step of path) {
    if (node.type === 'map') node = node.values;
    else if (node.type === 'object' && node.fields.has(step)) node = node.fields.get(step)!.schema;
    else break;
  }
  let value = readText(text, node);
  for (const step of path.toReversed()) {
    const parent: Fields = Object.create(null);
    parent[step] = value;
    value = parent;
  }
  const findings = new Findings();
  validate(schema, value, [], findings);
  return findings.list.length > 0 ? { problem: findings.list.map(say).join('; ') } : { value };
}

/** Dots part steps; `\.` is a dot of a name, as in Helm. */
function splitPath(text: string): string[] {
  return text.split(/(?<!\\)\./).map((step) => step.replaceAll('\\.', '.'));
}

function readText(text: string, node: SchemaNode): unknown {
  switch (node.type) {
    case 'boolean':
      return text === 'true' ? true : text === 'false' ? false : text;
    case 'integer':
    case 'number':
      return text !== '' && Number.isFinite(Number(text)) ? Number(text) : text;
    case 'list': {
      const items = text.replace(/^\{(.*)\}$/s, '$1'); // Helm's way of writing it
      return items === '' ? [] : items.split(',').map((item) => readText(item, node.items));
    }
    default:
      return text;
  }
}

function say({
  path,
  message,
  suggestion,
}: Pick<Finding, 'path' | 'message' | 'suggestion'>): string {
  const mend = suggestion === undefined ? '' : ` (did you mean ${suggestion}?)`;
  return `${formatPath(path)}: ${message}${mend}`;
}

/** Maps are joined, all else is replaced. The reader has bounded the depth. */
function merge(below: unknown, above: unknown, depth: number): unknown {
  if (!isMap(below) || !isMap(above) || depth > DEPTH_MAX) return above;
  const joined: Fields = Object.assign(Object.create(null), below);
  for (const [key, value] of Object.entries(above)) {
    joined[key] = Object.hasOwn(joined, key) ? merge(joined[key], value, depth + 1) : value;
  }
  return joined;
}

const DEPTH_MAX = 64;

function isMap(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
