import { RE2JS } from 're2js';
import type { RegexMatcher } from '../../router/route-config.ts';

/** Characters of a pattern; stops megabyte patterns before they are parsed (A8.3). */
const PATTERN_LENGTH_MAX = 4096;
/** Instructions of the compiled program: Envoy warns from 100 on and refuses where configured. */
const PROGRAM_SIZE_MAX = 20_000;
/** Compiled patterns kept; a pattern stands in many routes and in every update of them. */
const CACHE_MAX = 2000;

const cache = new Map<string, RegexMatcher>();

/**
 * Compiles a regular expression with RE2 syntax and linear running time, or says why it cannot be used. The
 * whole value must match, as with Envoy's `safe_regex`.
 */
export function compileRegex(source: string): RegexMatcher | { readonly problem: string } {
  const known = cache.get(source);
  if (known !== undefined) return known;
  if (source === '') return { problem: 'the regular expression is empty' };
  if (source.length > PATTERN_LENGTH_MAX) {
    return { problem: `the regular expression is longer than ${PATTERN_LENGTH_MAX} characters` };
  }
  let program: RE2JS;
  try {
    program = RE2JS.compile(source);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { problem: `"${source}" is not an RE2 regular expression: ${reason}` };
  }
  if (program.programSize() > PROGRAM_SIZE_MAX) {
    return { problem: `the regular expression compiles to more than ${PROGRAM_SIZE_MAX} steps` };
  }
  const matcher = new Re2Matcher(source, program);
  if (cache.size >= CACHE_MAX) cache.delete(cache.keys().next().value!);
  cache.set(source, matcher);
  return matcher;
}

class Re2Matcher implements RegexMatcher {
  readonly source: string;
  readonly #program: RE2JS;
  /** The latest substitution and its parts: texts, and numbers of groups. */
  #substitution = '';
  #parts: readonly (string | number)[] = [];

  constructor(source: string, program: RE2JS) {
    this.source = source;
    this.#program = program;
  }

  matches(value: string): boolean {
    return this.#program.testExact(value);
  }

  replace(value: string, substitution: string): string {
    if (substitution !== this.#substitution) {
      this.#parts = substitutionParts(substitution);
      this.#substitution = substitution;
    }
    const parts = this.#parts;
    return this.#program.matcher(value).replaceAll((...groups: unknown[]) => {
      let text = '';
      for (const part of parts) {
        if (typeof part === 'string') text += part;
        else text += typeof groups[part] === 'string' ? groups[part] : '';
      }
      return text;
    });
  }

  /** Capture groups of the pattern, to check a substitution against. */
  get groups(): number {
    return this.#program.groupCount();
  }
}

/** `/v2\1` → `['/v2', 1]`. */
function substitutionParts(substitution: string): readonly (string | number)[] {
  const parts: (string | number)[] = [];
  let from = 0;
  for (let at = substitution.indexOf('\\'); at >= 0; at = substitution.indexOf('\\', from)) {
    parts.push(substitution.slice(from, at));
    const after = substitution[at + 1] ?? '';
    parts.push(/^\d$/.test(after) ? Number(after) : after);
    from = at + 2;
  }
  parts.push(substitution.slice(from));
  return parts;
}

/** Why a substitution cannot be used with a pattern, or ''. */
export function checkSubstitution(regex: RegexMatcher, substitution: string): string {
  const groups = regex instanceof Re2Matcher ? regex.groups : 9;
  for (const match of substitution.matchAll(/\\(.?)/g)) {
    const after = match[1]!;
    if (after === '\\') continue;
    if (!/^\d$/.test(after))
      return `"\\${after}" is not a group reference; use \\0 to \\9, or \\\\`;
    if (Number(after) > groups) return `\\${after} names no group; the pattern has ${groups}`;
  }
  return '';
}
