import type { Fields } from '../kinds/schema.ts';
import type { AnnotationValue } from './annotation-value.ts';
import { isMap } from './pod.ts';
import { isInjectedPath } from './volumes.ts';

const CHARS_MAX = 65_536;

/** `{"name": {"emptyDir": {}}}`: volumes for the sidecar, by name. */
export function readUserVolumes(text: string): AnnotationValue<readonly Fields[]> {
  return readByName(text, 'volumes');
}

/** `{"name": {"mountPath": "/x"}}`: where the sidecar has them. */
export function readUserVolumeMounts(text: string): AnnotationValue<readonly Fields[]> {
  const read = readByName(text, 'volume mounts');
  if (!('value' in read)) return read;
  const right = read.value.every(({ mountPath }) => typeof mountPath === 'string');
  if (!right) return { wanted: 'volume mounts, each with a mountPath' };
  const hides = read.value.find(({ mountPath }) => isInjectedPath(mountPath));
  if (hides === undefined) return read;
  return { wanted: `elsewhere: ${hides['mountPath']} would hide what the sidecar runs or trusts` };
}

/** A list of maps with names, as Istio also takes it, or a map of them. */
function readByName(text: string, what: string): AnnotationValue<readonly Fields[]> {
  const wanted = `${what} as JSON, by name: {"name": {…}}`;
  if (text.length > CHARS_MAX) return { wanted };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { wanted };
  }
  const named = Array.isArray(value)
    ? value
    : isMap(value)
      ? Object.entries(value).map(([name, fields]) => (isMap(fields) ? { name, ...fields } : null))
      : [null];
  const right = named.every(
    (item) =>
      isMap(item) && typeof item['name'] === 'string' && /^[a-z0-9-]{1,63}$/.test(item['name']),
  );
  return right ? { value: named as Fields[] } : { wanted };
}
