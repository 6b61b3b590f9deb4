import { residentBytes } from '../../harness/resident-bytes.ts';
import { processTree } from './cpu-time.ts';

const SETTLE_STEP_MS = 1000;
const SETTLE_STEPS_MAX = 10;
/** Less than this in a step is no growth. */
const STILL_BYTES = 64 * 1024;

/** RssAnon of processes and all below them. */
export function privateBytes(pids: readonly number[]): number {
  return processTree(pids).reduce((sum, pid) => sum + residentBytes(pid, 'RssAnon'), 0);
}

/** Once it has stood still for a second, or after ten: collections run in their own time. */
export async function settledPrivateBytes(pids: readonly number[]): Promise<number> {
  let before = privateBytes(pids);
  for (let step = 0; step < SETTLE_STEPS_MAX; step++) {
    await new Promise((resolve) => setTimeout(resolve, SETTLE_STEP_MS));
    const now = privateBytes(pids);
    if (Math.abs(now - before) < STILL_BYTES) return now;
    before = now;
  }
  return before;
}
