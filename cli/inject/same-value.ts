import { isMap } from '../../control-plane/injector/pod.ts';

/**
 * Whether two JSON values are equal; keys in any order. `loosely`: null, an empty map or list and an absent field are the
 * same, as they are to the Kubernetes API.
 */
export function sameValue(a: unknown, b: unknown, loosely = false): boolean {
  if (loosely && isNothing(a) && isNothing(b)) return true;
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((item, at) => sameValue(item, b[at], loosely));
  }
  if (!isMap(a) || !isMap(b)) return a === b;
  const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
  for (const key of keys) {
    if (!loosely && !(Object.hasOwn(a, key) && Object.hasOwn(b, key))) return false;
    if (!sameValue(a[key], b[key], loosely)) return false;
  }
  return true;
}

function isNothing(value: unknown): boolean {
  return value == null || (typeof value === 'object' && Object.keys(value).length === 0);
}
