import { headerValues } from '../http/header-block.ts';
import type { RequestHead, ResponseHead } from '../http/message.ts';
import type { HeaderMatcher } from './route-config.ts';
import { matchString } from './string-match.ts';

/** Whether every matcher holds (TM-04: the fields of one match are ANDed). */
export function matchHeaders(matchers: readonly HeaderMatcher[], head: RequestHead): boolean {
  for (let at = 0; at < matchers.length; at++) {
    if (!matchHeader(matchers[at]!, head)) return false;
  }
  return true;
}

/**
 * envoy.config.route.v3.HeaderMatcher. The values of a repeated field are judged joined with `,`
 * (A2.4). An absent field matches nothing, inverted or not, except that `present` inverts to "is
 * absent" and that with `treat_missing_header_as_empty` it is there, and empty (Envoy's rules).
 */
function matchHeader(matcher: HeaderMatcher, head: RequestHead): boolean {
  return matchField(matcher, requestField(head, matcher.name));
}

/** The same of a response: whether any of the matchers holds (`retriable_headers`, RS-02). */
export function matchesAnyHeader(matchers: readonly HeaderMatcher[], head: ResponseHead): boolean {
  for (let at = 0; at < matchers.length; at++) {
    const matcher = matchers[at]!;
    const value =
      matcher.name === ':status' ? String(head.status) : headerValues(head.headers, matcher.name);
    if (matchField(matcher, value)) return true;
  }
  return false;
}

/** Of one value, or of a field that is not there. */
export function matchField(matcher: HeaderMatcher, field: string | null): boolean {
  let value = field;
  if (value === null) {
    if (!matcher.missingAsEmpty) return matcher.invert && matcher.value.kind === 'present';
    value = '';
  }
  return matchString(matcher.value, value) !== matcher.invert;
}

/** All values of a field or pseudo-header field, or null where the request has none. */
export function requestField(head: RequestHead, name: string): string | null {
  switch (name) {
    case ':method':
      return head.method;
    case ':path':
      return head.path;
    case ':authority':
    case 'host':
      return head.authority;
    case ':scheme':
      return head.scheme;
    default:
      return headerValues(head.headers, name);
  }
}
