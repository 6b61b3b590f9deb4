/**
 * Path normalisation (TM-28, MeshConfig `pathNormalization`). The path is normalised once, before
 * routing and policy, and what routing and RBAC see is what the app gets (A2.3). Only the path is
 * touched, never the query.
 *
 * - `NONE`: the path as received.
 * - `BASE` (the default): RFC 3986 §6.2.2: dot segments removed (also spelt `%2e`), `\` becomes `/`,
 *   percent-encoded unreserved characters decoded. Envoy leaves the last one alone unless the
 *   character is a dot; we decode, because `/%61dmin` and `/admin` are the same resource to every app.
 * - `MERGE_SLASHES`: BASE, then `//` becomes `/`.
 * - `DECODE_AND_MERGE_SLASHES`: `%2F` and `%5C` (any case) decoded first, then MERGE_SLASHES.
 */
export type PathNormalisation = 'NONE' | 'BASE' | 'MERGE_SLASHES' | 'DECODE_AND_MERGE_SLASHES';

/**
 * The normalised path with its query, or null where the path cannot be normalised and the request
 * has to be answered 400: it does not begin with `/`, or holds `%00` or a `%` without two hex digits.
 * `*` and '' (OPTIONS and CONNECT) pass. The result normalises to itself.
 */
export function normalisePath(path: string, mode: PathNormalisation): string | null {
  if (mode === 'NONE' || path === '*' || path === '') return path;
  if (path.charCodeAt(0) !== SLASH) return null;
  const queryAt = path.indexOf('?');
  const pathEnd = queryAt < 0 ? path.length : queryAt;
  const mergeSlashes = mode !== 'BASE';
  if (isNormal(path, pathEnd, mergeSlashes)) return path;
  const decoded = decode(path, pathEnd, mode === 'DECODE_AND_MERGE_SLASHES');
  if (decoded === null) return null;
  const resolved = resolveSegments(decoded, mergeSlashes);
  return queryAt < 0 ? resolved : resolved + path.slice(queryAt);
}

const SLASH = 0x2f;
const BACKSLASH = 0x5c;
const PERCENT = 0x25;
const DOT = 0x2e;

/** True where there is nothing to do: no `%`, no `\`, no segment that begins with a dot, no `//`. */
function isNormal(path: string, end: number, mergeSlashes: boolean): boolean {
  let previous = 0;
  for (let at = 0; at < end; at++) {
    const code = path.charCodeAt(at);
    if (code === PERCENT || code === BACKSLASH) return false;
    if (previous === SLASH && (code === DOT || (mergeSlashes && code === SLASH))) return false;
    previous = code;
  }
  return true;
}

/** Decodes what the mode decodes and turns `\` into `/`; null for a bad or NUL escape. */
function decode(path: string, end: number, decodeSlashes: boolean): string | null {
  let out = '';
  let copied = 0;
  for (let at = 0; at < end; at++) {
    const code = path.charCodeAt(at);
    if (code === BACKSLASH) {
      out += `${path.slice(copied, at)}/`;
      copied = at + 1;
      continue;
    }
    if (code !== PERCENT) continue;
    const high = at + 2 < end ? hexDigit(path.charCodeAt(at + 1)) : -1;
    const low = at + 2 < end ? hexDigit(path.charCodeAt(at + 2)) : -1;
    if (high < 0 || low < 0) return null;
    const byte = high * 16 + low;
    if (byte === 0) return null;
    if (isUnreserved(byte)) {
      out += path.slice(copied, at) + String.fromCharCode(byte);
      copied = at + 3;
    } else if (decodeSlashes && (byte === SLASH || byte === BACKSLASH)) {
      out += `${path.slice(copied, at)}/`;
      copied = at + 3;
    }
    at += 2;
  }
  return out + path.slice(copied, end);
}

/** RFC 3986 §5.2.4 on an absolute path; with `mergeSlashes` empty segments but the last go too. */
function resolveSegments(path: string, mergeSlashes: boolean): string {
  const kept: string[] = [];
  const segments = path.split('/');
  const last = segments.length - 1;
  for (let at = 1; at <= last; at++) {
    const segment = segments[at]!;
    if (segment === '.' || segment === '..') {
      if (segment === '..') kept.pop();
      if (at === last) kept.push('');
    } else if (segment !== '' || at === last || !mergeSlashes) {
      kept.push(segment);
    }
  }
  return `/${kept.join('/')}`;
}

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

/** ALPHA / DIGIT / "-" / "." / "_" / "~" (RFC 3986 §2.3). */
function isUnreserved(byte: number): boolean {
  if (byte >= 0x30 && byte <= 0x39) return true;
  const lower = byte | 0x20;
  if (lower >= 0x61 && lower <= 0x7a) return true;
  return byte === 0x2d || byte === DOT || byte === 0x5f || byte === 0x7e;
}
