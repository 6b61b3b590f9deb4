import type { Resource } from '../kinds/resource.ts';

/** Ties between policies: older first, then by namespace and name. */
export function byAge(a: Resource, b: Resource): number {
  return (
    compare(a.metadata.creationTimestamp, b.metadata.creationTimestamp) ||
    compare(a.metadata.namespace, b.metadata.namespace) ||
    compare(a.metadata.name, b.metadata.name)
  );
}

/** By code units, the same on every machine. RFC 3339 UTC stamps of one precision sort by time. */
export function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
