import { readdirSync, readFileSync } from 'node:fs';

/** Linux hands out clock ticks of a hundredth of a second to every program, whatever the kernel's own tick is. */
const TICKS_PER_SECOND = 100;

interface ProcessTimes {
  readonly parent: number;
  /** Microseconds of user and system time: all threads, ended ones included, and children that were waited for. */
  readonly us: number;
}

/**
 * CPU time of processes and everything below them, in microseconds (proc(5): utime + stime + cutime + cstime). Its grain
 * is 10 ms, so a round should burn at least a second of it.
 */
export function cpuTimeUs(roots: readonly number[]): number {
  return processTree(roots).reduce((sum, pid) => sum + (readTimes(pid)?.us ?? 0), 0);
}

/** `roots` and all their descendants that are alive. */
export function processTree(roots: readonly number[]): number[] {
  const children = new Map<number, number[]>();
  for (const entry of readdirSync('/proc')) {
    const pid = Number(entry);
    const times = Number.isInteger(pid) ? readTimes(pid) : undefined;
    if (times === undefined) continue;
    const siblings = children.get(times.parent);
    if (siblings === undefined) children.set(times.parent, [pid]);
    else siblings.push(pid);
  }
  const tree = [...roots];
  for (const pid of tree) tree.push(...(children.get(pid) ?? []));
  return tree;
}

/** Undefined: it has ended. */
function readTimes(pid: number): ProcessTimes | undefined {
  try {
    return parseStat(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return undefined;
  }
}

/** The program's name, field 2, stands in parentheses and may hold blanks and parentheses itself. */
export function parseStat(text: string): ProcessTimes {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
  return { parent: Number(fields[1]), us: (ticks / TICKS_PER_SECOND) * 1e6 };
}
