import { type Escaping, escapeAs } from './escape.ts';
import { compileOperator, type Operator } from './format-operators.ts';
import {
  type FormatCommand,
  type FormatProblem,
  type FormatText,
  parseFormat,
} from './format-parser.ts';
import type { RequestRecord } from './request-record.ts';

export type { FormatProblem };

/** A compiled substitution format string. `render` throws nothing. */
export interface Format {
  readonly source: string;
  /** True where the text holds no command and is the same for every request. */
  readonly constant: boolean;
  render(record: RequestRecord): string;
}

export interface FormatOptions {
  /** How values are made safe for where they go; literal text stays as written. Default `none`. */
  readonly escaping?: Escaping;
  /** What stands for an absent value; Envoy writes `-`. */
  readonly absent?: string;
}

/**
 * Compiles Envoy's `%COMMAND(argument):length%` syntax, for access logs and for header values
 * (TM-13). The problem names the command and its position from 0.
 *
 * ```ts
 * const format = compileFormat('%REQ(X-USER?USER-AGENT):32% from %DOWNSTREAM_REMOTE_ADDRESS%');
 * if ('problem' in format) … else format.render(record);
 * ```
 */
export function compileFormat(source: string, options: FormatOptions = {}): Format | FormatProblem {
  const parts = parseFormat(source);
  return 'problem' in parts ? parts : compileParts(source, parts, options);
}

/** The same from parts already parsed. Literal text is taken as it is. */
export function compileParts(
  source: string,
  parts: readonly (FormatText | FormatCommand)[],
  { escaping = 'none', absent = '-' }: FormatOptions,
): Format | FormatProblem {
  const renderers: Renderer[] = [];
  let constant = true;
  for (const part of parts) {
    if (part.kind === 'text') {
      const { text } = part;
      renderers.push(() => text);
      continue;
    }
    const operator = compileOperator(part);
    if ('problem' in operator) return operator;
    constant = false;
    renderers.push(renderer(operator, part.lengthMax, escaping, absent));
  }
  if (constant) {
    const text = parts.map((part) => (part.kind === 'text' ? part.text : '')).join('');
    return { source, constant, render: () => text };
  }
  return {
    source,
    constant,
    render(record) {
      let text = '';
      for (let at = 0; at < renderers.length; at += 1) text += renderers[at]!(record);
      return text;
    },
  };
}

type Renderer = (record: RequestRecord) => string;

/** The value cut (before escaping: the length is that of the value) and made safe. */
function renderer(
  operator: Operator,
  lengthMax: number,
  escaping: Escaping,
  absent: string,
): Renderer {
  if (operator.kind === 'number') {
    const { read } = operator;
    return (record) => {
      const value = read(record);
      if (value < 0) return absent;
      return lengthMax < 0 ? String(value) : String(value).slice(0, lengthMax);
    };
  }
  const { read } = operator;
  const safe = rememberLast((value) => escapeAs(escaping, cut(value, lengthMax)));
  return (record) => {
    const value = read(record);
    return value === '' ? absent : safe(value);
  };
}

/** The first `lengthMax` characters; all where it is negative. */
export function cut(value: string, lengthMax: number): string {
  return lengthMax >= 0 && value.length > lengthMax ? value.slice(0, lengthMax) : value;
}

/**
 * Most values of a request are those of the request before (method, host, cluster, …): comparing is
 * cheaper than looking through them again. For functions of a string alone.
 */
export function rememberLast(compute: (value: string) => string): (value: string) => string {
  let last = '';
  let lastResult = compute('');
  return (value) => {
    if (value !== last) {
      lastResult = compute(value);
      last = value;
    }
    return lastResult;
  };
}
