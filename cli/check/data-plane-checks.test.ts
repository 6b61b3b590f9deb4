import { afterEach, beforeEach, expect, test } from 'vitest';
import { readValues } from '../../deploy/manifests/read-values.ts';
import type { KubernetesApi } from '../../test/harness/kubernetes-api.ts';
import { testCluster } from '../../test/harness/kubernetes-client.ts';
import { pod } from '../../test/harness/kubernetes-objects.ts';
import { Cluster } from './cluster.ts';
import { dataPlaneChecks } from './data-plane-checks.ts';

let api: KubernetesApi;
let cluster: Cluster;
let close: () => Promise<void>;
beforeEach(async () => {
  const started = await testCluster();
  ({ api, close } = started);
  cluster = new Cluster(started.client);
});
afterEach(() => close());

function put(namespace: string, labels: Record<string, string>, own: object = {}): void {
  api.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace, labels } });
  const made = pod('app', { ip: '10.0.0.1', labels: {} });
  api.put({ ...made, metadata: { ...made.metadata, namespace, ...own } });
}

async function withoutSidecar(...settings: string[]): Promise<string[]> {
  const installation = {
    values: readValues(settings, '0.1.0'),
    namespace: 'weft-system',
    version: '0.1.0',
  };
  const { checks } = dataPlaneChecks({ cluster, installation, dataPlaneNamespace: '' });
  const check = checks.find(({ hint }) => hint === 'pods-without-sidecar')!;
  const outcome = await check.run();
  if (outcome.kind === 'ok') return [];
  return [...JSON.stringify(outcome).matchAll(/pod ([a-z-]+)\/app has no sidecar/g)].map(
    ([, namespace]) => namespace!,
  );
}

test('[KI-01] a pod without a sidecar is missed where the injector would have given it one', async () => {
  put('enabled', { 'weft.dev/injection': 'enabled' });
  put('disabled', { 'weft.dev/injection': 'disabled', 'istio-injection': 'enabled' });
  put('stable', { 'istio.io/rev': 'default' });
  put('canary', { 'istio.io/rev': 'canary' });
  put('kube-public', { 'istio-injection': 'enabled' });
  expect(await withoutSidecar()).toEqual(['enabled', 'stable']);
  expect(await withoutSidecar('injection.revision=canary')).toEqual(['canary', 'enabled']);
});

test('[KI-01] a pod that asked for none is not missed, by whichever name it did', async () => {
  const enabled = { 'istio-injection': 'enabled' };
  put('label', enabled, { labels: { 'sidecar.istio.io/inject': 'no' } });
  put('annotation', enabled, { annotations: { 'sidecar.weft.dev/inject': 'false' } });
  put('asks', enabled, { labels: { 'sidecar.weft.dev/inject': 'true' } });
  expect(await withoutSidecar()).toEqual(['asks']);
});
