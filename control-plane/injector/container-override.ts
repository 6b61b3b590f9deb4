import type { FieldPath, Fields } from '../kinds/schema.ts';
import { PROXY_UID } from './conflicts.ts';
import { type Container, isMap, mapOf, type PodProblem } from './pod.ts';
import { variableProblem } from './reserved-variables.ts';
import { isInjectedPath } from './volumes.ts';

/**
 * Merges the author's own container for the sidecar over ours, as Istio does (KI-07): maps field by field, lists of named
 * things by name, other lists whole. `image: auto` stands for the image of the mesh.
 */
export function mergeContainer(template: Container, own: Container): Container {
  const { name: _, image, ...fields } = own;
  const overlay = isOurs(image) ? fields : { ...fields, image };
  return { ...(merge(template, overlay) as Fields), name: template.name };
}

/**
 * What an author may not change: it would take the sidecar out of its own redirection, make another program of it, give it
 * rights, or go around the annotations that the mesh has `locked` (threat A8.8).
 */
export function overrideProblems(
  own: Container,
  path: FieldPath,
  locked: readonly string[],
): PodProblem[] {
  const problems: PodProblem[] = [];
  const refuse = (field: readonly string[], message: string) =>
    problems.push({ path: [...path, ...field], message });
  if (isSaid(own['command'])) {
    refuse(['command'], "may not be set: the sidecar's program is that of its image");
  }
  if (isSaid(own.args)) {
    refuse(
      ['args'],
      'may not be set: annotations say what the sidecar does, such as sidecar.weft.dev/logLevel',
    );
  }
  if (isSaid(own['envFrom'])) {
    refuse(['envFrom'], 'may not be set: it could hold what only injection sets; list them in env');
  }
  for (const [index, { name }] of (own.env ?? []).entries()) {
    const problem = name === DNS_CAPTURE ? IN_PROXY_METADATA : variableProblem(name);
    if (problem === '') continue;
    problems.push({ path: [...path, 'env', index, 'name'], message: `${name} ${problem}` });
  }
  for (const [index, { mountPath }] of (own.volumeMounts ?? []).entries()) {
    if (!isInjectedPath(mountPath)) continue;
    problems.push({
      path: [...path, 'volumeMounts', index, 'mountPath'],
      message: 'may not be there: it would hide what the sidecar runs or trusts',
    });
  }
  for (const { field, annotations } of SAID_BY_ANNOTATION) {
    const says = isSaid(own[field]) && !(field === 'image' && isOurs(own.image));
    const annotation = annotations.find((name) => locked.includes(name));
    if (!says || annotation === undefined) continue;
    refuse([field], `may not be set: the settings of the mesh lock ${annotation}`);
  }
  const context = mapOf(own.securityContext);
  for (const field of ['runAsUser', 'runAsGroup']) {
    if (!isSaid(context[field]) || context[field] === PROXY_UID) continue;
    refuse(['securityContext', field], `must be ${PROXY_UID}: redirection knows the sidecar by it`);
  }
  const rights = { privileged: true, allowPrivilegeEscalation: true, runAsNonRoot: false };
  for (const [field, wrong] of Object.entries(rights)) {
    if (context[field] === wrong) {
      refuse(['securityContext', field], `may not be ${wrong} for the sidecar`);
    }
  }
  const { add, drop } = mapOf(context['capabilities']);
  if (isSaid(add)) {
    refuse(['securityContext', 'capabilities', 'add'], 'may not be set: the sidecar needs none');
  }
  if (isSaid(drop) && !(Array.isArray(drop) && drop.includes('ALL'))) {
    refuse(['securityContext', 'capabilities', 'drop'], 'must hold ALL: the sidecar needs none');
  }
  return problems;
}

function isSaid(value: unknown): boolean {
  return value !== undefined && value !== null;
}

function isOurs(image: string | null | undefined): boolean {
  return !isSaid(image) || image === 'auto';
}

/** The redirection rules must be told as well. */
const DNS_CAPTURE = 'ISTIO_META_DNS_CAPTURE';
const IN_PROXY_METADATA = 'belongs in proxyMetadata of the annotation proxy.istio.io/config';

/** What a pod can also say by annotations, which may be locked. */
const SAID_BY_ANNOTATION: readonly { field: string; annotations: readonly string[] }[] = [
  { field: 'image', annotations: ['sidecar.istio.io/proxyImage'] },
  {
    field: 'resources',
    annotations: ['CPU', 'CPULimit', 'Memory', 'MemoryLimit'].map(
      (amount) => `sidecar.istio.io/proxy${amount}`,
    ),
  },
  { field: 'volumeMounts', annotations: ['sidecar.istio.io/userVolumeMount'] },
  { field: 'env', annotations: ['proxy.istio.io/config'] },
];

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
      // An empty field of YAML says nothing; taken for a deletion it would take the sidecar's user or rights away.
      if (value === null) continue;
      if (key === 'valueFrom' || key === 'value') replaceSource(merged, key, value);
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
