import type {
  DeepPartial,
  RouteMatch,
} from '../../proto/gen/envoy/config/route/v3/route_components.ts';
import type { HTTPMatchRequest } from '../kinds/virtual-service.ts';
import {
  headerMatcher,
  headerMatchers,
  queryParameterMatchers,
  withoutHeaderMatchers,
} from './string-matcher.ts';

/** Every path: what a rule without `uri` matches. */
export const ANY_PATH: DeepPartial<RouteMatch> = {
  pathSpecifier: { $case: 'prefix', value: '/' },
};

/** The bytes of a tunnel: CONNECT. */
export const CONNECT: DeepPartial<RouteMatch> = {
  pathSpecifier: { $case: 'connectMatcher', value: {} },
};

/**
 * What of a match is asked of each request (TM-01, TM-03, TM-04); the caller's part (`sourceLabels`,
 * `sourceNamespace`, `gateways`, `port`) was decided before (TM-05).
 */
export function routeMatch(match: HTTPMatchRequest): DeepPartial<RouteMatch> {
  const headers = [
    ...headerMatchers(match.headers),
    ...withoutHeaderMatchers(match.withoutHeaders),
  ];
  if (match.method !== undefined) headers.push(headerMatcher(':method', match.method));
  if (match.authority !== undefined) headers.push(headerMatcher(':authority', match.authority));
  if (match.scheme !== undefined) headers.push(headerMatcher(':scheme', match.scheme));
  return {
    ...path(match),
    headers,
    queryParameters: queryParameterMatchers(match.queryParams),
  };
}

function path({ uri, ignoreUriCase }: HTTPMatchRequest): DeepPartial<RouteMatch> {
  if (uri?.regex !== undefined) {
    return { pathSpecifier: { $case: 'safeRegex', value: { regex: uri.regex } } };
  }
  // Says so only where it differs from the default, so that equal policies stay equal bytes.
  const caseSensitive = ignoreUriCase ? { caseSensitive: false } : {};
  if (uri?.exact !== undefined) {
    return { pathSpecifier: { $case: 'path', value: uri.exact }, ...caseSensitive };
  }
  if (uri?.prefix !== undefined) {
    // Istio's prefix is one of characters: `/foo` matches `/foobar` (TM-03).
    return { pathSpecifier: { $case: 'prefix', value: uri.prefix }, ...caseSensitive };
  }
  return ANY_PATH;
}

/** Matches every request, so that what follows it can never be reached. */
export function isCatchAll(match: DeepPartial<RouteMatch>): boolean {
  const specifier = match.pathSpecifier;
  return (
    specifier?.$case === 'prefix' &&
    specifier.value === '/' &&
    (match.headers ?? []).length === 0 &&
    (match.queryParameters ?? []).length === 0
  );
}
