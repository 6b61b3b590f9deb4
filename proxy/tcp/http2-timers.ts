import { Timer, type TimerLists, type TimerOwner } from './timer-list.ts';

/** The calls of an HTTP/2 connection that need a clock; both roles have them. */
export interface TimedHttp2Connection {
  /** Our SETTINGS have not been acknowledged in time. */
  settingsTimeout(): void;
  /** Resets what has waited for the peer's window since before `sinceMs`; answers how many still wait. */
  resetStalled(sinceMs: number): number;
  ping(): void;
}

/** Who owns the connection. */
export interface Http2TimersOwner {
  /** The peer has overdone it; `kind` is a `FloodKind`. */
  onFlood(kind: number): void;
  /** The peer has not answered a PING in time: the connection is dead. */
  onKeepaliveTimeout(): void;
}

/** `connection_keepalive` of Http2ProtocolOptions. */
export interface Http2Keepalive {
  /** Milliseconds between PINGs; 0 = none are sent. */
  readonly keepaliveIntervalMs: number;
  /** Milliseconds to wait for the answer. */
  readonly keepaliveTimeoutMs: number;
}

/** Milliseconds for the acknowledgement of SETTINGS (RFC 9113 §6.5.3). A peer that never reads is cut by it. */
const SETTINGS_TIMEOUT_MS = 10_000;

/**
 * Milliseconds that a peer may keep its window closed in front of data (CVE-2019-9517). As Envoy's
 * `stream_idle_timeout`: a reader that rests for so long holds our memory for nothing.
 */
const STALL_MS_MAX = 300_000;
const STALL_LOOK_MS = 30_000;

/**
 * Milliseconds more for an answer that has arrived in time and has not been read: a process that was stopped, or starved,
 * sees its timers before its sockets (D15), and would end all of its connections.
 */
const PONG_GRACE_MS = 500;

const TimerId = { Settings: 0, Stall: 1, Keepalive: 2, Pong: 3 } as const;

/**
 * The clock of one HTTP/2 connection, whose codec has none: it is told by the codec what to wait for
 * (`Http2Events`) and calls back when it has waited long enough. Timers are made when first needed.
 */
export class Http2Timers implements TimerOwner {
  readonly #owner: Http2TimersOwner;
  readonly #timers: TimerLists;
  readonly #keepalive: Http2Keepalive;
  #connection: TimedHttp2Connection | null = null;
  readonly #settingsTimer = new Timer(this, TimerId.Settings);
  #stallTimer: Timer | null = null;
  #keepaliveTimer: Timer | null = null;
  #pongTimer: Timer | null = null;
  #pongIsLate = false;

  constructor(owner: Http2TimersOwner, timers: TimerLists, keepalive: Http2Keepalive) {
    this.#owner = owner;
    this.#timers = timers;
    this.#keepalive = keepalive;
  }

  /** The codec speaks from its constructor on: the connection follows when there is one. */
  attach(connection: TimedHttp2Connection): void {
    this.#connection = connection;
    if (this.#keepalive.keepaliveIntervalMs === 0) return;
    this.#keepaliveTimer = new Timer(this, TimerId.Keepalive);
    this.#pongTimer = new Timer(this, TimerId.Pong);
    this.#timers.arm(this.#keepaliveTimer, this.#keepalive.keepaliveIntervalMs);
  }

  stop(): void {
    this.#timers.cancel(this.#settingsTimer);
    if (this.#stallTimer !== null) this.#timers.cancel(this.#stallTimer);
    if (this.#keepaliveTimer !== null) this.#timers.cancel(this.#keepaliveTimer);
    if (this.#pongTimer !== null) this.#timers.cancel(this.#pongTimer);
  }

  // --- from the codec -------------------------------------------------------------------------

  onFlood(kind: number): void {
    this.#owner.onFlood(kind);
  }

  onGoaway(): void {}

  onSettingsPending(pending: boolean): void {
    if (pending) this.#timers.arm(this.#settingsTimer, SETTINGS_TIMEOUT_MS);
    else this.#timers.cancel(this.#settingsTimer);
  }

  onSendStalled(): void {
    this.#stallTimer ??= new Timer(this, TimerId.Stall);
    if (!this.#stallTimer.armed) this.#timers.arm(this.#stallTimer, STALL_LOOK_MS);
  }

  onPong(): void {
    if (this.#pongTimer !== null) this.#timers.cancel(this.#pongTimer);
    this.#pongIsLate = false;
  }

  // --- timers ---------------------------------------------------------------------------------

  onTimer(id: number): void {
    const connection = this.#connection;
    if (connection === null) return;
    switch (id) {
      case TimerId.Settings:
        connection.settingsTimeout();
        return;
      case TimerId.Stall: {
        const waiting = connection.resetStalled(this.#timers.clock.nowMs() - STALL_MS_MAX);
        if (waiting > 0) this.#timers.arm(this.#stallTimer!, STALL_LOOK_MS);
        return;
      }
      case TimerId.Keepalive:
        connection.ping();
        if (!this.#pongTimer!.armed) {
          this.#timers.arm(this.#pongTimer!, this.#keepalive.keepaliveTimeoutMs);
        }
        this.#timers.arm(this.#keepaliveTimer!, this.#keepalive.keepaliveIntervalMs);
        return;
      case TimerId.Pong:
        if (this.#pongIsLate) {
          this.#owner.onKeepaliveTimeout();
        } else {
          this.#pongIsLate = true;
          this.#timers.arm(this.#pongTimer!, PONG_GRACE_MS);
        }
    }
  }
}
