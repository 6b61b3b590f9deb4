import { CommandError, ExitCode } from './exit-code.ts';

const UNITS_MS = new Map([
  ['ms', 1],
  ['s', 1000],
  ['m', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
]);

/** Milliseconds of `24h`, `1h30m`, `500ms`, `7d`. Throws CommandError that names the flag. */
export function durationFlagMs(flag: string, text: string): number {
  if (/^(\d{1,9}(\.\d{1,3})?(ms|s|m|h|d))+$/.test(text)) {
    let totalMs = 0;
    for (const [, count, , unit] of text.matchAll(/(\d+(\.\d+)?)(ms|s|m|h|d)/g)) {
      totalMs += Number(count) * UNITS_MS.get(unit!)!;
    }
    return totalMs;
  }
  throw new CommandError(
    `${flag} ${text} is no duration`,
    'write it as 90s, 1h30m or 7d',
    ExitCode.Usage,
  );
}
