import { expect, test } from 'vitest';
import { admissionReview } from './admission.testing.ts';
import { admissionResponse, readAdmissionReview } from './admission-review.ts';
import {
  injectionWebhook,
  type PodContext,
  type PodInjection,
  parseInjectionPath,
} from './injection-webhook.ts';

const POD = { apiVersion: 'v1', kind: 'Pod', metadata: { generateName: 'a-' }, spec: {} };
const PATCH = [{ op: 'add', path: '/spec/initContainers', value: [] }];

async function review(given: object, seen: PodContext[] = []) {
  const counts: string[] = [];
  const webhook = injectionWebhook(
    async (_pod, context) => {
      seen.push(context);
      return { kind: 'injected', patch: PATCH, warnings: ['careful'] };
    },
    { injectionRequest: () => counts.push('request'), injection: (how) => counts.push(how) },
  );
  const read = readAdmissionReview(JSON.stringify(given));
  if (read.kind === 'bad') throw new Error(read.problem);
  const answer = await webhook(read.request, { clusterId: 'east', network: '' });
  return { answer, counts, response: admissionResponse(read.request.uid, answer) };
}

test('[KI-01] a pod being created gets the patch, base64, with the uid of the request', async () => {
  const seen: PodContext[] = [];
  const { response, counts } = await review(admissionReview({ object: POD, uid: 'abc' }), seen);
  expect(response).toMatchObject({
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    response: {
      uid: 'abc',
      allowed: true,
      patchType: 'JSONPatch',
      warnings: ['careful'],
      auditAnnotations: { sidecar: 'injected' },
    },
  });
  const { patch } = (response as { response: { patch: string } }).response;
  expect(JSON.parse(Buffer.from(patch, 'base64').toString())).toEqual(PATCH);
  expect(seen).toEqual([{ namespace: 'default', clusterId: 'east', network: '' }]);
  expect(counts).toEqual(['request', 'success']);
});

test('[KI-01] the namespace is that of the request, and of the pod where the request has none', async () => {
  const seen: PodContext[] = [];
  const inShop = { ...POD, metadata: { namespace: 'shop' } };
  await review(admissionReview({ object: POD, namespace: 'web' }), seen);
  await review(admissionReview({ object: inShop, namespace: '' }), seen);
  expect(seen.map(({ namespace }) => namespace)).toEqual(['web', 'shop']);
  const { answer, counts } = await review(admissionReview({ object: POD, namespace: '' }));
  expect(answer).toMatchObject({ kind: 'refused', status: { code: 400 } });
  expect(counts).toEqual(['request', 'failure']);
});

test.each([
  ['an update', { operation: 'UPDATE' }],
  ['a deletion', { operation: 'DELETE' }],
  ['exec', { operation: 'CONNECT', subResource: 'exec', kind: 'PodExecOptions' }],
  ['an eviction', { subResource: 'eviction', kind: 'Eviction', group: 'policy' }],
  ['a binding', { subResource: 'binding', kind: 'Binding' }],
])('%s passes as it is and is not counted', async (_name, request) => {
  const { answer, counts } = await review(admissionReview({ object: POD, ...request }));
  expect(answer).toEqual({ kind: 'allowed', patch: [], warnings: [], audit: {} });
  expect(counts).toEqual([]);
});

test('an object that is no pod is refused, and the message names its kind and the remedy', async () => {
  const { answer } = await review(
    admissionReview({ object: {}, group: 'apps', kind: 'Deployment', resource: 'deployments' }),
  );
  expect(answer).toMatchObject({
    kind: 'refused',
    status: { code: 400, message: expect.stringMatching(/not apps\/v1 Deployment.*\["pods"\]/) },
  });
});

test('skipped and refused pods say why', async () => {
  const webhook = async (result: PodInjection) => {
    const counts: string[] = [];
    const decide = injectionWebhook(async () => result, {
      injectionRequest: () => undefined,
      injection: (how) => counts.push(how),
    });
    const read = readAdmissionReview(JSON.stringify(admissionReview({ object: POD })));
    if (read.kind === 'bad') throw new Error(read.problem);
    return { answer: await decide(read.request, { clusterId: '', network: '' }), counts };
  };
  const skipped = await webhook({
    kind: 'skipped',
    reason: 'the pod uses the host network',
    warnings: [],
  });
  expect(skipped).toMatchObject({
    answer: {
      kind: 'allowed',
      patch: [],
      audit: { sidecar: 'skipped: the pod uses the host network' },
    },
    counts: ['skip'],
  });
  const refused = await webhook({
    kind: 'refused',
    problems: ['spec.containers[0].name: is taken'],
  });
  expect(refused).toMatchObject({
    answer: {
      kind: 'refused',
      status: {
        code: 422,
        message: 'the sidecar cannot be injected: spec.containers[0].name: is taken',
      },
    },
    counts: ['failure'],
  });
});

test.each([
  ['/inject', { clusterId: '', network: '' }],
  ['/inject/cluster/east/net/vpc-1', { clusterId: 'east', network: 'vpc-1' }],
  ['/inject/net/a--slash--b', { clusterId: '', network: 'a/b' }],
  ['/inject/unknown/value/cluster/west', { clusterId: 'west', network: '' }],
  ['/inject/cluster', { clusterId: '', network: '' }],
  ['/inject/cluster/a b', undefined],
  ['/other', undefined],
])('%s is read as Istio writes it', (path, expected) => {
  expect(parseInjectionPath(path.slice(1).split('/'))).toEqual(expected);
});
