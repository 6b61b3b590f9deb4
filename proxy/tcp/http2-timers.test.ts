import { describe, expect, test } from 'vitest';
import { type Http2Keepalive, Http2Timers } from './http2-timers.ts';
import { ManualClock } from './manual-clock.testing.ts';
import { TimerLists } from './timer-list.ts';

const OFF: Http2Keepalive = { keepaliveIntervalMs: 0, keepaliveTimeoutMs: 0 };

/** A connection and its owner as lists of what they were called with. */
function timed(keepalive = OFF) {
  const clock = new ManualClock();
  const calls: string[] = [];
  const stalled = { left: 0 };
  const owner = {
    onFlood: (kind: number) => calls.push(`flood ${kind}`),
    onKeepaliveTimeout: () => calls.push('dead'),
  };
  const timers = new Http2Timers(owner, new TimerLists(clock), keepalive);
  const connection = {
    settingsTimeout: () => calls.push('settings timeout'),
    resetStalled(sinceMs: number) {
      calls.push(`reset since ${sinceMs}`);
      return stalled.left;
    },
    ping: () => calls.push('ping'),
  };
  const take = () => calls.splice(0);
  return { clock, timers, connection, stalled, take };
}

describe('Http2Timers', () => {
  test('[RFC 9113 §6.5.3] SETTINGS that are not acknowledged within 10 s are told', () => {
    const { clock, timers, connection, take } = timed();
    // The codec sends them from its constructor, before it can be attached.
    timers.onSettingsPending(true);
    timers.attach(connection);
    clock.advance(9_999);
    expect(take()).toEqual([]);
    clock.advance(1);
    expect(take()).toEqual(['settings timeout']);
    expect(clock.pending).toBe(0);
  });

  test('acknowledged SETTINGS are forgotten, those after them wait anew', () => {
    const { clock, timers, connection, take } = timed();
    timers.onSettingsPending(true);
    timers.attach(connection);
    clock.advance(9_000);
    timers.onSettingsPending(false);
    clock.advance(60_000);
    expect(take()).toEqual([]);
    timers.onSettingsPending(true);
    clock.advance(9_999);
    expect(take()).toEqual([]);
    clock.advance(1);
    expect(take()).toEqual(['settings timeout']);
  });

  test('[CVE-2019-9517] while data waits for a window, what has waited for 5 minutes is looked for', () => {
    const { clock, timers, connection, stalled, take } = timed();
    timers.attach(connection);
    timers.onSendStalled();
    timers.onSendStalled();
    stalled.left = 1;
    clock.advance(30_000);
    expect(take()).toEqual(['reset since -270000']);
    stalled.left = 0;
    clock.advance(30_000);
    expect(take()).toEqual(['reset since -240000']);
    clock.advance(600_000);
    expect(take(), 'nothing waits any more').toEqual([]);
    timers.onSendStalled();
    clock.advance(30_000);
    expect(take()).toEqual(['reset since 390000']);
  });

  test('PINGs go out at the interval, and an answer in time keeps the connection', () => {
    const { clock, timers, connection, take } = timed({
      keepaliveIntervalMs: 10_000,
      keepaliveTimeoutMs: 3_000,
    });
    timers.attach(connection);
    for (let count = 0; count < 3; count++) {
      clock.advance(9_999);
      expect(take()).toEqual([]);
      clock.advance(1);
      expect(take()).toEqual(['ping']);
      timers.onPong();
    }
  });

  test('no answer in time is told once a PING; an answer that comes late changes nothing', () => {
    const { clock, timers, connection, take } = timed({
      keepaliveIntervalMs: 10_000,
      keepaliveTimeoutMs: 3_000,
    });
    timers.attach(connection);
    clock.advance(13_499);
    expect(take()).toEqual(['ping']);
    clock.advance(1);
    expect(take()).toEqual(['dead']);
    timers.onPong();
    timers.stop();
    clock.advance(100_000);
    expect(take()).toEqual([]);
  });

  test('[D15] an answer that came while the process stood still is read before the connection is given up', () => {
    const { clock, timers, connection, take } = timed({
      keepaliveIntervalMs: 60_000,
      keepaliveTimeoutMs: 3_000,
    });
    timers.attach(connection);
    clock.advance(60_000);
    // Stopped for long: the timer is first, then the sockets are read.
    clock.advance(3_000);
    timers.onPong();
    clock.advance(50_000);
    expect(take()).toEqual(['ping']);
    clock.advance(7_000);
    clock.advance(3_000);
    timers.onPong();
    clock.advance(10_000);
    expect(take(), 'the grace is there for each').toEqual(['ping']);
  });

  test('a timeout longer than the interval runs from the first PING without answer', () => {
    const { clock, timers, connection, take } = timed({
      keepaliveIntervalMs: 1_000,
      keepaliveTimeoutMs: 2_500,
    });
    timers.attach(connection);
    clock.advance(3_999);
    expect(take()).toEqual(['ping', 'ping', 'ping']);
    clock.advance(1);
    expect(take()).toEqual(['ping', 'dead']);
  });

  test('an answer that nobody asked for is none', () => {
    const { timers, connection, take, clock } = timed();
    timers.attach(connection);
    timers.onPong();
    clock.advance(1_000_000);
    expect(take()).toEqual([]);
  });

  test('stopped, nothing runs any more', () => {
    const { clock, timers, connection, take } = timed({
      keepaliveIntervalMs: 1_000,
      keepaliveTimeoutMs: 500,
    });
    timers.onSettingsPending(true);
    timers.attach(connection);
    timers.onSendStalled();
    clock.advance(1_200);
    expect(take()).toEqual(['ping']);
    timers.stop();
    clock.advance(1_000_000);
    expect(take()).toEqual([]);
    expect(clock.pending).toBe(0);
  });

  test('a flood is told to the owner', () => {
    const { timers, take } = timed();
    timers.onFlood(2);
    expect(take()).toEqual(['flood 2']);
  });
});
