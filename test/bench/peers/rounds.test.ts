import { expect, test } from 'vitest';
import { LoadFailed, takeTurns, unitsPerCpuSecond } from './rounds.ts';

const PACE = { rounds: 3, seconds: 1, warmUpSeconds: 2 };

test('contestants are loaded in turns, those of warming up not counted', async () => {
  const calls: string[] = [];
  const contestant = (subject: string) => ({
    subject,
    pids: [process.pid],
    load: async (seconds: number) => {
      calls.push(`${subject}${seconds}`);
      return 10;
    },
  });
  const figures = await takeTurns([contestant('a'), contestant('b')], PACE);
  expect(calls).toEqual(['a1', 'b1', 'a1', 'b1', 'a1', 'b1', 'a1', 'b1', 'a1', 'b1']);
  expect(figures.map(({ subject, rounds }) => [subject, rounds.length])).toEqual([
    ['a', 3],
    ['b', 3],
  ]);
});

test('CPU that is burnt in a round is divided by what was served in it', async () => {
  const burner = {
    subject: 'burner',
    pids: [process.pid],
    load: async () => {
      const before = process.cpuUsage();
      for (let us = 0; us < 200_000; ) {
        const { user, system } = process.cpuUsage(before);
        us = user + system;
      }
      return 100;
    },
  };
  const [figure] = await takeTurns([burner], { ...PACE, rounds: 1 });
  // 200 ms over 100 units; the other threads of the test runner may add to it.
  expect(figure!.rounds[0]).toBeGreaterThan(1800);
});

test('bytes a second of CPU are the reciprocal', () => {
  expect(unitsPerCpuSecond(500_000, 1000)).toBe(2000);
});

test('a load that fails, or serves nothing, names whom it failed at', async () => {
  const failing = (load: () => Promise<number>) =>
    takeTurns([{ subject: 'nginx', pids: [], load }], PACE);
  await expect(failing(async () => 0)).rejects.toThrow('nginx: nothing was served in 1 s');
  const broken = failing(() => Promise.reject(new Error('3 answers that are not 2xx')));
  await expect(broken).rejects.toThrow(LoadFailed);
  await expect(broken).rejects.toThrow('nginx: 3 answers');
});
