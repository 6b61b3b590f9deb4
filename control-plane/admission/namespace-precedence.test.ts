import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { installedObjects } from '../../test/harness/installation.ts';
import { KubernetesApi } from '../../test/harness/kubernetes-api.ts';
import { until } from '../../test/harness/until.ts';
import {
  followCluster,
  type TestControlPlane,
  testControlPlane,
} from '../control-plane.testing.ts';

/** Who is injected: the selectors of an installation and the injector together, through an API server (KI-01). */

let api: KubernetesApi;
let plane: TestControlPlane;
let directory: string;
beforeAll(async () => {
  api = await KubernetesApi.start({
    resolveService: () => {
      const [host, port] = plane.addresses.webhooks!.split(':');
      return { host: host!, port: Number(port) };
    },
  });
  for (const object of installedObjects()) api.put(object);
  directory = mkdtempSync(join(tmpdir(), 'weft-precedence-'));
  const kubeconfig = join(directory, 'config');
  writeFileSync(kubeconfig, api.kubeconfig());
  plane = await testControlPlane({
    store: 'kubernetes',
    replica: {
      podNamespace: 'weft-system',
      podName: 'test',
      leaseDurationMs: 15_000,
      caSecret: 'weft-ca',
    },
    webhooks: { host: '127.0.0.1', port: 0 },
    kubernetes: followCluster(kubeconfig),
  });
  await until('caBundle', () =>
    api
      .list('mutatingwebhookconfigurations')
      .flatMap((object) => object['webhooks'] as { clientConfig: { caBundle?: string } }[])
      .every(({ clientConfig }) => clientConfig.caBundle !== undefined),
  );
});
afterAll(async () => {
  await plane?.remove();
  await api?.close();
  rmSync(directory, { recursive: true, force: true });
});

const ENABLED = { 'istio-injection': 'enabled' };
const DISABLED = { 'istio-injection': 'disabled' };
const OURS = { 'istio.io/rev': 'default' };
const OTHERS = { 'istio.io/rev': 'other' };
const YES = { 'sidecar.istio.io/inject': 'true' };
const NO = { 'sidecar.istio.io/inject': 'false' };

const asked = async (): Promise<number> => {
  const metrics = await (await fetch(`http://${plane.addresses.monitoring}/metrics`)).text();
  return Number(/^sidecar_injection_requests_total (\d+)$/m.exec(metrics)![1]);
};

async function isInjected(namespace: string, labels: object, spec: object): Promise<boolean> {
  const response = await fetch(`${api.url}/api/v1/namespaces/${namespace}/pods`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { generateName: 'a-', labels },
      spec: { containers: [{ name: 'app', image: 'app:1' }], ...spec },
    }),
  });
  const text = await response.text();
  expect(response.status, text).toBe(201);
  return text.includes('"weft-proxy"');
}

let count = 0;
test.each<[string, object, object, object, boolean]>([
  ['enabled', ENABLED, {}, {}, true],
  ['enabled, the pod says no', ENABLED, NO, {}, false],
  ['enabled, the pod says yes', ENABLED, YES, {}, true],
  ['enabled, host network', ENABLED, {}, { hostNetwork: true }, false],
  ['enabled, host network, the pod says yes', ENABLED, YES, { hostNetwork: true }, false],
  ['enabled, and of another revision', { ...ENABLED, ...OTHERS }, {}, {}, true],
  ['disabled', DISABLED, {}, {}, false],
  ['disabled, the pod says yes', DISABLED, YES, {}, false],
  ['disabled, and of our revision', { ...DISABLED, ...OURS }, {}, {}, false],
  ['without a word', {}, {}, {}, false],
  ['without a word, the pod says yes', {}, YES, {}, true],
  ['without a word, the pod says no', {}, NO, {}, false],
  ['without a word, the pod is of our revision', {}, OURS, {}, true],
  ['without a word, the pod is of our revision and says no', {}, { ...OURS, ...NO }, {}, false],
  ['without a word, the pod is of another revision', {}, OTHERS, {}, false],
  ['of our revision', OURS, {}, {}, true],
  ['of our revision, the pod says no', OURS, NO, {}, false],
  ['of another revision', OTHERS, {}, {}, false],
  ['of another revision, the pod says yes', OTHERS, YES, {}, false],
])('[KI-01] a namespace %s', async (_name, namespaceLabels, labels, spec, expected) => {
  const name = `n${count++}`;
  api.put({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name, labels: namespaceLabels as Record<string, string> },
  });
  const before = await asked();
  expect(await isInjected(name, labels, spec)).toBe(expected);
  expect((await asked()) - before, 'the selectors never overlap').toBeLessThanOrEqual(1);
});

test.each(['kube-system', 'weft-system'])('[KI-01] never in %s', async (namespace) => {
  expect(await isInjected(namespace, YES, {})).toBe(false);
});

test('[KI-01] a namespace that is labelled a moment before its first pod counts as labelled', async () => {
  api.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'late' } });
  expect(await isInjected('late', {}, {})).toBe(false);
  for (let round = 0; round < 10; round++) {
    api.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'late', labels: ENABLED } });
    expect(await isInjected('late', {}, {})).toBe(true);
    api.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'late', labels: {} } });
    expect(await isInjected('late', {}, {})).toBe(false);
  }
});
