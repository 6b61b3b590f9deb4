import type { TextFormat } from './schema.ts';

const MS_PER_UNIT: ReadonlyMap<string, number> = new Map([
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
  ['ms', 1],
]);

/** Milliseconds: a year. Longer is a typing error, or meant as never. */
export const DURATION_MS_MAX = 8760 * 3_600_000;

/**
 * Istio's durations, which are Go's (`time.ParseDuration`) to the millisecond: `10s`, `1.5h`, `2m30s`, `250ms`.
 * Milliseconds, or undefined where `text` is none, has parts of a millisecond, or goes beyond a year.
 */
export function parseDurationMs(text: string): number | undefined {
  if (text === '0') return 0;
  if (text.length > 40 || !/^(?:\d{1,12}(?:\.\d{1,9})?(?:ms|h|m|s))+$/.test(text)) return undefined;
  let totalMs = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|h|m|s)/g)) {
    totalMs += Number(amount) * MS_PER_UNIT.get(unit!)!;
  }
  const ms = Math.round(totalMs);
  return Math.abs(totalMs - ms) > 1e-6 || ms > DURATION_MS_MAX ? undefined : ms;
}

/** A duration of at least 1ms. */
export const DURATION: TextFormat = {
  name: 'duration',
  example: '10s',
  check: (text) => {
    const ms = parseDurationMs(text);
    if (ms === undefined) return 'is not a duration such as 10s, 1m30s or 250ms (at most 8760h)';
    return ms === 0 ? 'is not at least 1ms' : undefined;
  },
};

/** A duration where 0 turns the thing off. */
export const DURATION_OR_OFF: TextFormat = {
  name: 'duration',
  example: '10s',
  check: (text) => (parseDurationMs(text) === 0 ? undefined : DURATION.check(text)),
};
