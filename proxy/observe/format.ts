import { compileOperator, type Operator } from './format-operators.ts';
import { type FormatProblem, parseFormat } from './format-parser.ts';
import type { RequestRecord } from './request-record.ts';

/** A compiled substitution format string, for a header's value. `render` throws nothing. */
export interface Format {
  /** True where the text holds no command and is the same for every request. */
  readonly constant: boolean;
  render(record: RequestRecord): string;
}

export interface FormatOptions {
  /** What stands for an absent value; Envoy writes `-`. */
  readonly absent?: string;
}

/**
 * Compiles Envoy's `%COMMAND(argument):length%` syntax for header values (TM-13), which the codec makes
 * sure of; access logs have `line-format.ts`. The problem names the command and its position from 0.
 *
 * ```ts
 * const format = compileFormat('%REQ(X-USER?USER-AGENT):32% from %DOWNSTREAM_REMOTE_ADDRESS%');
 * if ('problem' in format) … else format.render(record);
 * ```
 */
export function compileFormat(
  source: string,
  { absent = '-' }: FormatOptions = {},
): Format | FormatProblem {
  const parts = parseFormat(source);
  if ('problem' in parts) return parts;
  const renderers: Renderer[] = [];
  for (const part of parts) {
    if (part.kind === 'text') {
      const { text } = part;
      renderers.push(() => text);
      continue;
    }
    const operator = compileOperator(part);
    if ('problem' in operator) return operator;
    renderers.push(renderer(operator, part.lengthMax, absent));
  }
  return {
    constant: parts.every(({ kind }) => kind === 'text'),
    render(record) {
      let text = '';
      for (let at = 0; at < renderers.length; at += 1) text += renderers[at]!(record);
      return text;
    },
  };
}

type Renderer = (record: RequestRecord) => string;

function renderer(operator: Operator, lengthMax: number, absent: string): Renderer {
  if (operator.kind === 'number') {
    const { read } = operator;
    return (record) => {
      const value = read(record);
      return value < 0 ? absent : cut(String(value), lengthMax);
    };
  }
  const { read } = operator;
  return (record) => {
    const value = read(record);
    return value === '' ? absent : cut(value, lengthMax);
  };
}

/** The first `lengthMax` characters; all where it is negative. */
export function cut(value: string, lengthMax: number): string {
  return lengthMax >= 0 && value.length > lengthMax ? value.slice(0, lengthMax) : value;
}
