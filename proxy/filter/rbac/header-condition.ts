import type { HeaderBlock } from '../../http/header-block.ts';
import type { RequestHead } from '../../http/message.ts';
import { matchField, requestField } from '../../router/header-match.ts';
import type { HeaderMatcher, StringMatcher } from '../../router/route-config.ts';
import { matchString } from '../../router/string-match.ts';

/**
 * Whether a header condition holds where the sender may have given the field several values, in lines of their own or
 * with commas, in the hope that the rule looks at one and the app at another (A2.4). `certain`: the condition must hold
 * of every line, as an ALLOW rule needs; else it is enough that it holds of one value, however it was written, as a
 * DENY rule needs. A negation turns the one into the other.
 *
 * Envoy asks whether any one line matches, for ALLOW rules too.
 */
export function headerHolds(matcher: HeaderMatcher, head: RequestHead, certain: boolean): boolean {
  const { name, value, invert } = matcher;
  const whole = requestField(head, name);
  const isOne = whole === null || name.startsWith(':') || !whole.includes(',');
  if (isOne || value.kind === 'present') return matchField(matcher, whole);
  const matches =
    certain === invert
      ? someValueMatches(value, whole, head.headers, name)
      : everyLineMatches(value, head.headers, name);
  return matches !== invert;
}

function everyLineMatches(matcher: StringMatcher, headers: HeaderBlock, name: string): boolean {
  for (let at = 0; at < headers.length; at += 2) {
    if (headers[at] === name && !matchString(matcher, headers[at + 1]!)) return false;
  }
  return true;
}

function someValueMatches(
  matcher: StringMatcher,
  whole: string,
  headers: HeaderBlock,
  name: string,
): boolean {
  if (matchString(matcher, whole)) return true;
  for (let at = 0; at < headers.length; at += 2) {
    if (headers[at] === name && matchString(matcher, headers[at + 1]!)) return true;
  }
  const members = whole.split(',', MEMBERS_MAX + 1);
  // So many that looking at each would cost more than the request: what was not looked at may match.
  if (members.length > MEMBERS_MAX) return true;
  return members.some((member) => matchString(matcher, member.trim()));
}

const MEMBERS_MAX = 100;
