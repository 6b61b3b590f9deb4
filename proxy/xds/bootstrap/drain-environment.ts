import type { Variables } from './environment-variables.ts';

/** How a stop goes (OP-05, KI-03). */
export interface DrainTimes {
  /** Milliseconds that a stop waits for requests under way. */
  readonly drainMs: number;
  /** Milliseconds that it waits even where there are none. */
  readonly minimumMs: number;
}

export type ParsedDrainTimes =
  | { readonly ok: true; readonly times: DrainTimes }
  | { readonly ok: false; readonly problems: readonly string[] };

/** Istio's termination drain. */
const DRAIN_SECONDS = 5;
/** Istio's minimum where it exits on zero connections. */
const MINIMUM_SECONDS = 5;
/** What `--drain-time-s` takes at most. Whoever sends SIGTERM has a grace period of his own. */
const SECONDS_MAX = 86_400;

/**
 * `WEFT_DRAIN_TIME_S`, or Istio's `TERMINATION_DRAIN_DURATION_SECONDS`: seconds, default 5. With Istio's
 * `EXIT_ON_ZERO_ACTIVE_CONNECTIONS=true` a stop takes as long as there are connections, at least
 * `MINIMUM_DRAIN_DURATION` (`5s`).
 */
export function drainFromEnvironment(variables: Variables): ParsedDrainTimes {
  const problems: string[] = [];
  const seconds = (name: string): number | undefined => {
    const text = variables[name]?.trim() ?? '';
    if (text === '') return undefined;
    const value = Number(text);
    if (value >= 0 && value <= SECONDS_MAX) return value;
    problems.push(`${name}: "${text}" must be a number of seconds, 0 to ${SECONDS_MAX}`);
    return undefined;
  };
  const istio = seconds('TERMINATION_DRAIN_DURATION_SECONDS');
  const drainSeconds = seconds('WEFT_DRAIN_TIME_S') ?? istio ?? DRAIN_SECONDS;
  const zeroText = variables['EXIT_ON_ZERO_ACTIVE_CONNECTIONS']?.trim() ?? '';
  const untilZero = zeroText === 'true' || zeroText === '1';
  if (!['', 'true', 'false', '1', '0'].includes(zeroText)) {
    problems.push(`EXIT_ON_ZERO_ACTIVE_CONNECTIONS: "${zeroText}" is not one of true, false`);
  }
  const minimumText = variables['MINIMUM_DRAIN_DURATION']?.trim() || `${MINIMUM_SECONDS}s`;
  const minimumMs = durationMs(minimumText);
  if (minimumMs === undefined) {
    problems.push(`MINIMUM_DRAIN_DURATION: "${minimumText}" must be a duration such as 5s`);
  }
  if (problems.length > 0) return { ok: false, problems };
  const times = untilZero
    ? { drainMs: SECONDS_MAX * 1000, minimumMs: minimumMs ?? 0 }
    : { drainMs: drainSeconds * 1000, minimumMs: 0 };
  return { ok: true, times };
}

const UNIT_MS = new Map([
  ['ms', 1],
  ['s', 1000],
  ['m', 60_000],
  ['h', 3_600_000],
]);

/** `500ms`, `5s`, `2m`, `1h`. */
function durationMs(text: string): number | undefined {
  const match = /^(\d{1,6}(?:\.\d{1,3})?)(ms|s|m|h)$/.exec(text);
  return match === null ? undefined : Number(match[1]) * UNIT_MS.get(match[2]!)!;
}
