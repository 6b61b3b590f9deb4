import { expect, test } from 'vitest';
import { BodyBudget } from './body-budget.ts';

test('[A6.8] one address gets its share and no more, all together theirs', () => {
  const budget = new BodyBudget(100, 60);
  const [a, more, b] = [budget.open('10.0.0.1'), budget.open('10.0.0.1'), budget.open('10.0.0.2')];
  expect(a.take(50)).toBe(true);
  expect(more.take(20)).toBe(false);
  expect(more.take(10)).toBe(true);
  expect(b.take(41)).toBe(false);
  expect(b.take(40)).toBe(true);
  a.release();
  a.release();
  expect(b.take(20)).toBe(true);
  expect(more.take(41)).toBe(false);
  expect(more.take(30)).toBe(true);
});
