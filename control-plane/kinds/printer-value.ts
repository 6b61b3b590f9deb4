import { humanDuration } from './human-duration.ts';
import type { PrinterColumn } from './kind.ts';
import type { Resource } from './resource.ts';

/** What a printer column shows of an object, undefined where the object has nothing there. */
export function printerValue(
  resource: Resource,
  { path, type }: PrinterColumn,
  nowMs: number,
): string | number | boolean | undefined {
  let value: unknown = resource;
  for (const step of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step))
      return undefined;
    value = (value as Record<string, unknown>)[step];
  }
  if (value === undefined || value === null) return undefined;
  if (type === 'date') {
    const atMs = Date.parse(String(value));
    return Number.isNaN(atMs) ? '<unknown>' : humanDuration(nowMs - atMs);
  }
  return typeof value === 'object' ? JSON.stringify(value) : (value as string | number | boolean);
}
