import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';

/** Who runs where: the proxies have one core for themselves, everything else the other. */
export interface Cores {
  readonly proxy: number;
  readonly load: number;
}

/** Why nothing can be measured here, or the cores. */
export function chooseCores(allowed = allowedCores()): Cores | { readonly problem: string } {
  const [load, proxy] = allowed;
  if (load === undefined || proxy === undefined) {
    return {
      problem: `a benchmark needs two cores, one for the proxy and one for load and backend; this process may use ${allowed.length}`,
    };
  }
  return { load, proxy };
}

/** `Cpus_allowed_list` of this process: `0-3,8` → 0, 1, 2, 3, 8. */
export function allowedCores(status = readFileSync('/proc/self/status', 'utf8')): number[] {
  const list = /^Cpus_allowed_list:\s*(\S+)$/m.exec(status)?.[1];
  if (list === undefined) return [];
  return list.split(',').flatMap((range) => {
    const [from, to = from] = range.split('-').map(Number);
    if (from === undefined || to === undefined || Number.isNaN(from + to)) return [];
    return Array.from({ length: to - from + 1 }, (_, offset) => from + offset);
  });
}

/** Binds this process, and with it all that it starts, to the core of load and backends. */
export function stayOnCore(core: number): void {
  bindToCore(process.pid, core);
}

/** All threads of a process; what it starts from now on follows. */
export function bindToCore(pid: number, core: number): void {
  const { status, error, stderr } = spawnSync('taskset', ['-acp', `${core}`, `${pid}`], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`taskset: ${error?.message ?? stderr}`);
}

/** One line: processor, cores, memory, kernel. */
export function describeMachine(): string {
  const [first] = cpus();
  const gib = (totalmem() / 1024 ** 3).toFixed(0);
  return `${first?.model.trim() ?? 'unknown processor'}, ${cpus().length} cores, ${gib} GiB, Linux ${release()}`;
}
