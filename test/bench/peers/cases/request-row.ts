import { type Bench, SIDE_PACE, TARGET_PACE } from '../bench.ts';
import type { Row, Target } from '../result.ts';
import { type Contestant, takeTurns } from '../rounds.ts';

/** CPU time a request of those that take turns; a row with targets is measured for longer. */
export async function requestRow(
  bench: Bench,
  name: string,
  loaded: readonly Contestant[],
  targets: readonly Target[],
): Promise<Row> {
  const pace = targets.length > 0 ? TARGET_PACE : SIDE_PACE;
  return {
    name,
    unit: 'µs CPU/request',
    figures: await takeTurns(loaded, bench.pace(pace)),
    targets,
    remark: '',
  };
}
