import type { Pace } from './bench.ts';
import { cpuTimeUs } from './cpu-time.ts';
import type { Figure } from './result.ts';

/** One of those that are measured in turn. */
export interface Contestant {
  readonly subject: string;
  /** The proxy's processes; what they start is counted with them. */
  readonly pids: readonly number[];
  /**
   * Loads it for `seconds` and says how much it did (requests, bytes, connections).
   * @throws {LoadFailed} where any of it went wrong
   */
  load(seconds: number): Promise<number>;
}

/** An error, a refused connection or a status that is not 2xx: the figure of such a round would say nothing. */
export class LoadFailed extends Error {
  readonly code = 'WEFT_BENCH_LOAD_FAILED';
}

/** Microseconds of CPU for each unit of work. */
export const cpuPerUnit = (cpuUs: number, units: number): number => cpuUs / units;
/** Units of work in a second of CPU. */
export const unitsPerCpuSecond = (cpuUs: number, units: number): number => (units / cpuUs) * 1e6;

/**
 * Warms every contestant up for `warmUpSeconds`, then measures A B C A B C …: a machine that is slower for a while is slower for all of them.
 * @throws {LoadFailed} naming the contestant
 */
export async function takeTurns(
  contestants: readonly Contestant[],
  pace: Pace,
  figure: (cpuUs: number, units: number) => number = cpuPerUnit,
): Promise<Figure[]> {
  // In turns like those that count: what happens at their ends, and while the others have theirs, is code to compile too.
  for (let warm = 0; warm < pace.warmUpSeconds; warm += pace.seconds) {
    for (const contestant of contestants) await loadOf(contestant, pace.seconds);
  }
  const rounds = contestants.map((): number[] => []);
  for (let round = 0; round < pace.rounds; round++) {
    for (const [index, contestant] of contestants.entries()) {
      const before = cpuTimeUs(contestant.pids);
      const units = await loadOf(contestant, pace.seconds);
      rounds[index]!.push(figure(cpuTimeUs(contestant.pids) - before, units));
    }
  }
  return contestants.map(({ subject }, index) => ({ subject, rounds: rounds[index]! }));
}

async function loadOf({ subject, load }: Contestant, seconds: number): Promise<number> {
  const units = await naming(subject, load(seconds));
  if (units > 0) return units;
  throw new LoadFailed(`${subject}: nothing was served in ${seconds} s`);
}

/** What goes wrong names whom it went wrong at. */
export async function naming<T>(subject: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw new LoadFailed(`${subject}: ${(error as Error).message}`, { cause: error });
  }
}
