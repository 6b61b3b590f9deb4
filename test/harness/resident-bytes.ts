import { readFileSync } from 'node:fs';

/** A field of /proc/<pid>/status in bytes (`VmRSS`, `RssAnon`, `VmHWM`); 0 where there is no /proc. */
export function residentBytes(pid: number, field: 'VmRSS' | 'RssAnon' | 'VmHWM' = 'VmRSS'): number {
  try {
    const text = readFileSync(`/proc/${pid}/status`, 'utf8');
    return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}
