import { afterEach, beforeEach, expect, test } from 'vitest';
import type { KubernetesApi } from '../../test/harness/kubernetes-api.ts';
import { parts, testCluster } from '../../test/harness/kubernetes-client.ts';
import { until } from '../../test/harness/until.ts';
import { customResourceDefinition } from '../kinds/custom-resource-definition.ts';
import { KINDS } from '../kinds/kind-registry.ts';
import { virtualService } from '../kinds/virtual-service.ts';
import type { KubernetesClient } from '../kubernetes/kubernetes-client.ts';
import type { KubernetesObject } from '../kubernetes/kubernetes-object.ts';
import { KubernetesKind } from '../store/kubernetes-kind.ts';
import { CaBundleController } from './ca-bundle-controller.ts';
import { ClusterNamespaces } from './cluster-namespaces.ts';
import { type PolicyFindings, PolicyStatusController } from './policy-status-controller.ts';
import { RootConfigMapController } from './root-config-map-controller.ts';

let api: KubernetesApi;
let client: KubernetesClient;
let leads: boolean;
let rootsPem: string;
const closers: (() => unknown)[] = [];
beforeEach(async () => {
  const cluster = await testCluster();
  ({ api, client } = cluster);
  closers.push(cluster.close);
  leads = true;
  rootsPem = 'roots';
});
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const common = () => ({ ...parts, client, mayWrite: () => leads, rootsPem: () => rootsPem });
const base64 = (text: string) => Buffer.from(text).toString('base64');

// ── caBundle ─────────────────────────────────────────────────────────────────────────────────────────────────────────

function webhooks(name: string, clients: object[], labels: object = LABELLED): KubernetesObject {
  return {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'MutatingWebhookConfiguration',
    metadata: { name, labels: labels as Record<string, string> },
    webhooks: clients.map((clientConfig, index) => ({
      name: `w${index}.weft.dev`,
      sideEffects: 'None',
      admissionReviewVersions: ['v1'],
      clientConfig,
    })),
  };
}
const LABELLED = { 'weft.dev/inject-ca-bundle': 'true' };
const service = (namespace: string) => ({ service: { namespace, name: 'weft-control-plane' } });

function bundles(name: string): (string | undefined)[] {
  const object = api.get('mutatingwebhookconfigurations', '', name)!;
  const list = object['webhooks'] as { clientConfig: { caBundle?: string } }[];
  return list.map(({ clientConfig }) => clientConfig.caBundle);
}

function caBundles(): CaBundleController {
  const controller = new CaBundleController({ ...common(), namespace: 'weft-system' });
  controller.start();
  closers.push(() => controller.close());
  return controller;
}

test('caBundle is written where our webhooks lack it, and nothing else is touched', async () => {
  api.put(webhooks('ours', [service('weft-system'), { url: 'https://127.0.0.1:1/inject' }]));
  api.put(webhooks('mixed', [service('other'), service('weft-system')]));
  api.put(webhooks('foreign', [service('weft-system')], {}));
  const before = structuredClone(api.get('mutatingwebhookconfigurations', '', 'ours')!);
  caBundles();
  await until('ours', () => bundles('ours').every((bundle) => bundle === base64('roots')));
  await until('mixed', () => bundles('mixed')[1] === base64('roots'));
  expect(bundles('mixed')[0]).toBeUndefined();
  expect(bundles('foreign')).toEqual([undefined]);
  const after = structuredClone(
    api.get('mutatingwebhookconfigurations', '', 'ours')!,
  ) as unknown as {
    webhooks: { clientConfig: { caBundle?: string } }[];
  };
  for (const { clientConfig } of after.webhooks) delete clientConfig.caBundle;
  expect(after.webhooks).toEqual(before['webhooks']);
});

test('[SC-06] other roots are written at once; a bundle that somebody empties comes back', async () => {
  api.put(webhooks('ours', [service('weft-system')]));
  const controller = caBundles();
  await until('the first', () => bundles('ours')[0] === base64('roots'));
  rootsPem = 'roots and more';
  controller.refresh();
  await until('the second', () => bundles('ours')[0] === base64('roots and more'));
  api.put(webhooks('ours', [service('weft-system')]));
  await until('it again', () => bundles('ours')[0] === base64('roots and more'));
});

test('who does not lead writes nothing, and begins with what it missed', async () => {
  leads = false;
  api.put(webhooks('ours', [service('weft-system')]));
  const controller = caBundles();
  await until('the list', () => (api.requests.get('watch mutatingwebhookconfigurations') ?? 0) > 0);
  expect(api.requests.get('patch mutatingwebhookconfigurations')).toBeUndefined();
  leads = true;
  controller.refresh();
  await until('it', () => bundles('ours')[0] === base64('roots'));
});

test('[F7] a write that fails is made again; another writer in between is no harm', async () => {
  api.put(webhooks('ours', [service('weft-system')]));
  api.faults.status = 500;
  api.faults.statusFor = (verb) => verb === 'patch';
  caBundles();
  await until('two failures', () => api.requests.get('patch mutatingwebhookconfigurations')! >= 2);
  api.put(webhooks('ours', [service('weft-system'), service('weft-system')]));
  api.faults.status = 0;
  await until('both', () => bundles('ours').every((bundle) => bundle === base64('roots')));
});

// ── root ConfigMaps ──────────────────────────────────────────────────────────────────────────────────────────────────

const namespace = (name: string, more: object = {}): KubernetesObject => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name },
  ...more,
});
const dataOf = (name: string) =>
  api.get('configmaps', name, 'weft-ca-root-cert')?.['data'] as Record<string, string> | undefined;

function configMaps(): RootConfigMapController {
  const namespaces = new ClusterNamespaces(client, parts);
  const controller = new RootConfigMapController({
    ...common(),
    namespaces,
    ignored: ['kube-system'],
  });
  namespaces.start();
  controller.start();
  closers.push(() => {
    controller.close();
    namespaces.close();
  });
  return controller;
}

test('every namespace has the roots, but for the ignored and those that are leaving', async () => {
  api.put(namespace('leaving'));
  api.put(namespace('leaving', { status: { phase: 'Terminating' } }));
  configMaps();
  await until('default', () => dataOf('default'));
  expect(dataOf('default')).toEqual({ 'root-cert.pem': 'roots' });
  api.put(namespace('new'));
  await until('new', () => dataOf('new'));
  expect(dataOf('kube-system')).toBeUndefined();
  expect(dataOf('leaving')).toBeUndefined();
});

test('130 namespaces get new roots, and a ConfigMap of somebody else stays', async () => {
  for (let at = 0; at < 130; at++) api.put(namespace(`n${at}`));
  api.put({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'other', namespace: 'n1' } });
  const controller = configMaps();
  const all = (roots: string) => () =>
    Array.from({ length: 130 }, (_, at) => dataOf(`n${at}`)).every(
      (data) => data?.['root-cert.pem'] === roots,
    );
  await until('all', all('roots'));
  rootsPem = 'other roots';
  controller.refresh();
  await until('all again', all('other roots'));
  expect(api.get('configmaps', 'n1', 'other')!['data']).toBeUndefined();
  const writes = (verb: string) => api.requests.get(`${verb} configmaps`) ?? 0;
  // default, kube-public and 130 of ours, each written once each time.
  expect(writes('create')).toBe(132);
  expect(writes('patch')).toBe(132);
});

// ── status ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const policy = (name: string, more: object = {}): KubernetesObject => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'VirtualService',
  metadata: { name, namespace: 'default' },
  spec: { hosts: ['a'] },
  ...more,
});
const statusOf = (name: string) =>
  api.get('virtualservices', 'default', name)?.['status'] as
    | { conditions: { type: string; status: string }[] }
    | undefined;

async function statuses(findings: () => PolicyFindings | null): Promise<PolicyStatusController> {
  const kind = new KubernetesKind({
    ...parts,
    client,
    kind: virtualService,
    onChange: () => undefined,
  });
  kind.start();
  await kind.whenSynced();
  const controller = new PolicyStatusController({
    ...common(),
    kinds: [kind],
    findings,
    wallMs: Date.now,
  });
  closers.push(() => {
    controller.close();
    kind.close();
  });
  return controller;
}

const NOTHING: PolicyFindings = { warnings: [], refusals: [] };
const patches = () => api.requests.get('patch virtualservices') ?? 0;

test('[PL-06] a status is written once, and again when somebody else changed it', async () => {
  for (const definition of KINDS.map(customResourceDefinition)) api.put(definition);
  api.put(policy('a'));
  const controller = await statuses(() => NOTHING);
  controller.refresh();
  await until('a status', () => statusOf('a'));
  const written = patches();
  controller.refresh();
  api.put(policy('b'));
  await until('b', () => statusOf('b'));
  expect(patches()).toBe(written + 1);
  api.put(policy('a', { status: { conditions: [] } }));
  await until('a again', () => statusOf('a')!.conditions.length === 2);
});

test('[PL-06] nothing is judged by a snapshot that does not know it yet', async () => {
  for (const definition of KINDS.map(customResourceDefinition)) api.put(definition);
  api.put(policy('a'));
  let known: PolicyFindings | null = null;
  const controller = await statuses(() => known);
  controller.refresh();
  api.put(policy('b'));
  await until('the next look', () => (api.requests.get('watch virtualservices') ?? 0) > 0);
  expect(patches()).toBe(0);
  const key = { group: 'networking.istio.io', kind: 'VirtualService', namespace: 'default' };
  known = { warnings: [], refusals: [{ key: { ...key, name: 'a' }, problems: ['spec.x: no'] }] };
  controller.refresh();
  await until('a', () => statusOf('a')?.conditions[0]?.status === 'False');
  await until('b', () => statusOf('b')?.conditions[0]?.status === 'True');
});

test('a CRD without status subresource is asked once, and left alone', async () => {
  const warned: string[] = [];
  for (const definition of KINDS.map(customResourceDefinition)) {
    const spec = structuredClone(definition['spec']) as { versions: { subresources?: object }[] };
    for (const version of spec.versions) delete version.subresources;
    api.put({ ...definition, spec });
  }
  for (let at = 0; at < 5; at++) api.put(policy(`p${at}`));
  const kind = new KubernetesKind({
    ...parts,
    client,
    kind: virtualService,
    onChange: () => undefined,
  });
  kind.start();
  await kind.whenSynced();
  const controller = new PolicyStatusController({
    ...common(),
    log: { ...parts.log, warn: (_fields, message) => void warned.push(message) },
    kinds: [kind],
    findings: () => NOTHING,
    wallMs: Date.now,
  });
  closers.push(() => {
    controller.close();
    kind.close();
  });
  controller.refresh();
  await until('a warning', () => warned.length > 0);
  const asked = patches();
  api.put(policy('late'));
  controller.refresh();
  await until('nothing more to do', () => kind.objects().has('default/late'));
  expect(warned[0]).toMatch(/no status subresource/);
  expect(patches()).toBeLessThanOrEqual(Math.max(asked, 5));
});
