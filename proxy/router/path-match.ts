import type { RouteMatchConfig } from './route-config.ts';

type PathMatch = RouteMatchConfig['path'];

/** The path without query and fragment: what path rules are compared with (TM-03). */
export function pathWithoutQuery(path: string): string {
  for (let at = 0; at < path.length; at++) {
    const code = path.charCodeAt(at);
    if (code === 0x3f /* ? */ || code === 0x23 /* # */) return path.slice(0, at);
  }
  return path;
}

/** Whether a path rule holds for a path that has no query. CONNECT rules are decided by the caller. */
export function matchPath(match: PathMatch, path: string): boolean {
  switch (match.kind) {
    case 'connect':
      return false;
    case 'regex':
      return match.regex.matches(path);
    case 'exact':
      return match.ignoreCase
        ? path.length === match.value.length && path.toLowerCase() === match.value.toLowerCase()
        : path === match.value;
    case 'prefix':
      return hasPrefix(path, match.value, match.ignoreCase);
    case 'pathSeparatedPrefix':
      return (
        hasPrefix(path, match.value, match.ignoreCase) &&
        (path.length === match.value.length || path.charCodeAt(match.value.length) === 0x2f)
      );
  }
}

function hasPrefix(path: string, prefix: string, ignoreCase: boolean): boolean {
  if (!ignoreCase) return path.startsWith(prefix);
  return path.slice(0, prefix.length).toLowerCase() === prefix.toLowerCase();
}
