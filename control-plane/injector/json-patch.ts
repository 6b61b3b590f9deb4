import { isDeepStrictEqual } from 'node:util';
import type { Fields } from '../kinds/schema.ts';
import { alignLists } from './list-alignment.ts';
import { isMap } from './pod.ts';

/** One operation of a JSON Patch, RFC 6902 §4; only these three are ever made. */
export type JsonPatchOperation =
  | { readonly op: 'add' | 'replace'; readonly path: string; readonly value: unknown }
  | { readonly op: 'remove'; readonly path: string };

/**
 * The operations that make `to` of `from`, in an order in which each applies: an admission response (KI-01). Small where
 * little changed: lists are compared by the names of their items. Parents that are absent are added whole.
 */
export function diffJson(from: unknown, to: unknown): JsonPatchOperation[] {
  const operations: JsonPatchOperation[] = [];
  diff(from, to, '', operations);
  return operations;
}

function diff(from: unknown, to: unknown, path: string, operations: JsonPatchOperation[]): void {
  if (Array.isArray(from) && Array.isArray(to)) diffLists(from, to, path, operations);
  else if (isMap(from) && isMap(to)) diffMaps(from, to, path, operations);
  else if (!isDeepStrictEqual(from, to)) operations.push({ op: 'replace', path, value: to });
}

function diffMaps(from: Fields, to: Fields, path: string, operations: JsonPatchOperation[]): void {
  for (const key of Object.keys(from)) {
    if (has(from, key) && !has(to, key))
      operations.push({ op: 'remove', path: `${path}/${escapePointer(key)}` });
  }
  for (const key of Object.keys(to)) {
    if (!has(to, key)) continue;
    const at = `${path}/${escapePointer(key)}`;
    if (has(from, key)) diff(from[key], to[key], at, operations);
    else operations.push({ op: 'add', path: at, value: to[key] });
  }
}

function diffLists(
  from: readonly unknown[],
  to: readonly unknown[],
  path: string,
  operations: JsonPatchOperation[],
): void {
  let index = 0;
  for (const step of alignLists(from, to)) {
    const at = `${path}/${index}`;
    if (step.kind === 'remove') {
      operations.push({ op: 'remove', path: at });
      continue;
    }
    if (step.kind === 'keep') diff(from[step.from], to[step.to], at, operations);
    else operations.push({ op: 'add', path: at, value: to[step.to] });
    index++;
  }
}

/** A field that is undefined is not there, as in JSON. */
function has(fields: Fields, key: string): boolean {
  return Object.hasOwn(fields, key) && fields[key] !== undefined;
}

/** RFC 6901 §3. */
function escapePointer(key: string): string {
  return key.replaceAll('~', '~0').replaceAll('/', '~1');
}
