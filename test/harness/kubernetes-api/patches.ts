import { isDeepStrictEqual } from 'node:util';
import { mergePatch } from '../../../control-plane/api/json-value.ts';
import { ApiError, badRequest } from './api-error.ts';
import { copy, type Fields, isFields } from './fields.ts';

/** RFC 7396; the result has ordinary prototypes. */
export function applyMergePatch(target: unknown, patch: unknown): unknown {
  return JSON.parse(JSON.stringify(mergePatch(target, patch))) as unknown;
}

/** RFC 6902. Throws `ApiError` where an operation does not apply, as the API server does (422). */
export function applyJsonPatch(target: unknown, patch: unknown): unknown {
  if (!Array.isArray(patch)) throw badRequest('a JSON patch is a list of operations');
  const root = { value: copy(target) };
  for (const operation of patch as unknown[]) {
    if (!isFields(operation)) throw badRequest('an operation of a JSON patch is an object');
    root.value = applyOperation(root.value, operation);
  }
  return root.value;
}

function applyOperation(document: unknown, operation: Fields): unknown {
  const { op, path, from, value } = operation;
  switch (op) {
    case 'add':
      return insert(document, pointer(path), copy(value));
    case 'replace': {
      const at = pointer(path);
      if (at.length === 0) return copy(value);
      find(document, at);
      const [parent, name] = parentOf(document, at);
      if (Array.isArray(parent)) parent[Number(name)] = copy(value);
      else parent[name] = copy(value);
      return document;
    }
    case 'remove':
      remove(document, pointer(path));
      return document;
    case 'test':
      if (!isDeepStrictEqual(find(document, pointer(path)), value)) {
        throw unprocessable(`testing path ${String(path)} failed`);
      }
      return document;
    case 'copy':
      return insert(document, pointer(path), copy(find(document, pointer(from))));
    case 'move': {
      const moved = find(document, pointer(from));
      remove(document, pointer(from));
      return insert(document, pointer(path), moved);
    }
    default:
      throw badRequest(`unexpected JSON patch operation ${String(op)}`);
  }
}

function pointer(path: unknown): string[] {
  if (path === '') return [];
  if (typeof path !== 'string' || !path.startsWith('/')) {
    throw badRequest(`"${String(path)}" is not a JSON pointer`);
  }
  return path
    .slice(1)
    .split('/')
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
}

function find(document: unknown, path: readonly string[]): unknown {
  let here = document;
  for (const name of path) {
    if (Array.isArray(here) && /^(0|[1-9]\d*)$/.test(name) && Number(name) < here.length) {
      here = here[Number(name)];
    } else if (isFields(here) && Object.hasOwn(here, name)) here = here[name];
    else throw unprocessable(`the path /${path.join('/')} does not exist`);
  }
  return here;
}

function parentOf(document: unknown, path: readonly string[]): [Fields | unknown[], string] {
  const parent = find(document, path.slice(0, -1));
  if (!Array.isArray(parent) && !isFields(parent)) {
    throw unprocessable(`the path /${path.join('/')} is inside of a value that has no members`);
  }
  return [parent, path.at(-1)!];
}

function insert(document: unknown, path: readonly string[], value: unknown): unknown {
  if (path.length === 0) return value;
  const [parent, name] = parentOf(document, path);
  if (!Array.isArray(parent)) {
    parent[name] = value;
    return document;
  }
  const index = name === '-' ? parent.length : Number(name);
  if (!/^(-|0|[1-9]\d*)$/.test(name) || index > parent.length) {
    throw unprocessable(`index ${name} is outside of the list`);
  }
  parent.splice(index, 0, value);
  return document;
}

function remove(document: unknown, path: readonly string[]): void {
  find(document, path);
  const [parent, name] = parentOf(document, path);
  if (Array.isArray(parent)) parent.splice(Number(name), 1);
  else delete parent[name];
}

function unprocessable(message: string): ApiError {
  return new ApiError(
    422,
    'Invalid',
    `the server rejected our request due to an error in our request: ${message}`,
  );
}

/** Lists of objects that are merged by a key, by the list's name; the first key that the items have. */
const MERGE_KEYS: Readonly<Record<string, readonly string[]>> = {
  containers: ['name'],
  initContainers: ['name'],
  ephemeralContainers: ['name'],
  volumes: ['name'],
  env: ['name'],
  imagePullSecrets: ['name'],
  secrets: ['name'],
  volumeMounts: ['mountPath'],
  volumeDevices: ['devicePath'],
  ports: ['containerPort', 'port'],
  conditions: ['type'],
  hostAliases: ['ip'],
  topologySpreadConstraints: ['topologyKey'],
  ownerReferences: ['uid'],
  webhooks: ['name'],
  addresses: ['type'],
};
/** Lists of plain values that are sets. */
const SETS: ReadonlySet<string> = new Set(['finalizers']);

export function mergeKeyOf(name: string, items: readonly unknown[]): string | undefined {
  return MERGE_KEYS[name]?.find((key) =>
    items.every((item) => isFields(item) && item[key] !== undefined),
  );
}

/** Kubernetes' strategic merge patch with its directives, for the built-in kinds. */
export function applyStrategicPatch(target: unknown, patch: unknown): unknown {
  if (!isFields(patch)) return copy(patch);
  const base: Fields = isFields(target) ? { ...target } : {};
  if (patch['$patch'] === 'replace') {
    const { $patch: _directive, ...rest } = patch;
    return copy(rest);
  }
  const retained = patch['$retainKeys'];
  if (Array.isArray(retained)) {
    for (const name of Object.keys(base)) if (!retained.includes(name)) delete base[name];
  }
  for (const [name, value] of Object.entries(patch)) {
    if (name === '$retainKeys' || name.startsWith('$setElementOrder/')) continue;
    if (name.startsWith('$deleteFromPrimitiveList/')) {
      const field = name.slice('$deleteFromPrimitiveList/'.length);
      const gone = Array.isArray(value) ? value : [];
      base[field] = (Array.isArray(base[field]) ? base[field] : []).filter(
        (each: unknown) => !gone.includes(each),
      );
      continue;
    }
    if (value === null) delete base[name];
    else if (isFields(value)) {
      if (value['$patch'] === 'delete') delete base[name];
      else base[name] = applyStrategicPatch(base[name], value);
    } else if (Array.isArray(value)) {
      base[name] = mergeList(name, base[name], value, patch[`$setElementOrder/${name}`]);
    } else base[name] = value;
  }
  return base;
}

function mergeList(name: string, target: unknown, patch: unknown[], order: unknown): unknown[] {
  const old: unknown[] = Array.isArray(target) ? target : [];
  if (SETS.has(name)) return [...new Set([...old, ...patch])];
  const replaces = patch.some((item) => isFields(item) && item['$patch'] === 'replace');
  const plain = patch.filter((item) => !(isFields(item) && item['$patch'] === 'replace'));
  const key = replaces ? undefined : mergeKeyOf(name, [...old, ...plain]);
  if (key === undefined) return copy(plain);
  const merged = new Map(old.map((item) => [(item as Fields)[key], item]));
  for (const item of plain as Fields[]) {
    if (item['$patch'] === 'delete') merged.delete(item[key]);
    else merged.set(item[key], applyStrategicPatch(merged.get(item[key]), item));
  }
  const items = [...merged.values()];
  if (!Array.isArray(order)) return items;
  const rank = new Map(order.map((item, index) => [isFields(item) ? item[key] : item, index]));
  const rankOf = (item: unknown) => rank.get((item as Fields)[key]) ?? Number.MAX_SAFE_INTEGER;
  return items.sort((a, b) => rankOf(a) - rankOf(b));
}
