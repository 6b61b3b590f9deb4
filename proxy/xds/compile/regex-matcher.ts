import type {
  RegexMatchAndSubstitute,
  RegexMatcher as RegexMatcherProto,
} from '../../../proto/gen/envoy/type/matcher/v3/regex.ts';
import type { RegexMatcher } from '../../router/route-config.ts';
import type { MessageReader } from './message-reader.ts';
import { checkSubstitution, compileRegex } from './regex.ts';

/** `envoy.type.matcher.v3.RegexMatcher`. */
export function compileRegexMatcher(reader: MessageReader<RegexMatcherProto>): RegexMatcher {
  const result = compileRegex(reader.string('regex'));
  if (!('problem' in result)) return result;
  reader.problem('regex', result.problem);
  return NEVER;
}

/** `envoy.type.matcher.v3.RegexMatchAndSubstitute`, as of `regex_rewrite`. */
export function compileRegexRewrite(reader: MessageReader<RegexMatchAndSubstitute>): {
  readonly regex: RegexMatcher;
  readonly substitution: string;
} {
  const pattern = reader.child('pattern');
  const substitution = reader.string('substitution');
  if (pattern === undefined) {
    reader.problem('pattern', 'must be set');
    return { regex: NEVER, substitution };
  }
  const regex = compileRegexMatcher(pattern);
  const problem = regex === NEVER ? '' : checkSubstitution(regex, substitution);
  if (problem !== '') reader.problem('substitution', problem);
  return { regex, substitution };
}

/** Stands in where a problem was reported; never reaches a live table. */
const NEVER: RegexMatcher = Object.freeze({
  source: '',
  matches: () => false,
  replace: (value: string) => value,
});
