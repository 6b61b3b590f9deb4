import { isDeepStrictEqual } from 'node:util';
import type { KubernetesObject } from '../../../control-plane/kubernetes/kubernetes-object.ts';
import { ApiError } from './api-error.ts';
import { timestamp } from './defaults.ts';
import { copy, type Fields, isFields, list } from './fields.ts';
import { mergeKeyOf } from './patches.ts';

interface ManagedFields {
  readonly manager: string;
  readonly operation: string;
  readonly apiVersion: string;
  readonly time: string;
  readonly fieldsType: 'FieldsV1';
  readonly fieldsV1: Fields;
}

/** Owned by nobody. */
const UNOWNED = new Set(['apiVersion', 'kind', 'status', 'name', 'namespace']);

/**
 * Server-side apply: the manager's fields become what it applied; fields that it owned and no longer applies go, unless another
 * manager owns them. Throws 409 where another manager owns a field with another value and `force` is not given.
 */
export function serverSideApply(
  live: KubernetesObject | undefined,
  applied: Fields,
  manager: string,
  force: boolean,
): KubernetesObject {
  const base: Fields = live === undefined ? {} : (copy(live) as unknown as Fields);
  const entries = managedFields(live);
  const mine = entries.find((each) => each.manager === manager && each.operation === 'Apply');
  const others = entries.filter((each) => each !== mine);
  const owned = fieldSet(ownable(applied));
  if (!force) refuseConflicts(base, applied, others);
  const kept = new Set(others.flatMap((each) => leaves(each.fieldsV1)));
  const now = new Set(leaves(owned));
  for (const leaf of leaves(mine?.fieldsV1 ?? {})) {
    if (!now.has(leaf) && !kept.has(leaf)) removeAt(base, JSON.parse(leaf) as string[]);
  }
  const merged = mergeApplied('', base, applied) as Fields;
  const metadata = merged['metadata'] as Fields;
  metadata['managedFields'] = [
    ...others.map((each) => (force ? { ...each, fieldsV1: without(each.fieldsV1, owned) } : each)),
    {
      manager,
      operation: 'Apply',
      apiVersion: String(applied['apiVersion']),
      time: timestamp(),
      fieldsType: 'FieldsV1',
      fieldsV1: owned,
    },
  ];
  return merged as unknown as KubernetesObject;
}

function managedFields(live: KubernetesObject | undefined): ManagedFields[] {
  return live === undefined
    ? []
    : (list(live.metadata as unknown as Fields, 'managedFields') as ManagedFields[]);
}

function ownable(applied: Fields): Fields {
  const { apiVersion: _version, kind: _kind, ...rest } = applied;
  const metadata = isFields(rest['metadata']) ? { ...rest['metadata'] } : {};
  for (const name of UNOWNED) delete metadata[name];
  delete metadata['managedFields'];
  if (Object.keys(metadata).length > 0) return { ...rest, metadata };
  const { metadata: _empty, ...content } = rest;
  return content;
}

/** `FieldsV1`: `f:` fields, `k:` list items by key; a leaf is an empty object. */
function fieldSet(value: unknown): Fields {
  const set: Fields = {};
  if (!isFields(value)) return set;
  for (const [name, child] of Object.entries(value)) {
    const key = Array.isArray(child) ? mergeKeyOf(name, child) : undefined;
    if (isFields(child)) set[`f:${name}`] = fieldSet(child);
    else if (Array.isArray(child) && key !== undefined && child.length > 0) {
      set[`f:${name}`] = Object.fromEntries(
        (child as Fields[]).map((item) => [
          `k:${JSON.stringify({ [key]: item[key] })}`,
          { '.': {}, ...fieldSet(item) },
        ]),
      );
    } else set[`f:${name}`] = {};
  }
  return set;
}

/** Paths of the leaves, each as JSON, to be compared. */
function leaves(set: Fields, path: readonly string[] = []): string[] {
  const names = Object.keys(set).filter((name) => name !== '.');
  if (names.length === 0) return path.length === 0 ? [] : [JSON.stringify(path)];
  return names.flatMap((name) => leaves(set[name] as Fields, [...path, name]));
}

function without(set: Fields, gone: Fields): Fields {
  const left: Fields = {};
  for (const [name, child] of Object.entries(set)) {
    const other = gone[name];
    if (!isFields(other)) left[name] = child;
    else if (Object.keys(child as Fields).length > 0) {
      const rest = without(child as Fields, other);
      if (Object.keys(rest).length > 0) left[name] = rest;
    }
  }
  return left;
}

function refuseConflicts(live: Fields, applied: Fields, others: readonly ManagedFields[]): void {
  const causes: { reason: string; message: string; field: string }[] = [];
  for (const leaf of leaves(fieldSet(ownable(applied)))) {
    const path = JSON.parse(leaf) as string[];
    const owner = others.find((each) => leaves(each.fieldsV1).includes(leaf));
    if (owner === undefined || isDeepStrictEqual(valueAt(live, path), valueAt(applied, path)))
      continue;
    const field = path.map((part) => `.${part.slice(2)}`).join('');
    causes.push({
      reason: 'FieldManagerConflict',
      message: `conflict with "${owner.manager}"`,
      field,
    });
  }
  if (causes.length === 0) return;
  const told = causes.map(({ message, field }) => `${message}: ${field}`).join(', ');
  const plural = causes.length === 1 ? 'conflict' : 'conflicts';
  throw new ApiError(409, 'Conflict', `Apply failed with ${causes.length} ${plural}: ${told}`, {
    causes,
  });
}

function step(here: unknown, part: string): unknown {
  if (part.startsWith('f:')) return isFields(here) ? here[part.slice(2)] : undefined;
  const key = JSON.parse(part.slice(2)) as Fields;
  const [name, value] = Object.entries(key)[0]!;
  return Array.isArray(here)
    ? here.find((item) => isFields(item) && item[name] === value)
    : undefined;
}

function valueAt(root: unknown, path: readonly string[]): unknown {
  return path.reduce(step, root);
}

function removeAt(root: Fields, path: readonly string[]): void {
  const parent = valueAt(root, path.slice(0, -1));
  const last = path.at(-1)!;
  if (isFields(parent)) delete parent[last.slice(2)];
  else if (Array.isArray(parent)) {
    const gone = step(parent, last);
    if (gone !== undefined) parent.splice(parent.indexOf(gone), 1);
  }
}

function mergeApplied(name: string, live: unknown, applied: unknown): unknown {
  if (isFields(applied)) {
    const merged: Fields = isFields(live) ? { ...live } : {};
    for (const [field, value] of Object.entries(applied)) {
      merged[field] = mergeApplied(field, merged[field], value);
    }
    return merged;
  }
  if (!Array.isArray(applied)) return applied;
  const old: unknown[] = Array.isArray(live) ? live : [];
  const key = applied.length === 0 ? undefined : mergeKeyOf(name, [...old, ...applied]);
  if (key === undefined) return copy(applied);
  const items = new Map(old.map((item) => [(item as Fields)[key], item]));
  for (const item of applied as Fields[]) {
    items.set(item[key], mergeApplied('', items.get(item[key]), item));
  }
  return [...items.values()];
}
