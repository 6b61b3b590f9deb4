import { setHeader } from '../http/header-block.ts';
import type { RequestHead } from '../http/message.ts';
import { pathWithoutQuery } from './path-match.ts';
import type { RegexMatcher, RouteMatchConfig } from './route-config.ts';

/** How a path is to be rewritten; '' and null mean not at all. */
export interface PathRewrite {
  readonly prefixRewrite: string;
  readonly regexRewrite: { readonly regex: RegexMatcher; readonly substitution: string } | null;
}

/**
 * The rewritten path (TM-12): with a prefix rule the matched prefix is replaced, with an exact rule
 * the whole path, with a regular expression every match of it; the query is kept.
 */
export function rewritePath(
  path: string,
  match: RouteMatchConfig['path'],
  rewrite: PathRewrite,
): string {
  if (rewrite.regexRewrite !== null) {
    const bare = pathWithoutQuery(path);
    const { regex, substitution } = rewrite.regexRewrite;
    return regex.replace(bare, substitution) + path.slice(bare.length);
  }
  if (rewrite.prefixRewrite === '') return path;
  switch (match.kind) {
    case 'prefix':
    case 'exact':
    case 'pathSeparatedPrefix':
      return rewrite.prefixRewrite + path.slice(match.value.length);
    case 'regex':
      // Envoy replaces what the expression matched, which is the whole path.
      return rewrite.prefixRewrite + path.slice(pathWithoutQuery(path).length);
    case 'connect':
      return path;
  }
}

/** Rewrites the head's path in place and keeps the old one in `x-envoy-original-path`. */
export function applyPathRewrite(
  head: RequestHead,
  match: RouteMatchConfig['path'],
  rewrite: PathRewrite,
): void {
  if (rewrite.prefixRewrite === '' && rewrite.regexRewrite === null) return;
  const original = head.path;
  if (original === '' || original === '*') return;
  head.path = withLeadingSlash(rewritePath(original, match, rewrite));
  setHeader(head.headers, 'x-envoy-original-path', original);
}

/** A rewrite may leave nothing or something relative; origin-form needs the slash (RFC 9112 §3.2.1). */
function withLeadingSlash(path: string): string {
  return path.startsWith('/') ? path : `/${path}`;
}
