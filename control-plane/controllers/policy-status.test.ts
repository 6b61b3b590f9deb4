import { expect, test } from 'vitest';
import { nextStatus, type PolicyVerdict } from './policy-status.ts';

const NOW = Date.UTC(2026, 0, 1);
const META = {
  name: 'a',
  namespace: 'default',
  labels: {},
  annotations: {},
  creationTimestamp: '2026-01-01T00:00:00Z',
  generation: 3,
  resourceVersion: '7',
  uid: 'u',
};
const GOOD: PolicyVerdict = { accepted: true, messages: [] };
const DOUBTFUL: PolicyVerdict = {
  accepted: true,
  messages: [
    { code: 'IST0101', level: 'ERROR', message: 'no service is called x' },
    { code: 'WEFT0001', level: 'WARNING', message: 'y' },
  ],
};

test('[PL-06] an accepted policy gets both conditions with the generation they are about', () => {
  expect(nextStatus(undefined, META, GOOD, NOW)).toEqual({
    observedGeneration: 3,
    validationMessages: [],
    conditions: [
      {
        type: 'Accepted',
        status: 'True',
        reason: 'Accepted',
        message: 'in force',
        lastTransitionTime: '2026-01-01T00:00:00Z',
        observedGeneration: 3,
      },
      {
        type: 'PassedAnalysis',
        status: 'True',
        reason: 'noErrorsFound',
        message: 'No errors or warnings found',
        lastTransitionTime: '2026-01-01T00:00:00Z',
        observedGeneration: 3,
      },
    ],
  });
});

test("[PL-06] doubts are told in the form of Istio's analyzers", () => {
  expect(nextStatus({}, META, DOUBTFUL, NOW)).toMatchObject({
    conditions: [
      { type: 'Accepted', status: 'True' },
      {
        type: 'PassedAnalysis',
        status: 'False',
        reason: 'errorsFound',
        message: '1 Error and 1 Warning found. See validationMessages field for details',
      },
    ],
    validationMessages: [
      {
        type: { code: 'IST0101' },
        level: 'ERROR',
        message: 'no service is called x',
        documentationUrl: 'https://istio.io/latest/docs/reference/config/analysis/ist0101/',
      },
      { type: { code: 'WEFT0001' }, level: 'WARNING', message: 'y' },
    ],
  });
});

test.each([GOOD, DOUBTFUL, { ...DOUBTFUL, accepted: false }])(
  'a status that says it already is not written again, whatever the order of its conditions',
  (verdict) => {
    const written = nextStatus(undefined, META, verdict, NOW)!;
    expect(nextStatus(written, META, verdict, NOW + 5000)).toBeNull();
    const conditions = [...(written['conditions'] as object[])].reverse();
    expect(nextStatus({ ...written, conditions }, META, verdict, NOW + 5000)).toBeNull();
  },
);

test('a condition that stays keeps its time; one that changes, and another generation, are written', () => {
  const first = nextStatus(undefined, META, GOOD, NOW)!;
  const second = nextStatus(first, META, DOUBTFUL, NOW + 60_000)!;
  expect(second['conditions']).toMatchObject([
    { type: 'Accepted', lastTransitionTime: '2026-01-01T00:00:00Z' },
    { type: 'PassedAnalysis', lastTransitionTime: '2026-01-01T00:01:00Z' },
  ]);
  const third = nextStatus(second, { ...META, generation: 4 }, DOUBTFUL, NOW + 120_000)!;
  expect(third).toMatchObject({
    observedGeneration: 4,
    conditions: [{ lastTransitionTime: '2026-01-01T00:00:00Z', observedGeneration: 4 }, {}],
  });
});

test('conditions of others stay', () => {
  const other = { type: 'Reconciled', status: 'True', message: '3/3 complete' };
  const written = nextStatus({ conditions: [other] }, META, GOOD, NOW)!;
  expect((written['conditions'] as object[])[0]).toEqual(other);
  expect(nextStatus(written, META, GOOD, NOW)).toBeNull();
});

test.each([
  ['text', 'x'],
  ['a list', []],
  ['conditions that are text', { conditions: 'x' }],
  ['conditions of text', { conditions: ['x', null, 7], validationMessages: 'x' }],
  [
    'our condition twice',
    { conditions: [{ type: 'Accepted' }, { type: 'Accepted', status: 'No' }] },
  ],
])('[A6.9] %s in place of a status is replaced', (_name, status) => {
  const written = nextStatus(status, META, GOOD, NOW)!;
  expect((written['conditions'] as object[]).length).toBe(2);
  expect(nextStatus(written, META, GOOD, NOW)).toBeNull();
});

test('an object with very many problems gets a bounded status', () => {
  const messages = Array.from({ length: 500 }, (_, at) => ({
    code: 'IST0106',
    level: 'ERROR' as const,
    message: `${at} ${'x'.repeat(5000)}`,
  }));
  const written = nextStatus(undefined, META, { accepted: false, messages }, NOW)!;
  expect(JSON.stringify(written).length).toBeLessThan(50_000);
  expect(written['conditions']).toMatchObject([
    { status: 'False', reason: 'Invalid' },
    { message: '500 Errors found. See validationMessages field for details' },
  ]);
});
