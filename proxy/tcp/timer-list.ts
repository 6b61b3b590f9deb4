import { type Flushable, flushAtEndOfTurn } from './write-turn.ts';

/**
 * Timers for the request path. Every timer of one duration stands in one list, ordered by deadline
 * because it is appended at the end; the whole list needs one timer of the runtime. Arming,
 * re-arming and cancelling are a few pointer writes, so that a connection may re-arm its idle timer
 * with every chunk.
 *
 * ```
 * 5 000 ms   head ─▶ [t+3] ⇄ [t+4] ⇄ [t+9] ◀─ tail     one setTimeout, for the head
 * 15 000 ms  head ─▶ [t+11] ◀─ tail
 * ```
 */

/** Monotonic milliseconds and one-shot timers; `MONOTONIC_CLOCK` outside tests. */
export interface Clock {
  nowMs(): number;
  schedule(callback: () => void, delayMs: number): unknown;
  cancel(handle: unknown): void;
}

export const MONOTONIC_CLOCK: Clock = Object.freeze({
  nowMs: turnTimeMs,
  // Never the reason for a process to stay: what is worth waiting for holds a socket.
  schedule: (callback: () => void, delayMs: number) => setTimeout(callback, delayMs).unref(),
  cancel: (handle: unknown) => clearTimeout(handle as NodeJS.Timeout),
});

/**
 * The time at which the first of a turn of the event loop asked: a request asks some eight times, and a turn under load
 * serves many (`performance.now` was 7 % of the CPU time). What is measured with it is exact to a turn, as Envoy's
 * timers are.
 */
function turnTimeMs(): number {
  if (turnMs < 0) {
    turnMs = performance.now();
    flushAtEndOfTurn(TURN_END);
  }
  return turnMs;
}

/** -1 = nobody has asked in this turn. */
let turnMs = -1;
const TURN_END: Flushable = {
  flush() {
    turnMs = -1;
  },
};

/** Who is told; `kind` tells the owner's timers apart, so that no closure is needed for each. */
export interface TimerOwner {
  onTimer(kind: number): void;
}

/** One timer, made once with its owner and armed many times. */
export class Timer {
  readonly owner: TimerOwner;
  readonly kind: number;
  /** Used by `TimerLists` only. */
  deadlineMs = 0;
  list: DurationList | null = null;
  previous: Timer | null = null;
  next: Timer | null = null;

  constructor(owner: TimerOwner, kind: number) {
    this.owner = owner;
    this.kind = kind;
  }

  get armed(): boolean {
    return this.list !== null;
  }
}

export class TimerLists {
  readonly clock: Clock;
  readonly #lists = new Map<number, DurationList>();
  #dropAbove = DURATIONS_MAX;

  constructor(clock: Clock = MONOTONIC_CLOCK) {
    this.clock = clock;
  }

  /** Starts the timer, or starts it again from now. A duration of 0 means "off": it only cancels. */
  arm(timer: Timer, durationMs: number): void {
    const armedIn = timer.list;
    if (durationMs <= 0) {
      if (armedIn !== null) armedIn.remove(timer);
      return;
    }
    let list = armedIn;
    if (list === null || list.durationMs !== durationMs) {
      if (list !== null) list.remove(timer);
      list = this.#listOf(durationMs);
    } else {
      list.remove(timer);
    }
    list.append(timer);
  }

  cancel(timer: Timer): void {
    if (timer.list !== null) timer.list.remove(timer);
  }

  #listOf(durationMs: number): DurationList {
    let list = this.#lists.get(durationMs);
    if (list === undefined) {
      // Most durations come from configuration, deadlines of calls (`grpc-timeout`) from anyone: a list that has run
      // empty is let go before the map grows.
      if (this.#lists.size >= this.#dropAbove) this.#dropEmptyLists();
      list = new DurationList(durationMs, this.clock);
      this.#lists.set(durationMs, list);
    }
    return list;
  }

  #dropEmptyLists(): void {
    for (const [durationMs, list] of this.#lists) {
      if (list.head !== null) continue;
      list.close();
      this.#lists.delete(durationMs);
    }
    // Twice what is in use: looking through the lists costs each new one a fixed share.
    this.#dropAbove = Math.max(DURATIONS_MAX, 2 * this.#lists.size);
  }
}

/** Lists kept before empty ones are dropped. */
const DURATIONS_MAX = 256;
/** The runtime's timers take no more, and fire at once beyond it; the list is woken early and goes on waiting. */
const DELAY_MS_MAX = 0x7fffffff;

/** The timers of one duration. */
class DurationList {
  readonly durationMs: number;
  readonly #clock: Clock;
  readonly #wake = () => this.#fire();
  head: Timer | null = null;
  #tail: Timer | null = null;
  /** The runtime's timer, null where it is not set; it may be early, since cancelling leaves it alone. */
  #scheduled: unknown = null;

  constructor(durationMs: number, clock: Clock) {
    this.durationMs = durationMs;
    this.#clock = clock;
  }

  append(timer: Timer): void {
    timer.deadlineMs = this.#clock.nowMs() + this.durationMs;
    timer.list = this;
    timer.previous = this.#tail;
    timer.next = null;
    if (this.#tail === null) this.head = timer;
    else this.#tail.next = timer;
    this.#tail = timer;
    if (this.#scheduled === null) this.#schedule(this.durationMs);
  }

  remove(timer: Timer): void {
    if (timer.previous === null) this.head = timer.next;
    else timer.previous.next = timer.next;
    if (timer.next === null) this.#tail = timer.previous;
    else timer.next.previous = timer.previous;
    timer.previous = null;
    timer.next = null;
    timer.list = null;
  }

  #fire(): void {
    this.#scheduled = null;
    const nowMs = this.#clock.nowMs();
    try {
      for (let timer = this.head; timer !== null && timer.deadlineMs <= nowMs; timer = this.head) {
        this.remove(timer);
        timer.owner.onTimer(timer.kind);
      }
    } finally {
      // Also after a callback that threw: the timers behind it must still fire.
      if (this.head !== null && this.#scheduled === null) {
        this.#schedule(Math.max(1, Math.ceil(this.head.deadlineMs - nowMs)));
      }
    }
  }

  /** Of an empty list that nobody will use again. */
  close(): void {
    if (this.#scheduled !== null) this.#clock.cancel(this.#scheduled);
    this.#scheduled = null;
  }

  #schedule(delayMs: number): void {
    this.#scheduled = this.#clock.schedule(this.#wake, Math.min(delayMs, DELAY_MS_MAX));
  }
}
