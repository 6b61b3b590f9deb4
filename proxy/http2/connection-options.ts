import { DEFAULT_HTTP_LIMITS, type HttpLimits } from '../http/limits.ts';
import type { FloodKind } from './flood-guard.ts';
import {
  CLIENT_RECEIVE_BUDGET,
  type ReceiveBudget,
  SERVER_RECEIVE_BUDGET,
} from './receive-budget.ts';

/**
 * What a connection tells its owner besides its streams: for counters, and for the timers that the
 * codec does not have. All are called from within a call of the owner.
 */
export interface Http2Events {
  /** The peer has overdone it: the connection is going away with ENHANCE_YOUR_CALM (`h2_flood{kind}`). */
  onFlood(kind: FloodKind): void;
  /** The peer's GOAWAY; `code` is the registry name. */
  onGoaway(code: string, lastStreamId: number): void;
  /**
   * Our SETTINGS wait for their acknowledgement (true), or have it. Wait a while (RFC 9113 §6.5.3), then
   * call `settingsTimeout`.
   */
  onSettingsPending(pending: boolean): void;
  /**
   * Data waits for a window that the peer keeps closed (CVE-2019-9517). Call `resetStalled` once a
   * while for as long as it answers more than 0.
   */
  onSendStalled(): void;
  /** The answer to `ping`. */
  onPong(): void;
}

export const NO_EVENTS: Http2Events = Object.freeze({
  onFlood() {},
  onGoaway() {},
  onSettingsPending() {},
  onSendStalled() {},
  onPong() {},
});

/** What both roles are set up with. Built by `http2ServerOptions`, `http2ClientOptions`, frozen, shared. */
export interface Http2Options {
  readonly limits: HttpLimits;
  /**
   * Bytes that a stream may send before its reader has taken them, default 256 KiB, and up to
   * `windowBytesMax` where the round trip asks for more. `initial_stream_window_size`.
   */
  readonly streamWindowBytes: number;
  /**
   * Bytes that all streams together may have under way, default 4 MiB. A bound: a connection begins with
   * the 65,535 of the protocol and gets there by use (`ConnectionWindow`). `initial_connection_window_size`.
   */
  readonly connectionWindowBytes: number;
  /** Bound of one stream's window, default 4 MiB; the connection's is four times as much. */
  readonly windowBytesMax: number;
  /** What this connection and others may make us hold; default: that of the process and role. */
  readonly receiveBudget: ReceiveBudget;
  /** Milliseconds that only grow; read only where a budget is spent or data waits. */
  readonly nowMs: () => number;
}

const KIB = 1024;
const MIB = 1024 * KIB;

export const DEFAULT_HTTP2_OPTIONS: Http2Options = Object.freeze({
  limits: DEFAULT_HTTP_LIMITS,
  streamWindowBytes: 256 * KIB,
  connectionWindowBytes: 4 * MIB,
  windowBytesMax: 4 * MIB,
  receiveBudget: SERVER_RECEIVE_BUDGET,
  nowMs: () => performance.now(),
});

/** Settings of the server role. */
export interface Http2ServerOptions extends Http2Options {
  /** SETTINGS_MAX_CONCURRENT_STREAMS, default 256. `max_concurrent_streams`. */
  readonly streamsMax: number;
  /** SETTINGS_ENABLE_CONNECT_PROTOCOL (RFC 8441), default true. `allow_connect`. */
  readonly extendedConnect: boolean;
}

export function http2ServerOptions(given: Partial<Http2ServerOptions> = {}): Http2ServerOptions {
  return Object.freeze({
    ...DEFAULT_HTTP2_OPTIONS,
    streamsMax: 256,
    extendedConnect: true,
    ...given,
  });
}

/** Settings of the client role. */
export interface Http2ClientOptions extends Http2Options {
  /** Requests at once, default 1024, and never more than the peer allows. `max_concurrent_streams`. */
  readonly streamsMax: number;
}

export function http2ClientOptions(given: Partial<Http2ClientOptions> = {}): Http2ClientOptions {
  return Object.freeze({
    ...DEFAULT_HTTP2_OPTIONS,
    receiveBudget: CLIENT_RECEIVE_BUDGET,
    streamsMax: 1024,
    ...given,
  });
}
