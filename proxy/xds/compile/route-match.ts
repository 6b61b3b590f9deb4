import type { RouteMatch } from '../../../proto/gen/envoy/config/route/v3/route_components.ts';
import type { RouteMatchConfig } from '../../router/route-config.ts';
import { compileHeaderMatcher, compileQueryParameterMatcher } from './header-matcher.ts';
import type { MessageReader } from './message-reader.ts';
import { compileRuntimeFraction, MILLION } from './percent.ts';
import { compileRegexMatcher } from './regex-matcher.ts';

/** `envoy.config.route.v3.RouteMatch` (TM-01, TM-03, TM-04). */
export function compileRouteMatch(reader: MessageReader<RouteMatch>): RouteMatchConfig {
  return {
    path: compilePath(reader),
    headers: reader.children('headers').map(compileHeaderMatcher),
    queryParameters: reader.children('queryParameters').map(compileQueryParameterMatcher),
    grpc: reader.child('grpc') !== undefined,
    fractionPerMillion: compileRuntimeFraction(reader.child('runtimeFraction'), MILLION),
  };
}

function compilePath(reader: MessageReader<RouteMatch>): RouteMatchConfig['path'] {
  const set = reader.oneof('pathSpecifier');
  const ignoreCase = !reader.bool('caseSensitive', true);
  const folded = (value: string): string => (ignoreCase ? value.toLowerCase() : value);
  switch (set?.$case) {
    case 'prefix':
      return { kind: 'prefix', value: folded(set.value), ignoreCase };
    case 'path':
      return { kind: 'exact', value: folded(set.value), ignoreCase };
    case 'pathSeparatedPrefix':
      if (!/^\/.*[^/]$/.test(set.value) || /[?#]/.test(set.value)) {
        reader.caseProblem(set, 'must start with "/", not end with it, and hold no "?" and no "#"');
      }
      return { kind: 'pathSeparatedPrefix', value: folded(set.value), ignoreCase };
    case 'safeRegex':
      return { kind: 'regex', regex: compileRegexMatcher(reader.caseReader(set)) };
    case 'connectMatcher':
      return { kind: 'connect' };
    default:
      reader.unsupportedCase(
        set,
        'prefix, path, path_separated_prefix, safe_regex or connect_matcher',
      );
      return { kind: 'exact', value: '', ignoreCase: false };
  }
}
