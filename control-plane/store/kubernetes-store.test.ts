import { afterEach, describe, expect, test } from 'vitest';
import { KubernetesApi } from '../../test/harness/kubernetes-api.ts';
import { clientOf, parts } from '../../test/harness/kubernetes-client.ts';
import { until } from '../../test/harness/until.ts';
import { realClock } from '../clock.testing.ts';
import { customResourceDefinition } from '../kinds/custom-resource-definition.ts';
import { KINDS } from '../kinds/kind-registry.ts';
import { keyOf } from '../kinds/resource.ts';
import { virtualService } from '../kinds/virtual-service.ts';
import { INFORMER_TIMING } from '../kubernetes/informer.ts';
import { configStoreContract, observe, policy, stored } from './config-store.contract.ts';
import { KubernetesStore } from './kubernetes-store.ts';

const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function cluster(): Promise<KubernetesApi> {
  const api = await KubernetesApi.start();
  closers.push(() => api.close());
  for (const definition of KINDS.map(customResourceDefinition)) api.put(definition);
  for (const name of ['a', 'b']) {
    api.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
  }
  return api;
}

/** Time that runs fifty times as fast for who waits. */
const fastClock = {
  ...realClock,
  schedule: (delayMs: number, callback: () => void) => realClock.schedule(delayMs / 50, callback),
};

function opening(
  api: KubernetesApi,
  historyEventsMax = 100,
  signal?: AbortSignal,
  clock = realClock,
) {
  const client = clientOf(api);
  closers.push(() => client.close());
  const options = {
    client,
    kinds: KINDS,
    ...parts,
    clock,
    wallMs: Date.now,
    timing: { ...INFORMER_TIMING, backOffBaseMs: 5, backOffMaxMs: 40 },
    historyEventsMax,
  };
  return KubernetesStore.open(options, signal);
}

async function open(api: KubernetesApi, historyEventsMax?: number): Promise<KubernetesStore> {
  const store = (await opening(api, historyEventsMax))!;
  closers.push(() => store.close());
  return store;
}

const resource = (name: string, spec: unknown = { hosts: ['reviews'] }, more: object = {}) => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'VirtualService',
  metadata: { name, namespace: 'default', ...more },
  spec,
});

configStoreContract(
  'the Kubernetes store',
  async (historyEventsMax) => open(await cluster(), historyEventsMax),
  'opaque',
);

describe('the Kubernetes store', () => {
  test('[DS-06] a status is written through its subresource, and leaves the rest as it is', async () => {
    const api = await cluster();
    const store = await open(api);
    api.put(resource('a'));
    const key = {
      group: 'networking.istio.io',
      kind: 'VirtualService',
      namespace: 'default',
      name: 'a',
    };
    const before = await until('the object', () => store.get(key));
    const status = { addresses: [{ value: '240.240.0.1', host: 'reviews' }] };
    const written = await store.replace({ ...before, status }, before.metadata.resourceVersion);
    expect(written).toMatchObject({ kind: 'ok', resource: { status } });
    expect(api.get('virtualservices', 'default', 'a')).toMatchObject({
      status,
      spec: { hosts: ['reviews'] },
      metadata: { generation: before.metadata.generation },
    });
    const writes = api.requests.get('update virtualservices') ?? 0;
    const stale = await store.replace({ ...before, status: {} }, before.metadata.resourceVersion);
    expect(stale.kind).toBe('conflict');
    const both = {
      ...(await store.get(key))!,
      spec: { hosts: ['ratings'] },
      status: { note: 'x' },
    };
    expect(await store.replace(both, undefined)).toMatchObject({
      kind: 'ok',
      resource: { status: { note: 'x' } },
    });
    expect(api.get('virtualservices', 'default', 'a')).toMatchObject({
      spec: { hosts: ['ratings'] },
      status: { note: 'x' },
    });
    // One for each.
    expect((api.requests.get('update virtualservices') ?? 0) - writes).toBe(2);
  });

  test('what others write in the cluster shows, in the version that is stored here', async () => {
    const api = await cluster();
    api.put({ ...resource('old'), apiVersion: 'networking.istio.io/v1alpha3' });
    const store = await open(api);
    const watch = observe(store, {}, await store.revision(), await store.revision());
    expect((await store.list({})).items.map(({ apiVersion }) => apiVersion)).toEqual([
      'networking.istio.io/v1',
    ]);
    api.put(resource('new'));
    api.put(resource('new', { hosts: ['other'] }));
    api.remove('virtualservices', 'default', 'old');
    await watch.until(3);
    expect(watch.seen).toEqual(['1 ADDED new', '2 MODIFIED new', '3 DELETED old']);
  });

  test('its identity is that of the cluster, and revisions of another process are gone', async () => {
    const api = await cluster();
    const first = await open(api);
    await first.create(policy('a'));
    const second = await open(api);
    expect(second.identity).toBe(first.identity);
    expect(second.identity).toBe(api.get('namespaces', '', 'kube-system')!.metadata.uid);
    const [ofFirst, ofSecond] = [await first.revision(), await second.revision()];
    expect(ofFirst).not.toBe(ofSecond);
    expect((await observe(second, {}, ofFirst).ended).kind).toBe('gone');
    expect((await observe(first, {}, ofSecond).ended).kind).toBe('gone');
  });

  test('finalizers and owners that others set survive a replacement, the status too', async () => {
    const api = await cluster();
    const ownerReferences = [{ apiVersion: 'v1', kind: 'X', name: 'x', uid: 'u' }];
    api.put({
      ...resource('held', {}, { finalizers: ['example.com/hold'], ownerReferences }),
      status: { conditions: [] },
    });
    const store = await open(api);
    await store.replace(policy('held', { hosts: ['new'] }), undefined);
    expect(api.get('virtualservices', 'default', 'held')).toMatchObject({
      metadata: { finalizers: ['example.com/hold'], ownerReferences, labels: { app: 'held' } },
      spec: { hosts: ['new'] },
      status: { conditions: [] },
    });
  });

  test('two stores on one cluster: one of two writers with the same version wins', async () => {
    const api = await cluster();
    const [a, b] = [await open(api), await open(api)];
    const { resourceVersion } = stored(await a.create(policy('x'))).metadata;
    const results = await Promise.all([
      a.replace(policy('x', { host: '1' }), resourceVersion),
      b.replace(policy('x', { host: '2' }), resourceVersion),
    ]);
    expect(results.map(({ kind }) => kind).sort()).toEqual(['conflict', 'ok']);
  });

  test('[A6.9] objects that somebody made hostile are read as what they are, and the others with them', async () => {
    const api = await cluster();
    const deep = JSON.parse(`${'['.repeat(500)}${']'.repeat(500)}`) as unknown;
    for (const [name, spec, more] of [
      ['text', 'spec', {}],
      ['null', null, {}],
      ['deep', deep, {}],
      ['labels', {}, { labels: { a: 7, b: 'x' }, annotations: 'none' }],
      ['times', {}, { creationTimestamp: 'soon', generation: 'x' }],
      ['proto', JSON.parse('{"__proto__": {"polluted": 1}}'), {}],
    ] as const) {
      api.put(resource(name, spec, more) as never);
    }
    api.put(resource('good'));
    const store = await open(api);
    const { items } = await store.list({});
    const named = (name: string) => items.find(({ metadata }) => metadata.name === name);
    expect(named('good')?.spec).toEqual({ hosts: ['reviews'] });
    expect(named('text')?.spec).toBe('spec');
    expect(named('labels')?.metadata).toMatchObject({ labels: { b: 'x' }, annotations: {} });
    expect(named('labels')?.metadata.labels['a']).toBeUndefined();
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });

  test('[I7] an API server that is away at the start is waited for: nobody is told of an empty mesh', async () => {
    const api = await cluster();
    api.put(resource('a'));
    await api.goAway();
    let opened: KubernetesStore | null = null;
    const pending = opening(api).then((store) => (opened = store));
    await api.comeBack();
    api.faults.status = 503;
    await until('a refused request', () => (api.requests.get('get namespaces') ?? 0) > 0);
    expect(opened).toBeNull();
    api.faults.status = 0;
    const store = (await pending)!;
    closers.push(() => store.close());
    expect((await store.list({})).items).toHaveLength(1);
  });

  test('opening is called off while the API server is away', async () => {
    const api = await cluster();
    await api.goAway();
    const abort = new AbortController();
    const pending = opening(api, 10, abort.signal);
    abort.abort();
    expect(await pending).toBeNull();
  });

  test('[F7] while the API server is away reads go on, writes say so, and afterwards all is as it is there', async () => {
    const api = await cluster();
    const store = await open(api);
    const made = stored(await store.create(policy('kept')));
    await api.goAway();
    expect((await store.list({})).items).toHaveLength(1);
    expect(await store.get(keyOf(made))).toEqual(made);
    expect(await store.create(policy('late'))).toMatchObject({
      kind: 'unavailable',
      reason: 'failed',
      message: expect.stringContaining(api.url),
    });
    api.put(resource('meanwhile'));
    api.remove('virtualservices', 'default', 'kept');
    await api.comeBack();
    await until('the copy to be what the cluster has', async () => {
      const { items } = await store.list({});
      return items.map(({ metadata }) => metadata.name).join() === 'meanwhile';
    });
  });

  test('a kind whose CRD is missing has no objects, writes name it, and others are there', async () => {
    const api = await cluster();
    api.remove('customresourcedefinitions', '', 'virtualservices.networking.istio.io');
    const store = await open(api);
    expect((await store.list({})).items).toEqual([]);
    expect(await store.create(policy('a'))).toMatchObject({
      kind: 'unavailable',
      message: expect.stringMatching(/virtualservices\.networking\.istio\.io; install/),
    });
    const other = await store.create(policy('a', {}, { kind: 'DestinationRule' }));
    expect(other.kind).toBe('ok');
  });

  test('a kind that the cluster serves in an older version only is read and written in it', async () => {
    const api = await cluster();
    api.remove('customresourcedefinitions', '', 'virtualservices.networking.istio.io');
    api.put(customResourceDefinition({ ...virtualService, versions: ['v1alpha3'] }));
    const store = await open(api);
    const made = stored(await store.create(policy('a')));
    expect(made.apiVersion).toBe('networking.istio.io/v1');
    expect(await store.get(keyOf(made))).toEqual(made);
    expect((await store.replace(policy('a', { host: 'x' }), undefined)).kind).toBe('ok');
    expect((await store.delete(keyOf(made), undefined)).kind).toBe('ok');
  });

  test('a CRD that is installed later, and one that moves to another version, are followed without a gap', async () => {
    const api = await cluster();
    const definition = 'virtualservices.networking.istio.io';
    api.remove('customresourcedefinitions', '', definition);
    const store = (await opening(api, 100, undefined, fastClock))!;
    closers.push(() => store.close());
    const start = await store.revision();
    const watch = observe(store, {}, start, start);
    api.put(customResourceDefinition({ ...virtualService, versions: ['v1alpha3'] }));
    api.put({ ...resource('a'), apiVersion: 'networking.istio.io/v1alpha3' });
    await watch.until(1);
    api.put(customResourceDefinition({ ...virtualService, versions: ['v1', 'v1alpha3'] }));
    const versions = () =>
      store.kinds.find(({ kind }) => kind.kind === 'VirtualService')?.type?.version;
    await until('the newer version', () => versions() === 'v1');
    api.put(customResourceDefinition({ ...virtualService, versions: ['v1'] }));
    api.put(resource('b'));
    await watch.until(2);
    expect(watch.seen).toEqual(['1 ADDED a', '2 ADDED b']);
  });
});
