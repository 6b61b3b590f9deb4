import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { cpuTimeUs, parseStat, processTree } from './cpu-time.ts';

const STAT = '12 (a (b) c) S 7 1 1 0 -1 4194304 100 0 0 0 250 50 30 20 20 0 11 0 100 1 2';

test('times of all threads and of children that ended are added, whatever the program is called', () => {
  expect(parseStat(STAT)).toEqual({ parent: 7, us: 3_500_000 });
});

test('this process has a CPU time, one that does not exist has none', () => {
  expect(cpuTimeUs([process.pid])).toBeGreaterThan(0);
  expect(cpuTimeUs([2 ** 30])).toBe(0);
});

test('children of children belong to the tree', async () => {
  const child = spawn('sh', ['-c', 'sleep 60 & echo $!; wait'], { detached: true });
  try {
    const [text] = (await once(child.stdout, 'data')) as [Buffer];
    expect(processTree([process.pid])).toContain(Number(`${text}`));
  } finally {
    process.kill(-child.pid!, 'SIGKILL');
  }
});
