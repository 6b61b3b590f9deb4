import { afterEach, expect, test } from 'vitest';
import type { Resource } from '../kinds/resource.ts';
import type { Registry, RegistryContents } from '../registry/registry.ts';
import type { ConfigStore } from '../store/config-store.ts';
import { createMemoryStore } from '../store/memory-store.ts';
import { MeshFeed } from './mesh-feed.ts';
import { MESH_DEFAULTS } from './mesh-options.ts';
import { BOOKINFO, policies, sidecars } from './test-mesh.ts';

class FakeRegistry implements Registry {
  readonly name = 'fake';
  contents: RegistryContents = sidecars(BOOKINFO);
  #listeners = new Set<() => void>();
  read(): RegistryContents {
    return this.contents;
  }
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
  set(contents: RegistryContents): void {
    this.contents = contents;
    for (const listener of this.#listeners) listener();
  }
}

function rule(host = 'reviews'): Resource {
  const [resource] = policies(`
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec: {host: ${host}}
`).destinationRules;
  return { ...resource!, spec: { host } };
}

const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0)) await close();
});

async function started(store: ConfigStore) {
  const registry = new FakeRegistry();
  const warnings: string[] = [];
  const scheduled: (() => void)[] = [];
  const feed = new MeshFeed({
    store,
    registries: [registry],
    mesh: MESH_DEFAULTS,
    schedule: (_delayMs, callback) => {
      scheduled.push(callback);
      return () => {};
    },
    warn: (message) => warnings.push(message),
  });
  open.push(() => feed.close());
  await feed.start();
  const changed = () =>
    new Promise<void>((resolve) => {
      const stop = feed.onChange(() => {
        stop();
        resolve();
      });
    });
  return { feed, registry, warnings, scheduled, changed };
}

test('policies that were there, that come and that go are in the snapshot', async () => {
  const store = createMemoryStore('one');
  open.push(() => store.close());
  await store.create(rule());
  const { feed, changed } = await started(store);
  expect(feed.snapshot().destinationRules.all).toHaveLength(1);
  expect(feed.snapshot()).toBe(feed.snapshot());
  const replaced = changed();
  await store.replace(rule('ratings'), undefined);
  await replaced;
  expect(feed.snapshot().destinationRules.all[0]?.host).toBe('ratings.default.svc.cluster.local');
  expect(feed.snapshot().destinationRules.all[0]?.subsets).toEqual([]);
  const gone = changed();
  const key = { group: 'networking.istio.io', kind: 'DestinationRule' };
  await store.delete({ ...key, namespace: 'default', name: 'reviews' }, undefined);
  await gone;
  expect(feed.snapshot().destinationRules.all).toEqual([]);
});

test('a change of a registry makes a new snapshot, with the parts that did not change', async () => {
  const store = createMemoryStore('one');
  open.push(() => store.close());
  const { feed, registry } = await started(store);
  const before = feed.snapshot();
  registry.set(sidecars([{ service: 'reviews' }]));
  const after = feed.snapshot();
  expect(after).not.toBe(before);
  expect(after.directory.services).toHaveLength(1);
  expect(after.virtualServices).toBe(before.virtualServices);
});

test('[F13][A6.9] an object that is not valid is reported and left out, the others stay', async () => {
  const store = createMemoryStore('one');
  open.push(() => store.close());
  await store.create({ ...rule(), spec: { host: 7 } });
  const { feed, warnings } = await started(store);
  expect(feed.snapshot().destinationRules.all).toEqual([]);
  expect(warnings[0]).toContain('DestinationRule default/reviews in the store is not usable');
});

test('[F6] a watch that ends is taken up again with all that happened meanwhile', async () => {
  const store = createMemoryStore('one', 1);
  open.push(() => store.close());
  let end: (() => void) | undefined;
  const breaking: ConfigStore = Object.create(store, {
    list: { value: store.list.bind(store) },
    watch: {
      value: (...[selection, revision, sink]: Parameters<ConfigStore['watch']>) => {
        end = () => sink.onEnd({ kind: 'gone', oldestRevision: 9 });
        return store.watch(selection, revision, { onEvent: () => {}, onEnd: () => {} });
      },
    },
  });
  const { feed, scheduled, changed } = await started(breaking);
  await store.create(rule());
  expect(feed.snapshot().destinationRules.all).toEqual([]);
  const listed = changed();
  end!();
  scheduled[0]!();
  await listed;
  expect(feed.snapshot().destinationRules.all).toHaveLength(1);
});
