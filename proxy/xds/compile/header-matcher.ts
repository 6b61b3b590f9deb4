import type {
  HeaderMatcher as HeaderMatcherProto,
  QueryParameterMatcher as QueryParameterMatcherProto,
} from '../../../proto/gen/envoy/config/route/v3/route_components.ts';
import type {
  HeaderMatcher,
  QueryParameterMatcher,
  StringMatcher,
} from '../../router/route-config.ts';
import type { MessageReader } from './message-reader.ts';
import { compileRegexMatcher } from './regex-matcher.ts';
import { compileStringMatcher } from './string-matcher.ts';

/** `envoy.config.route.v3.HeaderMatcher` (TM-04). `host` is matched as `:authority`, where it travels. */
export function compileHeaderMatcher(reader: MessageReader<HeaderMatcherProto>): HeaderMatcher {
  const written = reader.required('name').toLowerCase();
  const invertMatch = reader.bool('invertMatch');
  const set = reader.oneof('headerMatchSpecifier');
  // present_match: false is the negation of presence.
  const absent = set?.$case === 'presentMatch' && !set.value;
  return {
    name: written === 'host' ? ':authority' : written,
    value: headerValue(reader, set),
    invert: absent ? !invertMatch : invertMatch,
    missingAsEmpty: reader.bool('treatMissingHeaderAsEmpty'),
  };
}

function headerValue(
  reader: MessageReader<HeaderMatcherProto>,
  set: HeaderMatcherProto['headerMatchSpecifier'],
): StringMatcher {
  switch (set?.$case) {
    case undefined:
    case 'presentMatch':
      return { kind: 'present' }; // a matcher with a name only asks for presence
    case 'exactMatch':
      // Envoy lets the empty text of this old field match any value that is there.
      return { kind: set.value === '' ? 'prefix' : 'exact', value: set.value, ignoreCase: false };
    case 'prefixMatch':
    case 'suffixMatch':
    case 'containsMatch': {
      if (set.value === '') reader.caseProblem(set, 'must not be empty');
      const kind = DEPRECATED_KIND[set.$case];
      return { kind, value: set.value, ignoreCase: false };
    }
    case 'safeRegexMatch':
      return { kind: 'regex', regex: compileRegexMatcher(reader.caseReader(set)) };
    case 'stringMatch':
      return compileStringMatcher(reader.caseReader(set));
    case 'rangeMatch': {
      const range = reader.caseReader(set);
      const start = range.take('start');
      const end = range.take('end');
      if (start >= end) range.problem('end', `must be more than start, ${start}`);
      return { kind: 'range', start, end };
    }
    default:
      reader.unsupportedCase(set, 'string_match or present_match');
      return { kind: 'present' };
  }
}

const DEPRECATED_KIND = {
  prefixMatch: 'prefix',
  suffixMatch: 'suffix',
  containsMatch: 'contains',
} as const;

/** `envoy.config.route.v3.QueryParameterMatcher`. Presence of nothing else is the default. */
export function compileQueryParameterMatcher(
  reader: MessageReader<QueryParameterMatcherProto>,
): QueryParameterMatcher {
  const name = reader.required('name');
  const set = reader.oneof('queryParameterMatchSpecifier');
  switch (set?.$case) {
    case undefined:
      return { name, value: { kind: 'present' } };
    case 'presentMatch':
      if (!set.value) reader.caseProblem(set, 'must be true');
      return { name, value: { kind: 'present' } };
    case 'stringMatch':
      return { name, value: compileStringMatcher(reader.caseReader(set)) };
    default:
      reader.unsupportedCase(set, 'string_match or present_match');
      return { name, value: { kind: 'present' } };
  }
}
