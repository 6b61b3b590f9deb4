import { expect, test } from 'vitest';
import { refused } from '../api/status.ts';
import { readDocuments } from '../kinds/documents.ts';
import { admissionReview, policyReview, virtualService } from './admission.testing.ts';
import { type AdmissionAnswer, readAdmissionReview } from './admission-review.ts';
import { validatePolicy } from './validation-webhook.ts';

const GOOD = { hosts: ['reviews'], http: [{ route: [{ destination: { host: 'reviews' } }] }] };
const BAD = { hosts: ['reviews'], http: [{ timeout: 'soon', routes: [] }] };

function validate(review: object): AdmissionAnswer {
  const read = readAdmissionReview(JSON.stringify(review));
  if (read.kind === 'bad') throw new Error(read.problem);
  return validatePolicy(read.request);
}

function messageOf(answer: AdmissionAnswer): string {
  return answer.kind === 'refused' ? (answer.status as { message: string }).message : 'allowed';
}

test('[PL-05] a policy that is valid is allowed, of every version and with what servers add', () => {
  for (const version of ['v1', 'v1beta1', 'v1alpha3']) {
    const object = {
      ...virtualService(GOOD, {
        uid: 'u',
        creationTimestamp: '2026-01-01T00:00:00Z',
        generation: 1,
        managedFields: [{ manager: 'kubectl', fieldsV1: { 'f:spec': {} } }],
        ownerReferences: [{ apiVersion: 'v1', kind: 'X', name: 'x', uid: 'y' }],
        finalizers: ['example.com/hold'],
      }),
      apiVersion: `networking.istio.io/${version}`,
    };
    expect(validate(policyReview(object, { version }))).toMatchObject({
      kind: 'allowed',
      warnings: [],
    });
  }
});

test('[PL-05] a policy that is not valid is refused with the message and causes of apply', () => {
  const object = virtualService(BAD);
  const { problems } = readDocuments(JSON.stringify(object), 'body');
  const applied = refused({ kind: 'VirtualService', group: 'networking.istio.io' }, 'reviews', []);
  expect(applied.status).toBe(422);
  const answer = validate(policyReview(object));
  expect(answer).toMatchObject({
    kind: 'refused',
    status: {
      status: 'Failure',
      reason: 'Invalid',
      code: 422,
      details: {
        name: 'reviews',
        kind: 'VirtualService',
        causes: problems.map(({ path }) => ({ field: path })),
      },
    },
  });
  for (const { path, message } of problems)
    expect(messageOf(answer)).toContain(`${path}: ${message}`);
  expect(messageOf(answer)).toMatch(
    /^VirtualService\.networking\.istio\.io "reviews" is invalid: /,
  );
  expect(messageOf(answer)).toContain('spec.http[0].timeout');
  expect(messageOf(answer)).toContain('did you mean route?');
});

test('a kind that Weft does not support yet is refused as apply refuses it', () => {
  const object = { ...virtualService({}), kind: 'EnvoyFilter' };
  expect(messageOf(validate(policyReview(object, { kind: 'EnvoyFilter' })))).toContain(
    'unsupported kind EnvoyFilter (networking.istio.io/v1): known to mesh users',
  );
});

test('objects of other groups pass, with a warning about the rules of the webhook', () => {
  const answer = validate(admissionReview({ object: { kind: 'Secret' }, kind: 'Secret' }));
  expect(answer).toMatchObject({ kind: 'allowed' });
  expect(answer.warnings[0]).toMatch(/v1 Secret.*rules of its webhook configuration/);
});

test.each([
  ['DELETE', { operation: 'DELETE', oldObject: virtualService(BAD), object: null }],
  ['CONNECT', { operation: 'CONNECT' }],
  ['an update of the status', { operation: 'UPDATE', subResource: 'status' }],
])('%s is allowed whatever the object holds', (_name, request) => {
  expect(validate(policyReview(virtualService(BAD), request)).kind).toBe('allowed');
});

test('an invalid object that is being deleted, or keeps its spec, may be updated, with a warning', () => {
  const leaving = virtualService(BAD, { deletionTimestamp: '2026-01-01T00:00:00Z' });
  const labelled = virtualService(BAD, { labels: { a: 'b' } });
  for (const object of [leaving, labelled]) {
    const request = { operation: 'UPDATE', oldObject: virtualService(BAD) };
    const answer = validate(policyReview(object, request));
    expect(answer.kind).toBe('allowed');
    expect(answer.warnings[0]).toContain('spec.http[0].timeout');
  }
  const changed = virtualService({ ...BAD, hosts: ['other'] });
  const request = { operation: 'UPDATE', oldObject: virtualService(BAD) };
  expect(validate(policyReview(changed, request)).kind).toBe('refused');
});

test('a name that the server has yet to make is no problem', () => {
  const object = virtualService(GOOD, { name: undefined, generateName: 'reviews-' });
  expect(validate(policyReview(object)).kind).toBe('allowed');
});

test.each([
  ['null', null],
  ['text', 'x'],
  ['a list', []],
  ['no metadata', { apiVersion: 'networking.istio.io/v1', kind: 'VirtualService', spec: GOOD }],
  ['an object of another kind', { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'x' } }],
  ['a List', { apiVersion: 'v1', kind: 'List', items: 1 }],
  ['metadata that is text', { ...virtualService(GOOD), metadata: 'x' }],
])('%s in place of a policy is refused', (_name, object) => {
  expect(validate(policyReview(object as object)).kind).toBe('refused');
});
