import type { FormatProblem } from './format-parser.ts';

/**
 * `%START_TIME(pattern)%`: strftime in UTC with Envoy's additions `%f` (nanoseconds, nine digits),
 * `%Nf` (N digits), `%s` (seconds since the epoch), `%E3S`, `%E*S` (seconds with a fraction).
 */
export type TimeFormat = (epochMs: number) => string;

/** Envoy's default, `%Y-%m-%dT%H:%M:%E3SZ`. */
export function isoTime(epochMs: number): string {
  const wholeMs = Math.floor(epochMs);
  if (wholeMs !== lastMs) {
    const ms = wholeMs - lastSecondMs;
    // Also where it is no number, which no comparison holds for.
    if (!(ms >= 0 && ms < 1000)) return anotherSecond(wholeMs);
    lastMs = wholeMs;
    lastIso = lastSecond + MILLISECONDS[ms]!;
  }
  return lastIso;
}

function anotherSecond(wholeMs: number): string {
  lastIso = new Date(wholeMs).toISOString();
  lastMs = wholeMs;
  lastSecondMs = Math.floor(wholeMs / 1000) * 1000;
  lastSecond = lastIso.slice(0, -4);
  return lastIso;
}

/** The requests of one turn of the event loop share a moment, those of many turns a second. */
let lastMs = Number.NaN;
let lastIso = '';
let lastSecondMs = Number.NaN;
/** Up to the point. */
let lastSecond = '';
const MILLISECONDS = Array.from({ length: 1000 }, (_, ms) => `${String(ms).padStart(3, '0')}Z`);

/** '' stands for the default. */
export function compileTimeFormat(pattern: string): TimeFormat | FormatProblem {
  if (pattern === '') return isoTime;
  const parts: ((date: Date, epochMs: number) => string)[] = [];
  let literal = '';
  for (let at = 0; at < pattern.length; ) {
    if (pattern[at] !== '%') {
      literal += pattern[at];
      at += 1;
      continue;
    }
    SPECIFIER.lastIndex = at;
    const match = SPECIFIER.exec(pattern);
    const part = match === null ? undefined : specifier(match[1]!);
    if (part === undefined) {
      const shown = pattern.slice(at, at + 2);
      return {
        problem: `the time pattern '${pattern}' holds '${shown}', which is none of ${KNOWN}`,
      };
    }
    if (literal !== '') parts.push(constant(literal));
    literal = '';
    parts.push(part);
    at += match![0].length;
  }
  if (literal !== '') parts.push(constant(literal));
  return (epochMs) => {
    const date = new Date(epochMs);
    let text = '';
    for (const part of parts) text += part(date, epochMs);
    return text;
  };
}

const SPECIFIER = /%(E[0-9*]S|[1-9]f|[a-zA-Z%])/y;
const KNOWN =
  '%Y %y %m %d %e %H %I %M %S %p %j %a %A %b %B %T %F %D %R %Z %z %s %f %1f-%9f %E3S %%';

function specifier(name: string): ((date: Date, epochMs: number) => string) | undefined {
  const digits = /^(\d)f$/.exec(name)?.[1];
  if (digits !== undefined) return (_, epochMs) => fraction(epochMs, Number(digits));
  const second = /^E([0-9*])S$/.exec(name)?.[1];
  if (second === '0') return SPECIFIERS.get('S');
  if (second !== undefined) {
    const count = second === '*' ? 3 : Number(second);
    return (date, epochMs) => `${two(date.getUTCSeconds())}.${fraction(epochMs, count)}`;
  }
  return SPECIFIERS.get(name);
}

const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const MONTHS =
  'January February March April May June July August September October November December'.split(
    ' ',
  );

const SPECIFIERS: ReadonlyMap<string, (date: Date, epochMs: number) => string> = new Map<
  string,
  (date: Date, epochMs: number) => string
>([
  ['Y', (date) => String(date.getUTCFullYear()).padStart(4, '0')],
  ['y', (date) => two(date.getUTCFullYear() % 100)],
  ['m', (date) => two(date.getUTCMonth() + 1)],
  ['d', (date) => two(date.getUTCDate())],
  ['e', (date) => String(date.getUTCDate()).padStart(2, ' ')],
  ['H', (date) => two(date.getUTCHours())],
  ['I', (date) => two(date.getUTCHours() % 12 || 12)],
  ['M', (date) => two(date.getUTCMinutes())],
  ['S', (date) => two(date.getUTCSeconds())],
  ['p', (date) => (date.getUTCHours() < 12 ? 'AM' : 'PM')],
  ['j', (date) => String(dayOfYear(date)).padStart(3, '0')],
  ['a', (date) => DAYS[date.getUTCDay()]!.slice(0, 3)],
  ['A', (date) => DAYS[date.getUTCDay()]!],
  ['b', (date) => MONTHS[date.getUTCMonth()]!.slice(0, 3)],
  ['B', (date) => MONTHS[date.getUTCMonth()]!],
  ['T', (date) => date.toISOString().slice(11, 19)],
  ['F', (date) => date.toISOString().slice(0, 10)],
  [
    'D',
    (date) =>
      `${two(date.getUTCMonth() + 1)}/${two(date.getUTCDate())}/${two(date.getUTCFullYear() % 100)}`,
  ],
  ['R', (date) => date.toISOString().slice(11, 16)],
  ['Z', () => 'UTC'],
  ['z', () => '+0000'],
  ['s', (_, epochMs) => String(Math.floor(epochMs / 1000))],
  ['f', (_, epochMs) => fraction(epochMs, 9)],
  ['%', () => '%'],
]);

function fraction(epochMs: number, digits: number): string {
  const ms = Math.floor(epochMs - Math.floor(epochMs / 1000) * 1000);
  return String(ms).padStart(3, '0').padEnd(9, '0').slice(0, digits);
}

function dayOfYear(date: Date): number {
  const yearStart = Date.UTC(date.getUTCFullYear(), 0, 1);
  return Math.floor((date.getTime() - yearStart) / 86_400_000) + 1;
}

function two(value: number): string {
  return String(value).padStart(2, '0');
}

function constant(text: string): () => string {
  return () => text;
}
