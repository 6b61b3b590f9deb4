import type { JsonPatchOperation } from './json-patch.ts';
import { isMap } from './pod.ts';

/** Applies a JSON Patch as RFC 6902 says, refusing what it refuses; for tests. */
export function applyJsonPatch(document: unknown, patch: readonly JsonPatchOperation[]): unknown {
  const root = { '': structuredClone(document) };
  for (const operation of patch) {
    const steps = ['', ...operation.path.split('/').slice(1)].map((step) =>
      step.replaceAll('~1', '/').replaceAll('~0', '~'),
    );
    let parent: unknown = root;
    for (const step of steps.slice(0, -1)) parent = child(parent, step, operation);
    apply(parent, steps.at(-1)!, operation);
  }
  return root[''];
}

function child(parent: unknown, step: string, operation: JsonPatchOperation): unknown {
  if (Array.isArray(parent) && Number(step) < parent.length) return parent[Number(step)];
  if (isMap(parent) && Object.hasOwn(parent, step)) return parent[step];
  throw new Error(`${operation.path} is not there`);
}

function apply(parent: unknown, step: string, operation: JsonPatchOperation): void {
  if (operation.op !== 'add') child(parent, step, operation);
  if (Array.isArray(parent)) {
    const index = step === '-' ? parent.length : Number(step);
    if (!(index <= parent.length)) throw new Error(`${operation.path} is beyond the list`);
    if (operation.op === 'remove') parent.splice(index, 1);
    else parent.splice(index, operation.op === 'add' ? 0 : 1, structuredClone(operation.value));
  } else if (isMap(parent)) {
    if (operation.op === 'remove') delete parent[step];
    else {
      const value = structuredClone(operation.value);
      const place = { value, enumerable: true, writable: true, configurable: true };
      Object.defineProperty(parent, step, place);
    }
  } else {
    throw new Error(`${operation.path} has no parent`);
  }
}
