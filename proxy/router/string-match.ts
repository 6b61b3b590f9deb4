import type { StringMatcher } from './route-config.ts';

/** Whether `value` satisfies the matcher (envoy.type.matcher.v3.StringMatcher, and the presence and range kinds of HeaderMatcher). */
export function matchString(matcher: StringMatcher, value: string): boolean {
  switch (matcher.kind) {
    case 'present':
      return true;
    case 'regex':
      return matcher.regex.matches(value);
    case 'range':
      return inRange(value, matcher.start, matcher.end);
    default:
      return matcher.ignoreCase
        ? matchText(matcher.kind, matcher.value.toLowerCase(), value.toLowerCase())
        : matchText(matcher.kind, matcher.value, value);
  }
}

function matchText(
  kind: 'exact' | 'prefix' | 'suffix' | 'contains',
  pattern: string,
  value: string,
): boolean {
  switch (kind) {
    case 'exact':
      return value === pattern;
    case 'prefix':
      return value.startsWith(pattern);
    case 'suffix':
      return value.endsWith(pattern);
    case 'contains':
      return value.includes(pattern);
  }
}

/** Base-10 integer in [start, end); the whole value must be the number (Int64Range). */
function inRange(value: string, start: number, end: number): boolean {
  const digitsAt = value.startsWith('-') || value.startsWith('+') ? 1 : 0;
  if (value.length === digitsAt || value.length > INTEGER_LENGTH_MAX) return false;
  for (let at = digitsAt; at < value.length; at++) {
    const digit = value.charCodeAt(at) - 0x30;
    if (digit < 0 || digit > 9) return false;
  }
  const number = Number(value);
  return number >= start && number < end;
}

/** Sign and the 19 digits of an int64. */
const INTEGER_LENGTH_MAX = 20;
