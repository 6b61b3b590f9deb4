import type {
  DeepPartial,
  HeaderMatcher,
  QueryParameterMatcher,
} from '../../proto/gen/envoy/config/route/v3/route_components.ts';
import type { StringMatcher } from '../../proto/gen/envoy/type/matcher/v3/string.ts';
import type { StringMatch, StringMatchMap } from '../kinds/virtual-service.ts';

/** TM-04. Null where the match asks for presence only: no field set. */
function stringMatcher(match: StringMatch): DeepPartial<StringMatcher> | null {
  if (match.exact !== undefined) return { matchPattern: { $case: 'exact', value: match.exact } };
  if (match.prefix !== undefined) return { matchPattern: { $case: 'prefix', value: match.prefix } };
  if (match.regex !== undefined) {
    return { matchPattern: { $case: 'safeRegex', value: { regex: match.regex } } };
  }
  return null;
}

/** `headers`: each must match. */
export function headerMatchers(headers: StringMatchMap): DeepPartial<HeaderMatcher>[] {
  return Object.entries(headers).map(([name, match]) => headerMatcher(name, match));
}

/** `withoutHeaders`: none may match; a header that is absent does not match. */
export function withoutHeaderMatchers(headers: StringMatchMap): DeepPartial<HeaderMatcher>[] {
  return Object.entries(headers).map(([name, match]) => {
    const matcher = { ...headerMatcher(name, match), invertMatch: true };
    // Without this a missing header would satisfy neither the match nor its inversion.
    if (stringMatcher(match) !== null) matcher.treatMissingHeaderAsEmpty = true;
    return matcher;
  });
}

export function headerMatcher(name: string, match: StringMatch): DeepPartial<HeaderMatcher> {
  const value = stringMatcher(match);
  return {
    name: name.toLowerCase(),
    headerMatchSpecifier:
      value === null ? { $case: 'presentMatch', value: true } : { $case: 'stringMatch', value },
  };
}

export function queryParameterMatchers(
  parameters: StringMatchMap,
): DeepPartial<QueryParameterMatcher>[] {
  return Object.entries(parameters).map(([name, match]) => {
    const value = stringMatcher(match);
    return {
      name,
      queryParameterMatchSpecifier:
        value === null ? { $case: 'presentMatch', value: true } : { $case: 'stringMatch', value },
    };
  });
}
