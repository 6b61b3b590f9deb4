import { type CaseResult, judge, targetText } from '../result.ts';
import { targetKey } from './document.ts';
import { numberText } from './number-text.ts';

/** Beyond its limit by more than this part, a target that was met is a regression; less is the noise of a machine. */
const TOLERANCE = 0.15;

/** One line for each target that the document calls met and that is now missed clearly. */
export function regressions(
  cases: readonly Pick<CaseResult, 'name' | 'rows'>[],
  markedMet: ReadonlySet<string>,
): string[] {
  return cases.flatMap(({ name, rows }) =>
    rows.flatMap((row) =>
      row.targets.flatMap((target) => {
        const text = targetText(target, row.unit);
        const { measured, missedBy } = judge(row, target);
        const worse = missedBy > TOLERANCE || Number.isNaN(missedBy);
        if (!markedMet.has(targetKey(name, row.name, text)) || !worse) return [];
        const now = numberText(measured?.median ?? Number.NaN);
        return [
          `${name}, ${row.name}: ${text} was met and is now ${now}, ${(missedBy * 100).toFixed(0)} % beyond it`,
        ];
      }),
    ),
  );
}
