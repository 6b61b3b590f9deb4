import { readFileSync } from 'node:fs';

/** Share of the descriptors that downstream connections may take: each may need an upstream one beside it. */
const DOWNSTREAM_SHARE = 0.4;

/**
 * Connections that all listeners together may hold, by the process's limit of open files (D13, A1.5): the rest is for
 * upstream connections, the admin port, logs and the control plane. Without /proc it is not known, and not bounded.
 */
export function connectionsByOpenFiles(limits: string = readLimits()): number {
  const soft = Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? Number.POSITIVE_INFINITY);
  return Math.max(1, Math.floor(soft * DOWNSTREAM_SHARE));
}

function readLimits(): string {
  try {
    return readFileSync('/proc/self/limits', 'utf8');
  } catch {
    return '';
  }
}
