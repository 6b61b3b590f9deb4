import {
  FLOOD_CONTINUATION,
  FLOOD_EMPTY_DATA,
  FLOOD_PING,
  FLOOD_PRIORITY,
  FLOOD_PROVOKED_RESET,
  FLOOD_RAPID_RESET,
  FLOOD_REFUSED_STREAM,
  FLOOD_SETTINGS,
  FLOOD_UNKNOWN_FRAME,
  FLOOD_UNREAD_REPLIES,
  FLOOD_WINDOW_UPDATE,
  NO_VIOLATION,
  type Violation,
} from './violation.ts';

/**
 * What a peer may do, but not in such numbers (RFC 9113 §10.5): each is cheap for it and costs us more.
 */
export const FloodKind = {
  /** RST_STREAM on a stream that was being served (CVE-2023-44487). */
  RapidReset: 0,
  /** Frames that made us send RST_STREAM ("MadeYouReset", CVE-2025-8671). */
  ProvokedReset: 1,
  /** Streams beyond SETTINGS_MAX_CONCURRENT_STREAMS. */
  RefusedStream: 2,
  Settings: 3,
  Ping: 4,
  /** DATA without data that ends nothing (CVE-2019-9518). */
  EmptyData: 5,
  WindowUpdate: 6,
  Priority: 7,
  /** Frames of unknown types. */
  UnknownFrame: 8,
  /** CONTINUATION frames of one block (CVE-2024-27316). No budget: see `HeaderBlockBuffer`. */
  Continuation: 9,
  /** Replies to SETTINGS, PING and errors that the peer does not read (CVE-2019-9512, -9515). */
  UnreadReplies: 10,
} as const;
export type FloodKind = (typeof FloodKind)[keyof typeof FloodKind];

/** Names for the label of a counter, by kind. */
export const FLOOD_NAMES: readonly string[] = [
  'rapid_reset',
  'provoked_reset',
  'refused_stream',
  'settings',
  'ping',
  'empty_data',
  'window_update',
  'priority',
  'unknown_frame',
  'continuation',
  'unread_replies',
];

const VIOLATIONS: readonly Violation[] = [
  FLOOD_RAPID_RESET,
  FLOOD_PROVOKED_RESET,
  FLOOD_REFUSED_STREAM,
  FLOOD_SETTINGS,
  FLOOD_PING,
  FLOOD_EMPTY_DATA,
  FLOOD_WINDOW_UPDATE,
  FLOOD_PRIORITY,
  FLOOD_UNKNOWN_FRAME,
  FLOOD_CONTINUATION,
  FLOOD_UNREAD_REPLIES,
];

export function floodViolation(kind: FloodKind): Violation {
  return VIOLATIONS[kind]!;
}

/** The flood that a violation stands for, or -1. */
export function floodOf(violation: Violation): FloodKind | -1 {
  return VIOLATIONS.indexOf(violation) as FloodKind | -1;
}

/** The budget of a kind: so many at once, and so many a second for as long as it likes. */
interface Budget {
  readonly burst: number;
  readonly perSecond: number;
}

/** By kind. Useful frames earn some of it back (`earn…`), so that busy honest peers never run dry. */
const BUDGETS: readonly Budget[] = [
  { burst: 400, perSecond: 50 }, // RapidReset
  { burst: 100, perSecond: 10 }, // ProvokedReset
  { burst: 1_000, perSecond: 100 }, // RefusedStream
  { burst: 100, perSecond: 5 }, // Settings
  { burst: 500, perSecond: 20 }, // Ping
  { burst: 500, perSecond: 20 }, // EmptyData
  { burst: 2_000, perSecond: 200 }, // WindowUpdate
  { burst: 1_000, perSecond: 50 }, // Priority
  { burst: 500, perSecond: 20 }, // UnknownFrame
];

/** Keeps the budgets of one connection. Reads the clock only when a budget has run dry. */
export class FloodGuard {
  readonly #nowMs: () => number;
  readonly #left: Int32Array = Int32Array.from(BUDGETS, ({ burst }) => burst);
  readonly #refilledMs: Float64Array;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
    this.#refilledMs = new Float64Array(BUDGETS.length).fill(nowMs());
  }

  /** One more of `kind`; the violation where it is one too many. */
  spend(kind: FloodKind): Violation {
    if (this.#left[kind]! === 0 && !this.#refill(kind)) return VIOLATIONS[kind]!;
    this.#left[kind]!--;
    return NO_VIOLATION;
  }

  /** A request has come, or data that is some: with it come pings, priorities and window updates. */
  earnByRequest(): void {
    this.#earn(FloodKind.Ping, 1);
    this.#earn(FloodKind.Priority, 4);
    this.#earn(FloodKind.WindowUpdate, 4);
  }

  /** Data has come. */
  earnByData(): void {
    this.#earn(FloodKind.Ping, 1);
    this.#earn(FloodKind.EmptyData, 1);
  }

  /** Data has been sent: the peer gives its credit back, for stream and connection. */
  earnBySending(): void {
    this.#earn(FloodKind.WindowUpdate, 4);
    this.#earn(FloodKind.Ping, 1);
  }

  /** A stream has been served to its end. */
  earnByResponse(): void {
    this.#earn(FloodKind.RapidReset, 1);
  }

  #earn(kind: FloodKind, count: number): void {
    const left = this.#left[kind]! + count;
    const { burst } = BUDGETS[kind]!;
    this.#left[kind] = Math.min(left, burst);
  }

  #refill(kind: FloodKind): boolean {
    const { burst, perSecond } = BUDGETS[kind]!;
    const nowMs = this.#nowMs();
    const earned = Math.floor(((nowMs - this.#refilledMs[kind]!) * perSecond) / 1000);
    if (earned <= 0) return false;
    this.#refilledMs[kind] = nowMs;
    this.#left[kind] = Math.min(earned, burst);
    return true;
  }
}
