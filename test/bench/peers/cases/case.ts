import type { Bench } from '../bench.ts';
import type { ProgramName } from '../programs.ts';
import type { Row } from '../result.ts';

/** One subject of the benchmark; a file of this folder each. */
export interface BenchCase {
  /** What `ONLY=` knows it by. */
  readonly name: string;
  readonly title: string;
  /** Without these there is nothing to load or to measure: the case is left out, by name. */
  readonly needs: readonly ProgramName[];
  /** Those that are not on the machine are left out of the rows, by name. */
  readonly peers: readonly ProgramName[];
  /** Measured row by row, so that what is known is shown while the next is measured. */
  run(bench: Bench, onRow: (row: Row) => void): Promise<void>;
}
