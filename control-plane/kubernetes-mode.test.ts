import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { KubernetesApi } from '../test/harness/kubernetes-api.ts';
import { until } from '../test/harness/until.ts';
import { createRoot } from './ca/authority.ts';
import { followCluster, type TestControlPlane, testControlPlane } from './control-plane.testing.ts';
import { customResourceDefinition } from './kinds/custom-resource-definition.ts';
import { KINDS } from './kinds/kind-registry.ts';
import type { KubernetesObject } from './kubernetes/kubernetes-object.ts';

let api: KubernetesApi;
let plane: TestControlPlane;
let directory: string;
beforeEach(async () => {
  api = await KubernetesApi.start();
  for (const definition of KINDS.map(customResourceDefinition)) api.put(definition);
  api.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'weft-system' } });
  directory = mkdtempSync(join(tmpdir(), 'weft-kubernetes-mode-'));
  const kubeconfig = join(directory, 'config');
  writeFileSync(kubeconfig, api.kubeconfig());
  plane = await testControlPlane({
    store: 'kubernetes',
    replica: {
      podNamespace: 'weft-system',
      podName: 'test',
      leaseDurationMs: 3000,
      caSecret: 'weft-ca',
    },
    kubernetes: followCluster(kubeconfig),
  });
});
afterEach(async () => {
  await plane.remove();
  await api.close();
  rmSync(directory, { recursive: true, force: true });
});

const roots = () => readFileSync(join(plane.dataDirectory, 'root-cert.pem'), 'utf8');
const said = (text: string) => plane.lines.filter((line) => line.includes(text)).length;

function change(data: Record<string, string>): void {
  const secret = structuredClone(api.get('secrets', 'weft-system', 'weft-ca')!);
  const before = secret['data'] as Record<string, string>;
  const encoded = Object.entries(data).map(([name, text]) => {
    return [name, Buffer.from(text).toString('base64')] as const;
  });
  api.put({ ...secret, data: { ...before, ...Object.fromEntries(encoded) } } as KubernetesObject);
}

test('[F7][SC-06] a change of the roots that comes while the Secret cannot be read is read later', async () => {
  const before = roots();
  const { rootsPem } = await createRoot('cluster.local', Date.now(), 86_400_000);
  api.faults.status = 503;
  api.faults.statusFor = (verb, plural) => verb === 'get' && plural === 'secrets';
  change({ 'root-cert.pem': before + rootsPem });
  await until('a failure', () => said('the authority stays as it was') > 0);
  expect(roots()).toBe(before);
  api.faults.status = 0;
  await until('both roots', () => roots() === before + rootsPem);
});

test('[F11] a Secret that becomes unusable is told once and changes nothing; the next version counts', async () => {
  const before = roots();
  const { rootsPem } = await createRoot('cluster.local', Date.now(), 86_400_000);
  change({ 'root-cert.pem': rootsPem });
  await until('the reason', () => said('leads to ca-cert.pem') > 0);
  change({ 'ca-key.pem': '' });
  await until('the other reason', () => said('has no ca-key.pem') > 0);
  expect(said('the authority stays as it was')).toBe(2);
  expect(roots()).toBe(before);
});

test('[F11] a Secret that is deleted changes nothing, and what follows from it is said', async () => {
  const before = roots();
  api.remove('secrets', 'weft-system', 'weft-ca');
  await until('the warning', () => said('one that starts now makes a new root') === 1);
  expect(roots()).toBe(before);
});
