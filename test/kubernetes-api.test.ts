import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { makeAuthority } from './certificates.ts';
import { KubernetesApi } from './harness/kubernetes-api.ts';
import { pod, service } from './harness/kubernetes-objects.ts';

/** What kubectl does not show of the API server for tests: admission webhooks, RBAC objects, reviews, pages, versions. */

const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

interface Review {
  readonly request: {
    readonly uid: string;
    readonly operation: string;
    readonly name?: string;
    readonly namespace?: string;
    readonly dryRun: boolean;
    readonly userInfo: { readonly username: string };
    readonly object: { readonly metadata: { readonly labels?: Record<string, string> } };
  };
}

type Answer = (review: Review) => object | null;

/** A webhook behind the service `hooks/webhook`; null = it does not answer. */
async function webhook(
  answer: Answer,
): Promise<{ api: KubernetesApi; caBundle: string; seen: Review[] }> {
  const authority = await makeAuthority('webhook');
  const issued = await authority.issue({ dns: ['webhook.hooks.svc'] });
  const seen: Review[] = [];
  const server = createServer(
    { key: issued.privateKeyPem, cert: issued.certificateChainPem },
    (request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const review = JSON.parse(Buffer.concat(chunks).toString()) as Review;
        seen.push(review);
        const said = answer(review);
        if (said === null) return;
        const { uid } = review.request;
        const body = {
          kind: 'AdmissionReview',
          apiVersion: 'admission.k8s.io/v1',
          response: { uid, ...said },
        };
        response.end(JSON.stringify(body));
      });
    },
  );
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  closers.push(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const api = await KubernetesApi.start({
    resolveService: ({ namespace, name }) =>
      `${namespace}/${name}` === 'hooks/webhook' ? { host: '127.0.0.1', port } : null,
  });
  closers.push(() => api.close());
  return { api, caBundle: Buffer.from(authority.certificatePem).toString('base64'), seen };
}

function configuration(caBundle: string, more: object = {}, kind = 'MutatingWebhookConfiguration') {
  return {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind,
    metadata: { name: 'weft' },
    webhooks: [
      {
        name: 'inject.weft.dev',
        clientConfig: {
          service: { namespace: 'hooks', name: 'webhook', path: '/inject' },
          caBundle,
        },
        rules: [
          { operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods'] },
        ],
        sideEffects: 'None',
        admissionReviewVersions: ['v1'],
        timeoutSeconds: 1,
        ...more,
      },
    ],
  };
}

async function post(api: KubernetesApi, path: string, body: unknown) {
  const response = await fetch(api.url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  const json = (await response.json()) as Record<string, unknown>;
  return { status: response.status, body: json, warning: response.headers.get('warning') };
}

const PODS_PATH = '/api/v1/namespaces/default/pods';
const patch = (operations: object[]) => ({
  allowed: true,
  patchType: 'JSONPatch',
  patch: Buffer.from(JSON.stringify(operations)).toString('base64'),
});

test('a mutating webhook changes what is created, over TLS by its service’s name', async () => {
  const { api, caBundle, seen } = await webhook(() => ({
    ...patch([{ op: 'add', path: '/metadata/labels/injected', value: 'yes' }]),
    warnings: ['be careful'],
  }));
  api.put(configuration(caBundle));
  const made = await post(api, PODS_PATH, pod('a', { labels: { app: 'a' } }));
  expect(made).toMatchObject({
    status: 201,
    body: { metadata: { name: 'a', labels: { app: 'a', injected: 'yes' } } },
    warning: '299 - "be careful"',
  });
  expect(seen[0]!.request).toMatchObject({
    operation: 'CREATE',
    name: 'a',
    namespace: 'default',
    dryRun: false,
    userInfo: { username: 'kubernetes-admin' },
  });
  expect(api.get('pods', 'default', 'a')!.metadata.labels).toHaveProperty('injected');
});

test('a pod with generateName is asked about before it has a name', async () => {
  const { api, caBundle, seen } = await webhook(() => ({ allowed: true }));
  api.put(configuration(caBundle));
  const { metadata, ...rest } = pod('a');
  const made = await post(api, PODS_PATH, {
    ...rest,
    metadata: { ...metadata, name: undefined, generateName: 'web-' },
  });
  expect(made.body).toMatchObject({ metadata: { name: expect.stringMatching(/^web-\w{5}$/) } });
  expect(seen[0]!.request).not.toHaveProperty('name');
});

test.each([
  ['namespaceSelector', { namespaceSelector: { matchLabels: { 'istio-injection': 'enabled' } } }],
  [
    'matchExpressions',
    {
      namespaceSelector: {
        matchExpressions: [
          { key: 'kubernetes.io/metadata.name', operator: 'NotIn', values: ['default'] },
        ],
      },
    },
  ],
  ['objectSelector', { objectSelector: { matchLabels: { app: 'b' } } }],
  [
    'another resource',
    { rules: [{ operations: ['*'], apiGroups: ['apps'], apiVersions: ['*'], resources: ['*'] }] },
  ],
  [
    'another operation',
    {
      rules: [{ operations: ['UPDATE'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*/*'] }],
    },
  ],
  [
    'another scope',
    {
      rules: [
        {
          operations: ['*'],
          apiGroups: ['*'],
          apiVersions: ['*'],
          resources: ['*'],
          scope: 'Cluster',
        },
      ],
    },
  ],
])('by %s a webhook is not asked', async (_name, more) => {
  const { api, caBundle, seen } = await webhook(() => ({ allowed: false }));
  api.put(configuration(caBundle, more));
  expect((await post(api, PODS_PATH, pod('a', { labels: { app: 'a' } }))).status).toBe(201);
  expect(seen).toEqual([]);
});

test('a webhook that denies is told to the caller, validating ones see what mutating ones made', async () => {
  const { api, caBundle, seen } = await webhook(({ request }) =>
    request.object.metadata.labels?.['injected'] === 'yes'
      ? { allowed: false, status: { code: 422, message: 'no' } }
      : patch([{ op: 'add', path: '/metadata/labels', value: { injected: 'yes' } }]),
  );
  api.put(configuration(caBundle));
  api.put(configuration(caBundle, {}, 'ValidatingWebhookConfiguration'));
  expect(await post(api, PODS_PATH, pod('a'))).toMatchObject({
    status: 422,
    body: { message: 'admission webhook "inject.weft.dev" denied the request: no' },
  });
  expect(seen).toHaveLength(2);
  expect(api.get('pods', 'default', 'a')).toBeUndefined();
});

test.each([
  ['does not answer in time', () => null, /context deadline exceeded/],
  ['answers for another review', () => ({ allowed: true, uid: 'other' }), /expected response.uid/],
])(
  'a webhook that %s fails the request, or is ignored where it says so',
  async (_name, answer, message) => {
    const { api, caBundle } = await webhook(answer);
    api.put(configuration(caBundle, { failurePolicy: 'Fail' }));
    const refused = await post(api, PODS_PATH, pod('a'));
    expect(refused).toMatchObject({
      status: 500,
      body: { message: expect.stringMatching(message) },
    });
    api.put(configuration(caBundle, { failurePolicy: 'Ignore' }));
    expect((await post(api, PODS_PATH, pod('a'))).status).toBe(201);
  },
);

test('a caBundle of another authority is not believed; side effects forbid a dry run', async () => {
  const { api, caBundle, seen } = await webhook(() => ({ allowed: true }));
  const stranger = await makeAuthority('stranger');
  api.put(configuration(Buffer.from(stranger.certificatePem).toString('base64')));
  expect((await post(api, PODS_PATH, pod('a'))).status).toBe(500);
  expect(seen).toEqual([]);
  api.put(configuration(caBundle, { sideEffects: 'Some' }));
  expect((await post(api, `${PODS_PATH}?dryRun=All`, pod('a'))).status).toBe(400);
  api.put(configuration(caBundle));
  expect((await post(api, `${PODS_PATH}?dryRun=All`, pod('a'))).status).toBe(201);
  expect(seen[0]!.request.dryRun).toBe(true);
  expect(api.list('pods')).toEqual([]);
});

test('a webhook that asks for it is asked again where a later one changed the object', async () => {
  const labels: (Record<string, string> | undefined)[] = [];
  const { api, caBundle } = await webhook(({ request }) => {
    labels.push(request.object.metadata.labels);
    return patch([
      { op: 'add', path: '/metadata/labels', value: { calls: String(labels.length) } },
    ]);
  });
  const [first] = configuration(caBundle, { reinvocationPolicy: 'IfNeeded' }).webhooks;
  const [second] = configuration(caBundle).webhooks;
  api.put({ ...configuration(caBundle), webhooks: [first, { ...second, name: 'late.weft.dev' }] });
  await post(api, PODS_PATH, pod('a'));
  expect(labels.map((each) => each?.['calls'])).toEqual([undefined, '1', '2']);
});

test('RBAC objects decide what a service account may do', async () => {
  const api = await KubernetesApi.start();
  closers.push(() => api.close());
  const rbac = { apiVersion: 'rbac.authorization.k8s.io/v1' };
  const reader = {
    ...rbac,
    kind: 'ClusterRole',
    metadata: { name: 'reader' },
    rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['get', 'list', 'watch'] }],
  };
  const own = {
    ...rbac,
    kind: 'Role',
    metadata: { name: 'own', namespace: 'default' },
    rules: [
      {
        apiGroups: [''],
        resources: ['configmaps'],
        resourceNames: ['mine'],
        verbs: ['get', 'update'],
      },
    ],
  };
  const subjects = [{ kind: 'ServiceAccount', name: 'weft', namespace: 'default' }];
  const bind = (
    kind: string,
    roleKind: string,
    name: string,
    metadata: { name: string; namespace?: string },
  ) => ({
    ...rbac,
    kind,
    metadata,
    subjects,
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: roleKind, name },
  });
  api.put(reader);
  api.put(own);
  api.put(bind('ClusterRoleBinding', 'ClusterRole', 'reader', { name: 'reader' }));
  api.put(bind('RoleBinding', 'Role', 'own', { name: 'own', namespace: 'default' }));
  const spec = (attributes: object) => ({
    user: 'system:serviceaccount:default:weft',
    groups: ['system:authenticated'],
    resourceAttributes: attributes,
  });
  const allowed = async (attributes: object): Promise<unknown> => {
    const review = {
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SubjectAccessReview',
      spec: spec(attributes),
    };
    const { body } = await post(api, '/apis/authorization.k8s.io/v1/subjectaccessreviews', review);
    return (body['status'] as { allowed: unknown }).allowed;
  };
  expect(await allowed({ verb: 'list', resource: 'pods' })).toBe(true);
  expect(await allowed({ verb: 'delete', resource: 'pods', namespace: 'default' })).toBe(false);
  const mine = { resource: 'configmaps', namespace: 'default', name: 'mine' };
  expect(await allowed({ verb: 'update', ...mine })).toBe(true);
  expect(await allowed({ verb: 'update', ...mine, name: 'other' })).toBe(false);
  expect(await allowed({ verb: 'update', ...mine, namespace: 'kube-system' })).toBe(false);
});

test('pages are of one moment, older versions are listed exactly, and forgotten ones are 410', async () => {
  const api = await KubernetesApi.start();
  closers.push(() => api.close());
  for (const name of ['a', 'b', 'c']) api.put(service(name));
  const get = async (query: string) => {
    const response = await fetch(`${api.url}/api/v1/services?${query}`);
    const body = (await response.json()) as {
      metadata: { resourceVersion: string; continue?: string };
      items?: { metadata: { name: string } }[];
      reason?: string;
    };
    return {
      status: response.status,
      body,
      names: body.items?.map(({ metadata }) => metadata.name),
    };
  };
  const first = await get('limit=2');
  expect(first.names).toEqual(['a', 'b']);
  api.remove('services', 'default', 'c');
  const { resourceVersion, continue: next } = first.body.metadata;
  expect((await get(`limit=2&continue=${next}`)).names).toEqual(['c']);
  expect((await get('')).names).toEqual(['a', 'b']);
  const exact = `resourceVersion=${resourceVersion}&resourceVersionMatch=Exact`;
  expect((await get(exact)).names).toEqual(['a', 'b', 'c']);
  expect((await get('resourceVersion=999999')).status).toBe(504);
  api.store.compact();
  expect((await get(`limit=2&continue=${next}`)).body.reason).toBe('Expired');
  expect((await get(exact)).status).toBe(410);
});
