import type { Duration } from './gen/google/protobuf/duration.ts';

/** Seconds: about 10 000 years, the bound of google/protobuf/duration.proto. */
export const DURATION_SECONDS_MAX = 315_576_000_000;

/** Milliseconds, with the fraction that the nanoseconds give. */
export function durationMs(duration: Duration): number {
  return duration.seconds * 1000 + duration.nanos / 1_000_000;
}

/** A Duration of `ms` milliseconds, rounded to a nanosecond; seconds and nanos share one sign. */
export function duration(ms: number): Duration {
  let seconds = Math.trunc(ms / 1000);
  let nanos = Math.round((ms - seconds * 1000) * 1_000_000);
  if (Math.abs(nanos) >= 1_000_000_000) {
    seconds += Math.sign(nanos);
    nanos = 0;
  }
  return { seconds: seconds + 0, nanos: nanos + 0 }; // + 0: never -0
}

/** proto3 JSON, `1.500s`; `undefined` where the text is none or out of bounds. */
export function parseDuration(text: string): Duration | undefined {
  const parts = /^(-?)(\d{1,12})(?:\.(\d{1,9}))?s$/.exec(text);
  if (parts === null) return undefined;
  const seconds = Number(parts[2]);
  const nanos = Number((parts[3] ?? '').padEnd(9, '0'));
  if (seconds > DURATION_SECONDS_MAX || (seconds === DURATION_SECONDS_MAX && nanos > 0))
    return undefined;
  const sign = parts[1] === '-' ? -1 : 1;
  return { seconds: sign * seconds + 0, nanos: sign * nanos + 0 };
}

/** proto3 JSON: no fraction, or three, six or nine digits of it. */
export function formatDuration({ seconds, nanos }: Duration): string {
  const sign = seconds < 0 || nanos < 0 ? '-' : '';
  return `${sign}${Math.abs(seconds)}${fraction(Math.abs(nanos))}s`;
}

/** `.5` → `.500`: the fraction of a second in the 0, 3, 6 or 9 digits of proto3 JSON. */
export function fraction(nanos: number): string {
  if (nanos === 0) return '';
  const digits = String(nanos).padStart(9, '0');
  if (nanos % 1_000_000 === 0) return `.${digits.slice(0, 3)}`;
  return nanos % 1000 === 0 ? `.${digits.slice(0, 6)}` : `.${digits}`;
}
