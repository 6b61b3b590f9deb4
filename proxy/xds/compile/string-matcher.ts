import type { StringMatcher as StringMatcherProto } from '../../../proto/gen/envoy/type/matcher/v3/string.ts';
import type { StringMatcher } from '../../router/route-config.ts';
import type { MessageReader } from './message-reader.ts';
import { compileRegexMatcher } from './regex-matcher.ts';

const SUPPORTED = 'exact, prefix, suffix, contains or safe_regex';

/** `envoy.type.matcher.v3.StringMatcher`. A matcher that matches nothing stands in after a problem. */
export function compileStringMatcher(reader: MessageReader<StringMatcherProto>): StringMatcher {
  const pattern = reader.oneof('matchPattern');
  const ignoreCase = reader.bool('ignoreCase');
  switch (pattern?.$case) {
    case 'exact':
    case 'prefix':
    case 'suffix':
    case 'contains':
      if (pattern.value === '' && pattern.$case !== 'exact') {
        reader.caseProblem(pattern, 'must not be empty');
      }
      return {
        kind: pattern.$case,
        value: ignoreCase ? pattern.value.toLowerCase() : pattern.value,
        ignoreCase,
      };
    case 'safeRegex': {
      if (ignoreCase) {
        reader.problem('ignoreCase', 'has no effect on safe_regex; write (?i) in the expression');
      }
      const regex = compileRegexMatcher(reader.caseReader(pattern));
      return { kind: 'regex', regex };
    }
    default:
      reader.unsupportedCase(pattern, SUPPORTED);
      return { kind: 'exact', value: '', ignoreCase: false };
  }
}
