import { isMap } from '../../control-plane/injector/pod.ts';

/** How a file indents. */
export interface BlockStyle {
  /** Columns from a key to the keys below it. */
  readonly mapStep: number;
  /** Columns from a key to the dashes below it; 0 as kubectl writes. */
  readonly listStep: number;
}

/** `key: value` as lines of block YAML, the key at column `column`. */
export function pairLines(
  key: string,
  value: unknown,
  column: number,
  style: BlockStyle,
): string[] {
  const head = `${' '.repeat(column)}${scalarText(key)}:`;
  if (isInline(value)) return [`${head} ${inlineText(value)}`];
  const step = Array.isArray(value) ? style.listStep : style.mapStep;
  return [head, ...blockLines(value, column + step, style)];
}

/** A map or list that is not empty as lines of block YAML at column `column`. */
export function blockLines(value: unknown, column: number, style: BlockStyle): string[] {
  if (Array.isArray(value)) return value.flatMap((item) => itemLines(item, column, style));
  return Object.entries(value as object).flatMap(([key, of]) => pairLines(key, of, column, style));
}

/** `- item`, the dash at column `column`. */
export function itemLines(item: unknown, column: number, style: BlockStyle): string[] {
  const dash = `${' '.repeat(column)}- `;
  if (isInline(item)) return [`${dash}${inlineText(item)}`];
  const [first = '', ...rest] = blockLines(item, column + 2, style);
  return [`${dash}${first.slice(column + 2)}`, ...rest];
}

/** One line: a scalar, or JSON, which is flow YAML. */
export function inlineText(value: unknown): string {
  return typeof value === 'string' ? scalarText(value) : jsonText(value);
}

/** JSON with what YAML calls unprintable written as escapes. */
export function jsonText(value: unknown, indent = 0): string {
  return (JSON.stringify(value, null, indent) ?? 'null').replace(
    /[\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** Empty lists and maps have no block form. */
function isInline(value: unknown): boolean {
  if (Array.isArray(value)) return value.length === 0;
  return !isMap(value) || Object.keys(value).length === 0;
}

/**
 * Plain where every reader, YAML 1.1 ones like kubectl's among them, sees the same text: letters first, and no word
 * that means something else.
 */
function scalarText(text: string): string {
  const plain = /^[A-Za-z/][A-Za-z0-9 _./@-]*$/.test(text) && !text.endsWith(' ');
  const word = /^(y|n|yes|no|on|off|true|false|null|nan|inf)$/i.test(text);
  if (plain && !word) return text;
  // JSON inside of a string is easier to read without a backslash before each quote.
  const single = text.includes('"') && /^[\u0020-\u007e]*$/.test(text);
  return single ? `'${text.replaceAll("'", "''")}'` : jsonText(text);
}
