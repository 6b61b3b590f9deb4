import { hostOfAuthority, portOfAuthority } from '../http/authority.ts';
import type { RequestHead } from '../http/message.ts';
import { pathWithoutQuery } from './path-match.ts';
import { rewritePath } from './rewrite.ts';
import type { RedirectConfig, RouteMatchConfig } from './route-config.ts';

/**
 * The `location` of a redirect (TM-10): each part is the request's unless the route sets it. A port
 * that is the scheme's default is left out; the query is kept unless the route strips it or brings
 * its own.
 */
export function redirectLocation(
  redirect: RedirectConfig,
  match: RouteMatchConfig['path'],
  head: RequestHead,
): string {
  const scheme = redirect.scheme === '' ? head.scheme : redirect.scheme;
  const source = redirect.host === '' ? head.authority : redirect.host;
  const host = hostOfAuthority(source);
  const port = redirectPort(redirect, scheme, source, head);
  return `${scheme}://${host}${port === 0 ? '' : `:${port}`}${redirectPath(redirect, match, head)}`;
}

/** 0 where none is to be shown. */
function redirectPort(
  redirect: RedirectConfig,
  scheme: string,
  source: string,
  head: RequestHead,
): number {
  const kept = portOfAuthority(source, 0);
  // The port that the client used belongs to the scheme that it used.
  const leftBehind = scheme !== head.scheme && kept === defaultPort(head.scheme);
  const port = redirect.port !== 0 ? redirect.port : leftBehind ? 0 : kept;
  return port === defaultPort(scheme) ? 0 : port;
}

function defaultPort(scheme: string): number {
  return scheme === 'https' ? 443 : 80;
}

function redirectPath(
  redirect: RedirectConfig,
  match: RouteMatchConfig['path'],
  head: RequestHead,
): string {
  const bare = pathWithoutQuery(head.path);
  const query = redirect.stripQuery ? '' : head.path.slice(bare.length);
  if (redirect.path !== '') {
    return redirect.path.includes('?') ? redirect.path : redirect.path + query;
  }
  return rewritePath(bare, match, redirect) + query;
}
