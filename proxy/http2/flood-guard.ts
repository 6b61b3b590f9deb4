import {
  FLOOD_CLOSED_STREAM,
  FLOOD_CONTINUATION,
  FLOOD_EMPTY_DATA,
  FLOOD_GOAWAY,
  FLOOD_PING,
  FLOOD_PRIORITY,
  FLOOD_PROVOKED_RESET,
  FLOOD_RAPID_RESET,
  FLOOD_REFUSED_STREAM,
  FLOOD_SETTINGS,
  FLOOD_UNKNOWN_FRAME,
  FLOOD_UNREAD_REPLIES,
  FLOOD_WINDOW_DRIBBLE,
  FLOOD_WINDOW_UPDATE,
  HEADER_BLOCK_TOO_LARGE,
  NO_VIOLATION,
  type Violation,
} from './violation.ts';

/**
 * What a peer may do, but not in such numbers (RFC 9113 §10.5): each is cheap for it and costs us more.
 */
export const FloodKind = {
  /** RST_STREAM on a stream that is young and has no response yet (CVE-2023-44487). */
  RapidReset: 0,
  /** Frames that made us send RST_STREAM ("MadeYouReset", CVE-2025-8671). */
  ProvokedReset: 1,
  /** Streams beyond SETTINGS_MAX_CONCURRENT_STREAMS. */
  RefusedStream: 2,
  Settings: 3,
  Ping: 4,
  /** DATA without data, padding or not, that ends nothing (CVE-2019-9518). */
  EmptyData: 5,
  WindowUpdate: 6,
  Priority: 7,
  /** Frames of unknown types. */
  UnknownFrame: 8,
  /** CONTINUATION frames of one block (CVE-2024-27316). No budget: see `HeaderBlockBuffer`. */
  Continuation: 9,
  /** What the peer has made us write and does not read: acks, resets, credit, response heads (CVE-2019-9512, -9515). */
  UnreadReplies: 10,
  Goaway: 11,
  /** HEADERS and RST_STREAM on streams that are closed. */
  ClosedStream: 12,
  /** Windows so small that we send a few bytes a frame (CVE-2019-9511). */
  WindowDribble: 13,
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
  'goaway',
  'closed_stream',
  'window_dribble',
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
  FLOOD_GOAWAY,
  FLOOD_CLOSED_STREAM,
  FLOOD_WINDOW_DRIBBLE,
];

export function floodViolation(kind: FloodKind): Violation {
  return VIOLATIONS[kind]!;
}

/** The flood that a violation stands for, or -1. */
export function floodOf(violation: Violation): FloodKind | -1 {
  // A block without end is the same abuse with larger frames.
  if (violation === HEADER_BLOCK_TOO_LARGE) return FloodKind.Continuation;
  return VIOLATIONS.indexOf(violation) as FloodKind | -1;
}

/** The budget of a kind: so many at once, and so many a second for as long as it likes. */
interface Budget {
  readonly burst: number;
  readonly perSecond: number;
  /** How far `earn…` fills it, the burst where that is enough. */
  readonly earnedMax?: number;
}

/** A DATA frame that a window has cut below this is a dribble; one above it is of use. */
export const DRIBBLE_BYTES_MAX = 256;

/** A reset of a stream that is older is a change of mind: whoever waits so long for each is no flood. */
export const RAPID_RESET_AGE_MS = 100;

/**
 * By kind. Useful frames earn some of it back (`earn…`), so that busy honest peers never run dry: what they may do for
 * each request, response and DATA frame is written next to it.
 */
const BUDGETS: readonly Budget[] = [
  // 4 a response: a caller that hedges, or cancels four of five calls at once, goes on for ever.
  { burst: 500, perSecond: 100 }, // RapidReset
  // 1 a response: of many users behind one proxy some may send nonsense.
  { burst: 100, perSecond: 10 }, // ProvokedReset
  // 1 a response: to a client, the slots of streams that it has reset are free before they are.
  { burst: 1_000, perSecond: 100 }, // RefusedStream
  { burst: 100, perSecond: 5 }, // Settings
  // 1 a request and a DATA frame either way: gRPC measures with one ping a burst, Go asks after each RST_STREAM.
  { burst: 500, perSecond: 20 }, // Ping
  { burst: 500, perSecond: 20 }, // EmptyData: 1 a DATA frame
  // 4 a request and a DATA frame sent: credit for stream and connection, frame by frame at worst. It answers all that is
  // in flight at once: HAProxy sends two for each of thousands of small frames, in one go.
  { burst: 2_000, perSecond: 200, earnedMax: 200_000 }, // WindowUpdate
  { burst: 1_000, perSecond: 50 }, // Priority: 4 a request
  { burst: 500, perSecond: 20 }, // UnknownFrame: 2 a request (PRIORITY_UPDATE, greasing)
  { burst: 0, perSecond: 0 }, // Continuation: bounded by HeaderBlockBuffer
  { burst: 0, perSecond: 0 }, // UnreadReplies: bounded by ControlWriter
  { burst: 20, perSecond: 1 }, // Goaway: two a connection, and one a retry of a drain
  { burst: 1_000, perSecond: 100 }, // ClosedStream: 2 a request (trailers, and a reset that crossed the end)
  { burst: 1_000, perSecond: 20 }, // WindowDribble: 1 a DATA frame that is none
];

const BURSTS: Int32Array = Int32Array.from(BUDGETS, ({ burst }) => burst);
/** What may be left at most, by what was earned. */
const EARNED_MAX: Int32Array = Int32Array.from(
  BUDGETS,
  (budget) => budget.earnedMax ?? budget.burst,
);

/** Keeps the budgets of one connection. Reads the clock only when a budget has run dry. */
export class FloodGuard {
  readonly #nowMs: () => number;
  readonly #left: Int32Array = BURSTS.slice();
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

  /** A request has come (server role) or has been sent (client role). */
  earnByRequest(): void {
    this.#earn(FloodKind.Ping, 1);
    this.#earn(FloodKind.Priority, 4);
    this.#earn(FloodKind.WindowUpdate, 4);
    this.#earn(FloodKind.UnknownFrame, 2);
    this.#earn(FloodKind.ClosedStream, 2);
  }

  /** Data has come. */
  earnByData(): void {
    this.#earn(FloodKind.Ping, 1);
    this.#earn(FloodKind.EmptyData, 1);
  }

  /** Data has been sent: the peer gives its credit back, for stream and connection. */
  earnBySending(bytes: number): void {
    this.#earn(FloodKind.WindowUpdate, 4);
    this.#earn(FloodKind.Ping, 1);
    if (bytes > DRIBBLE_BYTES_MAX) this.#earn(FloodKind.WindowDribble, 1);
  }

  /** A stream has gone to its end. */
  earnByResponse(): void {
    this.#earn(FloodKind.RapidReset, 4);
    this.#earn(FloodKind.ProvokedReset, 1);
    this.#earn(FloodKind.RefusedStream, 1);
  }

  #earn(kind: FloodKind, count: number): void {
    const left = this.#left[kind]! + count;
    this.#left[kind] = Math.min(left, EARNED_MAX[kind]!);
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
