/**
 * Grammar of Envoy's substitution format strings:
 * text | `%%` | `%NAME%` | `%NAME(argument)%` | `%NAME(argument):length%`.
 */

export interface FormatText {
  readonly kind: 'text';
  readonly text: string;
}

export interface FormatCommand {
  readonly kind: 'command';
  readonly name: string;
  /** Between the parentheses, '' where there are none. */
  readonly argument: string;
  /** False tells `%REQ%` from `%REQ()%`. */
  readonly hasArgument: boolean;
  /** `:length`, -1 where there is none. */
  readonly lengthMax: number;
  /** Offset of its `%`, from 0. */
  readonly position: number;
}

export interface FormatProblem {
  readonly problem: string;
}

/** Characters of a format; a configuration that needs more is a mistake. */
const FORMAT_LENGTH_MAX = 16_384;

/** Longest cut a command may ask for; more than any header block holds. */
const COMMAND_LENGTH_MAX = 1_048_576;

/** The parts in order, or what is wrong and where. Takes linear time. */
export function parseFormat(
  source: string,
): readonly (FormatText | FormatCommand)[] | FormatProblem {
  if (source.length > FORMAT_LENGTH_MAX) {
    return {
      problem: `the format has ${source.length} characters, at most ${FORMAT_LENGTH_MAX} are taken`,
    };
  }
  const parts: (FormatText | FormatCommand)[] = [];
  let text = '';
  for (let at = 0; at < source.length; ) {
    const percent = source.indexOf('%', at);
    if (percent < 0) {
      text += source.slice(at);
      break;
    }
    text += source.slice(at, percent);
    if (source[percent + 1] === '%') {
      text += '%';
      at = percent + 2;
      continue;
    }
    COMMAND.lastIndex = percent;
    const match = COMMAND.exec(source);
    if (match === null) return { problem: malformed(source, percent) };
    if (text !== '') parts.push({ kind: 'text', text });
    text = '';
    const [whole, name, argument, length] = match;
    const lengthMax = length === undefined ? -1 : Number(length);
    if (lengthMax > COMMAND_LENGTH_MAX) {
      return {
        problem: `%${name}% at position ${percent}: the length ${length} is over ${COMMAND_LENGTH_MAX}`,
      };
    }
    parts.push({
      kind: 'command',
      name: name!,
      argument: argument ?? '',
      hasArgument: argument !== undefined,
      lengthMax,
      position: percent,
    });
    at = percent + whole.length;
  }
  if (text !== '') parts.push({ kind: 'text', text });
  return parts;
}

/** Sticky; every part stops at a character the next one cannot start with, so nothing is tried twice. */
const COMMAND = /%([A-Z0-9_]+)(?:\(([^)]*)\))?(?::(\d{1,10}))?%/y;

function malformed(source: string, position: number): string {
  const shown = JSON.stringify(source.slice(position, position + 24));
  return `${shown} at position ${position} is no command: write %NAME%, %NAME(argument)% or %NAME(argument):length%, and %% for a percent sign`;
}
