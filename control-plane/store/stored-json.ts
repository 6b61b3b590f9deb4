import type { Resource } from '../kinds/resource.ts';

/**
 * An object of the store from its JSON: frozen, and without prototypes, so that a label called `constructor` is a label
 * and the absence of one is undefined.
 */
export function parseStored(json: string): Resource {
  return JSON.parse(json, withoutPrototype) as Resource;
}

function withoutPrototype(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return Object.freeze(value);
  const copy: Record<string, unknown> = Object.create(null);
  for (const [name, item] of Object.entries(value)) copy[name] = item;
  return Object.freeze(copy);
}
