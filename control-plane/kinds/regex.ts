import { RE2JS } from 're2js';
import type { TextFormat } from './schema.ts';

/** UTF-16 units of a pattern (threat A8.3). */
export const REGEX_CHARS_MAX = 1024;
/** Bound of `regexCost`, which bounds the compiled program, and with it the work per character of a request. */
export const REGEX_COST_MAX = 20_000;

/** RE2 syntax, as Istio and Envoy: linear time, no look-around, no back-references. */
export const REGEX: TextFormat = {
  name: 'regex',
  check: (pattern) => {
    if (pattern.length > REGEX_CHARS_MAX) return `has more than ${REGEX_CHARS_MAX} characters`;
    if (regexCost(pattern) > REGEX_COST_MAX) {
      return 'is too large once its counted repetitions are expanded; lower the counts';
    }
    try {
      RE2JS.compile(pattern);
      return undefined;
    } catch (error) {
      const detail = error instanceof Error ? error.message : String(error);
      return `is not a regular expression in RE2 syntax: ${detail.replace('error parsing regexp: ', '')}`;
    }
  },
  cost: regexCost,
};

/**
 * Bounds the instructions that a pattern compiles to (they are at most twice this), without compiling it: its length
 * times the largest product of nested counted repetitions. `(a{100}b{2}){10}` is 16 × 1000.
 */
export function regexCost(pattern: string): number {
  if (pattern.length > REGEX_CHARS_MAX) return REGEX_CHARS_MAX;
  const outer: number[] = [];
  let groupMax = 1; // largest product inside the group being read
  let atom = 1; // product inside the atom just read, which a following {n} multiplies
  for (const [token, low, high] of pattern.matchAll(
    /\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\{(\d{1,6})(?:,(\d{0,6}))?\}|./gs,
  )) {
    if (token === '(') {
      outer.push(groupMax);
      groupMax = 1;
      atom = 1;
    } else if (token === ')') {
      atom = groupMax;
      groupMax = Math.max(outer.pop() ?? 1, atom);
    } else if (low !== undefined) {
      atom *= Math.max(1, Number(low), Number(high ?? 0));
      groupMax = Math.max(groupMax, atom);
    } else if (token !== '*' && token !== '+' && token !== '?') {
      atom = 1;
    }
  }
  return pattern.length * Math.max(groupMax, ...outer);
}
