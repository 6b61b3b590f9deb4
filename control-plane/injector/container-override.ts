import type { FieldPath, Fields } from '../kinds/schema.ts';
import { PROXY_UID } from './conflicts.ts';
import { type Container, isMap, mapOf, type PodProblem } from './pod.ts';
import { RESERVED_VARIABLES } from './reserved-variables.ts';

/**
 * Merges the author's own container for the sidecar over ours, as Istio does (KI-07): maps field by field, lists of named
 * things by name, other lists whole. `image: auto` stands for the image of the mesh.
 */
export function mergeContainer(template: Container, own: Container): Container {
  const { name: _, image, ...fields } = own;
  const overlay = image === undefined || image === 'auto' ? fields : { ...fields, image };
  return { ...(merge(template, overlay) as Fields), name: template.name };
}

/** What an author may not change: it would take the sidecar out of its own redirection, or give it rights (threat A8.8). */
export function overrideProblems(own: Container, path: FieldPath): PodProblem[] {
  const problems: PodProblem[] = [];
  const refuse = (field: readonly string[], message: string) =>
    problems.push({ path: [...path, ...field], message });
  if (own['command'] !== undefined) {
    refuse(['command'], "may not be set: the sidecar's program is that of its image");
  }
  for (const [index, { name }] of (own.env ?? []).entries()) {
    if (!RESERVED_VARIABLES.has(name)) continue;
    problems.push({
      path: [...path, 'env', index, 'name'],
      message: `${name} is set by injection`,
    });
  }
  const context = mapOf(own.securityContext);
  for (const field of ['runAsUser', 'runAsGroup']) {
    if (context[field] === undefined || context[field] === PROXY_UID) continue;
    refuse(['securityContext', field], `must be ${PROXY_UID}: redirection knows the sidecar by it`);
  }
  const rights = { privileged: true, allowPrivilegeEscalation: true, runAsNonRoot: false };
  for (const [field, wrong] of Object.entries(rights)) {
    if (context[field] === wrong) {
      refuse(['securityContext', field], `may not be ${wrong} for the sidecar`);
    }
  }
  if (mapOf(context['capabilities'])['add'] !== undefined) {
    refuse(['securityContext', 'capabilities', 'add'], 'may not be set: the sidecar needs none');
  }
  return problems;
}

/** The keys that a strategic merge goes by. */
const MERGE_KEYS: Readonly<Record<string, string>> = {
  env: 'name',
  ports: 'containerPort',
  volumeMounts: 'mountPath',
  volumeDevices: 'devicePath',
};

function merge(base: unknown, overlay: unknown, field = ''): unknown {
  if (isMap(base) && isMap(overlay)) {
    const merged: Fields = { ...base };
    for (const [key, value] of Object.entries(overlay)) {
      if (value === null) delete merged[key];
      else if (key === 'valueFrom' || key === 'value') replaceSource(merged, key, value);
      else merged[key] = Object.hasOwn(merged, key) ? merge(merged[key], value, key) : value;
    }
    return merged;
  }
  const by = MERGE_KEYS[field];
  if (by === undefined || !Array.isArray(base) || !Array.isArray(overlay)) return overlay;
  const merged = [...base];
  for (const item of overlay) {
    const at = merged.findIndex((other) => isMap(other) && isMap(item) && other[by] === item[by]);
    if (at < 0) merged.push(item);
    else merged[at] = merge(merged[at], item);
  }
  return merged;
}

/** A variable has a value or a source, not both. */
function replaceSource(variable: Fields, key: 'value' | 'valueFrom', value: unknown): void {
  delete variable['value'];
  delete variable['valueFrom'];
  variable[key] = value;
}
