/** One thing wrong with what somebody wrote, with all that they need to find and mend it. */
export interface Problem {
  /** As given by the caller: a path, `-` for standard input, or what else names the text. */
  readonly file: string;
  /** From 1; 0 where the text has no positions. */
  readonly line: number;
  readonly column: number;
  /** `spec.http[0].route[0].weight`; empty where the text itself is at fault. */
  readonly path: string;
  readonly message: string;
  /** The right spelling, where one is near. */
  readonly suggestion?: string;
  readonly code: ProblemCode;
}

export type ProblemCode =
  | 'syntax'
  | 'unsupportedKind'
  | 'unknownField'
  | 'unsupportedField'
  | 'unsupportedValue'
  | 'required'
  | 'invalid'
  | 'tooLarge';

/** `bad.yaml:7:13: spec.http[0].timeout: must be a duration such as 10s`: the form that editors can jump from. */
export function formatProblem(problem: Problem): string {
  const at = problem.line > 0 ? `${problem.file}:${problem.line}:${problem.column}` : problem.file;
  const where = problem.path === '' ? '' : `${problem.path}: `;
  const suggestion =
    problem.suggestion === undefined ? '' : ` (did you mean ${problem.suggestion}?)`;
  return `${at}: ${where}${problem.message}${suggestion}`;
}

/** `['spec', 'http', 0, 'headers', 'end-user']` → `spec.http[0].headers[end-user]`. */
export function formatPath(path: readonly (string | number)[]): string {
  let text = '';
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`;
    else if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(step)) text += text === '' ? step : `.${step}`;
    else text += `[${printable(step)}]`;
  }
  return text;
}

/** What a message repeats of foreign text: one line, no control characters, bounded. */
export function printable(text: string, charsMax = 80): string {
  const cut = text.length > charsMax ? `${text.slice(0, charsMax)}…` : text;
  return cut.replace(
    /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
