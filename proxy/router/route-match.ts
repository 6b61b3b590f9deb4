import { isGrpcContent } from '../http/grpc-content-type.ts';
import type { RequestHead } from '../http/message.ts';
import { matchHeaders } from './header-match.ts';
import { matchPath } from './path-match.ts';
import { matchQuery } from './query-match.ts';
import type { RouteMatchConfig } from './route-config.ts';

/**
 * Whether every part of a route's match holds (TM-01, TM-03, TM-04). `path` is that of `head` without its query;
 * `random` is drawn from where all but the fraction holds and the fraction is not the whole.
 */
export function matchesRoute(
  match: RouteMatchConfig,
  head: RequestHead,
  path: string,
  random: () => number,
): boolean {
  if (head.upgrade === 'connect') {
    // A CONNECT request has no path: only a connect rule can mean it.
    if (match.path.kind !== 'connect') return false;
  } else if (!matchPath(match.path, path)) {
    return false;
  }
  if (match.grpc && !isGrpcContent(head.headers)) return false;
  if (match.headers.length > 0 && !matchHeaders(match.headers, head)) return false;
  if (match.queryParameters.length > 0 && !matchQuery(match.queryParameters, head.path)) {
    return false;
  }
  return match.fractionPerMillion >= 1_000_000 || random() * 1_000_000 < match.fractionPerMillion;
}
