import { describe, expect, test } from 'vitest';
import { ManualClock } from './manual-clock.testing.ts';
import { Timer, TimerLists } from './timer-list.ts';

function setup() {
  const clock = new ManualClock();
  const timers = new TimerLists(clock);
  const fired: string[] = [];
  const timer = (name: string) =>
    new Timer({ onTimer: () => fired.push(`${name}@${clock.nowMs()}`) }, 0);
  return { clock, timers, fired, timer };
}

describe('TimerLists', () => {
  test('timers of one duration share one timer of the runtime', () => {
    const { clock, timers, timer } = setup();
    for (let index = 0; index < 1000; index++) timers.arm(timer(`${index}`), 5_000);
    expect(clock.pending).toBe(1);
  });

  test('timers fire in the order of their deadlines, each once', () => {
    const { clock, timers, fired, timer } = setup();
    timers.arm(timer('a'), 100);
    clock.advance(30);
    timers.arm(timer('b'), 100);
    timers.arm(timer('c'), 50);
    clock.advance(500);
    expect(fired).toEqual(['c@80', 'a@100', 'b@130']);
  });

  test('arming again starts from now, cancelling stops', () => {
    const { clock, timers, fired, timer } = setup();
    const a = timer('a');
    const b = timer('b');
    timers.arm(a, 100);
    timers.arm(b, 100);
    clock.advance(90);
    timers.arm(a, 100);
    timers.cancel(b);
    clock.advance(90);
    expect(fired).toEqual([]);
    expect(a.armed).toBe(true);
    expect(b.armed).toBe(false);
    clock.advance(20);
    expect(fired).toEqual(['a@190']);
  });

  test('another duration moves the timer to another list', () => {
    const { clock, timers, fired, timer } = setup();
    const a = timer('a');
    timers.arm(a, 100);
    timers.arm(a, 10);
    clock.advance(200);
    expect(fired).toEqual(['a@10']);
  });

  test('a duration of 0 is off', () => {
    const { clock, timers, fired, timer } = setup();
    const a = timer('a');
    timers.arm(a, 100);
    timers.arm(a, 0);
    clock.advance(1_000);
    expect(fired).toEqual([]);
  });

  test('a callback that throws does not take the others with it', () => {
    const { clock, timers, fired, timer } = setup();
    const bad = new Timer(
      {
        onTimer: () => {
          throw new Error('bug');
        },
      },
      0,
    );
    timers.arm(bad, 10);
    timers.arm(timer('b'), 10);
    expect(() => clock.advance(10)).toThrow('bug');
    clock.advance(10);
    expect(fired).toEqual(['b@11']);
  });

  test('a callback may arm and cancel timers of its own list', () => {
    const { clock, timers, fired, timer } = setup();
    const b = timer('b');
    const a = new Timer(
      {
        onTimer: () => {
          timers.cancel(b);
          timers.arm(a, 10);
          fired.push(`a@${clock.nowMs()}`);
        },
      },
      0,
    );
    timers.arm(a, 10);
    timers.arm(b, 10);
    clock.advance(20);
    expect(fired).toEqual(['a@10', 'a@20']);
  });

  test('[PR-07] durations that strangers choose leave no timer of the runtime behind', () => {
    const { clock, timers, timer } = setup();
    const one = timer('one');
    for (let durationMs = 1_000_000; durationMs < 1_010_000; durationMs++) {
      timers.arm(one, durationMs);
      timers.cancel(one);
    }
    expect(clock.pending).toBeLessThanOrEqual(256);
  });

  test('a duration beyond what the runtime takes is waited for in parts', () => {
    const { clock, timers, fired, timer } = setup();
    const monthMs = 30 * 86_400_000;
    timers.arm(timer('far'), monthMs);
    expect(clock.nextInMs).toBeLessThanOrEqual(0x7fffffff);
    clock.advance(monthMs - 1);
    expect(fired).toEqual([]);
    clock.advance(1);
    expect(fired).toEqual([`far@${monthMs}`]);
  });
});
