import { expect, test } from 'vitest';
import { judge, type Row, ratioTarget, type Target, targetText, valueTarget } from './result.ts';

const row = (targets: readonly Target[]): Row => ({
  name: 'r',
  unit: 'µs CPU/request',
  figures: [
    { subject: 'Weft', rounds: [24, 30, 27] },
    { subject: 'nginx', rounds: [20, 20, 20] },
  ],
  targets,
  remark: '',
});
const verdict = (target: Target) => judge(row([target]), target);

test('a ratio at or under its limit is met', () => {
  expect(verdict(ratioTarget('nginx', 'atMost', 1.35))).toMatchObject({
    verdict: 'met',
    missedBy: 0,
    measured: { median: 1.35, min: 1.2, max: 1.5 },
  });
});

test('a ratio beyond its limit is missed by its part of the limit', () => {
  const judged = verdict(ratioTarget('nginx', 'atMost', 1.25));
  expect(judged.verdict).toBe('missed');
  expect(judged.missedBy).toBeCloseTo(0.08);
});

test('a lower limit is missed from below', () => {
  expect(verdict(ratioTarget('nginx', 'atLeast', 1)).verdict).toBe('met');
  const judged = verdict(ratioTarget('nginx', 'atLeast', 1.5));
  expect(judged.verdict).toBe('missed');
  expect(judged.missedBy).toBeCloseTo(0.1);
});

test('a target on the value itself needs no peer', () => {
  expect(verdict(valueTarget('atMost', 27)).verdict).toBe('met');
  expect(verdict(valueTarget('atMost', 26)).verdict).toBe('missed');
});

test('a target beside a peer that is not there is not measured, which is neither met nor missed', () => {
  expect(verdict(ratioTarget('Envoy', 'atMost', 0.6))).toEqual({
    target: ratioTarget('Envoy', 'atMost', 0.6),
    measured: null,
    verdict: 'not measured',
    missedBy: 0,
  });
});

test('a figure that is no number is missed', () => {
  const target = valueTarget('atMost', 1);
  const broken = { ...row([target]), figures: [{ subject: 'Weft', rounds: [] }] };
  expect(judge(broken, target).verdict).toBe('missed');
});

test('targets are written as they are compared', () => {
  expect(targetText(ratioTarget('nginx', 'atMost', 1.2), 'x')).toBe('≤ 1.2 × nginx');
  expect(targetText(ratioTarget('HAProxy', 'atLeast', 0.8), 'x')).toBe('≥ 0.8 × HAProxy');
  expect(targetText(valueTarget('atMost', 35), 'MiB')).toBe('≤ 35 MiB');
});
