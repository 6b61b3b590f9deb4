import type { QueryParameterMatcher } from './route-config.ts';
import { matchString } from './string-match.ts';

/**
 * Whether every matcher holds for the query of `path` (TM-04). As in Envoy the first value of a
 * repeated parameter counts, and names and values are compared as sent, not percent-decoded.
 */
export function matchQuery(matchers: readonly QueryParameterMatcher[], path: string): boolean {
  for (let at = 0; at < matchers.length; at++) {
    const matcher = matchers[at]!;
    const value = queryParameter(path, matcher.name);
    if (value === null || !matchString(matcher.value, value)) return false;
  }
  return true;
}

/** The first value of a query parameter, '' for a bare name, null where it is absent. */
export function queryParameter(path: string, name: string): string | null {
  let at = path.indexOf('?');
  if (at < 0) return null;
  const fragmentAt = path.indexOf('#', at);
  const queryEnd = fragmentAt < 0 ? path.length : fragmentAt;
  for (at++; at < queryEnd; ) {
    let pairEnd = path.indexOf('&', at);
    if (pairEnd < 0 || pairEnd > queryEnd) pairEnd = queryEnd;
    let nameEnd = path.indexOf('=', at);
    if (nameEnd < 0 || nameEnd > pairEnd) nameEnd = pairEnd;
    if (nameEnd - at === name.length && path.startsWith(name, at)) {
      return nameEnd === pairEnd ? '' : path.slice(nameEnd + 1, pairEnd);
    }
    at = pairEnd + 1;
  }
  return null;
}
