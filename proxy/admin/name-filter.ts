import { RE2JS } from 're2js';

/** A pattern a person typed into a query: RE2 syntax, found anywhere in the name, linear time. */
export type NameFilter = (name: string) => boolean;

const PATTERN_LENGTH_MAX = 1_024;

/** '' and null match all; the problem is for a 400. */
export function compileNameFilter(
  pattern: string | null,
): NameFilter | { readonly problem: string } {
  if (pattern === null || pattern === '') return () => true;
  if (pattern.length > PATTERN_LENGTH_MAX) {
    return { problem: `the pattern is longer than ${PATTERN_LENGTH_MAX} characters` };
  }
  // Most filters are part of a name; the engine costs microseconds a name.
  if (/^[\w|-]+$/.test(pattern) && !pattern.includes('|')) return (name) => name.includes(pattern);
  try {
    const compiled = RE2JS.compile(pattern);
    return (name) => compiled.matcher(name).find();
  } catch (error) {
    return { problem: `'${pattern}' is no RE2 pattern: ${(error as Error).message}` };
  }
}
