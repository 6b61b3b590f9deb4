import { expect, test } from 'vitest';
import { HandClock } from '../clock.testing.ts';
import { StreamAdmission } from './stream-admission.ts';

const LIMITS = {
  streamsPerIdentityMax: 2,
  streamsMax: 3,
  streamsPerSecond: 1,
  streamsBurst: 4,
};

test('[A6.2] the streams of one identity are bounded, and of all', () => {
  const clock = new HandClock();
  const admission = new StreamAdmission(clock, LIMITS);
  const first = admission.admit('x');
  admission.admit('x');
  expect(admission.admit('x')).toMatchObject({
    problem: expect.stringMatching(/x already hold 2 streams/),
  });
  if ('release' in first) {
    first.release();
    first.release();
  }
  expect(admission.admit('x')).toHaveProperty('release');
  expect(admission.admit('y')).toHaveProperty('release');
  clock.advance(10_000);
  expect(admission.admit('z')).toMatchObject({
    problem: expect.stringMatching(/3 streams are open/),
  });
});

test('[A6.6] new streams are limited in rate', () => {
  const clock = new HandClock();
  const admission = new StreamAdmission(clock, { ...LIMITS, streamsMax: 100 });
  const results = Array.from({ length: 5 }, (_, at) => 'release' in admission.admit(String(at)));
  expect(results).toEqual([true, true, true, true, false]);
  clock.advance(1000);
  expect(admission.admit('later')).toHaveProperty('release');
});
