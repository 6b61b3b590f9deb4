import fc from 'fast-check';
import { expect, test } from 'vitest';
import { admissionReview } from './admission.testing.ts';
import { admissionResponse, allowed, readAdmissionReview } from './admission-review.ts';

const GOOD = admissionReview({ object: {} }) as { request: Record<string, unknown> };
const runs = Number(process.env['WEFT_FUZZ_RUNS'] ?? 200);

/** `GOOD` with fields of the request changed; undefined removes one. */
const withRequest = (fields: object) =>
  JSON.stringify({ ...GOOD, request: { ...GOOD.request, ...fields } });

test.each<[string, string, RegExp]>([
  ['nothing', '', /the body is empty/],
  ['no JSON', '{"kind":', /is not JSON/],
  ['text behind', `${JSON.stringify(GOOD)}x`, /is not JSON/],
  ['a list', '[]', /not an AdmissionReview object/],
  ['null', 'null', /not an AdmissionReview object/],
  ['a bare pod', '{"apiVersion":"v1","kind":"Pod"}', /is a Pod; this port takes/],
  ['an object without kind', '{"apiVersion":"v1"}', /an object without kind/],
  [
    'v1beta1',
    JSON.stringify({ ...GOOD, apiVersion: 'admission.k8s.io/v1beta1' }),
    /v1beta1 is not supported; set admissionReviewVersions: \["v1"\]/,
  ],
  ['no request', JSON.stringify({ ...GOOD, request: undefined }), /has no request/],
  ['a response', JSON.stringify({ ...GOOD, request: null, response: {} }), /has no request/],
  ['no uid', withRequest({ uid: undefined }), /request\.uid is required/],
  ['a uid that is a number', withRequest({ uid: 7 }), /request\.uid must be a string/],
  ['a long uid', withRequest({ uid: 'x'.repeat(300) }), /request\.uid is too long/],
  ['no kind', withRequest({ kind: undefined }), /request\.kind is required/],
  ['a kind as text', withRequest({ kind: 'Pod' }), /request\.kind is required/],
  ['an unknown operation', withRequest({ operation: 'PATCH' }), /operation PATCH is not known/],
  ['dryRun as text', withRequest({ dryRun: 'yes' }), /dryRun must be true or false/],
  ['a prototype', withRequest({}).replace('"dryRun"', '"__proto__":{},"dryRun"'), /__proto__/],
  ['a key twice', withRequest({}).replace('"dryRun"', '"uid":"b","dryRun"'), /stands twice/],
  ['a byte order mark', `\ufeff${JSON.stringify(GOOD)}`, /byte order mark/],
  ['depth', withRequest({ object: JSON.parse('['.repeat(80) + ']'.repeat(80)) }), /nested more/],
])('%s is no review, and the reason is said', (_name, text, problem) => {
  const read = readAdmissionReview(text);
  expect(read).toEqual({ kind: 'bad', problem: expect.stringMatching(problem) });
});

test('fields that later versions of Kubernetes may add are passed over', () => {
  const read = readAdmissionReview(withRequest({ somethingNew: { a: 1 } }));
  expect(read.kind).toBe('request');
});

test('fuzz: any text ends in a request or in a reason', () => {
  const text = JSON.stringify(GOOD);
  const damaged = fc
    .tuple(fc.nat(text.length - 1), fc.string())
    .map(([at, insert]) => text.slice(0, at) + insert + text.slice(at + 1));
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json(), damaged), (any) => {
      expect(['request', 'bad']).toContain(readAdmissionReview(any).kind);
    }),
    { numRuns: runs },
  );
});

test('warnings are bounded as Kubernetes bounds them', () => {
  const warnings = Array.from({ length: 50 }, () => `line\n${'x'.repeat(500)}`);
  const { response } = admissionResponse('u', allowed({}, warnings)) as {
    response: { warnings: string[] };
  };
  expect(response.warnings).toHaveLength(16);
  for (const warning of response.warnings) {
    expect(warning.length).toBeLessThanOrEqual(256 + '\\u000a'.length);
    expect(warning).not.toContain('\n');
  }
});
