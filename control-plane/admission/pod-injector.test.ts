import { expect, test } from 'vitest';
import { applyJsonPatch } from '../injector/json-patch.testing.ts';
import { defaultInjectionSettings } from '../injector/settings.ts';
import { readSource } from '../kinds/source-text.ts';
import type { PodInjection } from './injection-webhook.ts';
import { podInjector } from './pod-injector.ts';

const CONTEXT = { namespace: 'shop', clusterId: '', network: '' };
const settings = () => defaultInjectionSettings();

/** As the reader of reviews gives it: without prototypes. */
function pod(metadata: object = {}, spec: object = {}): unknown {
  const object = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { generateName: 'reviews-', labels: { app: 'reviews' }, ...metadata },
    spec: {
      containers: [{ name: 'app', image: 'app:1', ports: [{ containerPort: 80 }] }],
      ...spec,
    },
  };
  return readSource(JSON.stringify(object), 0).documents[0]!.value;
}

function containers(before: unknown, result: PodInjection): string[] {
  if (result.kind !== 'injected') throw new Error(JSON.stringify(result));
  const after = applyJsonPatch(JSON.parse(JSON.stringify(before)), result.patch as never) as {
    spec: { containers: { name: string }[]; initContainers: { name: string }[] };
  };
  return [...after.spec.initContainers, ...after.spec.containers].map(({ name }) => name);
}

test('[KI-01] the patch puts the sidecar in and touches nothing else', async () => {
  const given = pod();
  const result = await podInjector({ settings, namespaces: null })(given, CONTEXT);
  expect(containers(given, result)).toEqual(['weft-init', 'weft-proxy', 'app']);
  const patch = result.kind === 'injected' ? (result.patch as { path: string }[]) : [];
  const paths = patch.map(({ path }) => path);
  expect(paths).not.toEqual([]);
  expect(paths.filter((path) => path.startsWith('/spec/containers'))).toEqual([]);
});

test('the cluster and network of the URL come before those of the settings', async () => {
  const inject = podInjector({ settings, namespaces: null });
  const result = await inject(pod(), { ...CONTEXT, clusterId: 'east', network: 'vpc-1' });
  const text = JSON.stringify(result);
  expect(text).toContain('{"name":"ISTIO_META_CLUSTER_ID","value":"east"}');
  expect(text).toContain('vpc-1');
});

test.each<[string, object | undefined, object | undefined, boolean]>([
  ['says enabled', { 'istio-injection': 'enabled' }, undefined, true],
  ['said nothing when last seen and says enabled now', {}, { 'istio-injection': 'enabled' }, true],
  ['is not known and says enabled', undefined, { 'istio-injection': 'enabled' }, true],
  ['is not known and cannot be asked', undefined, undefined, true],
  ['says disabled', { 'istio-injection': 'disabled' }, { 'istio-injection': 'disabled' }, false],
  ['says nothing', {}, {}, false],
])('[KI-01] a namespace that %s', async (_name, known, asked, isInjected) => {
  const namespaces = {
    known: () => known as Record<string, string> | undefined,
    ask: async () => asked as Record<string, string> | undefined,
  };
  const result = await podInjector({ settings, namespaces })(pod(), CONTEXT);
  expect(result.kind).toBe(isInjected ? 'injected' : 'skipped');
});

test('[KI-01] host network and kube-system are never injected, and nobody is asked about it', async () => {
  const namespaces = { known: () => undefined, ask: () => Promise.reject(new Error('asked')) };
  const inject = podInjector({ settings, namespaces });
  expect(await inject(pod({}, { hostNetwork: true }), CONTEXT)).toMatchObject({ kind: 'skipped' });
  expect(await inject(pod(), { ...CONTEXT, namespace: 'kube-system' })).toMatchObject({
    kind: 'skipped',
  });
});

test.each([
  ['null', null],
  ['text', 'pod'],
  ['no spec', { metadata: {} }],
  ['containers that are a map', { metadata: {}, spec: { containers: {} } }],
  ['no container', { metadata: {}, spec: { containers: [] } }],
])('[KI-01] %s in place of a pod is refused with the field', async (_name, value) => {
  const result = await podInjector({ settings, namespaces: null })(value, CONTEXT);
  expect(result.kind).toBe('refused');
  expect(result.kind === 'refused' && result.problems[0]).toMatch(/./);
});
