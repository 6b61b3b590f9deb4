import { isMap } from './pod.ts';

/** JSON with the keys of every map in order: the API server and readers of files order fields as they like. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, of: unknown) =>
    isMap(of)
      ? Object.fromEntries(Object.entries(of).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
      : of,
  );
}
