import { fraction } from './duration.ts';
import type { Timestamp } from './gen/google/protobuf/timestamp.ts';

/** Seconds since 1970: year 1 and year 9999, the bounds of google/protobuf/timestamp.proto. */
const SECONDS_MIN = -62_135_596_800;
const SECONDS_MAX = 253_402_300_799;

/** A Timestamp from milliseconds since 1970. */
export function timestamp(ms: number): Timestamp {
  const seconds = Math.floor(ms / 1000);
  return { seconds, nanos: Math.floor((ms - seconds * 1000) * 1_000_000) };
}

/** RFC 3339 with any offset, as proto3 JSON has it; `undefined` where the text is none or out of bounds. */
export function parseTimestamp(text: string): Timestamp | undefined {
  const parts =
    /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])(\d\d):(\d\d))$/.exec(
      text,
    );
  if (parts === null) return undefined;
  const [year, month, day, hour, minute, second] = parts.slice(1, 7).map(Number);
  const date = new Date(0);
  date.setUTCFullYear(year!, month! - 1, day);
  date.setUTCHours(hour!, minute, second);
  const given = [year, month! - 1, day, hour, minute, second];
  const kept = [
    date.getUTCFullYear(),
    date.getUTCMonth(),
    date.getUTCDate(),
    date.getUTCHours(),
    date.getUTCMinutes(),
    date.getUTCSeconds(),
  ];
  if (given.some((part, i) => part !== kept[i])) return undefined; // 30 February, 25:00
  const offsetHours = Number(parts[9] ?? 0);
  const offsetMinutes = Number(parts[10] ?? 0);
  if (offsetHours > 23 || offsetMinutes > 59) return undefined;
  const offsetSeconds = (parts[8] === '-' ? -60 : 60) * (offsetHours * 60 + offsetMinutes);
  const seconds = date.getTime() / 1000 - offsetSeconds;
  if (seconds < SECONDS_MIN || seconds > SECONDS_MAX) return undefined;
  return { seconds, nanos: Number((parts[7] ?? '').padEnd(9, '0')) };
}

/** RFC 3339 in UTC. Out-of-bounds seconds are held at the bounds. */
export function formatTimestamp({ seconds, nanos }: Timestamp): string {
  const held = Math.min(SECONDS_MAX, Math.max(SECONDS_MIN, seconds));
  const whole = new Date(held * 1000).toISOString().slice(0, 19);
  return `${whole}${fraction(nanos)}Z`;
}
